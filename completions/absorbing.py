"""Readings into the mirror: rows, bodies, terms, counts and text index, all in the caller's transaction.

Doing it twice, or in two passes at once, changes nothing: rows are keyed by the upstream id, and whoever
writes to a connection's mirror holds that connection's row.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection as database
from django.utils import timezone

from completions import bulk, columns, quarantine, search
from completions.conversation import Texts
from completions.models import Body, Quarantine, StoredCompletion
from completions.readings import Reading, Unstorable
from completions.terms import NAMED, Change, Dictionary, counted, names_of
from portal.models import Connection

_SEEN_BEFORE = (
    "pk",
    "upstream_id",
    "digest",
    "messages_state",
    "terms",
    *NAMED,
)

# A row's id, its texts in the index until now, and those to come.
Indexed = tuple[int, Texts | None, Texts | None]


@dataclass
class Tally:
    """What became of a batch of items."""

    new: int = 0
    changed: int = 0
    same: int = 0
    doubled: int = 0
    quarantined: int = 0
    pending: int = 0
    ids: list[str] = field(default_factory=list)
    unpacked: int = 0  # rows of the mirror whose changes are not packed, if this wrote any


def lock(connection_id: int) -> None:
    """Let one transaction at a time write to a connection's mirror. (SQLite has one writer in any case.)"""
    if database.vendor == "postgresql":
        list(Connection.objects.select_for_update(no_key=True).filter(pk=connection_id).values_list("pk"))


def keep_small() -> None:
    """Let this connection to SQLite hold little memory: writing in order gains nothing from a large cache.

    Otherwise a worker's memory would grow with the mirror, by its page cache and by the file mapped into it.
    """
    if database.vendor == "sqlite":
        with database.cursor() as cursor:
            cursor.execute("PRAGMA cache_size=-8000")
            cursor.execute("PRAGMA mmap_size=0")


def absorb(
    connection_id: int, readings: Iterable[Reading], dictionary: Dictionary, *, generation: int = 0
) -> Tally:
    """Store these; newest wins where one comes twice. `generation` marks rows that a sweep has listed."""
    tally = Tally()
    latest: dict[str, Reading] = {}
    for reading in readings:
        tally.doubled += reading.upstream_id in latest
        latest[reading.upstream_id] = reading
    known = {
        row["upstream_id"]: row
        for row in StoredCompletion.objects.filter(
            connection_id=connection_id, upstream_id__in=latest
        ).values(*_SEEN_BEFORE)
    }
    fresh = [reading for reading in latest.values() if reading.upstream_id not in known]
    met = [
        (reading, known[reading.upstream_id]) for reading in latest.values() if reading.upstream_id in known
    ]
    old = [(reading, row) for reading, row in met if _differs(reading, row)]
    if same := [row["pk"] for reading, row in met if not _differs(reading, row)]:
        touch(connection_id, same, generation)
    if fresh or old:
        change, tally.unpacked = columns.next_change(connection_id, len(fresh) + len(old))
        terms = dictionary.apply(
            [
                *(Change(names_of(reading.columns)) for reading in fresh),
                *(counted(row, names_of(reading.columns)) for reading, row in old),
            ]
        )
        indexed: list[Indexed] = []
        if fresh:
            indexed += _insert(connection_id, fresh, terms[: len(fresh)], change, generation)
        if old:
            swept = {"seen_sweep": generation} if generation else {}
            indexed += rewrite(old, terms[len(fresh) :], change, gone_at=None, **swept)
        search.put(indexed)
    tally.new, tally.changed, tally.same = len(fresh), len(old), len(same)
    tally.pending = sum(not reading.fetched for reading in latest.values())
    tally.ids = list(latest)
    return tally


def touch(connection_id: int, rows: Sequence[int], generation: int) -> None:
    """Note that upstream still lists these rows."""
    found = StoredCompletion.objects.filter(pk__in=rows)
    back = list(found.filter(gone_at__isnull=False).values_list("pk", flat=True))
    mark(connection_id, back, gone_at=None)
    if generation:
        found.update(seen_sweep=generation)


def mark(connection_id: int, rows: Sequence[int], *, gone_at: datetime | None) -> None:
    """Say that upstream has these rows no longer, or that it has them again."""
    if rows:
        change, _ = columns.next_change(connection_id, len(rows))
        StoredCompletion.objects.filter(pk__in=rows).update(gone_at=gone_at, change=change)


def aside(connection_id: int, items: Sequence[Unstorable], stored: Sequence[str]) -> int:
    """Put items aside of which no row can be made, and let those go that have been stored now; returns how
    many.
    """
    if items:
        quarantine.set_aside(connection_id, items)
    if stored and Quarantine.objects.filter(connection_id=connection_id).exists():
        quarantine.release(connection_id, stored)
    return len(items)


def _differs(reading: Reading, row: dict[str, Any]) -> bool:
    if not reading.fetched and row["messages_state"] != "pending":
        return False  # never replace what is complete by what is not; the next pass brings both
    return bool(
        row["digest"] != reading.columns["digest"]
        or row["messages_state"] != reading.columns["messages_state"]
    )


def _insert(
    connection_id: int, readings: Sequence[Reading], terms: Sequence[bytes], change: int, generation: int
) -> list[Indexed]:
    keys = bulk.next_keys(StoredCompletion, len(readings))
    arrived = timezone.now()
    bulk.insert(
        StoredCompletion,
        [
            {
                **reading.columns,
                "id": pk,
                "connection": connection_id,
                "upstream_id": reading.upstream_id,
                "messages_tries": 0 if reading.fetched else 1,
                "seen_sweep": generation,
                "gone_at": None,
                "arrived": arrived,
                "terms": held,
                "change": change,
            }
            for pk, reading, held in zip(keys, readings, terms, strict=True)
        ],
    )
    bulk.insert(
        Body,
        [
            {"completion": pk, "raw": reading.raw, **texts_of(reading)}
            for pk, reading in zip(keys, readings, strict=True)
        ],
    )
    return [(pk, None, reading.texts) for pk, reading in zip(keys, readings, strict=True) if reading.fetched]


def rewrite(
    met: Sequence[tuple[Reading, Mapping[str, Any]]], terms: Sequence[bytes], change: int, **more: Any
) -> list[Indexed]:
    """Let rows that are here (`pk` and `messages_state` of each) be what these readings say.

    `more` goes into a column of every row. Returns what is to be put into the text index.
    """
    bodies: Any = Body.objects.filter(pk__in=[row["pk"] for _, row in met])
    before = {
        pk: Texts(*texts)
        for pk, *texts in bodies.values_list("pk", "system_text", "prompt_text", "answer_text")
    }
    bulk.update(
        StoredCompletion,
        [
            (row["pk"], {**reading.columns, "terms": held, "change": change, **more})
            for (reading, row), held in zip(met, terms, strict=True)
        ],
    )
    bulk.update(
        Body,
        [(row["pk"], {**texts_of(reading), "raw": reading.raw}) for reading, row in met],
    )
    return [
        (
            row["pk"],
            before[row["pk"]] if row["messages_state"] != "pending" else None,
            reading.texts if reading.fetched else None,
        )
        for reading, row in met
    ]


def texts_of(reading: Reading) -> dict[str, str]:
    """The columns of a body that search reads."""
    texts = reading.texts
    return {"system_text": texts.system, "prompt_text": texts.prompt, "answer_text": texts.answer}
