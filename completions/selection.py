"""A selection: these completions, or all that match except these; frozen before anything is done with it."""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

import numpy as np
from django.db import transaction
from django.utils import timezone
from numpy.typing import NDArray

from completions.filters import Clause, Filter
from completions.listing import Listing
from completions.models import FrozenSelection, StoredCompletion
from completions.querysets import holding
from portal import operations

MOST_EXCLUDED = 1000
MOST_IDS = 50_000  # chosen one by one or by page; beyond that it is a filter
EXPIRES = timedelta(days=1)
FREEZE = "completions.freeze"
NOTHING_LEFT = "Nothing is selected any more: no completion that you may read is left."


class Refused(ValueError):
    """The selection cannot be frozen; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a page says is selected."""

    q: str = ""
    ids: tuple[int, ...] = ()
    everything: bool = False
    excluded: tuple[int, ...] = ()

    @classmethod
    def from_post(cls, data: Mapping[str, str]) -> Self:
        """Read the fields of the selection's form. Raises Refused."""
        everything = data.get("mode") == "all"
        return cls(
            q=data.get("q", ""),
            ids=() if everything else _numbers(data.get("ids", "")),
            everything=everything,
            excluded=_numbers(data.get("excluded", "")) if everything else (),
        )


def freeze(
    user: Any, *, q: str = "", ids: Iterable[int] = (), everything: bool = False, excluded: Iterable[int] = ()
) -> FrozenSelection:
    """Write down which completions are selected, of those that `user` may read now. Raises Refused.

    Where texts have to be read to know, what comes back is not `ready`: an operation (completions.freezing)
    fills it.
    """
    left_out = frozenset(excluded)
    if len(left_out) > MOST_EXCLUDED:
        raise Refused(f"At most {MOST_EXCLUDED:,} completions can be taken out. Narrow the filter instead.")
    wanted = Filter.parse(q)
    if everything and wanted.broken:
        raise Refused("The filter cannot be read, so nothing is selected. Mend it first.")
    with transaction.atomic():
        frozen = FrozenSelection(
            owner=user,
            q=wanted.q if everything else "",
            everything=everything,
            excluded=sorted(left_out) if everything else [],
        )
        listing = Listing(user, wanted)
        if everything and listing.reads:
            return _later(frozen, listing)
        chosen, sources = listing.everything() if everything else _readable(user, ids)
        if left_out:
            chosen = chosen[~np.isin(chosen, np.fromiter(left_out, np.int64))]
        if not len(chosen):
            raise Refused(NOTHING_LEFT)
        frozen.count, frozen.ids = len(chosen), pack(chosen)
        frozen.save()
        frozen.connections.set(sources)
    return frozen


def _later(frozen: FrozenSelection, listing: Listing) -> FrozenSelection:
    frozen.ids = pack([])
    frozen.save()
    frozen.connections.set(each.pk for each in listing.connections)
    frozen.operation = operations.begin(
        FREEZE,
        title="Find all that match",
        dedupe_key=str(frozen.pk),
        requested_by=frozen.owner,
        subject=frozen,
        cursor={"last": listing.latest},
    )
    frozen.save(update_fields=["operation"])
    return frozen


def ids_of(frozen: FrozenSelection) -> Iterator[int]:
    """The ids of a frozen selection, newest first."""
    return unpack(frozen.ids)


def confirm(frozen: FrozenSelection) -> None:
    """Keep a selection for good: something has been made from it."""
    FrozenSelection.objects.filter(pk=frozen.pk, confirmed_at=None).update(confirmed_at=timezone.now())
    frozen.refresh_from_db(fields=["confirmed_at"])


def expire_unconfirmed() -> int:
    """Delete the selections of confirmations that nobody went on with for a day; returns how many."""
    old = FrozenSelection.objects.filter(confirmed_at=None, created__lt=timezone.now() - EXPIRES)
    count = old.count()
    old.delete()
    return int(count)


# How ids are kept: the steps from one to the next, small numbers in one byte, compressed.


def pack(ids: Iterable[int] | NDArray[np.int64]) -> bytes:
    """Ids in their order as bytes."""
    every = np.fromiter(ids, np.int64) if not isinstance(ids, np.ndarray) else ids
    steps = np.diff(every, prepend=np.int64(0))
    # The sign goes to the lowest bit, so that small steps back are small numbers too.
    numbers = np.where(steps >= 0, steps, -(steps + 1)).astype(np.uint64) * np.uint64(2)
    numbers += (steps < 0).astype(np.uint64)
    sizes = np.ones(len(numbers), np.int64)
    for bits in range(7, 64, 7):
        sizes += numbers >> np.uint64(bits) > 0
    places = np.cumsum(sizes) - sizes
    made = np.zeros(int(sizes.sum()), np.uint8)
    for number in range(int(sizes.max(initial=0))):
        some = np.flatnonzero(sizes > number)
        low = (numbers[some] >> np.uint64(7 * number) & np.uint64(0x7F)).astype(np.uint8)
        made[places[some] + number] = low | np.where(sizes[some] > number + 1, 0x80, 0).astype(np.uint8)
    return zlib.compress(made.tobytes(), 6)


def unpack(blob: bytes | memoryview) -> Iterator[int]:
    """The ids that `pack` was given."""
    return iter(unpacked(blob).tolist())


def unpacked(blob: bytes | memoryview) -> NDArray[np.int64]:
    """The same as an array."""
    data = np.frombuffer(zlib.decompress(blob), np.uint8)
    ends = np.flatnonzero(data < 0x80)
    if not len(ends):
        return np.empty(0, np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    within = np.arange(len(data)) - np.repeat(starts, ends - starts + 1)
    parts = (data & 0x7F).astype(np.uint64) << (7 * within).astype(np.uint64)
    numbers = np.add.reduceat(parts, starts)
    halves = (numbers >> np.uint64(1)).astype(np.int64)
    steps = np.where(numbers & np.uint64(1), -halves - 1, halves)
    found: NDArray[np.int64] = np.cumsum(steps)
    return found


def _readable(user: Any, ids: Iterable[int]) -> tuple[NDArray[np.int64], set[int]]:
    """Those of the ids that the user may read, in the order of every list, and their connections."""
    rows = StoredCompletion.objects.readable_by(user).filter(holding(sorted(set(ids))))
    found = sorted(rows.values_list("created", "pk", "connection_id"), reverse=True)
    return np.array([pk for _, pk, _ in found], np.int64), {connection for _, _, connection in found}


def _numbers(text: str) -> tuple[int, ...]:
    parts = [part for part in text.split(",") if part]
    if len(parts) > MOST_IDS:
        raise Refused(
            f"At most {MOST_IDS:,} completions can be chosen one by one. Use a filter and select all."
        )
    if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        raise Refused("The page sent something that is no selection. Reload it and select again.")
    return tuple(int(part) for part in parts)


def name_of(frozen: FrozenSelection) -> str:
    """A name to begin with for what is made of it: what the filter asked for, or where the rows come from."""
    wanted = Filter.parse(frozen.q)
    clauses = [clause for clause in wanted.clauses if isinstance(clause, Clause) and not clause.negated]
    asked = [value for clause in clauses if clause.name != "connection" for value in clause.values]
    sources = frozen.connections.order_by("name").values_list("name", flat=True)
    return " ".join(asked[:3] or sources[:1] or ["Selection"])[:120]
