"""A selection: these completions, or all that match except these; frozen before anything is done with it."""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any, Self

from django.db import transaction
from django.utils import timezone

from completions.filters import Filter
from completions.listing import Key, Listing
from completions.models import FrozenSelection, StoredCompletion

MOST_EXCLUDED = 1000
MOST_IDS = 50_000  # chosen one by one or by page; beyond that it is a filter
EXPIRES = timedelta(days=1)
CHUNK = 5_000


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
    """Write down which completions are selected, of those that `user` may read now. Raises Refused."""
    left_out = frozenset(excluded)
    if len(left_out) > MOST_EXCLUDED:
        raise Refused(f"At most {MOST_EXCLUDED:,} completions can be taken out. Narrow the filter instead.")
    wanted = Filter.parse(q)
    if everything and wanted.broken:
        raise Refused("The filter cannot be read, so nothing is selected. Mend it first.")
    with transaction.atomic():
        entries = Listing(user, wanted).entries() if everything else _readable(user, ids)
        chosen: list[int] = []
        sources: set[int] = set()
        for key, connection in entries:
            if key.id not in left_out:
                chosen.append(key.id)
                sources.add(connection)
        if not chosen:
            raise Refused("Nothing is selected any more: no completion that you may read is left.")
        frozen: FrozenSelection = FrozenSelection.objects.create(
            owner=user,
            q=wanted.q if everything else "",
            everything=everything,
            excluded=sorted(left_out) if everything else [],
            count=len(chosen),
            ids=pack(chosen),
        )
        frozen.connections.set(sources)
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


def pack(ids: Iterable[int]) -> bytes:
    """Ids in their order as bytes."""
    made = bytearray()
    before = 0
    for pk in ids:
        step = pk - before
        number = step * 2 if step >= 0 else -step * 2 - 1
        while number > 0x7F:
            made.append(number & 0x7F | 0x80)
            number >>= 7
        made.append(number)
        before = pk
    return zlib.compress(bytes(made), 6)


def unpack(blob: bytes | memoryview) -> Iterator[int]:
    """The ids that `pack` was given."""
    pk = number = shift = 0
    for byte in zlib.decompress(blob):
        number |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
            continue
        pk += number // 2 if number % 2 == 0 else -(number + 1) // 2
        yield pk
        number = shift = 0


def _readable(user: Any, ids: Iterable[int]) -> Iterator[tuple[Key, int]]:
    """Those of the ids that the user may read, in the order of every list, each with its connection."""
    rows = StoredCompletion.objects.readable_by(user)
    found = [
        (Key(created, pk), connection)
        for some in _chunks(sorted(set(ids)))
        for created, pk, connection in rows.filter(pk__in=some).values_list("created", "pk", "connection_id")
    ]
    return iter(sorted(found, reverse=True))


def _chunks(ids: Iterable[int]) -> Iterator[list[int]]:
    left = iter(ids)
    while some := list(islice(left, CHUNK)):
        yield some


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
    asked = [
        value
        for clause in wanted.clauses
        if not clause.negated and not clause.is_time and clause.name != "connection"
        for value in (clause.values or ())
    ]
    sources = frozen.connections.order_by("name").values_list("name", flat=True)
    return " ".join(asked[:3] or sources[:1] or ["Selection"])[:120]
