"""The slices of a run where they are kept: few items are counted while a page waits, many by a worker.

A run of many items has them counted when it ends; a page that looks before follows the operation. Labels and
metadata may change after that: then they are counted again, and the page shows the old ones meanwhile.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from django.db import transaction

from datasets.evaluate import kept
from datasets.evaluate.slices import Counting, Slices
from datasets.evaluate.tally import OVERALL
from datasets.evaluate.thresholds import graders_of
from datasets.models import Counts, Run
from portal import operations
from portal.models import Operation

KIND: Final = "run.slices"
_FORM: Final = 3  # of what is counted and kept; raised when it changes


@dataclass(frozen=True)
class Look:
    """What is known now, and the operation that counts: for the first time, or because labels changed."""

    slices: Slices | None
    operation: Operation | None = None


def look(run: Run, user: Any, grader: int = OVERALL) -> Look:
    """The slices of a run that is done; 0 stands for all graders together."""
    found = kept.read(_key(run))
    if found is not None and not kept.has_changed(run.evaluation.version, found.seen):
        return Look(_read(found, grader))
    if not is_large(run):
        return Look(slices_of(run, grader))
    return Look(_read(found, grader) if found is not None else None, begin(run, user))


def is_large(run: Run) -> bool:
    """Whether a worker counts."""
    return run.evaluation.version.rows * len(run.targets) * len(graders_of(run)) > kept.AT_ONCE


def slices_of(run: Run, grader: int = OVERALL) -> Slices:
    """Count them here and now, and keep them."""
    seen, counting = kept.seen_now(run.evaluation.version), Counting(run)
    counting.go_on()
    return _keep(run, counting, seen)[grader]


def begin(run: Run, user: Any, *, again: bool = False) -> Operation:
    """Have a worker count; `again` also where that failed."""
    asked = list(run.connections.all()[:2])
    return kept.begin(
        KIND,
        f"slices:{run.pk}:{_key(run)[:12]}",
        again=again,
        title=f"Slices of run {run.number} of {run.evaluation}"[:200],
        connection=asked[0] if len(asked) == 1 else None,
        requested_by=user,
        subject=run,
    )


@operations.handler(KIND, queue="eval")
def count(work: operations.Working) -> operations.Done | operations.Again:
    """One step: as many items as its time allows."""
    runs = Run.objects.select_related("evaluation__version").filter(state=Run.State.DONE)
    run: Run | None = runs.filter(pk=work.operation.subject_id, evaluation__deleting=False).first()
    if run is None:
        raise operations.Failed("gone", "The run was deleted, or it goes on.")
    cursor = dict(work.operation.cursor)
    if cursor.get("form") != _FORM:  # the first step, or the first since the site knows to count more
        seen = kept.seen_now(run.evaluation.version)
        cursor = {"form": _FORM, "finished": str(run.finished), "seen": seen}
    elif cursor["finished"] != str(run.finished):
        raise operations.Failed("gone", "The run went on meanwhile; its slices are counted when it ends.")
    counting, total = Counting(run, cursor.get("counted")), run.evaluation.version.rows

    whole = kept.go_on(work, counting, total)
    with transaction.atomic():
        if not whole:
            work.advance(cursor=cursor | {"counted": counting.as_data()})
            return operations.Again()
        _keep(run, counting, cursor["seen"])
        work.advance(cursor={}, done=counting.done)
    return operations.Done({"items": counting.done})


def _keep(run: Run, counting: Counting, seen: dict[str, Any]) -> dict[int, Slices]:
    found = counting.found()
    key = _key(run)
    data = json.dumps({str(grader): asdict(slices) for grader, slices in found.items()})
    with transaction.atomic():
        kept.keep(key, data.encode(), seen, run=run)
        Counts.objects.filter(run=run).exclude(key=key).delete()  # from before it was repeated
    return found


def _read(found: Counts, grader: int) -> Slices:
    return Slices.read(json.loads(kept.data_of(found))[str(grader)])


def _key(run: Run) -> str:
    return kept.key_of("slices", _FORM, run.pk, run.finished)
