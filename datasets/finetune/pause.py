"""Pause a job and let it go on, where the provider can: asked for once, ended as what really happened."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from datasets import remote
from datasets.finetune import follow
from datasets.models import FineTune
from datasets.remote import Found, Outcome
from portal import audit, operations
from portal.models import Operation, RemoteAction
from portal.upstream import Upstream, UpstreamError, connect

KIND = "finetune.pause"
State = FineTune.State
PAUSE, RESUME = "pause", "resume"
_ENDED = frozenset(follow.ENDS)
# In which of the provider's states a job is when it has done what it was asked to.
_DONE = {PAUSE: frozenset(("pausing", "paused")), RESUME: frozenset(("resuming", "running", "queued"))}


class NotPossible(ValueError):
    """The job cannot be paused or resumed now; the text says why."""


class ControlErrand:
    """https://platform.openai.com/docs/api-reference/fine-tuning/pause"""

    # Asked for in the wrong moment it does nothing and says so.
    refusals = frozenset({409})

    def __init__(self, what: str) -> None:
        self.kind = what

    def post(self, upstream: Upstream, action: RemoteAction) -> Found:
        ask = upstream.pause_job if self.kind == PAUSE else upstream.resume_job
        job = ask(action.params["job"])
        return Found(job.id, marked=True, answer={"status": job.status})

    def look(self, upstream: Upstream, action: RemoteAction, since: float) -> Sequence[Found]:
        # The job itself tells; there is nothing to be made twice.
        job = upstream.get_job(action.params["job"])
        if job.status in _DONE[self.kind] | _ENDED:
            return [Found(job.id, marked=True, answer={"status": job.status})]
        return []


def possible(tune: FineTune) -> str:
    """What can be asked for now: "pause", "resume" or nothing. Whether the provider can, it says itself."""
    if not tune.is_ours or not tune.remote_id or tune.cancel_requested:
        return ""
    if tune.state == State.PAUSED:
        return RESUME
    return PAUSE if tune.state == State.RUNNING and tune.status == "running" else ""


def begin(tune: FineTune, user: Any) -> Operation:
    """Pause a job that trains; asked twice it is one operation. Raises NotPossible."""
    return _begin(tune, user, PAUSE)


def resume(tune: FineTune, user: Any) -> Operation:
    """Let a paused job go on; asked twice it is one operation. Raises NotPossible."""
    return _begin(tune, user, RESUME)


def live(tune: FineTune) -> Operation | None:
    """The operation that pauses or resumes the job at the moment."""
    found: Operation | None = (
        Operation.objects.live().filter(kind=KIND, dedupe_key=_key(tune)).first() if tune.remote_id else None
    )
    return found


def _key(tune: FineTune) -> str:
    return f"job:{tune.connection_id}:{tune.remote_id}"


def _begin(tune: FineTune, user: Any, what: str) -> Operation:
    with transaction.atomic():
        tune = (
            FineTune.objects.select_for_update(of=("self",))
            .select_related("connection", "version__dataset")
            .get(pk=tune.pk)
        )
        already = live(tune)
        if already is not None and already.cursor.get("do") == what:
            return already
        if already is not None or possible(tune) != what:
            raise NotPossible(_why_not(tune, what))
        audit.record(user, f"fine_tune.{what}_requested", tune, connection=tune.connection)
        return operations.begin(
            KIND,
            title=f"{what.capitalize()} the job {tune.remote_id}",
            dedupe_key=_key(tune),
            connection=tune.connection,
            requested_by=user,
            subject=tune,
            cursor={"job": tune.remote_id, "do": what},
        )


def _why_not(tune: FineTune, what: str) -> str:
    if not tune.is_ours:
        return "The job was started elsewhere. Adopt it first."
    if tune.state in FineTune.ENDED:
        return "The job has ended."
    if what == PAUSE:
        return "Only a job that is training can be paused."
    return "Only a paused job can go on."


@operations.handler(KIND, queue="remote")
def run(work: operations.Working) -> operations.Done | operations.Wait:
    """One step of pausing or resuming."""
    operation = work.operation
    connection = operation.connection
    assert connection is not None
    job, what = str(operation.cursor["job"]), str(operation.cursor["do"])
    errand = ControlErrand(what)
    with transaction.atomic():
        action = remote.plan(
            what,
            connection=connection,
            # A job may be paused again later, so each request has a key of its own.
            dedupe_key=f"job:{job}:{operation.pk}",
            params={"job": job},
            user=operation.requested_by,
            operation=operation,
        )
    with connect(connection) as upstream:
        result = remote.carry_out(action, errand, upstream, work)
        if result.outcome is Outcome.WAIT:
            return operations.Wait(result.wait, result.note)
        if result.outcome is Outcome.REFUSED:
            outcome = _refused(upstream, work, job, what, result.error)
            if isinstance(outcome, operations.Wait):
                return outcome
            status = outcome
        elif result.outcome is Outcome.ASK:
            with transaction.atomic():
                remote.abandon(action, operation.requested_by, "it had no effect")
            raise operations.Failed("no_effect", f"The job did not {what}. Ask for it again.")
        else:
            status = str(action.answer.get("status", ""))
    work.log(f"The job answers: {status or what}.")
    follow.hurry(FineTune.objects.filter(pk=operation.subject_id).select_related("connection"))
    return operations.Done({"status": status})


def _refused(
    upstream: Upstream, work: operations.Working, job: str, what: str, error: UpstreamError | None
) -> str | operations.Wait:
    """A refusal is fine where the job does what was asked anyway, or had ended before."""
    if error is not None and not error.permanent:
        return operations.Wait(error.retry_after or 5.0, error.message)
    status = upstream.get_job(job).status
    if status in _DONE[what]:
        return status
    if status in _ENDED:
        work.log(f"The job had ended before it could {what}: {status}.", "warn")
        return status
    if error is not None and error.http_status in (404, 405):  # the job is there, as it has just answered
        raise operations.Failed("not_offered", f"This provider cannot {what} jobs.")
    text = f"{error.message} {error.hint}".strip() if error is not None else f"The {what} was refused."
    raise operations.Failed(error.kind if error is not None else "refused", text)
