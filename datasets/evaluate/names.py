"""Whether a connection is known to answer to a name, asked before a run sends it hundreds of calls."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from django.core.cache import cache

from completions.models import Term
from datasets.evaluate.targets import Target
from datasets.models import Deployment, FineTune
from portal.models import Connection
from portal.upstream import UpstreamError, connect

REMEMBERED_SECONDS = 300
_DATE = re.compile(r"-\d{4}-?\d{2}-?\d{2}$")


@dataclass(frozen=True, slots=True)
class Doubt:
    """A name that nothing is known to answer to, the nearest one that does, and who else answers to it."""

    name: str
    connection: Connection
    near: str
    elsewhere: str = ""

    @property
    def key(self) -> str:
        return f"{self.connection.pk}:{self.name}"

    def as_dict(self) -> dict[str, Any]:
        return {"connection": self.connection.pk, "name": self.name, "near": self.near}


def doubts(targets: Iterable[Target], user: Any) -> list[Doubt]:
    """The names among `targets` that are no deployment of ours, never seen and not listed by the service.

    Among the connections that `user` may ask, one that knows such a name is told instead of the nearest name.
    The service is asked only if nothing here knows the name; if it cannot be asked, it has listed nothing.
    """
    found = []
    for target in targets:
        if target.connection is None:
            continue
        connection = Connection.objects.filter(pk=target.connection).first()
        if connection is None:
            continue
        known = _with_families(_known_here(connection))
        if target.model not in known:
            known |= _with_families(_listed(connection))
        if target.model not in known:
            folded = {name.casefold(): name for name in sorted(known)}
            near = get_close_matches(target.model.casefold(), folded, 1, 0.6)
            elsewhere = _elsewhere(target.model, connection, user)
            found.append(Doubt(target.model, connection, folded[near[0]] if near else "", elsewhere))
    return found


def left(saved: Iterable[Mapping[str, Any]]) -> list[Doubt]:
    """Doubts as a row keeps them, without those that have cleared up since; nobody is asked."""
    found = []
    for entry in saved:
        connection = Connection.objects.filter(pk=entry["connection"]).first()
        if connection is not None and entry["name"] not in _with_families(_known_here(connection)):
            found.append(Doubt(entry["name"], connection, entry["near"]))
    return found


def all_told(found: Iterable[Doubt], told: Collection[str]) -> bool:
    """Whether the person has been told of every one of these doubts, by their keys."""
    return all(doubt.key in told for doubt in found)


def _elsewhere(name: str, connection: Connection, user: Any) -> str:
    others = Connection.objects.actionable_by(user).with_endpoint().exclude(pk=connection.pk).order_by("name")
    return next((each.name for each in others if name in _with_families(_known_here(each))), "")


def _known_here(connection: Connection) -> Iterator[str]:
    ready = Deployment.objects.filter(connection=connection, state=Deployment.State.READY)
    yield from ready.values_list("name", flat=True)
    tunes = FineTune.objects.filter(connection=connection, state=FineTune.State.SUCCEEDED)
    yield from tunes.exclude(fine_tuned_model="").values_list("fine_tuned_model", flat=True)
    seen = Term.objects.filter(connection=connection, kind=Term.Kind.MODEL, n__gt=0)
    yield from seen.values_list("value", flat=True)


def _with_families(names: Iterable[str]) -> set[str]:
    """With the names that dated versions are usually called by: gpt-4o for gpt-4o-2024-08-06."""
    return {each for name in names for each in (name, _DATE.sub("", name))}


def _listed(connection: Connection) -> list[str]:
    """What the service says it has, remembered for some minutes."""
    key = f"evaluate-names-{connection.pk}"
    known: list[str] | None = cache.get(key)
    if known is None:
        known = []
        try:
            with connect(connection) as upstream:
                known += [model.id for model in upstream.models()]
                if connection.can_deploy:
                    known += [deployment.name for deployment in upstream.list_deployments()]
        except UpstreamError:
            pass  # what was listed so far counts
        cache.set(key, known, REMEMBERED_SECONDS)
    return known
