"""Run one step of an operation and write down how it ended."""

import logging
import random
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import transaction

from portal import operations
from portal.crashpoints import crashpoint
from portal.leases import Keeper, claim, from_now
from portal.models import Operation, OperationLine
from portal.operations import MAX_ATTEMPTS, Again, Cancelled, Done, Failed, LeaseLost, Outcome, Wait, Working
from portal.upstream.errors import UpstreamError

log = logging.getLogger(__name__)
State = Operation.State
LONGEST_WAIT_SECONDS = 24 * 3600
LONGEST_BACKOFF_SECONDS = 300
UNKNOWN_SECONDS = 60


def work_on(pk: int) -> bool:
    """Do one step if the operation is free and due; False if not, as for a ring that came twice."""
    operation = claim(pk)
    if operation is None:
        return False
    crashpoint("operation.claimed")
    with Keeper(operation.pk, operation.fence) as keeper:
        try:
            _settle(operation, _step(Working(operation, keeper)))
        except LeaseLost:
            log.info("Operation %s went on elsewhere.", pk)
    crashpoint("operation.settled")
    return True


def _step(work: Working) -> Outcome | Cancelled | Failed | UpstreamError | Exception:
    operation = work.operation
    registered = operations.handler_of(operation.kind)
    if operation.cancel_requested:
        return Cancelled()
    if registered is None:
        # A worker that has not been renewed yet: failing here would leave behind what only `ended` can end.
        return Wait(UNKNOWN_SECONDS, f"It waits for a worker that knows work of the kind “{operation.kind}”.")
    try:
        return registered.run(work)
    except LeaseLost:
        raise
    except (Cancelled, Failed, UpstreamError) as ended:
        return ended
    except SoftTimeLimitExceeded:
        return RuntimeError("the step took longer than it may")
    except Exception as error:  # one broken operation must not end the worker; it is logged and tried again
        log.exception("Operation %s (%s) stumbled.", operation.pk, operation.kind)
        return error


def _settle(operation: Operation, outcome: Any) -> None:
    pk, fence = operation.pk, operation.fence
    if isinstance(outcome, Cancelled):
        _note(operation, "Cancelled.", "info")
    elif isinstance(outcome, Failed):
        _note(operation, outcome.text, "error")
    if isinstance(outcome, Done):
        operations.end(pk, State.DONE, fence=fence, result=outcome.result, error_code="", error_text="")
    elif isinstance(outcome, Again):
        _put_back(operation, State.READY, 0)
    elif isinstance(outcome, Wait):
        _put_back(operation, State.WAITING, outcome.seconds, note=outcome.note[:300], attempts=0)
    elif isinstance(outcome, Cancelled):
        operations.end(pk, State.CANCELLED, fence=fence)
    elif isinstance(outcome, Failed):
        operations.end(pk, State.FAILED, fence=fence, error_code=outcome.code, error_text=outcome.text)
    elif isinstance(outcome, UpstreamError):
        _settle_upstream(operation, outcome)
    else:
        text = (
            f"An unexpected error ({type(outcome).__name__}) stopped the work. The worker's log has the"
            " details; trying again goes on from the last saved point."
        )
        _note(operation, text, "error")
        _try_later(operation, "unexpected", text)


def _note(operation: Operation, text: str, level: str) -> None:
    OperationLine.objects.create(operation=operation, text=text[:1000], level=level)


def _settle_upstream(operation: Operation, error: UpstreamError) -> None:
    text = " ".join(part for part in (error.message, error.hint) if part) or error.kind
    _note(operation, text, "error" if error.permanent else "warning")
    if error.permanent:
        operations.end(
            operation.pk, State.FAILED, fence=operation.fence, error_code=error.kind, error_text=text
        )
    elif error.retry_after is not None and error.kind == "throttled":
        # Being told to wait is not a failed try.
        _put_back(
            operation,
            State.WAITING,
            error.retry_after * random.uniform(1.0, 1.1) + 0.1,
            note=text[:300],
            attempts=0,
            error_code=error.kind,
            error_text=text,
        )
    else:
        _try_later(operation, error.kind, text)


def _try_later(operation: Operation, code: str, text: str) -> None:
    """Back off and try again, unless it has been tried too often without any progress."""
    attempts = Operation.objects.values_list("attempts", flat=True).get(pk=operation.pk)
    if attempts > MAX_ATTEMPTS:
        operations.end(
            operation.pk,
            State.FAILED,
            fence=operation.fence,
            error_code=code,
            error_text=f"Given up after {attempts} tries without progress. {text}",
        )
        return
    pause = min(settings.OPERATION_BACKOFF_SECONDS * 2 ** max(attempts - 1, 0), LONGEST_BACKOFF_SECONDS)
    _put_back(
        operation,
        State.WAITING,
        pause * random.uniform(0.8, 1.2),
        note=operations.TRYING_AGAIN,
        error_code=code,
        error_text=text,
    )


def _put_back(operation: Operation, state: str, seconds: float, **fields: Any) -> None:
    """Free the lease and say when the next step is due."""
    seconds = min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)
    with transaction.atomic():
        freed = Operation.objects.filter(pk=operation.pk, fence=operation.fence, state=State.RUNNING).update(
            state=state,
            lease_owner="",
            lease_until=None,
            # A ready one is rung now; the tick rings it again if nobody heard.
            next_run_at=from_now(seconds or 3 * settings.OPERATION_TICK_SECONDS),
            **fields,
        )
        if freed != 1:
            raise LeaseLost
        if state == State.READY:
            operations.ring(operation)
        if Operation.objects.filter(pk=operation.pk, cancel_requested=True).exists():
            operations.end(operation.pk, State.CANCELLED, states=(State.READY, State.WAITING))
    crashpoint("operation.put_back")
