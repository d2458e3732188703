"""Everything one filters and counts by: each value once, with the exact number of completions that hold it.

Counts and the rows' own `terms` change in the transaction that changes the rows, and under its lock on the
connection.
"""

import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from django.db import connection as database
from django.db.models import Q

from completions import bulk
from completions.models import Term
from completions.readings import term_of

Name = tuple[str, str, str]  # kind, key, value
Kind = Term.Kind
REMEMBERED = 5000
LOOKED_UP = 500  # names in one question

# Columns of a row that make its terms.
NAMED = ("metadata", "model", "flags", "finish_reason", "language", "response_format", "tools")
_ONE = (
    (Kind.MODEL.value, "model"),
    (Kind.FINISH.value, "finish_reason"),
    (Kind.LANGUAGE.value, "language"),
    (Kind.FORMAT.value, "response_format"),
)
_SEVERAL = ((Kind.FLAG.value, "flags"), (Kind.TOOL.value, "tools"))
_METADATA = Kind.METADATA.value
KEYED = frozenset((_METADATA, Kind.LABEL.value))  # kinds of which every key is a field of its own
_FIELD = Kind.FIELD.value
# What was counted of rows that have no `terms` yet.
_COUNTED_BEFORE = frozenset((_METADATA, Kind.MODEL.value, Kind.FLAG.value))

_COUNT = "UPDATE completions_term SET n = n + %s WHERE id = %s"
_COUNT_ALL = (
    "UPDATE completions_term SET n = n + given.change FROM unnest(%s::bigint[], %s::bigint[])"
    " AS given (id, change) WHERE completions_term.id = given.id"
)


def names_of(row: Mapping[str, Any]) -> frozenset[Name]:
    """The terms that a row with these columns (NAMED) holds."""
    names = [(_METADATA, *term_of(key, value)) for key, value in row["metadata"].items()]
    for kind, column in _ONE:
        if value := row[column]:
            names.append((kind, "", value))
    for kind, column in _SEVERAL:
        if values := row[column]:
            names += [(kind, *term_of("", value)) for value in values if value]
    return frozenset(names)


def field_of(name: Name) -> Name:
    """The term that stands for any value of the same field."""
    kind, key, _ = name
    return (_FIELD, f"{kind}.{key}" if kind in KEYED else kind, "")


@dataclass(frozen=True, slots=True)
class Change:
    """What one row holds now, and what was counted of it: its `terms` until now, or names if it has none."""

    now: frozenset[Name]
    before: bytes = b""
    named_before: frozenset[Name] = frozenset()


def counted(row: Mapping[str, Any], now: frozenset[Name] = frozenset()) -> Change:
    """The change from a row (NAMED and `terms`) as it is stored to what it will hold."""
    if row["terms"] is not None:
        return Change(now, bytes(row["terms"]))
    return Change(now, b"", frozenset(name for name in names_of(row) if name[0] in _COUNTED_BEFORE))


@dataclass
class Dictionary:
    """Ids of one connection's terms, remembered from page to page within bounds."""

    connection_id: int
    _ids: dict[Name, int] = field(default_factory=dict)
    _fresh: dict[Name, int] = field(default_factory=dict)

    def apply(self, changes: Sequence[Change]) -> list[bytes]:
        """Count these rows' terms; returns the `terms` of each. Call `keep` once the transaction has
        committed.
        """
        tally = Counter(chain.from_iterable(change.now for change in changes))
        names = set(tally).union(*(change.named_before for change in changes))
        ids, made = self._ids_of(names | {field_of(name) for name in tally}, tally)
        pairs = {name: (ids[field_of(name)], ids[name]) for name in tally}
        rows: list[bytes] = []
        added: list[int] = []
        taken: list[int] = []
        for change in changes:
            held = [pk for pair in sorted(pairs[name] for name in change.now) for pk in pair]
            rows.append(struct.pack(f"<{len(held)}I", *held))
            added += set(held)
            if change.before:
                taken += set(struct.unpack(f"<{len(change.before) // 4}I", change.before))
            if change.named_before:
                taken += [ids[name] for name in change.named_before]
        moved = Counter(added)
        moved.subtract(taken)
        for pk in made:
            del moved[pk]  # made with its number
        _count(sorted((pk, n) for pk, n in moved.items() if n))
        return rows

    def keep(self) -> None:
        """Remember what the transaction made, now that it has committed."""
        if len(self._ids) + len(self._fresh) > REMEMBERED:
            self._ids.clear()
        self._ids.update(self._fresh)
        self._fresh.clear()

    def forget(self) -> None:
        """Drop what a transaction made that was rolled back."""
        self._fresh.clear()

    def _ids_of(self, names: Iterable[Name], tally: Mapping[Name, int]) -> tuple[dict[Name, int], list[int]]:
        """The ids of names, and those made now with the number they have here; fields are made without."""
        found: dict[Name, int] = {}
        missing: list[Name] = []
        for name in names:
            pk = self._ids.get(name) or self._fresh.get(name)
            if pk is None:
                missing.append(name)
            else:
                found[name] = pk
        if not missing:
            return found, []
        known = self._look_up(missing)
        unknown = sorted(name for name in missing if name not in known)
        keys = bulk.next_keys(Term, len(unknown)) if unknown else []
        bulk.insert(
            Term,
            [
                {
                    "id": pk,
                    "connection": self.connection_id,
                    "kind": name[0],
                    "key": name[1],
                    "value": name[2],
                    "n": tally.get(name, 0),
                }
                for pk, name in zip(keys, unknown, strict=True)
            ],
        )
        made = dict(zip(unknown, keys, strict=True))
        self._fresh |= known | made
        return found | known | made, [pk for name, pk in made.items() if name[0] != _FIELD]

    def _look_up(self, names: Sequence[Name]) -> dict[Name, int]:
        known: dict[Name, int] = {}
        ordered = sorted(names)
        for first in range(0, len(ordered), LOOKED_UP):
            values: dict[tuple[str, str], list[str]] = {}
            for kind, key, value in ordered[first : first + LOOKED_UP]:
                values.setdefault((kind, key), []).append(value)
            wanted = Q()
            for (kind, key), held in values.items():
                wanted |= Q(connection_id=self.connection_id, kind=kind, key=key, value__in=held)
            rows: Any = Term.objects.filter(wanted).values_list("kind", "key", "value", "pk")
            known |= {(kind, key, value): pk for kind, key, value, pk in rows}
        return known


def _count(moved: Sequence[tuple[int, int]]) -> None:
    if not moved:
        return
    with database.cursor() as cursor:
        if database.vendor == "postgresql":
            cursor.execute(_COUNT_ALL, [[pk for pk, _ in moved], [n for _, n in moved]])
        else:
            cursor.executemany(_COUNT, [(n, pk) for pk, n in moved])
