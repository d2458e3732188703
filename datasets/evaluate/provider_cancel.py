"""End what goes on at the provider for a run that was stopped here, and look after what it made."""

import secrets
from typing import Any

from django.conf import settings
from django.db import transaction

from datasets import remote
from datasets.evaluate.provider_errands import (
    CANCELED,
    ENDED,
    CancelErrand,
    EvalErrand,
    FileErrand,
    RunErrand,
)
from datasets.evaluate.provider_items import usage_of
from datasets.evaluate.provider_paying import settle
from datasets.evaluate.targets import read
from datasets.finetune.upload import BROKEN, USABLE
from datasets.models import Evaluation, Run
from datasets.remote import Outcome
from portal import operations
from portal.models import Connection, Operation, RemoteAction
from portal.upstream import Upstream, UpstreamError, connect

KIND = "run.provider.cancel"
WITHOUT_RESULTS = CANCELED | {"failed", "deleted"}
_MADE = (FileErrand.kind, EvalErrand.kind, RunErrand.kind)


def actions_of(run: Run) -> list[RemoteAction]:
    """What was or may have been made there for this run, and is not given up."""
    return list(
        RemoteAction.objects.filter(
            connection=run.upstream.get("connection"),
            kind__in=_MADE,
            dedupe_key=f"run:{run.pk}",
            state__in=RemoteAction.HOLDING,
        )
    )


def begin(run: Run, place: Connection | None, user: Any) -> bool:
    """Cancel upstream in an operation of its own; False where nothing can be going on there."""
    action = _run_action(run)
    if place is None or action is None or run.upstream.get("status") in ENDED:
        return False
    if action.state == RemoteAction.State.PLANNED:
        remote.abandon(action, user, "cancelled before it was sent")
        return False
    operations.begin(
        KIND,
        title=f"Cancel run {run.number} of {run.evaluation} at {place}"[:200],
        dedupe_key=f"run:{run.pk}",
        connection=place,
        requested_by=user,
        subject=run,
    )
    return True


def goes_on(evaluation: Evaluation) -> bool:
    """Whether a run of it is being cancelled there."""
    ids = [str(pk) for pk in evaluation.runs.values_list("pk", flat=True)]
    return bool(Operation.objects.live().filter(kind=KIND, subject_id__in=ids).exists())


def _run_action(run: Run) -> RemoteAction | None:
    return next((action for action in actions_of(run) if action.kind == RunErrand.kind), None)


@operations.handler(KIND, queue="eval")
def cancel_there(work: operations.Working) -> operations.Done | operations.Wait:
    """One step of a cancellation."""
    run = Run.objects.select_related("evaluation__version").filter(pk=work.operation.subject_id).first()
    place = work.operation.connection
    if run is None or place is None:
        return operations.Done()
    made = _run_action(run)
    if made is None:
        settle(run)
        return operations.Done()
    with connect(place) as upstream:
        eval_id = str(made.params["eval"])
        if made.state != RemoteAction.State.CONFIRMED:
            (target,) = read(run.targets)
            errand = RunErrand(run, target, eval_id, run.upstream.get("file", ""))
            result = remote.carry_out(made, errand, upstream, work)  # looks, and never sends
            if result.outcome is Outcome.WAIT:
                return operations.Wait(result.wait, result.note)
            if result.outcome is not Outcome.CONFIRMED:
                remote.abandon(made, work.operation.requested_by, "cancelled, and not found")
                settle(run)
                return operations.Done({"status": "not found"})
        with transaction.atomic():
            action = remote.plan(
                CancelErrand.kind,
                connection=place,
                dedupe_key=f"run:{made.remote_id}",
                params={"eval": eval_id, "run": made.remote_id},
                user=work.operation.requested_by,
                operation=work.operation,
            )
        result = remote.carry_out(action, CancelErrand(), upstream, work)
        if result.outcome is Outcome.WAIT:
            return operations.Wait(result.wait, result.note)
        if result.outcome is Outcome.ASK:
            remote.abandon(action, work.operation.requested_by, "the run goes on")
        status = _learn(run, upstream, eval_id, made.remote_id)
    if status not in ENDED | {"deleted"}:
        if result.error is not None and not result.error.permanent:
            return operations.Wait(result.error.retry_after or 5.0, result.error.message)
        raise operations.Failed("not_cancelled", "The run did not stop at the provider. Try it again.")
    return operations.Done({"status": status})


def _learn(run: Run, upstream: Upstream, eval_id: str, run_id: str) -> str:
    """What became of it there, with what it used until then."""
    try:
        told = upstream.get_eval_run(eval_id, run_id)
    except UpstreamError as error:
        if error.kind != "not_found":
            raise
        status, more = "deleted", {}
    else:
        status = told.status[:40]
        more = {
            "usage": usage_of(told.usage),
            "counts": told.counts,
            "report_url": told.report_url[:500],
        }
    with transaction.atomic():
        held = Run.objects.select_for_update().select_related("evaluation__version").get(pk=run.pk)
        held.upstream = {**held.upstream, "run": run_id, "status": status, **more}
        held.save(update_fields=["upstream"])
        if held.state in (Run.State.CANCELLED, Run.State.FAILED):
            settle(held)
    return status


def drop(upstream: Upstream, name: str, run: Run, remote_id: str) -> None:
    """Undo a second thing that carries the mark of the first; one that cannot be undone stays."""
    try:
        if name == "run":
            upstream.cancel_eval_run(run.upstream["eval"], remote_id)
        elif name == "eval":
            upstream.delete_eval(remote_id)
        else:
            upstream.delete_file(remote_id)
    except UpstreamError as error:
        if not error.permanent and error.kind != "server":
            raise


def random_name(run: Run) -> str:
    """A file name that nobody else has, by which the upload is found again."""
    return f"run-{run.pk}-{secrets.token_hex(8)}.jsonl"


def usable(upstream: Upstream, file_id: str) -> operations.Wait | None:
    """None as soon as the provider has read the file."""
    info = upstream.get_file(file_id)
    if info.status in BROKEN:
        raise operations.Failed(
            "file_refused", f"The provider could not use the file: {info.error or 'it gave no reason.'}"
        )
    if info.status in USABLE or not info.status:
        return None
    return operations.Wait(settings.FILE_POLL_SECONDS, "The provider is processing the file.")
