"""What is due: asked every half minute, and by people who do not want to wait."""

import logging
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from completions import belonging, columns, missing, rederive, sync
from completions.models import Mirror, SyncPass
from portal import audit, operations
from portal.models import Connection, Operation

log = logging.getLogger(__name__)
LONGEST_IN_TROUBLE = timedelta(minutes=15)


def begin_due() -> int:
    """Begin every pass that is due; returns how many. One connection's trouble does not keep the others
    waiting.
    """
    begun = 0
    for connection in Connection.objects.with_endpoint().filter(sync_enabled=True, state__in=sync.USABLE):
        try:
            for sync_pass in due(connection):
                sync.begin(connection, sync_pass)
                begun += 1
            if missing.pending(connection.pk).exists() and _rested(connection, missing.KIND):
                missing.fill_later(connection)
            belonging.begin_if_due(connection)
        except Exception:  # logged, and asked again in half a minute
            log.exception("The schedule of %s could not be looked at.", connection)
    return begun


def keep_columns() -> None:
    """Read rows again that an older version wrote, and pack what writers left unpacked."""
    mirrors = Mirror.objects.exclude(connection__state=Connection.State.DELETING)
    due = mirrors.filter(Q(derived__lt=columns.DERIVED) | Q(unpacked__gte=columns.SMALL))
    for mirror in due.select_related("connection"):
        try:
            if mirror.derived < columns.DERIVED and _rested(mirror.connection, rederive.KIND):
                rederive.begin(mirror.connection)
            elif not Operation.objects.live().filter(connection=mirror.connection).exists():
                columns.pack(mirror.pk)
        except Exception:  # logged, and asked again in half a minute
            log.exception("The columns of %s could not be looked at.", mirror.connection)


def due(connection: Connection) -> list[SyncPass]:
    """The passes that should begin now and are not under way."""
    if not sync.state_of(connection, SyncPass.NEWEST).complete:
        wanted = [SyncPass.NEWEST]
    else:
        wanted = []
        if not sync.state_of(connection, SyncPass.BACKFILL).complete:
            wanted.append(SyncPass.BACKFILL)
        elif _sweep_is_due(connection):
            wanted.append(SyncPass.SWEEP)
        if next_sync(connection) <= timezone.now():
            wanted.append(SyncPass.INCREMENTAL)
    return [sync_pass for sync_pass in wanted if _rested(connection, sync.kind_of(sync_pass))]


def next_sync(connection: Connection) -> Any:
    """When new rows are looked for next."""
    finished = sync.state_of(connection, SyncPass.INCREMENTAL).finished
    pause = timedelta(minutes=connection.sync_every_minutes)
    return finished + pause if finished is not None else timezone.now()


def sync_now(connection: Connection, user: Any) -> Operation:
    """Look for new rows at once; also wakes what is waiting after an error."""
    with transaction.atomic():
        first = not sync.state_of(connection, SyncPass.NEWEST).complete
        operation = sync.begin(connection, SyncPass.NEWEST if first else SyncPass.INCREMENTAL, user)
        operations.hurry(operation)
        if not first and not sync.state_of(connection, SyncPass.BACKFILL).complete:
            operations.hurry(sync.begin(connection, SyncPass.BACKFILL, user))
        if missing.pending(connection.pk).exists():
            operations.hurry(missing.fill_later(connection))
        audit.record(user, "sync.requested", connection, connection=connection, sync_pass=operation.kind)
        return operation


def sweep_now(connection: Connection, user: Any) -> Operation:
    """Compare everything at once."""
    with transaction.atomic():
        operation = sync.begin(connection, SyncPass.SWEEP, user)
        operations.hurry(operation)
        audit.record(user, "sync.requested", connection, connection=connection, sync_pass=operation.kind)
        return operation


def _sweep_is_due(connection: Connection) -> bool:
    if not connection.sweep_every_hours:
        return False
    ended = [
        sync.state_of(connection, sync_pass).finished for sync_pass in (SyncPass.SWEEP, SyncPass.BACKFILL)
    ]
    last = max((moment for moment in ended if moment is not None), default=None)
    return last is None or last + timedelta(hours=connection.sweep_every_hours) <= timezone.now()


def _rested(connection: Connection, kind: str) -> bool:
    """Whether it is time to begin this kind again: not while it runs, not after a cancel, slowly after an
    error.
    """
    last = Operation.objects.filter(connection=connection, kind=kind).order_by("-id").first()
    if last is None or last.state == Operation.State.DONE:
        return True
    if last.is_live or last.state == Operation.State.CANCELLED:
        return False
    pause = timedelta(minutes=connection.sync_every_minutes)
    if connection.state == Connection.State.ATTENTION:
        pause = max(pause, LONGEST_IN_TROUBLE)
    return bool(last.finished is None or last.finished + pause <= timezone.now())
