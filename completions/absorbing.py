"""Readings into the mirror: rows, bodies, postings, counts and text index, all in the caller's transaction.

Doing it twice, or in two passes at once, changes nothing: rows are keyed by the upstream id, and whoever
writes to a connection's mirror holds that connection's row.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection as database

from completions import quarantine, search
from completions.conversation import Texts
from completions.models import Body, Quarantine, StoredCompletion
from completions.readings import Reading, Unstorable
from completions.terms import Change, Dictionary, names_of
from portal.models import Connection

_SEEN_BEFORE = (
    "pk",
    "upstream_id",
    "created",
    "model",
    "metadata",
    "flags",
    "digest",
    "messages_state",
    "gone_at",
)


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
    changes: list[Change] = []
    indexed: list[tuple[int, Texts | None, Texts | None]] = []
    if fresh:
        _insert(connection_id, fresh, generation, changes, indexed)
    if old:
        _update(old, generation, changes, indexed)
    if same := [row["pk"] for reading, row in met if not _differs(reading, row)]:
        touch(same, generation)
    dictionary.apply(changes)
    if indexed:
        search.put(indexed)
    tally.new, tally.changed, tally.same = len(fresh), len(old), len(same)
    tally.pending = sum(not reading.fetched for reading in latest.values())
    tally.ids = list(latest)
    return tally


def touch(rows: Sequence[int], generation: int) -> None:
    """Note that upstream still lists these rows."""
    found = StoredCompletion.objects.filter(pk__in=rows)
    if generation:
        found.update(gone_at=None, seen_sweep=generation)
    else:
        found.filter(gone_at__isnull=False).update(gone_at=None)


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
    connection_id: int,
    readings: Sequence[Reading],
    generation: int,
    changes: list[Change],
    indexed: list[tuple[int, Texts | None, Texts | None]],
) -> None:
    rows = StoredCompletion.objects.bulk_create(
        StoredCompletion(
            connection_id=connection_id,
            upstream_id=reading.upstream_id,
            seen_sweep=generation,
            messages_tries=0 if reading.fetched else 1,
            **reading.columns,
        )
        for reading in readings
    )
    Body.objects.bulk_create(
        Body(
            completion_id=row.pk,
            system_text=reading.texts.system,
            prompt_text=reading.texts.prompt,
            answer_text=reading.texts.answer,
            raw=reading.raw,
        )
        for row, reading in zip(rows, readings, strict=True)
    )
    for row, reading in zip(rows, readings, strict=True):
        changes.append(Change(row.pk, row.created, names_of(row.metadata, row.model, row.flags)))
        if reading.fetched:
            indexed.append((row.pk, None, reading.texts))


def _update(
    met: Sequence[tuple[Reading, dict[str, Any]]],
    generation: int,
    changes: list[Change],
    indexed: list[tuple[int, Texts | None, Texts | None]],
) -> None:
    bodies: Any = Body.objects.filter(pk__in=[row["pk"] for _, row in met])
    before = {
        pk: Texts(*texts)
        for pk, *texts in bodies.values_list("pk", "system_text", "prompt_text", "answer_text")
    }
    for reading, row in met:
        pk = row["pk"]
        columns = (
            dict(reading.columns) | {"gone_at": None} | ({"seen_sweep": generation} if generation else {})
        )
        StoredCompletion.objects.filter(pk=pk).update(**columns)
        Body.objects.filter(pk=pk).update(
            system_text=reading.texts.system,
            prompt_text=reading.texts.prompt,
            answer_text=reading.texts.answer,
            raw=reading.raw,
        )
        changes.append(
            Change(
                pk,
                reading.columns["created"],
                names_of(reading.metadata, reading.columns["model"], reading.columns["flags"]),
                row["created"],
                names_of(row["metadata"], row["model"], row["flags"]),
            )
        )
        was_indexed = row["messages_state"] != "pending"
        indexed.append((pk, before[pk] if was_indexed else None, reading.texts if reading.fetched else None))
