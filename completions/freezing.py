"""Freezing what only reading texts can tell: newest first, step by step, resumed where it stopped.

What arrives after it was begun is not part of it: its ids are higher than the highest there was.
"""

from django.db import transaction
from django.utils import timezone

from completions import selection
from completions.filters import Filter
from completions.listing import Key, Listing
from completions.models import FrozenSelection
from portal import operations
from portal.models import Operation


def _ended(operation: Operation) -> None:
    """A search that nobody waits for any more leaves nothing."""
    FrozenSelection.objects.filter(pk=operation.subject_id, frozen_at=None, confirmed_at=None).delete()


@operations.handler(selection.FREEZE, queue="dataset", ended=_ended)
def run(work: operations.Working) -> operations.Done | operations.Again:
    """One step of a search through texts."""
    frozen = FrozenSelection.objects.select_related("owner").filter(pk=work.operation.subject_id).first()
    if frozen is None or frozen.frozen_at is not None:
        return operations.Done({})
    listing = Listing(frozen.owner, Filter.parse(frozen.q), now=int(frozen.created.timestamp()))
    cursor = work.operation.cursor
    after = Key(*cursor["after"]) if "after" in cursor else None
    if after is None:
        work.advance(done=0, total=listing.candidates, step="searching")
    ids, looked = selection.unpacked(frozen.ids).tolist(), work.operation.done
    sources, left_out = set[int](cursor.get("sources", [])), frozenset(frozen.excluded)
    for keys, found_in, rows, last in listing.scanned(after):
        ids += [key.id for key in keys if key.id <= cursor["last"] and key.id not in left_out]
        sources |= found_in
        looked += rows
        if work.cancelled():
            raise operations.Cancelled
        whole = not work.time_left()
        if whole or looked % 20_000 < rows:
            _keep(work, frozen, ids, sources, looked, last)
        if whole:
            return operations.Again()
    with transaction.atomic():
        work.advance(done=looked, total=looked)
        frozen.ids, frozen.count, frozen.frozen_at = selection.pack(ids), len(ids), timezone.now()
        frozen.save(update_fields=["ids", "count", "frozen_at"])
        frozen.connections.set(sources)
    return operations.Done({"rows": len(ids)})


def _keep(
    work: operations.Working,
    frozen: FrozenSelection,
    ids: list[int],
    sources: set[int],
    looked: int,
    last: Key,
) -> None:
    """Write down how far the search has come."""
    with transaction.atomic():
        work.advance(
            cursor=work.operation.cursor | {"after": [last.created, last.id], "sources": sorted(sources)},
            done=looked,
        )
        frozen.ids, frozen.count = selection.pack(ids), len(ids)
        frozen.save(update_fields=["ids", "count"])
