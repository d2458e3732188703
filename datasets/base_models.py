"""Which models a connection can train: what it says itself, else suggestions; free text is always possible.

https://learn.microsoft.com/azure/ai-foundry/openai/concepts/models#fine-tuning-models
https://platform.openai.com/docs/guides/supervised-fine-tuning
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from datasets import radar
from datasets.build import validate
from datasets.models import Purpose
from portal import prices
from portal.models import Connection, Kind
from portal.upstream import ModelInfo, UpstreamError, connect

SUGGESTED = {
    "azure": (
        "gpt-4.1-mini-2025-04-14",
        "gpt-4.1-nano-2025-04-14",
        "gpt-4.1-2025-04-14",
        "gpt-4o-mini-2024-07-18",
        "gpt-4o-2024-08-06",
        "o4-mini-2025-04-16",
    ),
    "openai": (
        "gpt-4.1-mini-2025-04-14",
        "gpt-4.1-2025-04-14",
        "gpt-4o-mini-2024-07-18",
        "gpt-4o-2024-08-06",
    ),
}
# Models that reason are trained by reinforcement and in no other way.
_REASONING = ("o1", "o3", "o4", "gpt-5")
TRAINING_TYPES = ("Standard", "GlobalStandard", "Developer")
_DATED = re.compile(r"(?P<family>.+?)-(?P<version>\d{4}-\d{2}-\d{2})")
_OURS = re.compile(r"^ft:|\.ft-")


@dataclass(frozen=True)
class Version:
    """One version of a base model; `id` is what the create call takes."""

    id: str
    label: str
    retires: str = ""


@dataclass(frozen=True)
class Family:
    """A base model with its versions, the newest first. `fits`: nothing known speaks against the purpose."""

    name: str
    versions: tuple[Version, ...]
    tuned: bool = False
    fits: bool = True


@dataclass(frozen=True)
class Offer:
    """What can be chosen. `told`: the service says what it trains; `problem`: why it could not be asked."""

    families: tuple[Family, ...]
    told: bool
    problem: str = ""

    def family_of(self, model: str) -> Family | None:
        return next((f for f in self.families if any(v.id == model for v in f.versions)), None)

    def named(self, name: str) -> Family | None:
        return next((family for family in self.families if family.name == name), None)


def suggested(connection: Connection, purpose: str = Purpose.SUPERVISED) -> Offer:
    """What is known without asking."""
    names = (name for name in _suggestions(connection) if fits(name, purpose, connection))
    return Offer(tuple(_families(((name, "") for name in names), purpose, connection)), told=False)


def ask(connection: Connection, purpose: str = Purpose.SUPERVISED) -> Offer:
    """What the connection's service lists; suggestions where it cannot be asked."""
    try:
        with connect(connection) as upstream:
            models = upstream.models()
    except UpstreamError as error:
        offer = suggested(connection, purpose)
        return Offer(offer.families, told=False, problem=f"{error.message} {error.hint}".strip())
    radar.remember(connection, models)
    return offered(connection, models, purpose)


def offered(connection: Connection, models: Sequence[ModelInfo], purpose: str = Purpose.SUPERVISED) -> Offer:
    """The tunable ones of a listing. Where the listing does not tell, those that the provider documents."""
    told = any(model.fine_tunable is not None for model in models)
    if told:
        wanted = [model for model in models if model.fine_tunable]
    else:
        known = {name for name in _suggestions(connection) if fits(name, purpose, connection)}
        wanted = [model for model in models if model.id in known or _OURS.search(model.id)]
    if not wanted:
        return suggested(connection, purpose)
    found = _families(((model.id, retires_on(model)) for model in wanted), purpose, connection)
    return Offer(tuple(found), told=told)


def fits(model: str, purpose: str, connection: Connection) -> bool:
    """Whether the provider's documents let a model be trained in this way; what is unknown may be tried."""
    if purpose != Purpose.REINFORCEMENT and model.removeprefix("ft:").startswith(_REASONING):
        return False
    return validate.trains_by(model, purpose, prices.provider_of(connection))


def _suggestions(connection: Connection) -> tuple[str, ...]:
    if connection.kind == Kind.COMPATIBLE:
        return ()
    return SUGGESTED["azure" if connection.is_azure else "openai"]


def retires_on(model: ModelInfo) -> str:
    """The day on which the model can no longer be trained or used, as far as the listing says."""
    if model.shutdown_date:
        return model.shutdown_date
    details = model.raw.get("deprecation")
    moment = details.get("fine_tune") or details.get("inference") if isinstance(details, dict) else None
    if isinstance(moment, int) and 0 < moment < 2**34:
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
    return ""


def _families(models: Iterable[tuple[str, str]], purpose: str, connection: Connection) -> list[Family]:
    grouped: dict[str, list[Version]] = {}
    for identity, retires in models:
        dated = None if _OURS.search(identity) else _DATED.fullmatch(identity)
        family, label = (dated["family"], dated["version"]) if dated else (identity, "the only version")
        grouped.setdefault(family, []).append(Version(identity, label, retires))
    found = [
        Family(
            name,
            tuple(sorted(versions, key=lambda each: each.label, reverse=True)),
            tuned=bool(_OURS.search(name)),
            fits=any(fits(each.id, purpose, connection) for each in versions),
        )
        for name, versions in grouped.items()
    ]
    return sorted(found, key=lambda family: (not family.fits, family.tuned, _rank(family.name)))


def _rank(name: str) -> tuple[int, str]:
    """Small models first: most distillations want one."""
    names = [_DATED.fullmatch(each) for each in SUGGESTED["azure"]]
    order = [each["family"] for each in names if each]
    return (order.index(name) if name in order else len(order), name)
