"""Completions of a filter in order: pages, everything, counts, and the matches that are counted by.

Answered from arrays in memory (completions.columns), segment by segment, newest first, so that a page ends as
soon as it is full. Texts are asked about only for rows that match in everything else.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from time import time
from typing import Any

import numpy as np
from django.db.models import QuerySet
from numpy.typing import NDArray

from completions.columns import store
from completions.columns.segment import Mask, Places, Segment, known
from completions.filters import Clause, Filter, Group
from completions.lanes import FIRST, Key, Lane, Stretch, in_groups, in_order, towards
from completions.matching import Book, Matcher
from completions.models import StoredCompletion
from completions.querysets import holding
from completions.scanning import Scan, Spent, reads
from portal.models import Connection

__all__ = ["NEWEST", "SORTS", "Count", "Key", "Lane", "Listing", "Matches", "Sort"]

COUNT_LIMIT = 10_000
NEWEST_MATCHES = 10_000  # of a search in texts so many are counted by, and sorted
FETCHED = 100_000  # rows with a word that counting may fetch,
COUNTING, DRAWING = 0.05, 0.1  # and seconds after which a count, or what is counted by, goes no further
READABLE = 8_000  # texts that one request may read,
READ = (250, 500)  # and so many at a time
PEEK = 51  # matches that are looked for where they have to be read and only a count is wanted


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
        self.spent = Spent()
        self._seen: Count | None = None

    @cached_property
    def readable(self) -> list[Connection]:
        """Every connection that the user may read."""
        return list(Connection.objects.readable_by(self.user).defer("secret").order_by("name"))

    def with_filter(self, wanted: Filter) -> "Listing":
        """The same person's list under another filter, at the same moment."""
        other = Listing(self.user, wanted, sort=self.sort, now=self.now)
        other.readable = self.readable
        other.columns, other.spent = self.columns, self.spent
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
        book = Book.look_up(self.wanted, [each.pk for each in self.connections], self.spent)
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
        elif self.searches:
            found = self._found(limit, cursor, backwards=backwards)
        else:
            found = self._nearest(limit, cursor, backwards=backwards)
        return found[::-1] if backwards else found

    def _nearest(self, limit: int, cursor: Key | None, *, backwards: bool) -> list[Key]:
        """Without texts: from one segment after the other, until no other can hold anything nearer."""
        best: list[Key] = []
        for lane in towards(self.lanes, cursor, backwards=backwards):
            edge = lane.tail if backwards else lane.head
            if len(best) >= limit and _further(edge, best[-1], backwards=backwards):
                break
            near = lane.beyond(cursor, backwards=backwards)[:limit]
            best = sorted([*best, *lane.keys(near)], reverse=not backwards)[:limit]
        return best

    def _found(self, limit: int, cursor: Key | None, *, backwards: bool) -> list[Key]:
        """With texts: among few rows first, then among all."""
        scan, best = Scan(spent=self.spent), list[Key]()
        for stretch in self._stretches(cursor, backwards=backwards):
            near = stretch.only(self._decided(stretch, scan), None).nearest(limit, backwards=backwards)
            best = sorted([*best, *near.keys()], reverse=not backwards)
            if len(best) >= limit and (
                stretch.edge is None or _further(stretch.edge, best[limit - 1], backwards=backwards)
            ):
                break
        return best[:limit]

    def _stretches(self, cursor: Key | None, *, backwards: bool) -> Iterator[Stretch]:
        for stretch in islice(in_order(self.lanes, cursor, backwards=backwards, sizes=FIRST), len(FIRST)):
            yield stretch
            assert stretch.edge is not None, "it holds rows"
            cursor = Key(*stretch.edge)
        yield from in_groups(self.lanes, cursor, backwards=backwards)

    def _read(self, limit: int, cursor: Key | None, *, backwards: bool) -> list[Key]:
        """With texts that have to be read: in the order of the list, until enough has been found or read."""
        scan, best = Scan(READABLE, spent=self.spent), list[Key]()
        for stretch in in_order(self.lanes, cursor, backwards=backwards, sizes=READ):
            best += stretch.only(self._decided(stretch, scan), None).keys()
            if len(best) >= limit:
                break
            if scan.ended:
                self.searched_to = Key(*stretch.edge) if stretch.edge else None
                break
        if cursor is None:
            self._seen = Count(len(best), exact=len(best) < limit and self.searched_to is None)
        return best[:limit]

    def _decided(self, stretch: Stretch, scan: Scan) -> NDArray[np.intp]:
        """Which of its rows match, with their texts; in its order."""
        left = np.arange(len(stretch))
        clauses = [part for part in self.wanted.clauses if isinstance(part, Clause) and part.is_words]
        for some in scan.in_order(clauses):
            if len(left):
                left = left[scan.holding(some, stretch.ids[left])]
        groups = [
            part
            for part in self.wanted.clauses
            if isinstance(part, Group) and any(clause.is_words for clause in part.leaves())
        ]
        if groups and len(left):
            scan.ask(
                [clause for group in groups for clause in group.leaves() if clause.is_words],
                stretch.ids[left],
            )
            kept = [
                some[lane.matcher.holds(groups, lane.segment, stretch.places[some], scan)]
                for lane, some in stretch.by_lane(left)
            ]
            left = np.sort(np.concatenate(kept))
        return left

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

    def everything(self) -> tuple[NDArray[np.int64], list[int]]:
        """Every id, newest first, and the connections they are of."""
        created, ids, sources, scan = list[NDArray[np.int64]](), list[NDArray[np.int64]](), set[int](), Scan()
        for stretch in in_groups(self.lanes):
            kept = self._decided(stretch, scan)
            created.append(stretch.created[kept])
            ids.append(stretch.ids[kept])
            sources.update(lane.matcher.connection.pk for lane, _ in stretch.by_lane(kept))
        if not ids:
            return np.empty(0, np.int64), []
        every = np.concatenate(ids)
        return every[np.lexsort((every, np.concatenate(created)))[::-1]], sorted(sources)

    def scanned(
        self, after: Key | None, *, size: int = 2_000
    ) -> Iterator[tuple[list[Key], set[int], int, Key]]:
        """Everything in stretches, newest first: (matches, their connections, rows looked at, last place)."""
        for stretch in in_order(self.lanes, after, backwards=False, sizes=(size,)):
            kept = self._decided(stretch, Scan())
            assert stretch.edge is not None, "it holds rows"
            sources = {lane.matcher.connection.pk for lane, _ in stretch.by_lane(kept)}
            yield stretch.only(kept, None).keys(), sources, len(stretch), Key(*stretch.edge)

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
        """How many match: exactly without conditions on texts, with words up to `limit`.

        It stops before where that takes long, but never below a limit beyond the usual one.

        Where texts have to be read, as many as a page finds on its way.
        """
        if not self.searches:
            return Count(sum(int(np.count_nonzero(lane.mask)) for lane in self.lanes))
        if self.reads:
            if self._seen is None:
                self._read(limit + 1 if limit < PEEK else PEEK, None, backwards=False)
            assert self._seen is not None, "set by a search from the top"
            return self._seen
        if limit <= COUNT_LIMIT:
            scan = Scan(fetches=FETCHED, seconds=COUNTING, spent=self.spent)
        else:
            scan = Scan(spent=self.spent)
        n = 0
        for stretch in in_groups(self.lanes):
            n += len(self._decided(stretch, scan))
            if n > limit:
                return Count(limit, exact=False)
            if scan.ended and stretch.edge is not None:
                return Count(n, exact=False)
        return Count(n)

    def matches(self) -> Matches:
        """All matches without conditions on texts; otherwise the newest, as many as are counted by."""
        if not self.searches:
            return Matches(tuple((lane, lane.places) for lane in self.lanes), about=False)
        if self.reads:
            scan = Scan(READABLE, spent=self.spent)
        else:
            scan = Scan(fetches=FETCHED, seconds=DRAWING, spent=self.spent)
        found, about = list[Stretch](), False
        way = in_order(self.lanes, None, backwards=False, sizes=READ) if self.reads else in_groups(self.lanes)
        for stretch in way:
            found.append(stretch.only(self._decided(stretch, scan), stretch.edge))
            if scan.ended or _full(found, stretch.edge):
                about = stretch.edge is not None
                break
        return _counted_by(found, about=about)


def _further(edge: tuple[int, int], last: Key, *, backwards: bool) -> bool:
    """Whether a place stands beyond the last of a page."""
    return edge > last[:2] if backwards else edge < last[:2]


def _full(found: Sequence[Stretch], edge: tuple[int, int] | None) -> bool:
    """Whether the newest matches that are counted by are here, wherever the search would go on."""
    if edge is None:
        return True
    newer = sum(int(np.count_nonzero(stretch.created > edge[0])) for stretch in found)
    return newer > NEWEST_MATCHES


def _counted_by(found: Sequence[Stretch], *, about: bool) -> Matches:
    """The newest matches of some stretches, by lane."""
    total = sum(len(stretch) for stretch in found)
    if total > NEWEST_MATCHES:
        created = np.concatenate([stretch.created for stretch in found])
        edge = np.partition(created, total - NEWEST_MATCHES)[total - NEWEST_MATCHES]
        found = [stretch.only(stretch.created >= edge, stretch.edge) for stretch in found]
        about = True
    places: dict[Lane, list[Places]] = {}
    for stretch in found:
        for lane, some in stretch.by_lane(np.arange(len(stretch))):
            places.setdefault(lane, []).append(stretch.places[some])
    lanes = tuple((lane, np.sort(np.concatenate(some))) for lane, some in places.items())
    return Matches(lanes, about=about)


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
