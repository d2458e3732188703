"""The numbers of a comparison where they are kept: few verdicts are counted while a page waits, many by a
worker.

They are kept for each baseline, under the runs and when they ended: a run that is repeated is counted anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction

from datasets.evaluate import kept
from datasets.evaluate.comparison import MOST, Column, columns_of
from datasets.evaluate.comparison_count import Counted, Counting, counted
from datasets.evaluate.comparison_match import Shared, graders_in
from datasets.models import Comparison, Counts
from portal import operations
from portal.models import Operation

KIND: Final = "run.compare"
_FORM: Final = 3  # of what is kept; raised when it changes


@dataclass(frozen=True)
class Look:
    """What is known now; None where an operation counts it, or could not."""

    counted: Counted | None
    operation: Operation | None = None


def look(comparison: Comparison, columns: Sequence[Column], shared: Sequence[Shared], user: Any) -> Look:
    """What the runs say of the items that all have. The first column is the baseline."""
    key = _key(columns, shared)
    found = kept.read(key)
    if found is not None:
        return Look(Counted.unpacked(kept.data_of(found)))
    if not is_large(columns, shared):
        numbers = counted(columns, shared)
        _keep(comparison, key, numbers)
        return Look(numbers)
    return Look(None, begin(comparison, columns, shared, user))


def is_large(columns: Sequence[Column], shared: Sequence[Shared]) -> bool:
    """Whether a worker counts."""
    items = max(int(column.run.summary.get("items", 0)) for column in columns if column.run)
    return items * len(columns) * max(1, len(shared)) > kept.AT_ONCE


def begin(
    comparison: Comparison,
    columns: Sequence[Column],
    shared: Sequence[Shared],
    user: Any,
    *,
    again: bool = False,
) -> Operation:
    """Have a worker count; `again` also where that failed."""
    asked = list(comparison.connections.all()[:2])
    return kept.begin(
        KIND,
        _key(columns, shared),
        again=again,
        title=f"Compare {comparison.name}"[:200],
        connection=asked[0] if len(asked) == 1 else None,
        requested_by=user,
        subject=comparison,
        cursor={"columns": [column.key for column in columns]},
    )


@operations.handler(KIND, queue="eval", ended=lambda operation: _drop(_halfway(operation)))
def count(work: operations.Working) -> operations.Done | operations.Again:
    """One step: as many items as its time allows. What was counted by then is kept beside the whole."""
    key, halfway = work.operation.dedupe_key, _halfway(work.operation)
    comparison = Comparison.objects.filter(pk=work.operation.subject_id).first()
    known = {
        column.key: column
        for column in (columns_of(comparison, work.operation.requested_by) if comparison is not None else ())
        if column.is_there
    }
    columns = [known[each] for each in work.operation.cursor["columns"] if each in known]
    shared = graders_in(columns)[0] if columns else []
    if comparison is None or _key(columns, shared) != key:
        raise operations.Failed("gone", "The comparison or one of its runs was changed or deleted meanwhile.")
    begun = kept.read(halfway)
    counting = Counting(columns, shared, kept.data_of(begun) if begun is not None else None)
    total = columns[0].run.evaluation.version.rows if columns[0].run is not None else 0

    whole = kept.go_on(work, counting, total)
    with transaction.atomic():
        if not whole:
            kept.keep(halfway, counting.packed(), comparison=comparison)
            work.advance(done=counting.done)
            return operations.Again()
        _keep(comparison, key, counting.found())
        _drop(halfway)
        work.advance(done=total)
    return operations.Done({"items": total})


def _halfway(operation: Operation) -> str:
    return kept.key_of("halfway", operation.dedupe_key)


def _drop(key: str) -> None:
    Counts.objects.filter(key=key).delete()


def _keep(comparison: Comparison, key: str, numbers: Counted) -> None:
    with transaction.atomic():
        kept.keep(key, numbers.packed(), comparison=comparison)
        every = Counts.objects.filter(comparison=comparison).order_by("-made")
        Counts.objects.filter(pk__in=list(every.values_list("pk", flat=True)[2 * MOST :])).delete()


def _key(columns: Sequence[Column], shared: Sequence[Shared]) -> str:
    return kept.key_of(
        "comparison",
        _FORM,
        [
            (column.key, column.run.finished if column.run else None, column.label, column.of)
            for column in columns
        ],
        [(one.described, sorted(one.ids.items())) for one in shared],
    )
