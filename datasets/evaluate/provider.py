"""A run that the provider does: its evals API is asked to answer and to judge, and what it says is kept here.

The operation's cursor names the stage. Everything made there is made once (datasets.remote); everything read
from there is written with the place up to which it was read, so a worker may die anywhere.
"""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from datasets import received, remote
from datasets.evaluate import goals, obstacles, provider_cancel, provider_lines, provider_places
from datasets.evaluate import provider_reading as reading
from datasets.evaluate import provider_terms as terms
from datasets.evaluate.provider_errands import EvalErrand, FileErrand, RunErrand
from datasets.evaluate.provider_paying import left_behind, reserve, settle
from datasets.evaluate.provider_reading import keep
from datasets.evaluate.run import LIVE, Refused, asked_of, check_rights, outcome_of, wait_for_items
from datasets.evaluate.targets import Target, problem_of, read
from datasets.models import Evaluation, Run
from datasets.remote import Outcome
from portal import audit, operations
from portal.crashpoints import crashpoint
from portal.models import Connection, Operation, RemoteAction
from portal.progress import since_now
from portal.upstream import Upstream, UpstreamError, connect

KIND = "run.provider"
# Where a process may die on the way, beside the points of the three actions.
POINTS = (
    "provider.surveyed",
    "provider.created",
    "provider.completed",
    "provider.imported",
    "provider.filled",
)
ITS_ITEMS = "not_there"  # the error of a run whose items the provider does not take, whoever asks again
State = Run.State
PROVIDER = Run.Backend.PROVIDER


def start(
    evaluation: Evaluation,
    targets: tuple[Target, ...],
    place: Connection,
    user: Any,
    *,
    repetitions: int = 1,
    goal: Mapping[str, Any] | None = None,
) -> Run:
    """Begin a run of one target at the provider; a live run of the same is returned instead.

    Raises run.Refused, with nothing made, where the provider cannot do it.
    """
    held_to = goals.Goal.read(goal).as_dict()
    graders = list(evaluation.graders.all())
    if not targets or not graders:
        raise Refused("A run needs something to measure and a grader.")
    if problem := problem_of(evaluation.reference, targets) or obstacles.of(evaluation, targets, user):
        raise Refused(problem)
    if not provider_places.has_evals(place):
        raise Refused(
            f"{place.name} offers no evaluations of its own. {provider_places.reason_of(place)}".strip()
        )
    if wrong := list(terms.problems(graders, targets, place, repetitions)):
        raise Refused(" ".join(wrong[:3]))
    with transaction.atomic():
        evaluation = Evaluation.objects.select_for_update().get(pk=evaluation.pk)
        if evaluation.deleting:
            raise Refused("This evaluation is being deleted.")
        wanted = [target.as_dict() for target in targets]
        live = evaluation.runs.filter(state__in=LIVE, backend=PROVIDER)
        for same in live:
            if (same.targets, same.goal, same.upstream.get("connection")) == (wanted, held_to, place.pk):
                found: Run = same
                return found
        version = evaluation.version
        if version.state == version.State.DRAFT:
            received.begin(version, user)
        last = evaluation.runs.aggregate(last=Max("number"))["last"] or 0
        run: Run = Run.objects.create(
            evaluation=evaluation,
            number=last + 1,
            targets=wanted,
            goal=held_to,
            backend=PROVIDER,
            upstream={"connection": place.pk},
            created_by=user,
        )
        asked = {place.pk, *asked_of(evaluation, targets)}
        run.connections.set({*evaluation.connections.values_list("pk", flat=True), *asked})
        reserve(run, user)
        _begin(run, place, user, {"stage": "items"})
        audit.record(
            user, "run.started", run, connection=place, targets=1, items=version.rows or None, at="provider"
        )
    return run


def go_on(run: Run, user: Any) -> None:
    """Go on with a run that failed or was stopped; what is there already is not made again.

    A run that ended there without results is started anew in the same evaluation. Raises run.Refused.
    """
    with transaction.atomic():
        run = Run.objects.select_for_update().get(pk=run.pk)
        if run.state in LIVE:
            raise Refused("The run is still going on.")
        place = Connection.objects.filter(pk=run.upstream.get("connection")).first()
        if place is None:
            raise Refused("The connection of this run was deleted.")
        last = run.operation
        cursor = dict(last.cursor) if last is not None and last.kind == KIND else {"stage": "items"}
        # Something that was made there is gone or of no use.
        from_the_start = last is not None and last.error_code in ("not_found", "file_refused")
        if from_the_start:
            run.upstream = {"connection": place.pk, **left_behind(run)}
            cursor = {"stage": "items"}
        for action in provider_cancel.actions_of(run):
            if from_the_start or action.state == RemoteAction.State.NOT_FOUND:
                remote.abandon(action, user, "made again")
            elif (
                action.kind == RunErrand.kind
                and run.upstream.get("status") in provider_cancel.WITHOUT_RESULTS
            ):
                remote.abandon(action, user, "started again")
                run.upstream = {**run.upstream, **left_behind(run)}
                run.upstream |= {"run": "", "status": "", "report_url": "", "counts": {}, "usage": []}
                cursor |= {"stage": "run", "after": "", "looks": 0}
        if run.state == State.DONE:
            raise Refused("The run is done. Run it again for new results.")
        run.save(update_fields=["upstream"])
        reserve(run, user)
        _begin(run, place, user, cursor)
        audit.record(user, "run.retried", run, connection=place, at="provider")


def _begin(run: Run, place: Connection, user: Any, cursor: Mapping[str, Any]) -> None:
    run.operation = operations.begin(
        KIND,
        title=f"Run {run.number} of {run.evaluation} at {place}"[:200],
        dedupe_key=f"run:{run.pk}",
        connection=place,
        requested_by=user,
        subject=run,
        cursor=dict(cursor),
    )
    run.state, run.finished, run.misses = State.WAITING, None, []
    run.save(update_fields=["operation", "state", "finished", "misses"])


def _ended(operation: Operation) -> None:
    """The operation failed or was cancelled: so did the run, and at the provider nothing goes on either."""
    cancelled = operation.state == Operation.State.CANCELLED
    run = Run.objects.select_related("evaluation__version").filter(pk=operation.subject_id).first()
    if run is None or run.state == State.DONE:
        return
    run.state, run.finished = State.CANCELLED if cancelled else State.FAILED, timezone.now()
    run.save(update_fields=["state", "finished"])
    stops = cancelled or operation.error_code == "forbidden"
    if not (stops and provider_cancel.begin(run, operation.connection, operation.requested_by)):
        settle(run)


@operations.handler(KIND, queue="eval", ended=_ended)
def work_there(work: operations.Working) -> operations.Outcome:
    """One step of a run at the provider."""
    run = _run_of(work)
    if run.state == State.DONE:
        return outcome_of(run)
    (target,) = read(run.targets)
    place = Connection.objects.filter(pk=run.upstream.get("connection")).first()
    if place is None:
        raise operations.Failed("gone", "The connection of this run was deleted.")
    check_rights(work, run, {place.pk, *asked_of(run.evaluation, (target,))})
    if work.cancelled():
        raise operations.Cancelled
    stage = work.operation.cursor.get("stage", "items")
    if stage == "items":
        if wait := wait_for_items(work, run):
            return wait
        stage = _survey(work, run, target)
    with connect(place) as upstream:
        if stage == "file":
            if wait := _upload(work, run, target, upstream):
                return wait
            stage = _enter(work, "eval", step="creating", note="")
        if stage == "eval":
            errand = EvalErrand(run, work.operation.cursor.get("columns") or {})
            if wait := _make(work, run, upstream, errand, "eval", {}):
                return wait
            stage = _enter(work, "run", step="creating", note="")
        if stage == "run":
            if wait := _start_there(work, run, target, upstream):
                return wait
            stage = _enter(work, "follow", step="at the provider", note="", looks=0)
        if stage == "follow":
            if wait := reading.follow(work, run, upstream):
                return wait
            stage = _enter(work, "import", step="reading", note="", after="", strange=0)
        if stage == "import":
            if not reading.take_in(work, run, target, upstream):
                return operations.Again()
            stage = _enter(work, "fill", step="reading", note="", filled=0)
    reading.fill(work, run, target)
    crashpoint("provider.filled")
    return reading.finish(work, run)


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
    if run.operation_id != work.operation.pk or run.state != State.RUNNING:
        run.operation, run.state, run.finished, run.misses = work.operation, State.RUNNING, None, []
        run.save(update_fields=["operation", "state", "finished", "misses"])
    return run


def _enter(work: operations.Working, stage: str, *, step: str, note: str, **cursor: Any) -> str:
    with transaction.atomic():
        place = {**work.operation.cursor, **cursor, "stage": stage, "since": since_now()}
        work.advance(cursor=place, step=step, note=note)
    return stage


def _survey(work: operations.Working, run: Run, target: Target) -> str:
    """Look through all items before anything is made, so that what cannot be done is refused first."""
    found = provider_lines.survey(run, target)
    if found.refused:
        why, count = found.refused.most_common(1)[0]
        which = ", ".join(map(str, found.lines[why]))
        if more := count - len(found.lines[why]):
            which += f" and {more:,} more"
        raise operations.Failed(
            ITS_ITEMS,
            f"{found.refused.total():,} of {run.evaluation.version.rows:,} items cannot be answered at the"
            f" provider: {count:,} {why} (item{'s' * (count > 1)} {which})."
            " Nothing was created there. Run it here instead.",
        )
    if not found.rows:
        raise operations.Failed(ITS_ITEMS, "No item has an answer that could be judged there.")
    as_file = found.size > provider_lines.INLINE
    stage = _enter(
        work, "file" if as_file else "eval", step="creating", note="", columns=found.columns, size=found.size
    )
    crashpoint("provider.surveyed")
    return stage


def _make(
    work: operations.Working,
    run: Run,
    upstream: Upstream,
    errand: FileErrand | EvalErrand | RunErrand,
    name: str,
    params: dict[str, Any],
) -> operations.Wait | None:
    """Make one thing once; None as soon as it is there, and known in Run.upstream by `name`."""
    with transaction.atomic():
        work.advance(step="creating")
        action = remote.plan(
            errand.kind,
            connection=upstream.connection,
            dedupe_key=f"run:{run.pk}",
            params={"run": run.pk, **params},
            user=work.operation.requested_by,
            operation=work.operation,
        )
    result = remote.carry_out(action, errand, upstream, work)
    if result.outcome is Outcome.WAIT:
        return operations.Wait(result.wait, result.note)
    if result.outcome is Outcome.REFUSED:
        return _refused(upstream.connection, action, result.error)
    if result.outcome is Outcome.ASK:
        raise operations.Failed(
            "outcome_unknown",
            f"Nobody knows whether the {_WORDS[name]} was made at the provider, and it was not found there."
            f" “Go on” makes it again.",
        )
    for duplicate in result.duplicates:
        work.log(f"A second {_WORDS[name]} of the same mark was found: {duplicate}.", "warn")
        provider_cancel.drop(upstream, name, run, duplicate)
    keep(work, run, {name: action.remote_id})
    work.log(f"The {_WORDS[name]} is at the provider as {action.remote_id}.")
    return None


_WORDS = {"file": "file", "eval": "evaluation", "run": "run"}


def _refused(place: Connection, action: RemoteAction, error: UpstreamError | None) -> operations.Wait:
    """Nothing was done. Being too fast is waited out; anything else is for a person to change."""
    if error is not None and not error.permanent:
        return operations.Wait(error.retry_after or 15.0, error.message)
    said = error.as_dict() if error is not None else action.error
    if error is not None:
        provider_places.learn(place, error)
    text = " ".join(str(said.get(part) or "") for part in ("message", "hint")).strip()
    raise operations.Failed(str(said.get("kind") or "refused"), text or "The provider refused it.")


def _upload(work: operations.Working, run: Run, target: Target, upstream: Upstream) -> operations.Wait | None:
    cursor = work.operation.cursor
    name = cursor.get("file_name") or provider_cancel.random_name(run)
    if "file_name" not in cursor:
        _enter(work, "file", step="creating", note="", file_name=name)
    params = {"name": name, "bytes": cursor.get("size", 0)}
    if not run.upstream.get("file") and (
        wait := _make(work, run, upstream, FileErrand(run, target), "file", params)
    ):
        return wait
    return provider_cancel.usable(upstream, run.upstream["file"])


def _start_there(
    work: operations.Working, run: Run, target: Target, upstream: Upstream
) -> operations.Wait | None:
    eval_id, file_id = run.upstream["eval"], run.upstream.get("file", "")
    wait = _make(work, run, upstream, RunErrand(run, target, eval_id, file_id), "run", {"eval": eval_id})
    if wait is None:
        crashpoint("provider.created")
    return wait
