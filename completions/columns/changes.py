"""What became of a connection's rows since a change: the next one's number, and what the last did."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import numpy as np
from django.db import connection as database
from numpy.typing import NDArray

from completions.columns.segment import FIELDS, MOST_ROWS, Row
from completions.models import Belonging, Mirror, Removed, ReviewState, StoredCompletion

DERIVED = 1  # version of what completions.readings derives; rows of a mirror with a lower one are read again

LAST_ID = 2**63 - 1

State = tuple[UUID, int, int, int]  # epoch, change, packed, derived

_COLUMNS = ", ".join(
    name if "." in name else "stored.id" if name == "pk" else f"stored.{name}" for name in FIELDS
)
# What stands beside a row is written under the row's own change.
_FROM = (
    f" FROM {StoredCompletion._meta.db_table} stored"
    f" LEFT JOIN {ReviewState._meta.db_table} review ON review.completion_id = stored.id"
    f" LEFT JOIN {Belonging._meta.db_table} belonging ON belonging.completion_id = stored.id"
)
_CHANGED = (
    f"SELECT {_COLUMNS}, stored.change {_FROM}"
    " WHERE stored.connection_id = %s AND stored.change >= %s AND (stored.change > %s OR stored.id > %s)"
    " ORDER BY stored.change, stored.id LIMIT %s"
)
_UNNUMBERED = (
    f"SELECT {_COLUMNS} {_FROM}"
    " WHERE stored.connection_id = %s AND stored.change IS NULL AND stored.id > %s"
    " ORDER BY stored.id LIMIT %s"
)
_NEXT = (
    "UPDATE completions_mirror SET change = change + 1, unpacked = unpacked + %s WHERE connection_id = %s"
    " RETURNING change, unpacked"
)


def next_change(connection_id: int, rows: int) -> tuple[int, int]:
    """The number under which this transaction writes about so many rows, and how many are unpacked with them.

    Call it before writing what rows can be filtered by. It holds the mirror until the transaction ends, so
    whoever sees a number sees everything that was written under it and under those before it.
    """
    with database.cursor() as cursor:
        cursor.execute(_NEXT, [rows, connection_id])
        found = cursor.fetchone()
        if found is None:
            Mirror.objects.get_or_create(connection_id=connection_id, defaults={"derived": DERIVED})
            cursor.execute(_NEXT, [rows, connection_id])
            found = cursor.fetchone()
    change, unpacked = found
    return int(change), int(unpacked)


def note_removed(connection_id: int, ids: Sequence[int]) -> None:
    """Tell every process that these rows are deleted, in the transaction that deletes them."""
    change, _ = next_change(connection_id, len(ids))
    Removed.objects.create(connection_id=connection_id, change=change, ids=np.array(ids, "<i8").tobytes())


def states(connections: set[int]) -> dict[int, State]:
    """Where these connections' mirrors stand, by one query; one without rows has none."""
    rows: Any = Mirror.objects.filter(pk__in=connections).values_list(
        "pk", "epoch", "change", "packed", "derived"
    )
    return {pk: (epoch, change, packed, derived) for pk, epoch, change, packed, derived in rows}


def rows_after(connection_id: int, change: int) -> Iterator[list[Row]]:
    """Rows as they are now that changed after this, the oldest change first; `change` is their last value.

    A row that changes meanwhile may come twice, the later one counts.
    """
    last, pk = change, LAST_ID  # every row of that change is known
    while True:
        with database.cursor() as cursor:
            cursor.execute(_CHANGED, [connection_id, last, last, pk, MOST_ROWS])
            rows = cursor.fetchall()
        if rows:
            yield rows
            last, pk = rows[-1][-1], rows[-1][0]
        if len(rows) < MOST_ROWS:
            return


def rows_unnumbered(connection_id: int) -> Iterator[list[Row]]:
    """Rows from before there were changes, which have not been read again."""
    pk = 0
    while True:
        with database.cursor() as cursor:
            cursor.execute(_UNNUMBERED, [connection_id, pk, MOST_ROWS])
            rows = cursor.fetchall()
        if rows:
            yield rows
            pk = rows[-1][0]
        if len(rows) < MOST_ROWS:
            return


def removed_after(connection_id: int, change: int, upto: int | None = None) -> NDArray[np.int64]:
    """Ids of the rows that were deleted after this change, ascending."""
    found = Removed.objects.filter(connection_id=connection_id, change__gt=change)
    if upto is not None:
        found = found.filter(change__lte=upto)
    blobs = b"".join(bytes(blob) for blob in found.values_list("ids", flat=True))
    return np.sort(np.frombuffer(blobs, "<i8").astype(np.int64))
