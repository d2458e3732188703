"""How many matches there are over time, in bars of a round length that begin when the reader's days do.

Counted on the filter without its own stretches of time; where it has one, that stretch is shown within its
surroundings.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from completions.filters import Clause, Filter
from completions.listing import Listing, Matches

MOST_BARS = 120
# What upstream can have stored; a row of another time has a wrong clock, and would flatten all others.
EARLIEST = int(datetime(2015, 1, 1, tzinfo=UTC).timestamp())
AHEAD = 366 * 86_400
MINUTE, HOUR, DAY = 60, 3_600, 86_400
_STEPS = (
    (1, "second"), (5, "second"), (15, "second"),
    (MINUTE, "minute"), (5 * MINUTE, "minute"), (15 * MINUTE, "minute"),
    (HOUR, "hour"), (3 * HOUR, "hour"), (6 * HOUR, "hour"), (12 * HOUR, "hour"),
    (DAY, "day"), (7 * DAY, "week"), (30 * DAY, "month"), (91 * DAY, "quarter"), (365 * DAY, "year"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bucket:
    """The half-open stretch [start, end) of unix seconds, and how many matches were created in it."""

    start: int
    end: int
    n: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """Bars without holes, in order; none where nothing matches. `about`: of some matches only.

    `selected` is the stretch [first, last] that the filter asks for, `low` and `high` what is shown.
    """

    buckets: tuple[Bucket, ...] = ()
    step: int = 0
    unit: str = ""
    about: bool = False
    low: int = 0
    high: int = 0
    total: int = 0
    peak: int = 0
    selected: tuple[int, int] | None = None


def timeline(listing: Listing, zone: str = "UTC") -> Timeline:
    """The bars for a list; `zone` is the reader's, a name that zoneinfo knows."""
    wanted = listing.wanted
    if wanted.broken:
        return Timeline()
    timeless = replace(wanted, clauses=tuple(part for part in wanted.clauses if not _is_time(part)))
    matches = (listing if timeless == wanted else listing.with_filter(timeless)).matches()
    created = [_moments(lane.segment.created[places]) for lane, places in matches.lanes]
    created = [some for some in created if len(some)]
    if not created:
        return Timeline(about=matches.about)
    first = min(int(some[0]) for some in created)
    last = max(int(some[-1]) for some in created)
    selected = _selected(wanted, listing.now, first, last)
    low, high = _shown(first, last, selected)
    return _counted(created, matches, low, high, selected, ZoneInfo(zone))


def _is_time(part: object) -> bool:
    return isinstance(part, Clause) and part.is_time


def _moments(created: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ascending, without what cannot be."""
    ascending = created[::-1]
    latest = int(datetime.now(UTC).timestamp()) + AHEAD
    first, after = np.searchsorted(ascending, [EARLIEST, latest])
    return ascending[first:after]


def _selected(wanted: Filter, now: int, first: int, last: int) -> tuple[int, int] | None:
    low, high = wanted.bounds(now)
    if low is None and high is None:
        return None
    low = max(first, low) if low is not None else first
    high = min(last, high) if high is not None else last
    return (low, high) if low <= high else None


def _shown(first: int, last: int, selected: tuple[int, int] | None) -> tuple[int, int]:
    """The selection with as much on either side, within what there is."""
    if selected is None:
        return first, last
    width = selected[1] - selected[0] + 1
    return max(first, selected[0] - width), min(last, selected[1] + width)


def _counted(
    created: list[NDArray[np.int64]],
    matches: Matches,
    low: int,
    high: int,
    selected: tuple[int, int] | None,
    zone: tzinfo,
) -> Timeline:
    step, unit = next(
        ((step, unit) for step, unit in _STEPS if (high - low) / step <= MOST_BARS - 2), _STEPS[-1]
    )
    edges = np.fromiter(_edges(low, high, step, unit, zone), np.int64)
    counts = np.zeros(len(edges) - 1, np.int64)
    for some in created:
        counts += np.diff(np.searchsorted(some, edges))
    buckets = tuple(
        Bucket(start, end, n)
        for start, end, n in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
    )
    return Timeline(
        buckets=buckets,
        step=step,
        unit=unit,
        about=matches.about,
        low=buckets[0].start,
        high=buckets[-1].end,
        total=int(counts.sum()),
        peak=int(counts.max()),
        selected=selected,
    )


def _edges(low: int, high: int, step: int, unit: str, zone: tzinfo) -> Iterator[int]:
    """Where bars begin and end: the last is the first beyond `high`."""
    at = _begin(datetime.fromtimestamp(low, zone), step, unit)
    moment = int(at.timestamp())
    yield moment
    while moment <= high:
        at = _next(at, step, unit)
        # Where clocks are put back, an hour of the wall comes twice and would end before it begins.
        following = int(at.timestamp())
        if following > moment:
            moment = following
            yield moment


def _begin(at: datetime, step: int, unit: str) -> datetime:
    if unit in ("second", "minute", "hour"):
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
        since = at.hour * HOUR + at.minute * MINUTE + at.second
        return midnight + timedelta(seconds=since // step * step)
    at = at.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "week":
        return at - timedelta(days=at.weekday())
    if unit == "month":
        return at.replace(day=1)
    if unit == "quarter":
        return at.replace(month=(at.month - 1) // 3 * 3 + 1, day=1)
    return at.replace(month=1, day=1) if unit == "year" else at


def _next(at: datetime, step: int, unit: str) -> datetime:
    """The same wall-clock arithmetic that a calendar does."""
    if unit in ("month", "quarter"):
        months = at.month - 1 + (1 if unit == "month" else 3)
        return at.replace(year=at.year + months // 12, month=months % 12 + 1)
    if unit == "year":
        return at.replace(year=at.year + 1)
    return at + timedelta(seconds=step)
