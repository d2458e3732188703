"""How well a mirror follows its upstream, in numbers and plain words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from completions import columns, missing, schedule, sync
from completions.models import Quarantine, SyncPass, SyncState
from portal.models import Connection, Operation


@dataclass(frozen=True)
class PassHealth:
    """One pass: what it last did, and the operation that is doing it now."""

    title: str
    about: str
    state: SyncState
    operation: Operation | None

    @property
    def met(self) -> Sequence[tuple[str, int]]:
        """What it met, as words and numbers."""
        found = self.state.counts
        return [(words, found[name]) for name, words in sync.WORDS.items() if found.get(name)]


ABOUT = {
    SyncPass.NEWEST: ("First rows", "The newest rows, so that the screen lives at once"),
    SyncPass.BACKFILL: ("Backfill", "Everything there is, once"),
    SyncPass.INCREMENTAL: ("New rows", "What was stored since, and the minutes before it again"),
    SyncPass.SWEEP: ("Sweep", "Every row compared; finds what changed or went upstream"),
}


@dataclass(frozen=True)
class Health:
    """A connection's mirror as the health page shows it."""

    connection: Connection
    passes: Sequence[PassHealth]
    here: int
    gone: int
    upstream: int | None
    missing: int
    quarantined: int
    synced: datetime | None
    next_sync: datetime | None
    error: dict[str, Any]

    @property
    def lag(self) -> float | None:
        """Seconds since upstream was last looked at to the end."""
        return None if self.synced is None else (timezone.now() - self.synced).total_seconds()

    @property
    def difference(self) -> int | None:
        """Rows that upstream has beyond those that are here; None while it does not say, or where it may."""
        if self.upstream is None or self.connection.scope_since is not None:
            return None
        return max(0, self.upstream - self.here - self.quarantined)

    @property
    def running(self) -> bool:
        return any(one.operation is not None for one in self.passes)


def health_of(connection: Connection) -> Health:
    """Everything the health page shows."""
    states = {state.sync_pass: state for state in SyncState.objects.filter(connection=connection)}
    live = {
        operation.kind: operation
        for operation in Operation.objects.live().filter(connection=connection, kind__startswith="sync.")
    }
    passes = [
        PassHealth(
            *ABOUT[sync_pass],
            states.get(sync_pass) or SyncState(connection=connection, sync_pass=sync_pass),
            live.get(sync.kind_of(sync_pass)),
        )
        for sync_pass in SyncPass
    ]
    told = [state for state in states.values() if state.upstream_total is not None]
    told.sort(key=lambda state: state.finished or state.started or connection.created)
    rows = columns.current([connection.pk])[connection.pk]
    gone = rows.marked("gone")
    newest = states.get(SyncPass.INCREMENTAL)
    scheduled = connection.sync_enabled and connection.state in sync.USABLE
    return Health(
        connection=connection,
        passes=passes,
        here=len(rows) - gone,
        gone=gone,
        upstream=told[-1].upstream_total if told else None,
        missing=missing.pending(connection.pk).count(),
        quarantined=Quarantine.objects.filter(connection=connection).count(),
        synced=newest.finished if newest else None,
        next_sync=schedule.next_sync(connection) if scheduled else None,
        error=connection.last_error if isinstance(connection.last_error, dict) else {},
    )


@dataclass(frozen=True)
class Status:
    """One line about all the connections that a person may read."""

    tone: str  # a dot's class: "", run, warn, bad
    text: str
    at: datetime | None = None
    slug: str = ""
    running: bool = False


def status_of(connections: Iterable[Connection]) -> Status:
    """What to say beside the table's title."""
    every = list(connections)
    if not every:
        return Status("none", "No connection")
    found = [one for one in every if one.has_endpoint]
    if not found:
        return Status("none", "Filled from files")
    trouble = [one for one in found if one.state == Connection.State.ATTENTION]
    running = Operation.objects.filter(
        connection__in=found, state=Operation.State.RUNNING, kind__startswith="sync."
    )
    slug = found[0].slug if len(found) == 1 else ""
    done = [operation.done for operation in running]
    if done:
        rows = f" {sum(done):,} rows" if sum(done) else ""
        return Status("run", f"Syncing…{rows}", slug=slug, running=True)
    if trouble:
        return Status("bad", f"{trouble[0].name} needs attention", slug=trouble[0].slug)
    ended = [
        state.finished
        for state in SyncState.objects.filter(connection__in=found, sync_pass=SyncPass.INCREMENTAL)
        if state.finished is not None
    ]
    if not ended:
        return Status("none", "Not synced yet", slug=slug)
    return Status("ok", "Synced", at=min(ended), slug=slug)
