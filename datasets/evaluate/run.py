"""A run from its start to its report: items, calls, answers, verdicts, numbers.

The operation's cursor names the stage; each stage goes on where the last one stopped.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic, sleep
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from datasets import received
from datasets.asking import Asking, recover
from datasets.evaluate import goals, obstacles, paying, slices_kept, tally, unread
from datasets.evaluate.calls import Calls, Paused
from datasets.evaluate.grading import grade_all
from datasets.evaluate.judgements import Judgements, calls_for
from datasets.evaluate.judges import connections_of, judges_of
from datasets.evaluate.python_graders import refusal
from datasets.evaluate.report import UNSENDABLE
from datasets.evaluate.targets import Target, problem_of, read
from datasets.evaluate.thresholds import graders_of
from datasets.models import Call, Evaluation, Example, Result, Run, Schedule
from portal import audit, operations, spending
from portal.crashpoints import crashpoint
from portal.models import Connection, Operation
from portal.progress import name_results, since_now

KIND = "run.answer"
ROWS_AT_ONCE = 1000
LOOK_AGAIN = 1.0
PATIENCE = 3.0
PAUSED = "Paused."
PAUSED_SECONDS = 60.0  # looked at now and then; going on wakes it at once
State = Run.State
LIVE = (State.WAITING, State.RUNNING, State.PAUSED)

name_results({"red": "Goals missed"})


class Refused(Exception):
    """A run that may not or cannot be started; the text says why."""


def start(
    evaluation: Evaluation,
    targets: Sequence[Target],
    user: Any,
    *,
    repetitions: int = 1,
    goal: Mapping[str, Any] | None = None,
    schedule: Schedule | None = None,
) -> Run:
    """Begin a run, and the build of the items if there are none yet; what it may cost is reserved.

    A live run of the same targets and goal is returned instead: a double click or a second tab starts one.
    `goal` is what Run keeps of it, see goals.Goal. Raises Refused.
    """
    held_to = goals.Goal.read(goal).as_dict()
    if not targets or not evaluation.graders.exists():
        raise Refused("A run needs something to measure and a grader.")
    if problem := (
        problem_of(evaluation.reference, targets)
        or refusal(evaluation.graders.all())
        or obstacles.of(evaluation, targets, user)
    ):
        raise Refused(problem)
    with transaction.atomic():
        evaluation = Evaluation.objects.select_for_update().get(pk=evaluation.pk)
        if evaluation.deleting:
            raise Refused("This evaluation is being deleted.")
        wanted = [target.as_dict() for target in targets]
        live = evaluation.runs.filter(state__in=LIVE, backend=Run.Backend.HERE, repetitions=repetitions)
        same: Run | None = next((run for run in live if run.targets == wanted and run.goal == held_to), None)
        if same is not None:
            return same
        version = evaluation.version
        if version.state == version.State.DRAFT:
            received.begin(version, user)
        last = evaluation.runs.aggregate(last=Max("number"))["last"] or 0
        run = Run.objects.create(
            evaluation=evaluation,
            number=last + 1,
            targets=wanted,
            repetitions=repetitions,
            goal=held_to,
            schedule=schedule,
            created_by=user,
        )
        run.connections.set(
            {*evaluation.connections.values_list("pk", flat=True), *asked_of(evaluation, targets)}
        )
        _reserve(run, user)
        _begin(run, user)
        audit.record(user, "run.started", run, targets=len(targets), items=version.rows or None)
    return run


def asked_of(evaluation: Evaluation, targets: Sequence[Target]) -> set[int]:
    """The connections that a run asks something: for answers, and for verdicts on them."""
    return {
        *(target.connection for target in targets if target.connection is not None),
        *connections_of(evaluation.graders.all()),
    }


def retry_failed(run: Run, user: Any) -> int:
    """Ask again for answers and verdicts that failed or could not be read, and keep everything else; returns
    how many those are.

    Raises Refused.
    """
    with transaction.atomic():
        run = Run.objects.select_for_update().get(pk=run.pk)
        if run.state in LIVE:
            raise Refused("The run is still going on.")
        failed = Call.objects.filter(run=run, state=Call.State.FAILED).exclude(error__kind=UNSENDABLE)
        again = [*failed.values_list("example", flat=True), *unread.put_back(run, graders_of(run))]
        if run.state == State.DONE and not again:
            # To begin would take the report away until it is made again, or for good if it could not be.
            raise Refused("Nothing failed in this run that can be asked again.")
        examples = sorted(set(again))
        for start_at in range(0, len(examples), ROWS_AT_ONCE):
            # Of every target, as a preference between two answers waits for both.
            part = examples[start_at : start_at + ROWS_AT_ONCE]
            Result.objects.filter(run=run, example__in=part).delete()
        failed.update(state=Call.State.PENDING, tries=0, error={})
        _reserve(run, user)
        _begin(run, user)
        audit.record(user, "run.retried", run, calls=len(again))
    return len(again)


def pause(run: Run, user: Any) -> bool:
    """Let no more calls begin; those on their way are waited for and kept. False if it does not run.

    What it may still cost stays reserved, so that going on is never refused for want of money that others
    took meanwhile. Whoever needs that money stops the run in place of pausing it.
    """
    with transaction.atomic():
        changed = Run.objects.filter(
            pk=run.pk, state__in=(State.WAITING, State.RUNNING), backend=Run.Backend.HERE
        ).update(state=State.PAUSED)
        if changed:
            audit.record(user, "run.paused", run)
        return bool(changed)


def go_on(run: Run, user: Any) -> bool:
    """Go on with a paused run: only what is missing is asked. False if it is not paused."""
    with transaction.atomic():
        changed = Run.objects.filter(pk=run.pk, state=State.PAUSED).update(state=State.RUNNING)
        if changed:
            operation = Operation.objects.filter(pk__in=[run.operation_id]).first()
            if operation is not None:
                operations.hurry(operation)
            audit.record(user, "run.resumed", run)
        return bool(changed)


def _is_paused(run: Run) -> bool:
    return bool(Run.objects.filter(pk=run.pk, state=State.PAUSED).exists())


def _reserve(run: Run, user: Any) -> None:
    try:
        paying.reserve(run, user)
    except spending.OverBudget as over:
        raise Refused(str(over)) from over


def _begin(run: Run, user: Any) -> Operation:
    asked = list(run.connections.all()[:2])
    operation = operations.begin(
        KIND,
        title=f"Run {run.number} of {run.evaluation}"[:200],
        dedupe_key=f"run:{run.pk}",
        connection=asked[0] if len(asked) == 1 else None,
        requested_by=user,
        subject=run,
        cursor={"stage": "items"},
    )
    run.operation, run.state, run.finished, run.misses = operation, State.WAITING, None, []
    run.save(update_fields=["operation", "state", "finished", "misses"])
    return operation


def _ended(operation: Operation) -> None:
    """The operation failed or was cancelled: so did the run."""
    state = State.CANCELLED if operation.state == Operation.State.CANCELLED else State.FAILED
    run = Run.objects.select_related("evaluation__version").filter(pk=operation.subject_id).first()
    if run is not None and run.state != State.DONE:
        Run.objects.filter(pk=run.pk).update(state=state, finished=timezone.now())
        paying.settle(run)


@operations.handler(KIND, queue="eval", ended=_ended)
def answer(work: operations.Working) -> operations.Outcome:
    """One step of a run."""
    run = _run_of(work)
    if run.state == State.DONE:
        return outcome_of(run)
    targets = read(run.targets)
    check_rights(work, run, asked_of(run.evaluation, targets))
    if run.state == State.PAUSED:
        return operations.Wait(PAUSED_SECONDS, PAUSED)
    if work.operation.note == PAUSED:
        # The time of the pause is none in which it was slow.
        work.advance(cursor={**work.operation.cursor, "since": since_now(work.operation.done)}, note="")
    try:
        return _go(work, run, targets)
    except Paused:
        # Somebody may have pressed “Go on” while the last calls came in.
        return operations.Wait(PAUSED_SECONDS, PAUSED) if _is_paused(run) else operations.Again()


def _go(work: operations.Working, run: Run, targets: Sequence[Target]) -> operations.Outcome:
    """The stage where it stopped, and those behind it."""
    stage = work.operation.cursor.get("stage", "items")
    if stage == "items":
        if wait := wait_for_items(work, run):
            return wait
        stage = _enter(work, "calls", step="preparing")
    fresh = [target for target in targets if target.is_fresh]
    if stage == "calls":

        def to_answer(batch: Sequence[Example]) -> list[Call]:
            return [
                Call(run=run, example=example, target=target.key, repetition=repetition)
                for example in batch
                for target in fresh
                for repetition in range(run.repetitions)
            ]

        if fresh and not _make_calls(work, run, to_answer):
            return operations.Again()
        made = Call.objects.filter(run=run, grader="").count()
        stage = _enter(work, "answers", step="answering", done=0, total=made or run.evaluation.version.rows)
    if stage == "answers":
        if fresh and (pause := _ask(work, run, Calls(run, fresh))) is not None:
            return pause
        stage = _enter(work, "judge_calls", step="preparing", note="")
    judges = judges_of(run.evaluation.graders.all())
    if stage == "judge_calls":
        if judges and not _make_calls(work, run, partial(calls_for, run, targets, judges)):
            return operations.Again()
        made = Call.objects.filter(run=run).exclude(grader="").count()
        stage = _enter(work, "judgements", step="judging", done=0, total=made)
    if stage == "judgements":
        if judges and (pause := _ask(work, run, Judgements(run, targets, judges))) is not None:
            return pause
        stage = _enter(work, "grades", step="grading", done=0, total=run.evaluation.version.rows, note="")
    if not grade_all(work, run, targets):
        return operations.Again()
    return _finish(work, run)


def _ask(
    work: operations.Working, run: Run, calls: Calls | Judgements
) -> operations.Again | operations.Wait | None:
    with calls as ledger:
        if recover(work, ledger):
            run.refresh_from_db(fields=["repeated_calls"])
        purses = paying.purses(run, work.operation.requested_by)
        return Asking(work, ledger, ledger.asked, purses).go()


def _run_of(work: operations.Working) -> Run:
    run: Run | None = (
        Run.objects.select_related("evaluation__version__dataset", "created_by")
        .filter(pk=work.operation.subject_id)
        .first()
    )
    if run is None:
        raise operations.Failed("gone", "The run was deleted.")
    if run.state == State.DONE:
        return run  # a worker died before it could end its operation, or an old operation was tried again
    if run.operation_id != work.operation.pk or run.state not in (State.RUNNING, State.PAUSED):
        # Tried again from the page of operations, or begun just now; a pause asked for meanwhile stays.
        Run.objects.filter(pk=run.pk).exclude(state=State.PAUSED, operation=work.operation).update(
            state=State.RUNNING, operation=work.operation, finished=None, misses=[]
        )
        run.refresh_from_db(fields=["state", "operation", "finished", "misses"])
    return run


def check_rights(work: operations.Working, run: Run, asked: set[int]) -> None:
    """Whoever asked for the run must still be allowed to; a right that was taken away ends it, and so does a
    connection that was disconnected."""
    if closed := obstacles.disconnected(asked):
        raise operations.Failed("disconnected", closed)
    user = work.operation.requested_by
    may = Evaluation.objects.actionable_by(user).filter(pk=run.evaluation_id).exists()
    reach = set(Connection.objects.actionable_by(user).filter(pk__in=asked).values_list("pk", flat=True))
    if may and reach == asked:
        return
    audit.record(user, "run.refused", run, reason="the right was withdrawn")
    raise operations.Failed(
        "forbidden", "Whoever started this run may no longer act on every connection that it uses."
    )


def _enter(work: operations.Working, stage: str, **fields: Any) -> str:
    with transaction.atomic():
        cursor = {**work.operation.cursor, "stage": stage, "after": 0, "graded": 0, "since": since_now()}
        work.advance(cursor=cursor, **fields)
    crashpoint(f"run.{stage}")
    return stage


def wait_for_items(work: operations.Working, run: Run) -> operations.Wait | None:
    """None as soon as the items are there. Few items are written within moments, so it looks again."""
    until = monotonic() + PATIENCE
    while (wait := _look_for_items(work, run)) and monotonic() < until and work.time_left():
        sleep(0.1)
    return wait


def _look_for_items(work: operations.Working, run: Run) -> operations.Wait | None:
    version = run.evaluation.version
    version.refresh_from_db()
    if version.state == version.State.READY:
        return None
    if version.state == version.State.REFUSED:
        raise operations.Failed("no_items", f"There is nothing to measure. {version.refusal}")
    building = received.operation_of(version)
    if building is not None and not building.is_live and building.pk > work.operation.pk:
        raise operations.Failed("no_items", f"The items were not written. {building.error_text}".strip())
    if building is None or not building.is_live:
        # It was cancelled or failed before somebody tried this run again.
        received.begin(version, work.operation.requested_by)
    return operations.Wait(LOOK_AGAIN, "The items are being written.")


def _make_calls(
    work: operations.Working, run: Run, rows_for: Callable[[Sequence[Example]], list[Call]]
) -> bool:
    """One row for every call that is to be made; False when the step's time is up first."""
    examples = Example.objects.filter(version=run.evaluation.version, line__isnull=False).order_by("line")
    cursor = dict(work.operation.cursor)
    while batch := list(examples.filter(line__gt=cursor.get("after", 0))[:ROWS_AT_ONCE]):
        if work.cancelled():
            raise operations.Cancelled
        if not work.time_left():
            return False
        cursor["after"] = batch[-1].line
        rows = rows_for(batch)
        with transaction.atomic():
            work.advance(cursor=cursor, step="preparing")
            Call.objects.bulk_create(rows, ignore_conflicts=True)
        crashpoint("run.calls.made")
    return True


def _finish(work: operations.Working, run: Run) -> operations.Done:
    summary = tally.summarise(run)
    with transaction.atomic():
        work.advance(step="done", note="")
        run.refresh_from_db(fields=["repeated_calls"])
        paying.settle(run)
        conclude(run, summary, work.operation.requested_by)
        if run.misses:
            work.advance(note=f"Red. {' '.join(run.misses)}")
    return outcome_of(run)


def outcome_of(run: Run) -> operations.Done:
    """How the operation of a run that is done ends."""
    told = {"items": run.summary.get("items", 0), "red": len(run.misses)}
    if run.backend == Run.Backend.HERE:
        told["repeated_calls"] = run.repeated_calls
    return operations.Done(told)


def conclude(run: Run, summary: Mapping[str, Any], user: Any) -> None:
    """Keep the numbers and hold them against the goal; inside the transaction that ends the run."""
    run.summary, run.state, run.finished = dict(summary), State.DONE, timezone.now()
    run.misses = goals.misses(tally.report_of(run), goals.Goal.read(run.goal))
    run.save(update_fields=["summary", "state", "finished", "misses"])
    audit.record(user, "run.finished", run, items=summary["items"])
    if run.misses:
        audit.record(user, "run.red", run, misses=len(run.misses), first=run.misses[0][:200])
    if slices_kept.is_large(run):
        slices_kept.begin(run, user)
