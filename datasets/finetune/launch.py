"""Launch a fine-tuning job: upload its files, wait until they are usable, create the job once."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from datasets import remote
from datasets.finetune import cancel, elsewhere, estimate, follow, method, upload
from datasets.finetune.job import JobErrand, as_text, body_of, open_action
from datasets.models import DatasetVersion, FineTune, UploadedFile
from datasets.remote import Found, Outcome
from portal import audit, operations, spending
from portal.crashpoints import crashpoint
from portal.models import Connection, Operation, RemoteAction
from portal.upstream import Upstream, UpstreamError, connect

__all__ = ["JobErrand", "NotReady", "as_text", "begin", "body_of", "decide", "open_action", "try_again"]
KIND = "finetune.launch"
State = FineTune.State
NUMBERS = tuple(number.name for number in method.NUMBERS[FineTune.Method.SUPERVISED])
SETTING_UP = (State.UPLOADING, State.PROCESSING, State.LAUNCHING)
_WITH = ("connection", "version__dataset", "action", "file__action", "validation_file__action")
# Where a process may die between the click and the job that runs, beside the points of its two actions.
POINTS = ("launch.uploaded", "launch.planned", "launch.started")


class NotReady(ValueError):
    """The job cannot be launched as it is set up; the text says why."""


def begin(tune: FineTune, user: Any) -> Operation:
    """Launch a prepared job; a second call for the same one returns the operation of the first.

    Raises NotReady, or spending.OverBudget; nothing is begun then.
    """
    with transaction.atomic():
        tune = (
            FineTune.objects.select_for_update(of=("self",))
            .select_related("connection", "version__dataset")
            .get(pk=tune.pk)
        )
        if tune.state == State.DRAFT:
            if tune.trained_on.state != DatasetVersion.State.READY:
                raise NotReady("Only a version that is built can be trained on.")
            wrong = " ".join(method.problems(tune))
            if wrong:
                raise NotReady(wrong)
            tune.estimate = _reserve(tune, user)
            tune.state, tune.created_by, tune.created = State.UPLOADING, user, timezone.now()
            tune.save(update_fields=["state", "created_by", "created", "estimate"])
            audit.record(
                user,
                "fine_tune.launched",
                tune,
                connection=tune.connection,
                model=tune.base_model,
                rows=tune.trained_on.rows,
            )
        elif tune.operation is not None:
            return tune.operation
        return _operate(tune, user)


def _reserve(tune: FineTune, user: Any) -> dict[str, Any]:
    """Keep the money that the job may cost; what it was estimated to be stays with the job."""
    said = estimate.training(
        tune.trained_on,
        tune.base_model,
        tune.connection,
        tune.training_type,
        tune.hyperparameters,
        tune.method,
    )
    spending.reserve(
        tune.connection, FineTune._meta.label_lower, tune.pk, f"Fine-tune {tune}", said.amount, user
    )
    return said.as_data()


def _operate(tune: FineTune, user: Any) -> Operation:
    operation = operations.begin(
        KIND,
        title=f"Fine-tune {tune.base_model} on {tune.version}",
        dedupe_key=f"fine-tune:{tune.pk}",
        connection=tune.connection,
        requested_by=user,
        subject=tune,
    )
    FineTune.objects.filter(pk=tune.pk).update(operation=operation)
    return operation


def _ended(operation: Operation) -> None:
    """Let the job end with its operation; where a request may have gone out, a person decides."""
    tune = FineTune.objects.select_related(*_WITH).filter(pk=operation.subject_id).first()
    if tune is None or tune.state not in SETTING_UP:
        return
    unsure = open_action(tune)
    cancelled = operation.state == Operation.State.CANCELLED or tune.cancel_requested
    if unsure is not None and not (cancelled and unsure.kind == upload.FileErrand.kind):
        tune.state = State.ASKING
    elif cancelled:  # an upload that may be there costs nothing; the next launch looks for it
        tune.state, tune.finished = State.CANCELLED, timezone.now()
    else:
        tune.state, tune.finished = State.FAILED, timezone.now()
    if operation.error_text:
        tune.error = tune.error or {"kind": operation.error_code, "message": operation.error_text}
    tune.save(update_fields=["state", "finished", "error"])
    if tune.state in FineTune.ENDED:
        spending.release(FineTune._meta.label_lower, tune.pk)  # nothing was made


@operations.handler(KIND, queue="remote", ended=_ended)
def run(work: operations.Working) -> operations.Done | operations.Wait | operations.Again:
    """One step of a launch."""
    tune = _tune_of(work.operation)
    if (
        tune.state in (State.FAILED, State.CANCELLED)
        and not tune.remote_id
        and work.operation.pk != tune.operation_id
    ):
        # Tried again from the page of the operation.
        try:
            _reserve(tune, work.operation.requested_by)
        except spending.OverBudget as problem:
            raise operations.Failed("over_budget", str(problem)) from problem
        tune.state, tune.operation, tune.error, tune.finished = State.UPLOADING, work.operation, {}, None
        tune.save(update_fields=["state", "operation", "error", "finished"])
    if tune.state not in SETTING_UP:
        return operations.Done({"state": tune.state})
    with connect(tune.connection) as upstream:
        if tune.action is None or tune.action.state in (
            RemoteAction.State.PLANNED,
            RemoteAction.State.REFUSED,
            RemoteAction.State.ABANDONED,
        ):
            _authorise(tune, work)
            ready = _upload(tune, upstream, work)
            if isinstance(ready, operations.Wait):
                return ready
            crashpoint("launch.uploaded")
            _plan(tune, ready, work)
            crashpoint("launch.planned")
        return _create(tune, upstream, work)


def _upload(
    tune: FineTune, upstream: Upstream, work: operations.Working
) -> dict[str, UploadedFile] | operations.Wait:
    """Every part that the provider needs, uploaded and usable; all are sent before one is waited for."""
    ready: dict[str, UploadedFile] = {}
    waits: list[operations.Wait] = []
    for name in ("train", "validation"):
        part = tune.trained_on.part(name)
        if part is None or not part.rows:
            continue
        outcome = upload.ensure(tune, part, upstream, work)
        if isinstance(outcome, operations.Wait):
            waits.append(outcome)
        else:
            ready[name] = outcome
    if not waits:
        return ready
    sent = all(file is None or file.remote_id for file in (tune.file, tune.validation_file))
    _enter(tune, State.PROCESSING if sent else State.UPLOADING)
    return min(waits, key=lambda wait: wait.seconds)


def _tune_of(operation: Operation) -> FineTune:
    tune: FineTune | None = (
        FineTune.objects.select_related(
            "connection", "version__dataset", "action", "file__action", "validation_file__action"
        )
        .filter(pk=operation.subject_id)
        .first()
    )
    if tune is None:
        raise operations.Failed("gone", "The fine-tune was deleted.")
    return tune


def _authorise(tune: FineTune, work: operations.Working) -> None:
    """Whoever launched it must still be allowed to when the file and the request go out."""
    user = work.operation.requested_by
    allowed = Connection.objects.actionable_by(user).filter(pk=tune.connection_id).exists()
    if not allowed or not DatasetVersion.objects.actionable_by(user).filter(pk=tune.version_id).exists():
        raise operations.Failed(
            "forbidden", "Whoever launched this may no longer act on the connection and on every source."
        )


def _enter(tune: FineTune, state: str) -> None:
    if tune.state != state:
        tune.state = state
        FineTune.objects.filter(pk=tune.pk, state__in=SETTING_UP).update(state=state)


def _plan(tune: FineTune, files: Mapping[str, UploadedFile], work: operations.Working) -> None:
    names = [number.name for number in method.NUMBERS[tune.method]]
    validation = files.get("validation")
    with transaction.atomic():
        work.advance(step="creating")
        tune.action = remote.plan(
            JobErrand.kind,
            connection=tune.connection,
            dedupe_key=f"fine-tune:{tune.pk}",
            params={
                "model": tune.base_model,
                "training_file": files["train"].remote_id,
                "validation_file": validation.remote_id if validation is not None else "",
                "method": tune.method,
                "hyperparameters": {name: tune.hyperparameters.get(name, method.AUTO) for name in names},
                "grader": tune.grader,
                "seed": tune.seed,
                "suffix": tune.suffix,
                "training_type": tune.training_type,
            },
            user=work.operation.requested_by,
            operation=work.operation,
        )
        tune.state = State.LAUNCHING
        tune.save(update_fields=["action", "state"])


def _create(
    tune: FineTune, upstream: Upstream, work: operations.Working
) -> operations.Done | operations.Wait | operations.Again:
    action = tune.action
    assert action is not None
    result = remote.carry_out(action, JobErrand(), upstream, work)
    if result.outcome is Outcome.WAIT:
        return operations.Wait(result.wait, result.note)
    if result.outcome is Outcome.REFUSED:
        return _refused(tune, action, result.error)
    if result.outcome is Outcome.ASK:
        return _ask(tune, work, result.note)
    for duplicate in result.duplicates:
        work.log(f"A second job of the same launch was found and is cancelled: {duplicate}.", "warn")
        cancel.begin_duplicate(tune, duplicate, work.operation.requested_by)
    started(tune, action, work)
    return operations.Done({"job": action.remote_id})


def _refused(tune: FineTune, action: RemoteAction, error: UpstreamError | None) -> operations.Wait:
    """Nothing was done. Being too fast is waited out; anything else is for a person to change."""
    if error is None:  # the worker died after it had written the refusal
        tune.error = action.error
    elif not error.permanent:
        return operations.Wait(error.retry_after or 15.0, error.message)
    else:
        tune.error = error.as_dict()
    FineTune.objects.filter(pk=tune.pk).update(error=tune.error)
    text = " ".join(str(tune.error.get(part) or "") for part in ("message", "hint")).strip()
    raise operations.Failed(str(tune.error.get("kind") or "refused"), text or "The job was refused.")


def _ask(tune: FineTune, work: operations.Working, note: str) -> operations.Done:
    action = tune.action
    tune.refresh_from_db(fields=["cancel_requested"])
    if tune.cancel_requested and action is not None and action.state == RemoteAction.State.NOT_FOUND:
        with transaction.atomic():
            work.advance(note=f"{note} As it was cancelled meanwhile, that is all.")
            _stop(tune, action, work.operation.requested_by, "cancelled")
        return operations.Done({"state": State.CANCELLED})
    with transaction.atomic():
        work.advance(note=note, step="asking")
        FineTune.objects.filter(pk=tune.pk).update(state=State.ASKING)
        work.log(f"{note} A person has to decide on the page of the job.", "warn")
    return operations.Done({"asking": note})


def started(tune: FineTune, action: RemoteAction, work: operations.Working | None = None) -> None:
    """The job is there: from now on it is followed."""
    with transaction.atomic():
        if work is not None:
            work.advance(step="running", note="The job is created.")
            work.log(f"The job is upstream as {action.remote_id}.")
        FineTune.objects.filter(pk=tune.pk).update(
            remote_id=action.remote_id,
            status=str(action.answer.get("status", ""))[:40],
            state=State.RUNNING,
            error={},
            finished=None,
        )
        tune.refresh_from_db()
        audit.record(
            action.requested_by, "fine_tune.started", tune, connection=tune.connection, job=tune.remote_id
        )
        elsewhere.forget_twin(tune)
        follow.begin(tune.connection)
        if tune.cancel_requested:
            cancel.begin(tune, action.requested_by)
    crashpoint("launch.started")


def decide(tune: FineTune, choice: str, user: Any, candidate: str = "") -> bool:
    """What a person says where the machine may not go on: look, again, stop or adopt. False if too late."""
    with transaction.atomic():
        tune = (
            FineTune.objects.select_for_update(of=("self",))
            .select_related(
                "action", "file__action", "validation_file__action", "connection", "version__dataset"
            )
            .get(pk=tune.pk)
        )
        action = open_action(tune)
        if tune.state != State.ASKING or (action is None and choice != "stop"):
            return False
        audit.record(user, f"fine_tune.decided_{choice}", tune, connection=tune.connection)
        if choice == "look":
            assert action is not None
            remote.look_again(action)
        elif choice == "again":
            assert action is not None
            if action.state != RemoteAction.State.NOT_FOUND or not remote.abandon(
                action, user, "launched again"
            ):
                return False
        elif choice == "adopt":
            assert action is not None
            if candidate not in action.candidates:
                return False
            remote.confirm(action, Found(candidate))
        elif choice == "stop":
            _stop(tune, action, user, "stopped")
            return True
        else:
            return False
        FineTune.objects.filter(pk=tune.pk).update(
            state=State.LAUNCHING if tune.action_id else State.UPLOADING, error={}
        )
        _operate(tune, user)
        return True


def _stop(tune: FineTune, action: RemoteAction | None, user: Any, why: str) -> None:
    if action is not None:
        remote.abandon(action, user, why)
    FineTune.objects.filter(pk=tune.pk).update(state=State.CANCELLED, finished=timezone.now())
    spending.release(FineTune._meta.label_lower, tune.pk)


def search_again(tune: FineTune, user: Any) -> None:
    """Look anew for what came of a launch that waits for a person; call it in a transaction."""
    action = open_action(tune)
    if action is None:
        _stop(tune, None, user, "stopped")
        return
    remote.look_again(action)
    state = State.LAUNCHING if tune.action_id else State.UPLOADING
    FineTune.objects.filter(pk=tune.pk).update(state=state, error={})
    _operate(tune, user)


def try_again(tune: FineTune, user: Any) -> bool:
    """Launch a job again that failed before it was created upstream. False where that is not so."""
    with transaction.atomic():
        changed = FineTune.objects.filter(
            pk=tune.pk, state__in=(State.FAILED, State.CANCELLED), remote_id=""
        ).update(state=State.UPLOADING, error={}, finished=None, cancel_requested=False)
        if not changed:
            return False
        tune.refresh_from_db()
        _reserve(tune, user)
        audit.record(user, "fine_tune.launched_again", tune, connection=tune.connection)
        _operate(tune, user)
        return True
