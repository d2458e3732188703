"""Rows into segments: so that a process which starts, or is far behind, reads blobs instead of rows.

Every step leaves a mirror in order. A row that changed after `packed` is read from its own table whatever the
segments say, so it may leave a segment at any time before it stands in another.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np
from django.db import transaction
from numpy.typing import NDArray

from completions.columns import changes
from completions.columns.segment import MOST_ROWS, Mask, Row, Segment
from completions.models import ColumnSegment, Mirror, StoredCompletion
from portal.crashpoints import crashpoint

PACK_AT = 16_384  # as many unpacked rows are packed by whoever writes
SMALL = 1_000  # fewer are not worth it


def pack(connection_id: int) -> int:
    """Move everything that changed into segments, beside writers and readers; returns how many rows."""
    total = 0
    while True:
        mirror = Mirror.objects.filter(pk=connection_id).first()
        if mirror is None or mirror.packed >= mirror.change:
            return total
        rows = _pack_some(mirror)
        if rows is None:
            return total  # somebody else is packing it
        total += rows


def pack_if_due(connection_id: int, unpacked: int) -> None:
    """Pack when a writer was told that so many rows are unpacked. Call it outside any transaction."""
    if unpacked >= PACK_AT:
        pack(connection_id)


def _pack_some(mirror: Any) -> int | None:
    rows, upto = _next(mirror)
    removed = changes.removed_after(mirror.pk, mirror.packed, upto)
    ids = np.union1d(np.array([row[0] for row in rows], np.int64), removed)
    if not _take_out(mirror, ids):
        return None
    crashpoint("pack.taken_out")
    return len(rows) if _swap(mirror, rows, upto) else None


def _holds(mirror: Any) -> bool:
    """Whether nobody has packed meanwhile; nobody will before the present transaction ends."""
    same = Mirror.objects.filter(pk=mirror.pk, epoch=mirror.epoch, packed=mirror.packed)
    return bool(same.update(packed=mirror.packed))


def _next(mirror: Any) -> tuple[list[Row], int]:
    """The rows of the next changes, whole changes only, and the last of these."""
    for rows in changes.rows_after(mirror.pk, mirror.packed):
        upto = int(mirror.change)
        if len(rows) == MOST_ROWS:
            upto = min(upto, rows[-1][-1] - 1)
        fit = [row for row in rows if row[-1] <= upto]
        if len(rows) == MOST_ROWS and rows[0][-1] == rows[-1][-1]:
            return _one_change(mirror, rows[-1][-1])
        return fit, upto
    return [], int(mirror.change)


def _one_change(mirror: Any, change: int) -> tuple[list[Row], int]:
    """A change so large that it fills a page alone."""
    found: list[Row] = []
    for rows in changes.rows_after(mirror.pk, change - 1):
        found += [row for row in rows if row[-1] == change]
        if rows[-1][-1] > change:
            break
    return list({row[0]: row for row in found}.values()), change


def _take_out(mirror: Any, ids: NDArray[np.int64]) -> bool:
    """Rewrite the segments that hold any of these, one at a time; False if somebody else is packing."""
    if not len(ids):
        return True
    ascending = ids.tolist()
    near = ColumnSegment.objects.filter(
        connection_id=mirror.pk, min_id__lte=ascending[-1], max_id__gte=ascending[0]
    )
    for pk, low, high in list(near.order_by("pk").values_list("pk", "min_id", "max_id")):
        at = bisect_left(ascending, low)
        if at == len(ascending) or ascending[at] > high:
            continue
        segment = _read(pk)
        if segment is None:
            return False
        alive = ~np.isin(segment.ids, ids)
        if alive.all():
            continue
        with transaction.atomic():
            if not _holds(mirror) or not ColumnSegment.objects.filter(pk=pk).delete()[0]:
                return False
            if alive.any():
                _write(mirror.pk, Segment.joined([(segment, alive)]))
    return True


def _swap(mirror: Any, rows: Sequence[Row], upto: int) -> bool:
    """Add these rows as segments, small ones joined, and say that they are packed; all of it or nothing."""
    fresh = [Segment.of(rows[first : first + MOST_ROWS]) for first in range(0, len(rows), MOST_ROWS)]
    taken: list[int] = []
    if len(fresh) == 1:
        pieces: list[tuple[Segment, Mask | None]] = [(fresh[0], None)]
        room = MOST_ROWS - len(fresh[0])
        here = ColumnSegment.objects.filter(connection_id=mirror.pk)
        for pk, size in here.order_by("-pk").values_list("pk", "rows"):
            if size <= room:
                segment = _read(pk)
                if segment is None:
                    return False
                pieces.append((segment, None))
                taken.append(pk)
                room -= size
        if taken:
            fresh = Segment.joined(pieces)
    left = StoredCompletion.objects.filter(connection_id=mirror.pk, change__gt=upto)
    with transaction.atomic():
        if not _holds(mirror):
            return False
        if ColumnSegment.objects.filter(pk__in=taken).delete()[0] != len(taken):
            transaction.set_rollback(True)  # somebody else has just rewritten one of them
            return False
        _write(mirror.pk, fresh)
        Mirror.objects.filter(pk=mirror.pk).update(packed=upto, unpacked=left.count())
        crashpoint("pack.before_commit")
    return True


def _read(pk: int) -> Segment | None:
    data = ColumnSegment.objects.filter(pk=pk).values_list("data", flat=True).first()
    return None if data is None else Segment.decode(data)


def _write(connection_id: int, segments: Sequence[Segment]) -> None:
    for segment in segments:
        ColumnSegment.objects.create(
            connection_id=connection_id,
            rows=len(segment),
            min_id=int(segment.ids.min()),
            max_id=int(segment.ids.max()),
            min_created=int(segment.created.min()),
            max_created=int(segment.created.max()),
            data=segment.encode(),
        )
