"""Every connection's rows as this process holds them: columns in memory, brought up to date at each look.

The database stays the truth. A look costs one query; what changed since the last one is read and laid over
what is there, and everything is read from packed segments when there is nothing yet or they were packed anew.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from threading import Lock
from uuid import UUID

import numpy as np
from django.db import connection as database
from numpy.typing import NDArray

from completions.columns import changes
from completions.columns.changes import DERIVED, State
from completions.columns.segment import MARKS, MOST_ROWS, Mask, Places, Row, Segment
from completions.models import ColumnSegment

MOST_BYTES = 2**30  # held for connections that nobody is looking at just now
_TRIES = 20


@dataclass(frozen=True)
class Part:
    """Some rows; `alive` says which of them have neither changed since nor gone, None that all are so."""

    segment: Segment
    alive: Mask | None = None

    @cached_property
    def rows(self) -> int:
        return len(self.segment) if self.alive is None else int(np.count_nonzero(self.alive))

    @property
    def marks_alive(self) -> NDArray[np.uint16]:
        """The marks of the rows that live."""
        return self.segment.marks if self.alive is None else self.segment.marks[self.alive]

    @cached_property
    def span(self) -> tuple[int, int]:
        """The lowest and the highest id."""
        return int(self.segment.ids.min()), int(self.segment.ids.max())

    def places_of(self, ids: NDArray[np.int64]) -> Places:
        """Where those of some ascending ids stand that are here."""
        low, high = self.span
        if not len(ids) or ids[0] > high or ids[-1] < low:
            return np.empty(0, np.intp)
        near = np.flatnonzero((self.segment.ids >= ids[0]) & (self.segment.ids <= ids[-1]))
        found: Places = near[np.isin(self.segment.ids[near], ids)]
        return found

    def without(self, ids: NDArray[np.int64]) -> "Part":
        """The part when these ascending ids no longer live in it."""
        places = self.places_of(ids)
        if not len(places):
            return self
        alive = np.ones(len(self.segment), bool) if self.alive is None else self.alive.copy()
        alive[places] = False
        return Part(self.segment, alive)


@dataclass(frozen=True)
class Columns:
    """One connection's rows as they stood at a change; every id lives in one part only."""

    connection: int
    change: int
    parts: tuple[Part, ...] = ()

    def __len__(self) -> int:
        return sum(part.rows for part in self.parts)

    def marked(self, name: str) -> int:
        """How many rows have this mark."""
        return sum(int(np.count_nonzero(part.marks_alive & MARKS[name])) for part in self.parts)


@dataclass(frozen=True)
class _Held:
    """What is known of a mirror: `base` is what was packed, by the keys of the segments."""

    epoch: UUID
    packed: int
    base: dict[int, Segment]
    columns: Columns
    loose: int  # how many of the parts, counted from the end, are not from packed segments

    @property
    def nbytes(self) -> int:
        return sum(part.segment.nbytes for part in self.columns.parts)


@dataclass
class _Slot:
    held: _Held | None = None
    used: int = 0
    lock: Lock = field(default_factory=Lock)


class Store:
    """A cache of columns; a process has one, below."""

    def __init__(self) -> None:
        self._slots: dict[int, _Slot] = {}
        self._lock = Lock()
        self._uses = count(1)

    def current(self, connections: Iterable[int]) -> dict[int, Columns]:
        """Each connection's rows as they stand now."""
        wanted = set(connections)
        with self._lock:
            known = set(self._slots)
        states = changes.states(wanted | known)
        self._drop(known - states.keys())
        return {
            pk: self._current(pk, states[pk]) if pk in states else Columns(pk, 0) for pk in sorted(wanted)
        }

    def _current(self, pk: int, state: State) -> Columns:
        with self._lock:
            slot = self._slots.setdefault(pk, _Slot())
            slot.used = next(self._uses)
        if (columns := _fit(slot.held, state)) is not None:
            return columns
        if database.in_atomic_block:
            # This transaction may see what is never committed: nobody else may learn of it.
            return _refreshed(pk, state, slot.held).columns
        with slot.lock:
            if (columns := _fit(slot.held, state)) is None:
                slot.held = _refreshed(pk, state, slot.held)
                columns = slot.held.columns
                self._make_room(pk)
        return columns

    def _drop(self, connections: Iterable[int]) -> None:
        with self._lock:
            for pk in connections:
                self._slots.pop(pk, None)

    def _make_room(self, kept: int) -> None:
        with self._lock:
            sizes = {pk: slot.held.nbytes for pk, slot in self._slots.items() if slot.held is not None}
            total = sum(sizes.values())
            for pk in sorted(sizes, key=lambda pk: self._slots[pk].used):
                if total <= MOST_BYTES:
                    return
                if pk != kept:
                    del self._slots[pk]
                    total -= sizes[pk]


def _fit(held: _Held | None, state: State) -> Columns | None:
    """What is held, if it is as new as that; another thread may have seen a later state already."""
    epoch, change, _, _ = state
    return (
        held.columns if held is not None and held.epoch == epoch and held.columns.change >= change else None
    )


def _refreshed(pk: int, state: State, held: _Held | None) -> _Held:
    epoch, change, packed, derived = state
    layers = _Layers()
    # While rows are being read again, those that were not would have to be read anew after each packing.
    stays = derived < DERIVED
    if held is not None and held.epoch == epoch and (held.packed == packed or stays):
        base, since, packed = held.base, held.columns.change, held.packed
        at = len(held.columns.parts) - held.loose
        layers.base, layers.loose = list(held.columns.parts[:at]), list(held.columns.parts[at:])
    else:
        base, since = _segments(pk, held.base if held is not None and held.epoch == epoch else {}), packed
        layers.base = [Part(segment) for segment in base.values() if len(segment)]
        if derived < DERIVED:
            for rows in changes.rows_unnumbered(pk):
                layers.lay(rows)
    # What was packed or written after that state was read stands in these rows too, and they count.
    for rows in changes.rows_after(pk, since):
        layers.lay(rows)
    layers.take(changes.removed_after(pk, since))
    parts = (*layers.base, *layers.loose)
    return _Held(epoch, packed, base, Columns(pk, change, parts), len(layers.loose))


def _segments(pk: int, held: dict[int, Segment]) -> dict[int, Segment]:
    """The packed segments by their keys; those that are here already are not read again."""
    rows = ColumnSegment.objects.filter(connection_id=pk)
    for _ in range(_TRIES):
        keys = list(rows.order_by("pk").values_list("pk", flat=True))
        found = {key: held[key] for key in keys if key in held}
        for key in keys:
            if key not in found:
                data = rows.filter(pk=key).values_list("data", flat=True).first()
                if data is None:
                    break  # packed anew meanwhile
                found[key] = Segment.decode(data)
        else:
            return found
        held = found
    raise RuntimeError(f"The segments of connection {pk} change faster than they can be read.")


@dataclass
class _Layers:
    """Parts in the making, the newer over the older."""

    base: list[Part] = field(default_factory=list)
    loose: list[Part] = field(default_factory=list)

    def lay(self, rows: Sequence[Row]) -> None:
        """Put these over what is there, and join small parts so that few stay."""
        segment = Segment.of(rows)
        self.take(np.sort(segment.ids))
        self.loose.append(Part(segment))
        while len(self.loose) > 1:
            older, newer = self.loose[-2:]
            if older.rows > 2 * newer.rows or older.rows + newer.rows > MOST_ROWS:
                break
            pieces = [(part.segment, part.alive) for part in (older, newer)]
            self.loose[-2:] = [Part(joined) for joined in Segment.joined(pieces)]

    def take(self, ids: NDArray[np.int64]) -> None:
        """Let these ascending ids live nowhere any more."""
        if len(ids):
            self.base = [left for part in self.base if (left := part.without(ids)).rows]
            self.loose = [left for part in self.loose if (left := part.without(ids)).rows]


_process = Store()


def current(connections: Iterable[int]) -> dict[int, Columns]:
    """Each connection's rows as they stand now, from what this process holds and what changed since."""
    return _process.current(connections)
