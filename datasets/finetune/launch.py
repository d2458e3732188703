"""Launch a fine-tuning job: upload its file, wait until that is usable, create the job once."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from datasets import remote
from datasets.finetune import cancel, follow, upload
from datasets.models import DatasetVersion, FineTune, UploadedFile
from datasets.remote import MARK, Found, Outcome
from portal import audit, operations
from portal.models import Connection, Operation, RemoteAction
from portal.upstream import JobInfo, Upstream, UpstreamError, connect

KIND = "finetune.launch"
State = FineTune.State
NUMBERS = ("n_epochs", "batch_size", "learning_rate_multiplier")
SETTING_UP = (State.UPLOADING, State.PROCESSING, State.LAUNCHING)
# Nobody knows what came of these until somebody looks.
OPEN = (RemoteAction.State.SENDING, RemoteAction.State.UNKNOWN, RemoteAction.State.NOT_FOUND)


class JobErrand:
    """https://platform.openai.com/docs/api-reference/fine-tuning/create"""

    kind = "fine_tune"

    def post(self, upstream: Upstream, action: RemoteAction) -> Found:
        return _found(upstream.create_job(body_of(action)), action)

    def look(self, upstream: Upstream, action: RemoteAction, since: float) -> Sequence[Found]:
        jobs = upstream.list_jobs(int(since))
        return [_found(job, action) for job in jobs if is_marked(job, action) or could_be(job, action)]


def mark_of(action: RemoteAction) -> str:
    """The job's suffix: what the user chose, and the first digits of the action's id."""
    chosen = str(action.params.get("suffix", ""))
    return f"{chosen}-{action.pk.hex[:8]}" if chosen else action.pk.hex[:8]


def body_of(action: RemoteAction) -> dict[str, Any]:
    """The body of the create call; it carries the action's marks."""
    params = action.params
    numbers = {name: value for name, value in params["hyperparameters"].items() if value != "auto"}
    body = {
        "model": params["model"],
        "training_file": params["training_file"],
        "seed": params["seed"],
        "suffix": mark_of(action),
        "method": {"type": "supervised", "supervised": {"hyperparameters": numbers}},
        "metadata": {MARK: str(action.pk)},
    }
    if params.get("training_type"):
        body["trainingType"] = params["training_type"]
    return body


def is_marked(job: JobInfo, action: RemoteAction) -> bool:
    """Whether the job says itself that this action made it."""
    if job.metadata.get(MARK):
        return bool(job.metadata[MARK] == str(action.pk))
    mark = mark_of(action)
    return mark in (job.suffix, job.raw.get("user_provided_suffix")) or (
        bool(job.fine_tuned_model) and job.fine_tuned_model.endswith((f"-{mark}", f":{mark}"))
    )


def could_be(job: JobInfo, action: RemoteAction) -> bool:
    """Whether a job without marks can only be told by what it trains on: file, seed and numbers agree."""
    params = action.params
    if job.metadata.get(MARK) or job.suffix or job.training_file != params["training_file"]:
        return False
    if job.seed is not None and job.seed != params["seed"]:
        return False
    # A service may answer with the dated name of a model that was asked for by its short one.
    if job.model and not job.model.startswith(params["model"]) and not params["model"].startswith(job.model):
        return False
    return all(
        _agrees(job.hyperparameters.get(name), value) for name, value in params["hyperparameters"].items()
    )


def _agrees(told: Any, wanted: Any) -> bool:
    if told in (None, "auto") or wanted == "auto":
        return True
    try:
        return abs(float(told) - float(wanted)) < 1e-9
    except (TypeError, ValueError):
        return False


def _found(job: JobInfo, action: RemoteAction) -> Found:
    answer = {"status": job.status, "model": job.model}
    return Found(job.id, job.created, is_marked(job, action), answer)


def begin(tune: FineTune, user: Any) -> Operation:
    """Launch a prepared job; a second call for the same one returns the operation of the first."""
    with transaction.atomic():
        tune = (
            FineTune.objects.select_for_update(of=("self",))
            .select_related("connection", "version__dataset")
            .get(pk=tune.pk)
        )
        if tune.state == State.DRAFT:
            if tune.trained_on.state != DatasetVersion.State.READY:
                raise ValueError("only a version that is built can be trained on")
            tune.state, tune.created_by, tune.created = State.UPLOADING, user, timezone.now()
            tune.save(update_fields=["state", "created_by", "created"])
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
    tune = FineTune.objects.select_related("action", "file__action").filter(pk=operation.subject_id).first()
    if tune is None or tune.state not in SETTING_UP:
        return
    if open_action(tune) is not None:
        tune.state = State.ASKING
    elif operation.state == Operation.State.CANCELLED:
        tune.state, tune.finished = State.CANCELLED, timezone.now()
    else:
        tune.state, tune.finished = State.FAILED, timezone.now()
    if operation.error_text:
        tune.error = tune.error or {"kind": operation.error_code, "message": operation.error_text}
    tune.save(update_fields=["state", "finished", "error"])


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
            ready = upload.ensure(tune, upstream, work)
            if isinstance(ready, operations.Wait):
                _enter(tune, State.PROCESSING if tune.file and tune.file.remote_id else State.UPLOADING)
                return ready
            _plan(tune, ready, work)
        return _create(tune, upstream, work)


def _tune_of(operation: Operation) -> FineTune:
    tune: FineTune | None = (
        FineTune.objects.select_related("connection", "version__dataset", "action", "file__action")
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


def _plan(tune: FineTune, file: UploadedFile, work: operations.Working) -> None:
    with transaction.atomic():
        work.advance(step="creating")
        tune.action = remote.plan(
            JobErrand.kind,
            connection=tune.connection,
            dedupe_key=f"fine-tune:{tune.pk}",
            params={
                "model": tune.base_model,
                "training_file": file.remote_id,
                "hyperparameters": {name: tune.hyperparameters.get(name, "auto") for name in NUMBERS},
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
        follow.begin(tune.connection)
        if tune.cancel_requested:
            cancel.begin(tune, action.requested_by)


def open_action(tune: FineTune) -> RemoteAction | None:
    """The action of a launch that nobody knows the outcome of, if there is one."""
    for action in (tune.action, tune.file.action if tune.file else None):
        if action is not None and action.state in OPEN:
            return action
    return None


def decide(tune: FineTune, choice: str, user: Any, candidate: str = "") -> bool:
    """What a person says where the machine may not go on: look, again, stop or adopt. False if too late."""
    with transaction.atomic():
        tune = (
            FineTune.objects.select_for_update(of=("self",))
            .select_related("action", "file__action", "connection", "version__dataset")
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
            if action is not None:
                remote.abandon(action, user, "stopped")
            FineTune.objects.filter(pk=tune.pk).update(state=State.CANCELLED, finished=timezone.now())
            return True
        else:
            return False
        FineTune.objects.filter(pk=tune.pk).update(
            state=State.LAUNCHING if tune.action_id else State.UPLOADING, error={}
        )
        _operate(tune, user)
        return True


def try_again(tune: FineTune, user: Any) -> bool:
    """Launch a job again that failed before it was created upstream. False where that is not so."""
    with transaction.atomic():
        changed = FineTune.objects.filter(
            pk=tune.pk, state__in=(State.FAILED, State.CANCELLED), remote_id=""
        ).update(state=State.UPLOADING, error={}, finished=None, cancel_requested=False)
        if not changed:
            return False
        tune.refresh_from_db()
        audit.record(user, "fine_tune.launched_again", tune, connection=tune.connection)
        _operate(tune, user)
        return True


def as_text(body: Mapping[str, Any]) -> str:
    """The body of the create call for people to read."""
    return json.dumps(body, indent=2, ensure_ascii=False)
