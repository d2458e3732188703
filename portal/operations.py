"""Background work that a person can watch: begin it, ring for it, cancel it, try it again.

The row is the truth. A message on the broker only says "look at operation N" and may be lost or come twice.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Model
from django.db.models.functions import Now

from portal import audit
from portal.celery import app
from portal.leases import Keeper, expire_leases_of, from_now
from portal.models import Operation, OperationLine

__all__ = [
    "Again",
    "Cancelled",
    "Done",
    "Failed",
    "LeaseLost",
    "Wait",
    "Working",
    "begin",
    "cancel",
    "end",
    "expire_leases_of",
    "handler",
    "handler_of",
    "hurry",
    "retry",
    "ring",
]
log = logging.getLogger(__name__)
State = Operation.State
MAX_ATTEMPTS = 8
TRYING_AGAIN = "Trying again after an error."


@dataclass(frozen=True)
class Done:
    """The operation has reached its end."""

    result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Again:
    """This step is over, the next one may begin at once."""


@dataclass(frozen=True)
class Wait:
    """Nothing to do for a while; no worker is held meanwhile."""

    seconds: float
    note: str = ""


Outcome = Done | Again | Wait


class Failed(Exception):
    """The operation cannot go on; `text` tells a person why and what to do."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class Cancelled(Exception):
    """Raised by a handler that has seen the cancel flag and has left things in order."""


class LeaseLost(Exception):
    """Somebody else works on the operation; whatever was about to be written must not be."""


@dataclass(frozen=True)
class Handler:
    kind: str
    queue: str
    run: Callable[["Working"], Outcome]
    ended: Callable[[Operation], None] | None


_handlers: dict[str, Handler] = {}


def handler(
    kind: str, *, queue: str, ended: Callable[[Operation], None] | None = None
) -> Callable[[Callable[["Working"], Outcome]], Callable[["Working"], Outcome]]:
    """Register the function that does one step of operations of this kind.

    `ended` is called inside the transaction that ends one as failed or cancelled, so that rows which follow
    the operation can end with it.
    """

    def register(run: Callable[["Working"], Outcome]) -> Callable[["Working"], Outcome]:
        if kind in _handlers or queue not in settings.QUEUES:
            raise ValueError(f"{kind!r} is registered already, or {queue!r} is no queue")
        _handlers[kind] = Handler(kind, queue, run, ended)
        return run

    return register


def handler_of(kind: str) -> Handler | None:
    return _handlers.get(kind)


def begin(
    kind: str,
    *,
    title: str,
    dedupe_key: str,
    connection: Any = None,
    requested_by: Any = None,
    subject: Model | None = None,
    cursor: dict[str, Any] | None = None,
    delay: float = 0.0,
) -> Operation:
    """The live operation with this kind and key, made now if there is none; rung on commit."""
    for _ in range(3):
        live: Operation | None = Operation.objects.live().filter(kind=kind, dedupe_key=dedupe_key).first()
        if live is not None:
            return live
        made = Operation(
            kind=kind,
            queue=_handlers[kind].queue,
            title=title[:200],
            dedupe_key=dedupe_key,
            connection=connection,
            requested_by=requested_by if getattr(requested_by, "pk", None) else None,
            subject_type=subject._meta.label_lower if subject is not None else "",
            subject_id=str(subject.pk) if subject is not None else "",
            cursor=cursor or {},
            state=State.WAITING if delay else State.READY,
        )
        try:
            with transaction.atomic():
                made.save(force_insert=True)
                # Rung below; a tick rings it again if nobody came by then.
                Operation.objects.filter(pk=made.pk).update(next_run_at=from_now(delay or _patience()))
        except IntegrityError:
            continue  # somebody else began it between our look and our insert
        made.refresh_from_db(fields=["next_run_at"])
        if not delay:
            ring(made)
        return made
    raise RuntimeError(f"operation {kind} {dedupe_key} begins and ends faster than it can be seen")


def _patience() -> float:
    """How long a ring may stay unheard before the tick repeats it."""
    return float(max(3 * settings.OPERATION_TICK_SECONDS, 1.0))


def ring(operation: Operation) -> None:
    """Ask a worker to look at it, once the present transaction commits."""
    pk, queue = operation.pk, operation.queue
    transaction.on_commit(lambda: _send(pk, queue), robust=True)


def _send(pk: int, queue: str) -> None:
    try:
        app.send_task("portal.tasks.work", args=[pk], queue=queue, retry=False, ignore_result=True)
    except Exception as error:  # whatever the broker's client raises: the row is written, the tick will ring
        log.warning("No broker to ring for operation %s (%s); a tick repeats it.", pk, type(error).__name__)


def hurry(operation: Operation) -> None:
    """Run a waiting operation now instead of when it is due."""
    if Operation.objects.filter(pk=operation.pk, state=State.WAITING).update(
        state=State.READY, next_run_at=from_now(_patience())
    ):
        ring(operation)


def cancel(operation: Operation, user: Any) -> bool:
    """Ask it to stop; one that nobody works on ends at once. False if it had ended already."""
    with transaction.atomic():
        asked = Operation.objects.live().filter(pk=operation.pk).update(cancel_requested=True)
        if not asked:
            return False
        audit.record(
            user, "operation.cancelled", operation, connection=operation.connection, kind=operation.kind
        )
        end(operation.pk, State.CANCELLED, states=(State.READY, State.WAITING))
        return True


def retry(operation: Operation, user: Any) -> Operation:
    """A new operation that goes on where a failed or cancelled one stopped."""
    with transaction.atomic():
        operation = Operation.objects.select_related("connection").get(pk=operation.pk)
        again = begin(
            operation.kind,
            title=operation.title,
            dedupe_key=operation.dedupe_key,
            connection=operation.connection,
            requested_by=user,
            cursor=operation.cursor,
        )
        if operation.subject_id and not again.subject_id:
            again.subject_type, again.subject_id = operation.subject_type, operation.subject_id
            again.save(update_fields=["subject_type", "subject_id"])
        audit.record(user, "operation.retried", again, connection=operation.connection, kind=operation.kind)
        return again


def end(
    pk: int,
    state: str,
    *,
    states: tuple[str, ...] = (State.RUNNING,),
    fence: int | None = None,
    **fields: Any,
) -> bool:
    """Move it to its last state if it is in one of `states` (and under `fence`); False if it is not."""
    with transaction.atomic():
        found = Operation.objects.filter(pk=pk, state__in=states)
        if fence is not None:
            found = found.filter(fence=fence)
        changed = found.update(
            state=state, finished=Now(), lease_owner="", lease_until=None, next_run_at=None, **fields
        )
        if not changed:
            return False
        operation = Operation.objects.select_related("connection").get(pk=pk)
        registered = _handlers.get(operation.kind)
        if state != State.DONE and registered is not None and registered.ended is not None:
            registered.ended(operation)
        return True


class Working:
    """One step in progress, as its handler sees it."""

    def __init__(self, operation: Operation, keeper: Keeper) -> None:
        self.operation = operation
        self._keeper = keeper
        self._until = monotonic() + settings.OPERATION_STEP_SECONDS

    def time_left(self, margin: float = 0.0) -> bool:
        """Whether this step may take on more work (that lasts `margin` seconds)."""
        return not self._keeper.lost.is_set() and monotonic() + margin < self._until

    def cancelled(self) -> bool:
        """Whether somebody asked it to stop, by a fresh look."""
        return bool(Operation.objects.filter(pk=self.operation.pk, cancel_requested=True).exists())

    def advance(
        self,
        *,
        cursor: dict[str, Any] | None = None,
        step: str | None = None,
        done: int | None = None,
        total: int | None = None,
        note: str | None = None,
    ) -> None:
        """Record progress, inside the transaction of the data that it stands for.

        Raises LeaseLost, and so rolls that transaction back, when somebody else has taken the operation over.
        """
        fields: dict[str, Any] = {
            name: value
            for name, value in (("cursor", cursor), ("step", step), ("done", done), ("total", total))
            if value is not None
        }
        if note is None and self.operation.note == TRYING_AGAIN:
            note = ""  # that try has succeeded
        if note is not None:
            fields["note"] = note[:300]
        changed = Operation.objects.filter(
            pk=self.operation.pk, fence=self.operation.fence, state=State.RUNNING
        ).update(attempts=0, progressed=Now(), error_code="", error_text="", **fields)
        if changed != 1:
            raise LeaseLost
        for name, value in fields.items():
            setattr(self.operation, name, value)

    def log(self, text: str, level: str = "info") -> None:
        """Write one line for the people who watch."""
        OperationLine.objects.create(operation=self.operation, text=text[:1000], level=level)
