"""Mirror a connection: its newest rows first, then everything, then what is new; and a sweep that compares.

Each pass is an operation of its own kind, so that new rows arrive while an old backlog is still being read.
"""

import logging
from collections.abc import Callable

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from completions import absorbing, missing, sweep
from completions.fetching import Fetcher
from completions.models import SyncPass, SyncState
from completions.scope import Scope
from completions.walk import Walk
from portal import operations
from portal.models import Connection, Operation
from portal.operations import Again, Cancelled, Done, Failed, Outcome, Working
from portal.progress import name_results
from portal.upstream import Upstream, UpstreamError, connect

log = logging.getLogger(__name__)
FIRST_ROWS = 1000
# What a pass met, by its name in SyncState.counts.
WORDS = {
    "new": "new",
    "changed": "changed",
    "same": "the same",
    "gone": "gone upstream",
    "unlisted": "there but not listed",
    "doubled": "listed twice",
    "outside": "outside the scope",
    "pending": "without messages yet",
    "quarantined": "in quarantine",
}
name_results({words: words.capitalize() for words in WORDS.values()})
USABLE = (Connection.State.CONNECTED, Connection.State.ATTENTION)
TITLES = {
    SyncPass.NEWEST: "First rows of {}",
    SyncPass.BACKFILL: "Backfill of {}",
    SyncPass.INCREMENTAL: "New rows of {}",
    SyncPass.SWEEP: "Sweep of {}",
}
Step = Callable[[Working, Connection, Upstream, Fetcher], Outcome]


def kind_of(sync_pass: str) -> str:
    return f"sync.{sync_pass}"


def begin(connection: Connection, sync_pass: SyncPass, user: object = None) -> Operation:
    """Begin a pass, unless it is under way."""
    return operations.begin(
        kind_of(sync_pass),
        title=TITLES[sync_pass].format(connection.name),
        dedupe_key=str(connection.pk),
        connection=connection,
        requested_by=user,
    )


def state_of(connection: Connection, sync_pass: SyncPass) -> SyncState:
    """How far a pass has come; made at its first look."""
    found: SyncState = SyncState.objects.get_or_create(connection=connection, sync_pass=sync_pass)[0]
    return found


def restart(work: Working, state: SyncState) -> None:
    """Make a pass that has ended begin anew; one that was interrupted goes on where it stopped."""
    if not state.complete and state.started is not None:
        return
    with transaction.atomic():
        if state.sync_pass == SyncPass.SWEEP:
            state.generation += 1
        state.cursor, state.recent, state.rows, state.counts = "", [], 0, {}
        state.complete, state.started = False, timezone.now()
        state.save()
        work.advance(done=0)


def _newest(work: Working, connection: Connection, upstream: Upstream, fetcher: Fetcher) -> Outcome:
    state = state_of(connection, SyncPass.NEWEST)
    restart(work, state)
    scope = Scope.of(connection)
    walk = Walk(work, connection, state, upstream, fetcher, "desc", scope, until=scope.since, most=FIRST_ROWS)
    if not walk.run():
        return _unfinished(work)
    with transaction.atomic():
        _complete(work, state)
        begun = state_of(connection, SyncPass.INCREMENTAL)
        begun.watermark, begun.complete = state.counts.get("top"), True
        begun.started, begun.finished = state.started, state.finished
        begun.save()
        behind = state_of(connection, SyncPass.BACKFILL)
        if walk.reached_end:
            behind.complete, behind.started, behind.finished = True, state.started, state.finished
            behind.save()
        elif not behind.complete:
            if scope.since is not None and not behind.cursor:
                behind.cursor, behind.recent = state.cursor, state.recent
                behind.started = timezone.now()
                behind.save()
            begin(connection, SyncPass.BACKFILL)
    return _result(state)


def _backfill(work: Working, connection: Connection, upstream: Upstream, fetcher: Fetcher) -> Outcome:
    state = state_of(connection, SyncPass.BACKFILL)
    restart(work, state)
    scope = Scope.of(connection)
    # Ascending, as new rows then appear behind what is being read. With a limit in the past the other way
    # round: the list cannot be entered in its middle, and most of it may not be wanted.
    order = "asc" if scope.since is None else "desc"
    walk = Walk(work, connection, state, upstream, fetcher, order, scope, until=scope.since)
    if not walk.run():
        return _unfinished(work)
    with transaction.atomic():
        _complete(work, state)
    return _result(state)


def _incremental(work: Working, connection: Connection, upstream: Upstream, fetcher: Fetcher) -> Outcome:
    state = state_of(connection, SyncPass.INCREMENTAL)
    restart(work, state)
    scope = Scope.of(connection)
    limits = [scope.since] if scope.since is not None else []
    if state.watermark is not None:
        limits.append(state.watermark - connection.overlap_minutes * 60)
    walk = Walk(
        work, connection, state, upstream, fetcher, "desc", scope, until=max(limits) if limits else None
    )
    if not walk.run():
        return _unfinished(work)
    with transaction.atomic():
        state.watermark = max(state.counts.get("top", 0), state.watermark or 0) or None
        _complete(work, state)
    return _result(state)


def _sweep(work: Working, connection: Connection, upstream: Upstream, fetcher: Fetcher) -> Outcome:
    state = state_of(connection, SyncPass.SWEEP)
    restart(work, state)
    if not state.counts.get("listed"):
        scope = Scope.of(connection)
        order = "asc" if scope.since is None else "desc"
        walk = Walk(
            work,
            connection,
            state,
            upstream,
            fetcher,
            order,
            scope,
            until=scope.since,
            generation=state.generation,
        )
        if not walk.run():
            return _unfinished(work)
        with transaction.atomic():
            state.counts = {**state.counts, "listed": 1}
            state.save(update_fields=["counts"])
            work.advance(step="check")
    if not sweep.check_unlisted(work, connection, upstream, state):
        return _unfinished(work)
    with transaction.atomic():
        _complete(work, state)
    return _result(state)


def _unfinished(work: Working) -> Outcome:
    if work.cancelled():
        raise Cancelled
    return Again()


def _complete(work: Working, state: SyncState) -> None:
    state.complete, state.finished = True, timezone.now()
    state.save()
    work.advance(note="", done=state.rows, total=state.rows)
    met = ", ".join(f"{n:,} {WORDS[name]}" for name, n in state.counts.items() if n and name in WORDS)
    work.log(f"Complete after {state.rows:,} rows: {met or 'nothing there'}.")


def _result(state: SyncState) -> Done:
    return Done({WORDS[name]: n for name, n in state.counts.items() if n and name in WORDS})


def _registered(kind: str, step: Step) -> None:
    def run(work: Working) -> Outcome:
        return _with_upstream(work, step)

    operations.handler(kind, queue="sync")(run)


def _with_upstream(work: Working, step: Step) -> Outcome:
    """Run one step on a connection that may be used, and keep what people see of its health up to date."""
    connection = work.operation.connection
    if connection is None or connection.state not in USABLE:
        raise Failed("disconnected", "The connection is not connected. Connect it again, then try again.")
    absorbing.keep_small()
    try:
        with connect(connection) as upstream, Fetcher(upstream, settings.SYNC_CONCURRENCY) as fetcher:
            outcome = step(work, connection, upstream, fetcher)
            if times := fetcher.limiter.throttled:
                work.log(
                    f"Asked {times} times to slow down; now at most {fetcher.limiter.limit} at once.",
                    "warning",
                )
    except UpstreamError as error:
        if error.code == "cursor_gone":
            return _start_over(work, connection)
        note_trouble(connection, error)
        raise
    if not isinstance(outcome, operations.Wait):
        note_success(connection)
    return outcome


def _start_over(work: Working, connection: Connection) -> Outcome:
    """Every id that could serve as a cursor has been deleted upstream: read the list from its start again."""
    sync_pass = SyncPass(work.operation.kind.removeprefix("sync."))
    state = state_of(connection, sync_pass)
    with transaction.atomic():
        state.cursor, state.recent = "", []
        state.save(update_fields=["cursor", "recent"])
        work.log(
            "The rows around the last position were deleted upstream; reading the list again.", "warning"
        )
        work.advance()
    return Again()


def note_success(connection: Connection) -> None:
    """Upstream answered as it should."""
    Connection.objects.filter(pk=connection.pk, state__in=USABLE).update(
        state=Connection.State.CONNECTED, last_ok_at=timezone.now(), last_error={}, last_error_at=None
    )


def note_trouble(connection: Connection, error: UpstreamError) -> None:
    """Keep the error for people to see; what only a person can put right asks for attention."""
    found = Connection.objects.filter(pk=connection.pk, state__in=USABLE)
    found.update(last_error=error.as_dict(), last_error_at=timezone.now())
    if error.permanent:
        found.update(state=Connection.State.ATTENTION)


_registered(kind_of(SyncPass.NEWEST), _newest)
_registered(kind_of(SyncPass.BACKFILL), _backfill)
_registered(kind_of(SyncPass.INCREMENTAL), _incremental)
_registered(kind_of(SyncPass.SWEEP), _sweep)
_registered(missing.KIND, missing.fill)
