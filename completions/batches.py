"""A slice of a page on its way into the mirror: what is here already, what is fetched, what to write."""

from collections.abc import Iterable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field

from completions import raw
from completions.fetching import OF_ONE_ROW, Fetcher, Halted, from_mirror, without_messages
from completions.models import Body, MessagesState, StoredCompletion
from completions.readings import Reading, Unstorable, digest_of, identity, moment
from completions.scope import Scope
from portal.upstream import Item, UpstreamError

Read = Reading | Unstorable
MANY_FAILURES = 5


@dataclass(slots=True)
class Entry:
    """One item: the future of its messages, or what it was read as, or the row that is here unchanged.

    One that is left out (outside the scope, or twice in the page) has none of these.
    """

    item: Item
    future: "Future[Read] | None" = None
    read: Read | None = None
    here: int | None = None


@dataclass(slots=True)
class Batch:
    """Items in the order of the list. Its fetches are counted to bound what is in flight."""

    entries: list[Entry] = field(default_factory=list)
    fetches: int = 0
    outside: int = 0
    doubled: int = 0


@dataclass(slots=True)
class Result:
    """What to write of a batch. `error` or `halted` says why the rest of it is left for the next time."""

    readings: list[Reading] = field(default_factory=list)
    unstorable: list[Unstorable] = field(default_factory=list)
    here: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    rows: int = 0
    outside: int = 0
    doubled: int = 0
    newest: int | None = None
    stored: list[str] = field(default_factory=list)
    error: UpstreamError | None = None
    halted: bool = False


def plan(connection_id: int, items: Sequence[Item], scope: Scope, fetcher: Fetcher) -> Batch:
    """Find out which of these are here already, and begin to fetch the messages of the others."""
    batch = Batch()
    seen: dict[str, bytes] = {}
    names = [identity(item.value) for item in items]
    known = {
        upstream_id: (pk, digest, state)
        for pk, upstream_id, digest, state in StoredCompletion.objects.filter(
            connection_id=connection_id,
            upstream_id__in=[name for name in names if name is not None],
        ).values_list("pk", "upstream_id", "digest", "messages_state")
    }
    for item, name in zip(items, names, strict=True):
        entry = Entry(item)
        batch.entries.append(entry)
        if name is not None and not scope.holds(item.value or {}):
            batch.outside += 1
        elif name is not None and seen.get(name) == item.raw:
            batch.doubled += 1
        elif name is None or moment(item.value) is None:
            entry.read = without_messages(item)  # says what it lacks
        elif name not in known:
            entry.future = fetcher.submit(item)
            batch.fetches += 1
        else:
            pk, digest, state = known[name]
            if digest == digest_of(item.raw):
                entry.here = pk
            elif state == MessagesState.PENDING:
                entry.read = without_messages(item)
            else:
                blob = Body.objects.values_list("raw", flat=True).get(pk=pk)
                entry.read = from_mirror(item, state, bytes(blob))
        if name is not None:
            seen[name] = item.raw
    return batch


def refetch(blobs: Sequence[bytes], fetcher: Fetcher) -> Batch:
    """Begin to fetch the messages of rows that are here without them, from their packed bytes."""
    batch = Batch()
    for blob in blobs:
        item = raw.unpack(blob).item
        try:
            value, problem = raw.decode(item), ""
        except raw.Unreadable as error:
            value, problem = None, str(error)
        batch.entries.append(Entry(kept := Item(item, value, problem), fetcher.submit(kept)))
        batch.fetches += 1
    return batch


def collect(batch: Batch, *, last_try: bool = False) -> Result:
    """Wait for the batch's messages.

    A row whose own messages failed is kept without them, to be filled later; after the last try for good.
    """
    result = Result(outside=batch.outside, doubled=batch.doubled)
    failures: list[UpstreamError] = []
    for entry in batch.entries:
        try:
            read = entry.future.result() if entry.future is not None else entry.read
        except (Halted, CancelledError):
            result.halted = True
            break
        except UpstreamError as error:
            if error.kind not in OF_ONE_ROW:
                result.error = error
                break
            if error.kind != "not_found":
                failures.append(error)
            read = without_messages(entry.item, error, for_good=last_try)
        _note(result, entry, read)
    if len(failures) >= MANY_FAILURES and len(failures) == batch.fetches and not last_try:
        return Result(error=failures[0])  # that is no matter of single rows
    return result


def _note(result: Result, entry: Entry, read: Read | None) -> None:
    result.rows += 1
    if isinstance(read, Reading):
        result.readings.append(read)
    elif isinstance(read, Unstorable):
        result.unstorable.append(read)
    elif entry.here is not None:
        result.here.append(entry.here)
    name, created = identity(entry.item.value), moment(entry.item.value)
    if name is not None:
        result.ids.append(name)
        if isinstance(read, Reading) or entry.here is not None:
            result.stored.append(name)
    if created is not None:
        result.newest = max(created, result.newest if result.newest is not None else created)


def slices(items: Sequence[Item], size: int) -> Iterable[Sequence[Item]]:
    """A page in pieces of about the same size, none larger than `size`."""
    if not items:
        return
    pieces = -(-len(items) // size)
    for piece in range(pieces):
        yield items[piece * len(items) // pieces : (piece + 1) * len(items) // pieces]
