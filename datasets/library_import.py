"""What a reading of another program's graders would add to a library, before and while it does."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction

from datasets import library
from datasets.evaluate.carry import NotCarried, told_apart
from datasets.evaluate.carry_reading import FORMATS, Reading
from datasets.evaluate.storable import storable
from datasets.models import Grader, LibraryGrader
from portal.models import Connection


@dataclass(frozen=True, slots=True)
class Prepared:
    """One line of a reading. With `reason` it stays behind; with `same` it is there already."""

    where: str
    name: str = ""
    kind: str = ""
    params: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    reason: str = ""
    same: str = ""
    lacks_judge: bool = False

    @property
    def adds(self) -> bool:
        return not self.reason and not self.same


def prepare(
    reading: Reading, connection: Connection, user: Any, asking: Callable[[str, Any], dict[str, Any]]
) -> list[Prepared]:
    """Every line with what becomes of it; `asking` completes who judges."""
    there = _there(connection)
    lines = []
    for line in reading.lines:
        found = line.found
        if isinstance(found, NotCarried):
            lines.append(Prepared(line.where, reason=found.reason))
            continue
        params = asking(found.kind, storable(dict(found.params)))
        off = library.off_for(found.kind, params)
        notes = (*found.notes, off) if off else found.notes
        shown = Prepared(line.where, str(storable(found.name)), found.kind, params, notes)
        if line.same:
            lines.append(replace(shown, same=f"The same as {line.same}."))
        elif problems := library.problems_of(found.kind, params, user):
            lacks = library.lacks_judge(found.kind, params)
            reason = "Name below whom it asks, and look again." if lacks else " ".join(problems)
            lines.append(replace(shown, reason=reason, lacks_judge=lacks))
        elif name := there(found.kind, params):
            lines.append(replace(shown, same=f"“{name}” in the library is the same."))
        else:
            lines.append(shown)
    names = iter(told_apart([line.name for line in lines if line.adds], library.names_in(connection)))
    return [replace(line, name=next(names)) if line.adds else line for line in lines]


def add_all(
    reading: Reading, connection: Connection, user: Any, asking: Callable[[str, Any], dict[str, Any]]
) -> int:
    """Add what can be added, all or nothing; how many that were. The same again adds nothing."""
    note = f"Imported from {FORMATS[reading.format]}{f': {reading.name}' if reading.name else ''}"[:200]
    added = 0
    with transaction.atomic():
        Connection.objects.select_for_update().get(pk=connection.pk)  # the same file twice at a time
        for line in prepare(reading, connection, user, asking):
            if line.adds:
                assert line.params is not None
                library.add(connection, line.name, line.kind, line.params, user, str(storable(note)))
                added += 1
    return added


def _there(connection: Connection) -> Callable[[str, Mapping[str, Any]], str]:
    graders = LibraryGrader.objects.filter(connection=connection).in_bulk()
    known = [
        (version.kind, _meant(version.kind, version.params), graders[pk].name)
        for pk, version in library.newest_by_id(graders).items()
    ]

    def name_of(kind: str, params: Mapping[str, Any]) -> str:
        meant = _meant(kind, params)
        return next((name for each, there, name in known if each == kind and there == meant), "")

    return name_of


def _meant(kind: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same for graders that differ in how a schema is laid out: other programs do not keep that."""
    if kind == Grader.Kind.MULTI:
        parts = {
            name: {**part, "params": _meant(part["kind"], part["params"])}
            for name, part in params["graders"].items()
        }
        return {**params, "graders": parts}
    if kind != Grader.Kind.CHECK or params.get("check") != "schema":
        return params
    try:
        return {**params, "value": json.loads(params["value"])}
    except (KeyError, TypeError, ValueError, RecursionError):
        return params
