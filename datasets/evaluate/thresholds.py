"""Pass thresholds that are taken anew: the next runs use them, and runs that there were keep theirs.

A grader belongs to an evaluation, not to a run. So what a grader's threshold was before is written down
beside the number of the last run that began with it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import transaction
from django.db.models import Max

from datasets.evaluate import graders
from datasets.models import Evaluation, Grader, Run
from portal import audit

BEFORE = "thresholds_before"  # in Evaluation.setup: [{grader, threshold, run: the last that has it}]
FIELD = "pass_threshold"


class Refused(Exception):
    """A threshold that cannot be taken; the text says why."""


def graders_of(run: Run) -> list[Grader]:
    """The graders of a run's evaluation, each with the threshold that holds in this run."""
    found = list(run.evaluation.graders.all())
    # Read behind the graders and never from the run's own copy, which is as old as the step that holds it: a
    # threshold that is taken meanwhile is then written down here already.
    history = Evaluation.objects.filter(pk=run.evaluation_id).values_list(f"setup__{BEFORE}", flat=True)
    kept = _before(history.first() or (), run.number)
    for grader in found:
        if grader.pk in kept:
            grader.params = {**grader.params, FIELD: kept[grader.pk]}
    return found


def take(grader: Grader, threshold: float, user: Any, *, seen_in: Run) -> None:
    """From the next run on the grader passes from this score on. Raises Refused."""
    with transaction.atomic():
        evaluation = Evaluation.objects.select_for_update().get(pk=grader.evaluation_id)
        grader = Grader.objects.select_for_update().get(pk=grader.pk)
        if FIELD not in grader.params:
            raise Refused("This grader passes without a threshold.")
        before = grader.params[FIELD]
        if before == threshold:
            return
        params = {**grader.params, FIELD: threshold}
        if problem := graders.validate(grader.kind, params).get(FIELD):
            raise Refused(problem)
        last = evaluation.runs.aggregate(last=Max("number"))["last"] or 0
        entry = {"grader": grader.pk, "threshold": before, "run": last}
        history = [*evaluation.setup.get(BEFORE, ()), entry]
        evaluation.setup = {**evaluation.setup, BEFORE: history}
        evaluation.save(update_fields=["setup"])
        grader.params = params
        grader.save(update_fields=["params"])
        audit.record(
            user,
            "grader.threshold_taken",
            grader,
            evaluation=evaluation.pk,
            run=seen_in.number,
            before=before,
            threshold=threshold,
        )


def _before(history: Iterable[Mapping[str, Any]], number: int) -> Mapping[int, float]:
    """The thresholds that run `number` began with, of graders that have another one now."""
    kept: dict[int, float] = {}
    for entry in history:
        if entry["run"] >= number:
            kept.setdefault(entry["grader"], entry["threshold"])
    return kept
