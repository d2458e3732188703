"""Who works on an operation right now: one claim, renewed while its holder lives, by the database's clock.

A claim raises the fence. Whoever holds an older one may still be running (a paused process, a slow network):
every write it tries names its fence, changes no row and stops it.
"""

import logging
import os
import socket
from datetime import timedelta
from threading import Event, Thread
from uuid import uuid4

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import DateTimeField, ExpressionWrapper, F, Q
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Now

from portal.models import Operation

log = logging.getLogger(__name__)
State = Operation.State


def from_now(seconds: float) -> Combinable:
    """A moment counted by the database's clock, which every machine shares."""
    return ExpressionWrapper(Now() + timedelta(seconds=seconds), output_field=DateTimeField())


def holder() -> str:
    """Prefix of every lease taken under one worker.

    PORTAL_WORKER names the worker; without it, its host and the process id of its main process do.
    """
    return os.environ.get("PORTAL_WORKER") or holder_of(os.getppid())


def holder_of(worker_pid: int) -> str:
    """What `expire_leases_of` takes for a worker on this machine whose main process had this id."""
    return f"{socket.gethostname()}:{worker_pid}"


def claim(pk: int) -> Operation | None:
    """Take the operation if it is free and due; None when someone else has it or it has ended."""
    owner = f"{holder()}:{os.getpid()}:{uuid4().hex[:12]}"[:120]
    free = (
        Q(state=State.READY)
        | Q(state=State.WAITING, next_run_at__lte=Now())
        | Q(state=State.RUNNING, lease_until__lt=Now())
    )
    claimed = Operation.objects.filter(free, pk=pk).update(
        state=State.RUNNING,
        lease_owner=owner,
        lease_until=from_now(settings.OPERATION_LEASE_SECONDS),
        fence=F("fence") + 1,
        attempts=F("attempts") + 1,
        next_run_at=None,
        started=Coalesce(F("started"), Now()),
    )
    if claimed != 1:
        return None
    # The owner is new with every claim: if a third party took the lease meanwhile, this finds nothing.
    mine = Operation.objects.select_related("connection").filter(pk=pk, lease_owner=owner)
    found: Operation | None = mine.first()
    return found


def renew(pk: int, fence: int) -> bool:
    """Hold the lease for another while; False when it is lost."""
    renewed = Operation.objects.filter(pk=pk, fence=fence, state=State.RUNNING).update(
        lease_until=from_now(settings.OPERATION_LEASE_SECONDS)
    )
    return bool(renewed == 1)


def expire_leases_of(owner_prefix: str) -> int:
    """Free what a worker held that is known to be dead; the next tick rings it. Returns how many.

    Called by the supervisor, which waits for the worker's whole process group before it calls.
    """
    return int(
        Operation.objects.filter(state=State.RUNNING, lease_owner__startswith=f"{owner_prefix}:").update(
            lease_until=from_now(-1)
        )
    )


class Keeper:
    """A side thread that renews one lease on a database connection of its own."""

    def __init__(self, pk: int, fence: int) -> None:
        self._pk, self._fence = pk, fence
        self._stop = Event()
        self.lost = Event()
        self._thread = Thread(target=self._keep, name=f"lease-{pk}", daemon=True)

    def __enter__(self) -> "Keeper":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join(timeout=30)

    def _keep(self) -> None:
        try:
            while not self._stop.wait(settings.OPERATION_LEASE_SECONDS / 3):
                try:
                    held = renew(self._pk, self._fence)
                except DatabaseError as error:
                    # The next round tries again; if the database stays away the lease simply ends.
                    log.warning("The lease of operation %s could not be renewed: %s", self._pk, error)
                    connection.close()
                    continue
                if not held:
                    self.lost.set()
                    return
        finally:
            connection.close()
