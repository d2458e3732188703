"""Completions of a filter in order: pages, everything, counts, and the matches that are counted by.

Answered from arrays in memory (completions.columns), segment by segment, newest first, so that a page ends as
soon as it is full. Texts are asked about only for rows that match in everything else.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from time import time
from typing import Any, NamedTuple

import numpy as np
from django.db.models import QuerySet
from numpy.typing import NDArray

from completions.columns import store
from completions.columns.segment import Mask, Places, Segment, known
from completions.filters import Clause, Filter
from completions.matching import Book, Matcher
from completions.models import StoredCompletion
from completions.querysets import holding
from completions.scanning import Scan, reads
from portal.models import Connection

COUNT_LIMIT = 10_000
NEWEST_MATCHES = 10_000  # of a search in texts so many are counted by, and sorted
FIRST_CHUNKS = (512, 4_096)  # rows whose texts are asked about before whole segments are
READABLE = 8_000  # texts that one request may read


class Key(NamedTuple):
    """A row's place in a list: in every list `created` and `id`, and the value that a list is sorted by."""

    created: int
    id: int
    value: int | None = None


@dataclass(frozen=True, slots=True)
class Sort:
    """An order: by a column, what is missing last, and then the newest first."""

    column: str = "created"
    descending: bool = True


NEWEST = Sort()
# What can be sorted by, and the column of numbers it is.
SORTS = {"created": "created", "tokens": "total_tokens", "length": "answer_length"}


@dataclass(frozen=True, slots=True)
class Count:
    """How many; `exact` is False where counting stopped at a limit."""

    n: int
    exact: bool = True

    def __str__(self) -> str:
        return f"{self.n:,}" + "+" * (not self.exact)


@dataclass(frozen=True, eq=False)
class Lane:
    """One segment under one filter."""

    segment: Segment
    alive: Mask | None
    matcher: Matcher

    @cached_property
    def head(self) -> tuple[int, int]:
        return int(self.segment.created[0]), int(self.segment.ids[0])

    @cached_property
    def mask(self) -> Mask:
        """The rows that match, texts aside."""
        made = self.matcher.mask(self.segment)
        return made if self.alive is None else made & self.alive

    @cached_property
    def places(self) -> Places:
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


@dataclass(frozen=True, slots=True)
class Matches:
    """What is counted by: places of matches per segment. `about`: of the newest or the searched only."""

    lanes: tuple[tuple[Lane, Places], ...]
    about: bool

    @property
    def total(self) -> int:
        return sum(len(places) for _, places in self.lanes)


class Listing:
    """The completions that `user` may read and `wanted` matches.

    After `page`, `searched_to` says where a search through texts has stopped before the page was full.
    """

    def __init__(self, user: Any, wanted: Filter, *, sort: Sort = NEWEST, now: int | None = None) -> None:
        self.user, self.wanted, self.sort = user, wanted, sort
        self.now = int(time()) if now is None else now
        self.searched_to: Key | None = None

    @cached_property
    def readable(self) -> list[Connection]:
        """Every connection that the user may read."""
        return list(Connection.objects.readable_by(self.user).defer("secret").order_by("name"))

    def with_filter(self, wanted: Filter) -> "Listing":
        """The same person's list under another filter, at the same moment."""
        other = Listing(self.user, wanted, sort=self.sort, now=self.now)
        other.readable = self.readable
        other.columns = self.columns
        return other

    @cached_property
    def columns(self) -> dict[int, store.Columns]:
        """Everything readable, as of now; one look for all that is asked of this list."""
        return store.current([each.pk for each in self.readable])

    @cached_property
    def connections(self) -> list[Connection]:
        """Those of the readable that the filter's own conditions leave."""
        if self.wanted.broken:
            return []
        left = self.readable
        for clause in self.wanted.clauses:
            if isinstance(clause, Clause) and clause.field.how == "connection":
                left = [each for each in left if (each.slug in clause.values) is not clause.negated]
        return left

    @cached_property
    def lanes(self) -> list[Lane]:
        """Segments that may hold matches, the one with the newest row first."""
        book = Book.look_up(self.wanted, [each.pk for each in self.connections])
        low, high = self.wanted.bounds(self.now)
        found = []
        for connection in self.connections:
            matcher = Matcher(self.wanted, connection, book, self.now)
            for part in self.columns[connection.pk].parts:
                created = part.segment.created
                if (
                    len(created)
                    and (high is None or created[-1] <= high)
                    and (low is None or created[0] >= low)
                ):
                    found.append(Lane(part.segment, part.alive, matcher))
        return sorted(found, key=lambda lane: lane.head, reverse=True)

    @property
    def searches(self) -> bool:
        """Whether texts are asked about."""
        return any(True for _ in self.wanted.text_leaves())

    @property
    def reads(self) -> bool:
        """Whether texts have to be read, so that a request can only look at some rows."""
        return any(reads(clause) for clause in self.wanted.text_leaves())

    # Pages.

    def page(self, limit: int, *, after: Key | None = None, before: Key | None = None) -> list[Key]:
        """Up to `limit` places after one, or just before one; in the order of the list either way."""
        self.searched_to = None
        backwards = before is not None
        cursor = before if backwards else after
        if self.sort != NEWEST:
            found = self._sorted(limit, cursor, backwards=backwards)
        elif self.reads:
            found = self._read(limit, cursor, backwards=backwards)
        else:
            found = self._nearest(limit, cursor, backwards=backwards)
        return found[::-1] if backwards else found

    def _nearest(self, limit: int, cursor: Key | None, *, backwards: bool) -> list[Key]:
        scan, best = Scan(), list[Key]()
        chunks = list(FIRST_CHUNKS) if self.searches else []
        lanes = sorted(self.lanes, key=lambda lane: _tail(lane)) if backwards else self.lanes
        for lane in lanes:
            if len(best) >= limit and not _nearer(
                _tail(lane) if backwards else lane.head, best[-1], backwards
            ):
                break
            if self._apart(lane, cursor, backwards=backwards):
                continue
            left = lane.beyond(cursor, backwards=backwards)
            if not self.searches:
                best = _merged(best, lane.keys(left[:limit]), limit, backwards=backwards)
                continue
            while len(left):
                if len(best) >= limit and not _nearer(lane.keys(left[:1])[0], best[-1], backwards):
                    break
                size = chunks.pop(0) if chunks else len(left)
                hits = lane.matcher.decide(lane.segment, left[:size], scan)
                best = _merged(best, lane.keys(hits[:limit]), limit, backwards=backwards)
                left = left[size:]
        return best

    def _apart(self, lane: Lane, cursor: Key | None, *, backwards: bool) -> bool:
        """Whether a segment lies wholly on the other side of the cursor."""
        if cursor is None:
            return False
        place = (cursor.created, cursor.id)
        return lane.head <= place if backwards else _tail(lane) >= place

    def _read(self, limit: int, cursor: Key | None, *, backwards: bool) -> list[Key]:
        """Row by row in the order of the list, until the page is full or enough has been read."""
        scan, best = Scan(READABLE), list[Key]()
        for lane, places, last in self._in_order(cursor, backwards=backwards, size=1_000):
            best = _merged(
                best, lane.keys(lane.matcher.decide(lane.segment, places, scan)), None, backwards=backwards
            )
            if last is not None and (len(best) >= limit or scan.ended):
                if len(best) < limit:
                    self.searched_to = last
                break
        return best[:limit]

    def _in_order(
        self, cursor: Key | None, *, backwards: bool, size: int
    ) -> Iterator[tuple[Lane, Places, Key | None]]:
        """All candidates, `size` rows at a time in the order of the list.

        Rows of one stretch come per segment; the last of a stretch comes with the key that it ends with.
        """
        while True:
            stretch: list[tuple[Key, Lane]] = []
            for lane in self.lanes:
                if not self._apart(lane, cursor, backwards=backwards):
                    some = lane.beyond(cursor, backwards=backwards)[:size]
                    stretch += [(key, lane) for key in lane.keys(some)]
            stretch = sorted(stretch, key=lambda entry: entry[0], reverse=not backwards)[:size]
            if not stretch:
                return
            mine: dict[Lane, list[Key]] = {}
            for key, lane in stretch:
                mine.setdefault(lane, []).append(key)
            cursor = stretch[-1][0]
            for number, (lane, keys) in enumerate(mine.items(), 1):
                places = np.sort(lane.segment.places_of(np.array([key.id for key in keys], np.int64)))
                yield lane, places, cursor if number == len(mine) else None

    def _sorted(self, limit: int, cursor: Key | None, *, backwards: bool) -> list[Key]:
        """By another column: the best of every segment, and of these the best."""
        column, found = SORTS[self.sort.column], list[tuple[Any, Key]]()
        sign = 1 if self.sort.descending else -1
        for lane, places in self.matches().lanes:
            values = _ranked(lane.segment, column, places, descending=self.sort.descending)
            created, ids = lane.segment.created[places], lane.segment.ids[places]
            order = (ids, created, values)
            if cursor is not None:
                value = -np.inf if cursor.value is None else float(sign * cursor.value)
                kept = _past(order, (cursor.id, cursor.created, value), backwards=backwards)
                values, created, ids = values[kept], created[kept], ids[kept]
            if len(values) > 4 * limit:
                edge = np.partition(values, limit if backwards else len(values) - limit)
                kept = values <= edge[limit] if backwards else values >= edge[len(values) - limit]
                values, created, ids = values[kept], created[kept], ids[kept]
            best = np.lexsort((ids, created, values))
            best = best[:limit] if backwards else best[::-1][:limit]
            for at in best.tolist():
                kept_value = None if np.isneginf(values[at]) else int(sign * values[at])
                key = Key(int(created[at]), int(ids[at]), kept_value)
                found.append(((float(values[at]), key.created, key.id), key))
        found.sort(reverse=not backwards)
        return [key for _, key in found[:limit]]

    # Everything, and how many.

    def everything(
        self, told: Callable[[int, int], None] | None = None
    ) -> tuple[NDArray[np.int64], list[int]]:
        """Every id, newest first, and the connections they are of; `told` hears how far it is: (done, of)."""
        created, ids, sources = list[NDArray[np.int64]](), list[NDArray[np.int64]](), set[int]()
        for number, lane in enumerate(self.lanes):
            if told is not None:
                told(number, len(self.lanes))
            places = self._decided(lane, Scan())
            if len(places):
                created.append(lane.segment.created[places])
                ids.append(lane.segment.ids[places])
                sources.add(lane.matcher.connection.pk)
        if not ids:
            return np.empty(0, np.int64), []
        every = np.concatenate(ids)
        return every[np.lexsort((every, np.concatenate(created)))[::-1]], sorted(sources)

    def scanned(
        self, after: Key | None, *, size: int = 2_000
    ) -> Iterator[tuple[list[Key], set[int], int, Key]]:
        """Everything in stretches, newest first: (matches, their connections, rows looked at, last place)."""
        keys, sources, looked = list[Key](), set[int](), 0
        for lane, places, last in self._in_order(after, backwards=False, size=size):
            hits = lane.matcher.decide(lane.segment, places, Scan())
            keys += lane.keys(hits)
            looked += len(places)
            if len(hits):
                sources.add(lane.matcher.connection.pk)
            if last is not None:
                yield sorted(keys, reverse=True), sources, looked, last
                keys, sources, looked = [], set(), 0

    @property
    def latest(self) -> int:
        """The highest id of all rows that may match: what arrives later has a higher one."""
        return max((int(lane.segment.ids.max()) for lane in self.lanes), default=0)

    @property
    def candidates(self) -> int:
        """How many rows match in everything but their texts."""
        return sum(len(lane.places) for lane in self.lanes)

    def ids(self) -> Iterator[int]:
        """Every id, newest first."""
        return iter(self.everything()[0].tolist())

    def queryset(self) -> QuerySet[StoredCompletion]:
        """The matches as a queryset, in no order."""
        rows: QuerySet[StoredCompletion] = StoredCompletion.objects.readable_by(self.user)
        return rows.filter(holding(self.everything()[0].tolist()))

    def count(self, limit: int = COUNT_LIMIT) -> Count:
        """How many match: exactly without conditions on texts, otherwise up to `limit`."""
        if not self.searches:
            return Count(sum(int(np.count_nonzero(lane.mask)) for lane in self.lanes))
        n, scan = 0, Scan(READABLE)
        for lane in self.lanes:
            for places in _chunked(lane.places, 1_000 if self.reads else len(lane.segment)):
                n += len(lane.matcher.decide(lane.segment, places, scan))
                if n > limit:
                    return Count(limit, exact=False)
                if scan.ended:
                    return Count(n, exact=False)
        return Count(n)

    def matches(self) -> Matches:
        """All matches without conditions on texts; otherwise the newest, as many as are counted by."""
        if not self.searches:
            return Matches(tuple((lane, lane.places) for lane in self.lanes), about=False)
        if self.reads:
            return self._matches_read()
        found: list[tuple[Lane, Places]] = []
        edges: list[tuple[int, int]] = []
        for lane in self.lanes:
            if len(edges) > NEWEST_MATCHES and edges[NEWEST_MATCHES] > lane.head:
                break
            places = self._decided(lane, Scan())
            if len(places):
                found.append((lane, places))
                edges += [key[:2] for key in lane.keys(places[: NEWEST_MATCHES + 1])]
                edges.sort(reverse=True)
                del edges[NEWEST_MATCHES + 1 :]
        if len(edges) <= NEWEST_MATCHES:
            return Matches(tuple(found), about=False)
        last = Key(*edges[NEWEST_MATCHES])  # the first that is too old
        cut = (
            (lane, places[: np.searchsorted(places, lane.segment.newer_than(*last[:2]))])
            for lane, places in found
        )
        return Matches(tuple((lane, places) for lane, places in cut if len(places)), about=True)

    def _matches_read(self) -> Matches:
        scan, found, last = Scan(READABLE), dict[Lane, list[Places]](), None
        for lane, places, last in self._in_order(None, backwards=False, size=1_000):
            found.setdefault(lane, []).append(lane.matcher.decide(lane.segment, places, scan))
            if last is not None and scan.ended:
                break
        lanes = tuple((lane, np.sort(np.concatenate(places))) for lane, places in found.items())
        return Matches(lanes, about=scan.ended)

    @staticmethod
    def _decided(lane: Lane, scan: Scan) -> Places:
        return lane.matcher.decide(lane.segment, lane.places, scan) if lane.matcher.texts else lane.places


def _tail(lane: Lane) -> tuple[int, int]:
    return int(lane.segment.created[-1]), int(lane.segment.ids[-1])


def _nearer(place: Sequence[Any], last: Key, backwards: bool) -> bool:  # noqa: FBT001  # private
    """Whether a place could still stand before the last of a page."""
    return tuple(place[:2]) < last[:2] if backwards else tuple(place[:2]) > last[:2]


def _merged(best: list[Key], more: list[Key], limit: int | None, *, backwards: bool) -> list[Key]:
    return sorted([*best, *more], reverse=not backwards)[:limit]


def _chunked(places: Places, size: int) -> Iterable[Places]:
    return (places[start : start + size] for start in range(0, len(places), size))


def _ranked(segment: Segment, column: str, places: Places, *, descending: bool) -> NDArray[np.float64]:
    """Values that are the greater the earlier they stand; what is missing stands last either way."""
    values = segment.created[places] if column == "created" else segment.numbers[column][places]
    ranked = values.astype(np.float64) * (1 if descending else -1)
    if column != "created":
        ranked[~known(values)] = -np.inf
    return ranked


def _past(
    order: tuple[NDArray[Any], NDArray[Any], NDArray[Any]], cursor: tuple[int, int, float], *, backwards: bool
) -> Mask:
    """Which rows stand after the cursor (before it, backwards); both are given the least important first."""
    (ids, created, values), (pk, moment, value) = order, cursor
    less = (values < value) | ((values == value) & ((created < moment) | ((created == moment) & (ids < pk))))
    same = (values == value) & (created == moment) & (ids == pk)
    made: Mask = ~less & ~same if backwards else less
    return made
