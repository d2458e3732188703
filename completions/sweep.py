"""The end of a sweep: what a complete listing did not show is asked for row by row, and only a 404 marks it.

Nothing is ever deleted here: what is gone upstream stays in the mirror and says so.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from completions import absorbing
from completions.models import StoredCompletion, SyncState
from completions.scope import Scope
from portal.crashpoints import crashpoint
from portal.models import Connection
from portal.operations import Working
from portal.upstream import Item, Upstream, UpstreamError

AT_ONCE = 50


def unlisted(connection: Connection, state: SyncState) -> Any:
    """Rows that were here when the sweep began and were not listed by it."""
    return StoredCompletion.objects.filter(
        connection=connection,
        seen_sweep__lt=state.generation,
        arrived__lt=state.started,
        gone_at__isnull=True,
    )


def check_unlisted(work: Working, connection: Connection, upstream: Upstream, state: SyncState) -> bool:
    """Look at every unlisted row upstream; False if the step is over before all were looked at."""
    scope = Scope.of(connection)  # what lies outside it was never asked for, so not listing it says nothing
    with ThreadPoolExecutor(settings.SYNC_CONCURRENCY, thread_name_prefix="check") as pool:
        while work.time_left() and not work.cancelled():
            last = state.counts.get("checked_to", 0)
            rows = list(
                unlisted(connection, state)
                .filter(pk__gt=last)
                .order_by("pk")
                .values_list("pk", "upstream_id", "created", "model", "metadata")[:AT_ONCE]
            )
            if not rows:
                return True
            asked = [
                (pk, upstream_id)
                for pk, upstream_id, created, model, metadata in rows
                if scope.holds({"created": created, "model": model, "metadata": metadata})
            ]
            found = list(pool.map(lambda row: _look(upstream, row[1]), asked))
            error = next((answer for answer in found if isinstance(answer, UpstreamError)), None)
            if error is not None:
                raise error  # none of these rows is marked: the step is repeated
            _record(work, connection, state, asked, found, rows[-1][0])
            crashpoint("sweep.checked")
    return False


def _look(upstream: Upstream, upstream_id: str) -> Item | UpstreamError | None:
    """The row as upstream has it, None if it says that it has none, or why it did not say."""
    try:
        return upstream.get_stored(upstream_id)
    except UpstreamError as error:
        return None if error.kind == "not_found" else error


def _record(
    work: Working,
    connection: Connection,
    state: SyncState,
    rows: Sequence[tuple[int, str]],
    found: Sequence[Item | UpstreamError | None],
    checked_to: int,
) -> None:
    gone = [pk for (pk, _), item in zip(rows, found, strict=True) if item is None]
    # Only that they exist is taken from here: the answer to a get is not the item of a list.
    there = [pk for (pk, _), item in zip(rows, found, strict=True) if isinstance(item, Item)]
    counts = dict(state.counts)
    counts["gone"] = counts.get("gone", 0) + len(gone)
    counts["unlisted"] = counts.get("unlisted", 0) + len(there)
    counts["checked_to"] = checked_to
    with transaction.atomic():
        absorbing.lock(connection.pk)
        absorbing.touch(connection.pk, there, state.generation)
        absorbing.mark(connection.pk, gone, gone_at=timezone.now())
        SyncState.objects.filter(pk=state.pk).update(counts=counts)
        work.advance(note=f"{counts['gone']} rows are gone upstream")
    state.counts = counts
