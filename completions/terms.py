"""Everything one counts by: each value once, with the exact number of completions that hold it.

Postings and counts change in the transaction that changes the rows, and under its lock on the connection.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import connection as database

from completions.models import Term
from completions.readings import term_of

Name = tuple[str, str, str]  # kind, key, value
REMEMBERED = 5000

_COUNT = "UPDATE completions_term SET n = n + %s WHERE id = %s"
_ADD = "INSERT INTO completions_posting (term_id, created, completion_id) VALUES (%s, %s, %s)"
_TAKE = "DELETE FROM completions_posting WHERE term_id = %s AND created = %s AND completion_id = %s"


def names_of(metadata: Mapping[str, str], model: str, flags: Iterable[str]) -> frozenset[Name]:
    """The terms that a row with these columns holds."""
    return frozenset(
        [
            *((Term.Kind.METADATA.value, *term_of(key, value)) for key, value in metadata.items()),
            *([(Term.Kind.MODEL.value, "", model)] if model else []),
            *((Term.Kind.FLAG.value, "", flag) for flag in flags),
        ]
    )


@dataclass(frozen=True, slots=True)
class Change:
    """The terms of one row before and after; a new row has none before."""

    completion: int
    created: int
    now: frozenset[Name]
    created_before: int | None = None
    before: frozenset[Name] = frozenset()


@dataclass
class Dictionary:
    """Ids of one connection's terms, remembered from page to page within bounds."""

    connection_id: int
    _ids: dict[Name, int] = field(default_factory=dict)
    _fresh: dict[Name, int] = field(default_factory=dict)

    def apply(self, changes: Iterable[Change]) -> None:
        """Write the postings and counts of these rows. Call `keep` once the transaction has committed."""
        added: list[tuple[Name, int, int]] = []
        taken: list[tuple[Name, int, int]] = []
        for change in changes:
            moved = change.created_before is not None and change.created_before != change.created
            gone = change.before if moved else change.before - change.now
            new = change.now if moved else change.now - change.before
            taken += [(name, change.created_before or 0, change.completion) for name in gone]
            added += [(name, change.created, change.completion) for name in new]
        if not added and not taken:
            return
        tally: Counter[Name] = Counter(name for name, _, _ in added)
        tally.subtract(name for name, _, _ in taken)
        ids = self._ids_of(tally.keys())
        counts = sorted((ids[name], n) for name, n in tally.items() if n)
        with database.cursor() as cursor:
            if taken:
                cursor.executemany(_TAKE, [(ids[name], created, row) for name, created, row in taken])
            if added:
                cursor.executemany(_ADD, sorted((ids[name], created, row) for name, created, row in added))
            if counts:
                cursor.executemany(_COUNT, [(n, pk) for pk, n in counts])

    def keep(self) -> None:
        """Remember what the transaction made, now that it has committed."""
        if len(self._ids) + len(self._fresh) > REMEMBERED:
            self._ids.clear()
        self._ids.update(self._fresh)
        self._fresh.clear()

    def forget(self) -> None:
        """Drop what a transaction made that was rolled back."""
        self._fresh.clear()

    def _ids_of(self, names: Iterable[Name]) -> dict[Name, int]:
        found: dict[Name, int] = {}
        missing: list[Name] = []
        for name in names:
            pk = self._ids.get(name) or self._fresh.get(name)
            if pk is None:
                missing.append(name)
            else:
                found[name] = pk
        if missing:
            known = self._look_up(missing)
            unknown = [name for name in missing if name not in known]
            if unknown:
                Term.objects.bulk_create(
                    [
                        Term(connection_id=self.connection_id, kind=kind, key=key, value=value)
                        for kind, key, value in sorted(unknown)
                    ],
                    ignore_conflicts=True,
                )
                known |= self._look_up(unknown)
            self._fresh |= known
            found |= known
        return found

    def _look_up(self, names: list[Name]) -> dict[Name, int]:
        wanted = set(names)
        rows: Any = Term.objects.filter(
            connection_id=self.connection_id,
            kind__in={kind for kind, _, _ in names},
            key__in={key for _, key, _ in names},
            value__in={value for _, _, value in names},
        ).values_list("kind", "key", "value", "pk")
        return {(kind, key, value): pk for kind, key, value, pk in rows if (kind, key, value) in wanted}
