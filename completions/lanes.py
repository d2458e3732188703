"""The segments that a filter is asked of, and stretches of their rows on the way to an answer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from completions.columns.segment import Mask, Places, Segment
from completions.matching import Matcher


class Key(NamedTuple):
    """A row's place in a list: in every list `created` and `id`, and the value that a list is sorted by."""

    created: int
    id: int
    value: int | None = None


Place = tuple[int, int]  # created, id
# Rows whose texts are asked about: few of the nearest first, then whole segments, more at a time.
FIRST = (512, 4_096)
GROUPS = (16_384, 65_536, 262_144)


@dataclass(frozen=True, eq=False)
class Lane:
    """One segment under one filter."""

    segment: Segment
    alive: Mask | None
    matcher: Matcher

    @cached_property
    def head(self) -> Place:
        """Its newest place."""
        return int(self.segment.created[0]), int(self.segment.ids[0])

    @cached_property
    def tail(self) -> Place:
        """Its oldest place."""
        return int(self.segment.created[-1]), int(self.segment.ids[-1])

    @cached_property
    def mask(self) -> Mask:
        """The rows that match, texts aside."""
        made = self.matcher.mask(self.segment)
        return made if self.alive is None else made & self.alive

    @cached_property
    def places(self) -> Places:
        """Where those rows stand, the newest first."""
        return np.flatnonzero(self.mask)

    def keys(self, places: Places) -> list[Key]:
        created, ids = self.segment.created[places].tolist(), self.segment.ids[places].tolist()
        return [Key(*key) for key in zip(created, ids, strict=True)]

    def beyond(self, cursor: Key | None, *, backwards: bool) -> Places:
        """The places after a cursor, or before it; the nearest to it first either way."""
        if cursor is None:
            return self.places[::-1] if backwards else self.places
        if backwards:
            end = self.segment.newer_than(cursor.created, cursor.id)
            return self.places[: np.searchsorted(self.places, end)][::-1]
        start = self.segment.older_than(cursor.created, cursor.id)
        return self.places[np.searchsorted(self.places, start) :]

    def apart(self, cursor: Key | None, *, backwards: bool) -> bool:
        """Whether all of it lies on the other side of the cursor."""
        if cursor is None:
            return False
        return self.head <= cursor[:2] if backwards else self.tail >= cursor[:2]


@dataclass(frozen=True, eq=False)
class Stretch:
    """Rows of several lanes: all places of the parts one after the other, or those `kept` of them.

    `edge` is the nearest place that may still come after it, None if nothing does.
    """

    parts: Sequence[tuple[Lane, Places]]
    edge: Place | None = None
    kept: NDArray[np.intp] | None = None

    def __len__(self) -> int:
        return int(self._ends[-1]) if self.kept is None else len(self.kept)

    @cached_property
    def _ends(self) -> NDArray[np.intp]:
        return np.cumsum([0, *(len(places) for _, places in self.parts)])

    @cached_property
    def which(self) -> NDArray[np.intp]:
        """The part that each row is of."""
        if self.kept is None:
            return np.repeat(np.arange(len(self.parts)), np.diff(self._ends))
        found: NDArray[np.intp] = np.searchsorted(self._ends, self.kept, "right") - 1
        return found

    @cached_property
    def ids(self) -> NDArray[np.int64]:
        return self._gathered(lambda lane, places: lane.segment.ids[places])

    @cached_property
    def created(self) -> NDArray[np.int64]:
        return self._gathered(lambda lane, places: lane.segment.created[places])

    @cached_property
    def places(self) -> Places:
        """Where in its segment each row stands."""
        return self._gathered(lambda lane, places: places)

    def _gathered(self, of: Callable[[Lane, Places], NDArray[np.int64]]) -> NDArray[np.int64]:
        if self.kept is None:
            return np.concatenate([np.empty(0, np.int64), *(of(lane, places) for lane, places in self.parts)])
        made = np.empty(len(self.kept), np.int64)
        for number in np.unique(self.which).tolist():
            mine = self.which == number
            lane, places = self.parts[number]
            made[mine] = of(lane, places[self.kept[mine] - self._ends[number]])
        return made

    def only(self, kept: NDArray[np.intp] | Mask, edge: Place | None) -> "Stretch":
        """Some of its rows."""
        chosen: NDArray[np.intp] = np.arange(len(self))[kept]
        return Stretch(self.parts, edge, chosen if self.kept is None else self.kept[chosen])

    def nearest(self, size: int, *, backwards: bool) -> "Stretch":
        """The first `size` of its rows in the order of the list; its edge is the last of them."""
        sign = -1 if backwards else 1
        near = np.arange(len(self))
        if len(self) > size:
            ranked = sign * self.created
            edge = np.partition(ranked, len(ranked) - size)[len(ranked) - size]
            near = np.flatnonzero(ranked >= edge)
        order = near[np.lexsort((sign * self.ids[near], sign * self.created[near]))[::-1]][:size]
        last = (int(self.created[order[-1]]), int(self.ids[order[-1]])) if len(order) else None
        return self.only(order, last)

    def keys(self) -> list[Key]:
        return [Key(*key) for key in zip(self.created.tolist(), self.ids.tolist(), strict=True)]

    def by_lane(self, kept: NDArray[np.intp]) -> Iterator[tuple[Lane, NDArray[np.intp]]]:
        """Some of its rows, lane by lane."""
        for number in np.unique(self.which[kept]).tolist():
            yield self.parts[number][0], kept[self.which[kept] == number]


def towards(lanes: Sequence[Lane], cursor: Key | None, *, backwards: bool) -> list[Lane]:
    """Lanes with rows beyond the cursor, those with the nearest first."""
    left = [lane for lane in lanes if not lane.apart(cursor, backwards=backwards)]
    return sorted(left, key=lambda lane: lane.tail if backwards else lane.head, reverse=not backwards)


def in_order(
    lanes: Sequence[Lane], cursor: Key | None, *, backwards: bool, sizes: Sequence[int]
) -> Iterator[Stretch]:
    """Rows in the order of the list, so many at a time; the last size is repeated until no row is left."""
    for size in chain(sizes, repeat(sizes[-1])):
        stretch = _next(lanes, cursor, backwards=backwards, size=size)
        if not len(stretch):
            return
        yield stretch
        assert stretch.edge is not None
        cursor = Key(*stretch.edge)


def in_groups(
    lanes: Sequence[Lane], cursor: Key | None = None, *, backwards: bool = False
) -> Iterator[Stretch]:
    """More and more rows at a time, lane by lane, those with the nearest rows first; a group has no order."""
    waiting = towards(lanes, cursor, backwards=backwards)
    sizes = chain(GROUPS, repeat(2**62))
    left: tuple[Lane, Places] | None = None
    while waiting or left:
        parts, room = list[tuple[Lane, Places]](), next(sizes)
        while room > 0 and (waiting or left):
            lane, places = left or (waiting[0], waiting.pop(0).beyond(cursor, backwards=backwards))
            parts.append((lane, places[:room]))
            left = (lane, places[room:]) if len(places) > room else None
            room -= len(places)
        edges = [lane.keys(places[:1])[0][:2] for lane, places in ([left] if left else [])]
        edges += [lane.tail if backwards else lane.head for lane in waiting[:1]]
        yield Stretch(parts, (min(edges) if backwards else max(edges)) if edges else None)


def _next(lanes: Sequence[Lane], cursor: Key | None, *, backwards: bool, size: int) -> Stretch:
    """The nearest rows, from as few lanes as hold them."""
    parts: list[tuple[Lane, Places]] = []
    for lane in towards(lanes, cursor, backwards=backwards):
        if parts and _enough(parts, lane, size, backwards=backwards):
            break
        places = lane.beyond(cursor, backwards=backwards)[:size]
        if len(places):
            parts.append((lane, places))
    return Stretch(parts).nearest(size, backwards=backwards)


def _enough(parts: Sequence[tuple[Lane, Places]], lane: Lane, size: int, *, backwards: bool) -> bool:
    """Whether the rows gathered so far leave no room for a lane that begins further away."""
    edge = lane.tail[0] if backwards else lane.head[0]
    nearer = 0
    for other, places in parts:
        created = other.segment.created[places]
        nearer += int(np.count_nonzero(created < edge if backwards else created > edge))
        if nearer >= size:
            return True
    return False
