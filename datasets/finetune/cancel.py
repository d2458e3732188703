"""Cancel a job upstream, once; where it ended first, that is what is said."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from datasets import remote
from datasets.models import FineTune
from datasets.remote import Found, Outcome
from portal import audit, operations
from portal.models import Operation, RemoteAction
from portal.upstream import Upstream, UpstreamError, connect

KIND = "finetune.cancel"
CANCELLING = frozenset({"cancelled", "canceled", "cancelling"})
ENDED = frozenset({"succeeded", "failed"})


class CancelErrand:
    """https://platform.openai.com/docs/api-reference/fine-tuning/cancel"""

    kind = "cancel"

    def post(self, upstream: Upstream, action: RemoteAction) -> Found:
        job = upstream.cancel_job(action.params["job"])
        return Found(job.id, marked=True, answer={"status": job.status})

    def look(self, upstream: Upstream, action: RemoteAction, since: float) -> Sequence[Found]:
        # The job itself tells; there is nothing to be made twice.
        job = upstream.get_job(action.params["job"])
        if job.status in CANCELLING | ENDED:
            return [Found(job.id, marked=True, answer={"status": job.status})]
        return []


def request(tune: FineTune, user: Any) -> bool:
    """Ask for the end of a job in whatever state it is; False if there is none to end, or it is not ours."""
    from datasets.finetune import launch  # which cancels what was asked to end while it was set up

    with transaction.atomic():
        tune = (
            FineTune.objects.select_for_update(of=("self",))
            .select_related(
                "connection",
                "operation",
                "version__dataset",
                "action",
                "file__action",
                "validation_file__action",
            )
            .get(pk=tune.pk)
        )
        ended = tune.state in FineTune.ENDED or tune.state == FineTune.State.DRAFT
        if ended or tune.cancel_requested or not tune.is_ours:
            return False
        FineTune.objects.filter(pk=tune.pk).update(cancel_requested=True)
        audit.record(user, "fine_tune.cancel_requested", tune, connection=tune.connection, state=tune.state)
        if tune.remote_id:
            begin(tune, user)
            return True
        if tune.state == FineTune.State.ASKING:
            launch.search_again(tune, user)
            return True
    if tune.operation is not None and not _sent(tune):
        operations.cancel(tune.operation, user)
    return True


def _sent(tune: FineTune) -> bool:
    """Whether the create call went out: then the job is cancelled as soon as it is known."""
    action = tune.action
    return action is not None and action.state not in (
        RemoteAction.State.PLANNED,
        RemoteAction.State.REFUSED,
        RemoteAction.State.ABANDONED,
    )


def begin(tune: FineTune, user: Any) -> Operation:
    """The operation that cancels the job."""
    return _begin(tune, tune.remote_id, user)


def begin_duplicate(tune: FineTune, job: str, user: Any) -> Operation:
    """The operation that cancels a second job which carries the same launch's mark."""
    return _begin(tune, job, user)


def _begin(tune: FineTune, job: str, user: Any) -> Operation:
    return operations.begin(
        KIND,
        title=f"Cancel the job {job}",
        dedupe_key=f"job:{tune.connection_id}:{job}",
        connection=tune.connection,
        requested_by=user,
        subject=tune,
        cursor={"job": job},
    )


@operations.handler(KIND, queue="remote")
def run(work: operations.Working) -> operations.Done | operations.Wait:
    """One step of a cancellation."""
    operation = work.operation
    connection = operation.connection
    assert connection is not None
    job = str(operation.cursor["job"])
    with transaction.atomic():
        action = remote.plan(
            CancelErrand.kind,
            connection=connection,
            dedupe_key=f"job:{job}",
            params={"job": job},
            user=operation.requested_by,
            operation=operation,
        )
    with connect(connection) as upstream:
        result = remote.carry_out(action, CancelErrand(), upstream, work)
        if result.outcome is Outcome.WAIT:
            return operations.Wait(result.wait, result.note)
        if result.outcome is Outcome.REFUSED:
            return _lost_race(work, upstream, job, result.error)
        if result.outcome is Outcome.ASK:
            with transaction.atomic():
                remote.abandon(action, operation.requested_by, "the job goes on")
                FineTune.objects.filter(pk=operation.subject_id, remote_id=job).update(cancel_requested=False)
            raise operations.Failed("not_cancelled", "The job did not stop. Cancel it again.")
    work.log(f"The job answers: {action.answer.get('status') or 'cancelled'}.")
    return operations.Done({"status": action.answer.get("status", "")})


def _lost_race(
    work: operations.Working, upstream: Upstream, job: str, error: UpstreamError | None
) -> operations.Done | operations.Wait:
    """A refused cancellation is fine where the job had ended before."""
    if error is not None and not error.permanent:
        return operations.Wait(error.retry_after or 5.0, error.message)
    status = upstream.get_job(job).status
    if status in CANCELLING | ENDED:
        work.log(f"The job had ended before it could be cancelled: {status}.")
        return operations.Done({"status": status, "too_late": True})
    FineTune.objects.filter(pk=work.operation.subject_id, remote_id=job).update(cancel_requested=False)
    text = f"{error.message} {error.hint}".strip() if error is not None else "The cancellation was refused."
    raise operations.Failed(error.kind if error is not None else "refused", text)
