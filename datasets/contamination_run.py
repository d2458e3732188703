"""The comparison of two large files as an operation; it goes on where a worker stopped."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import transaction

from datasets.comparing_files import Comparison, Place, compare
from datasets.contamination import Found, Side
from datasets.models import DatasetVersion
from portal import operations
from portal.crashpoints import crashpoint
from portal.models import Operation

KIND: Final = "dataset.contamination"
AT_ONCE: Final = 4_000  # rows of both sides that are compared while a page is waited for


def found(side: Side, other: Side) -> Found | None:
    """What is known of one in the other: at once where both are small, else once it was looked up."""
    if side.rows + other.rows <= AT_ONCE:
        return compare(side, other)
    operation = newest(side, other)
    if operation is None or operation.state != Operation.State.DONE:
        return None
    return Found.read(operation.result)


def newest(side: Side, other: Side) -> Operation | None:
    """The newest operation that compares these."""
    kept: Operation | None = (
        Operation.objects.filter(kind=KIND, dedupe_key=_key(side, other)).order_by("-id").first()
    )
    return kept


def begin(side: Side, other: Side, user: Any) -> Operation:
    """Begin to compare; the operation that does or did, if there is one."""
    kept = newest(side, other)
    if kept is not None and (kept.is_live or kept.state == Operation.State.DONE):
        return kept
    with transaction.atomic():
        return operations.begin(
            KIND,
            title=f"Compare {side.version} with {other.version}"[:200],
            dedupe_key=_key(side, other),
            requested_by=user,
            subject=side.version,
            cursor={
                "sides": [[side.version.pk, side.part], [other.version.pk, other.part]],
                "place": asdict(Place()),
            },
        )


def _key(side: Side, other: Side) -> str:
    return ":".join(f"{each.version.pk}-{each.part}" for each in (side, other))


def _folder(operation: Operation) -> Path:
    return Path(settings.DATA_DIR / "building" / f"comparison-{operation.dedupe_key.replace(':', '+')}")


def _ended(operation: Operation) -> None:
    """Nothing stays of one that failed or was cancelled."""
    transaction.on_commit(lambda: shutil.rmtree(_folder(operation), ignore_errors=True), robust=True)


@operations.handler(KIND, queue="dataset", ended=_ended)
def run(work: operations.Working) -> operations.Done | operations.Again:
    """One step of a comparison."""
    side, other = (_side(work.operation, *each) for each in work.operation.cursor["sides"])
    folder = _folder(work.operation)
    comparison = Comparison(side, other, folder, Place(**work.operation.cursor["place"]))
    while not comparison.is_done:
        if work.cancelled():
            raise operations.Cancelled
        if not work.time_left():
            return operations.Again()
        comparison.go_on()
        crashpoint("dataset.contamination.compared")
        cursor = {**work.operation.cursor, "place": asdict(comparison.place)}
        with transaction.atomic():
            work.advance(cursor=cursor, step="comparing", done=comparison.done, total=comparison.total)
    made = comparison.found().as_data()
    comparison.discard()
    return operations.Done(made)


def _side(operation: Operation, pk: int, part: str) -> Side:
    version: DatasetVersion | None = (
        DatasetVersion.objects.readable_by(operation.requested_by)
        .select_related("dataset")
        .filter(pk=pk)
        .first()
    )
    side = Side.of(version, part) if version is not None else None
    if side is None:
        raise operations.Failed("gone", "One of the two is gone, or whoever asked may not read it any more.")
    return side
