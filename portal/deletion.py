"""Delete a connection with everything that hangs on it, in batches, as an operation.

What lies above this app (the mirror, datasets) says here what goes along and what stands in the way.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from portal import audit, operations
from portal.models import Connection, Operation
from portal.operations import Again, Done, Failed, Outcome, Wait, Working


@dataclass(frozen=True)
class Part:
    """Rows that go with a connection: `count` them, and `delete_some` inside the caller's transaction.

    `delete_some` removes one batch (a second's work at most) and returns how many rows are gone with it; 0
    means that nothing is left.
    """

    name: str
    count: Callable[[Connection], int]
    delete_some: Callable[[Connection], int]


Blocker = Callable[[Connection], Iterable[str]]
_parts: list[Part] = []
_blockers: list[Blocker] = []


def before_connection_delete(part: Part) -> Part:
    """Register rows to delete before the connection's own row; parts go in the order of registration."""
    _parts.append(part)
    return part


def blocks_connection_delete(blocker: Blocker) -> Blocker:
    """Register a question whose answer is sentences that say what forbids the deletion. Also a decorator."""
    _blockers.append(blocker)
    return blocker


def counts(connection: Connection) -> list[tuple[str, int]]:
    """What would go, by name."""
    return [(part.name, part.count(connection)) for part in _parts]


def obstacles(connection: Connection) -> list[str]:
    """Why the connection cannot be deleted now."""
    return [sentence for blocker in _blockers for sentence in blocker(connection)]


class Blocked(Exception):
    """The connection cannot be deleted; `reasons` says why."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__(" ".join(reasons))
        self.reasons = reasons


def begin(connection: Connection, user: Any) -> Operation:
    """Start the deletion: the connection leaves every list at once, its rows go in the background."""
    with transaction.atomic():
        locked = Connection.objects.select_for_update().defer("secret").get(pk=connection.pk)
        reasons = obstacles(locked)
        if reasons:
            raise Blocked(reasons)
        rows = sum(number for _, number in counts(locked))
        Connection.objects.filter(pk=locked.pk).update(
            state=Connection.State.DELETING,
            sync_enabled=False,
            secret="",
            secret_last4="",
            secret_set_at=None,
        )
        # It does not hang on the connection, or it would go with it.
        operation = operations.begin(
            "connection.delete",
            title=f"Delete the connection {locked.name}",
            dedupe_key=str(locked.pk),
            requested_by=user,
            subject=locked,
            cursor={"connection": locked.pk, "rows": rows},
        )
        audit.record(user, "connection.deletion_started", locked, connection=locked, rows=rows)
        return operation


def _stopped(operation: Operation) -> None:
    """A deletion that failed or was cancelled leaves a disconnected connection; it can be deleted again."""
    Connection.objects.filter(pk=operation.cursor.get("connection"), state=Connection.State.DELETING).update(
        state=Connection.State.DISCONNECTED
    )


@operations.handler("connection.delete", queue="house", ended=_stopped)
def delete_step(work: Working) -> Outcome:
    """One step: a batch after the other while there is time."""
    cursor = work.operation.cursor
    connection = Connection.objects.defer("secret").filter(pk=cursor.get("connection")).first()
    if connection is None:
        return Done({"rows": work.operation.done})
    if connection.state == Connection.State.DISCONNECTED:  # this is another try
        connection.state = Connection.State.DELETING
        connection.save(update_fields=["state"])
    if connection.state != Connection.State.DELETING:
        raise Failed("not_deleting", "The connection is in use again. Delete it from its own page.")
    live = Operation.objects.live().filter(connection=connection)
    if live.exists():
        live.update(cancel_requested=True)
        for operation in live.exclude(state=Operation.State.RUNNING):
            operations.end(
                operation.pk,
                Operation.State.CANCELLED,
                states=(Operation.State.READY, Operation.State.WAITING),
            )
        return Wait(2, "Waiting for the connection's work to stop.")
    reasons = obstacles(connection)
    if reasons:
        raise Failed("blocked", " ".join(reasons))
    done, total = work.operation.done, int(cursor.get("rows", 0))
    for part in _parts:
        while work.time_left(margin=2):
            with transaction.atomic():
                gone = part.delete_some(connection)
                done += gone
                work.advance(step=part.name[:40], done=done, total=max(total, done))
            if not gone:
                break
        else:
            return Again()
    with transaction.atomic():
        actor = work.operation.requested_by
        audit.record(actor, "connection.deleted", connection, rows=done)
        connection.delete()
        work.advance(done=done, total=done)
    return Done({"rows": done})
