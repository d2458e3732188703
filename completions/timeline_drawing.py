"""The timeline as it is drawn: bars, axis and words, each in the reader's zone and ready to be written.

Widths and places are percentages, so that the picture needs neither script nor style to fit its column.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from itertools import pairwise
from zoneinfo import ZoneInfo

from completions.filters import Clause, Filter
from completions.timeline import Timeline

MINUTE, HOUR, DAY = 60, 3_600, 86_400
LAST = 253_402_300_799  # the last second of the year 9999, and of datetime
LABELS = 8  # at most so many on the axis
WIDE, NARROW, LETTER = 640, 330, 6.2  # pixels: of the axis, and of one letter on it
LEAST_HEIGHT = 6.0  # per cent: one completion beside a million can still be seen
TO = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bucket: its place, where a click on it leads, and its first and last moment in words."""

    start: int
    end: int
    n: int
    x: str
    width: str
    y: str
    height: str
    on: bool
    href: str
    begin: str
    until: str

    @property
    def label(self) -> str:
        return span_label(self.begin, self.until)


@dataclass(frozen=True, slots=True)
class Tick:
    """One label of the axis; the minor ones leave where it is narrow."""

    x: str
    anchor: str
    text: str
    minor: bool


class Drawing:
    """A timeline, its filter, and the way from a filter to an address."""

    def __init__(
        self, timeline: Timeline, wanted: Filter, zone: str, address: Callable[[Filter], str]
    ) -> None:
        self.timeline, self.wanted, self.zone, self.address = timeline, wanted, zone, address
        self.low = timeline.buckets[0].start if timeline.buckets else 0
        self.high = timeline.buckets[-1].end if timeline.buckets else 1
        self.clock = Clock(ZoneInfo(zone), timeline.step, self.low, self.high)

    @cached_property
    def bars(self) -> list[Bar]:
        chosen = self.timeline.selected
        gap = min(0.2, 100 * self.timeline.step / self._width * 0.18) if len(self.timeline.buckets) > 1 else 0
        return [
            Bar(
                start=bucket.start,
                end=bucket.end,
                n=bucket.n,
                x=f"{self._place(bucket.start) + gap / 2:.3f}%",
                width=f"{max(0.05, self._place(bucket.end) - self._place(bucket.start) - gap):.3f}%",
                y=f"{100 - self._height(bucket.n):.1f}%",
                height=f"{self._height(bucket.n):.1f}%",
                on=chosen is not None and bucket.start <= chosen[1] and bucket.end > chosen[0],
                href=self.address(within(self.wanted, bucket.start, bucket.end - 1)),
                begin=self.clock.first(bucket.start),
                until=self.clock.last(bucket.end),
            )
            for bucket in self.timeline.buckets
        ]

    @property
    def _width(self) -> int:
        return max(1, self.high - self.low)

    def _place(self, at: int) -> float:
        return 100 * min(1.0, max(0.0, (at - self.low) / self._width))

    def _height(self, n: int) -> float:
        return max(LEAST_HEIGHT, 100 * n / self.timeline.peak) if n and self.timeline.peak else 0.0

    @cached_property
    def range(self) -> tuple[str, str] | None:
        """Place and width of what is chosen."""
        chosen = self.timeline.selected
        if chosen is None:
            return None
        left, right = self._place(chosen[0]), self._place(chosen[1] + 1)
        return f"{left:.3f}%", f"{max(0.2, right - left):.3f}%"

    @property
    def chosen(self) -> str:
        """What is chosen, in words."""
        if self.timeline.selected is None:
            return ""
        first, last = self.timeline.selected
        return span_label(self.clock.first(first), self.clock.last(last + 1))

    @cached_property
    def ticks(self) -> list[Tick]:
        """As many labels as have room, at equal distances; the minor ones have it only where it is wide."""
        found = [(self._place(at), text) for at, text in self.clock.ticks() if self.low <= at <= self.high]
        anchors = ["start" if place < 7 else "end" if place > 93 else "middle" for place, _ in found]
        wide, narrow = (
            next(
                every for every in range(1, len(found) + 1) if _fit(found[::every], anchors[::every], pixels)
            )
            if found
            else 1
            for pixels in (WIDE, NARROW)
        )
        return [
            Tick(f"{place:.2f}%", anchor, text, minor=number % narrow != 0)
            for number, ((place, text), anchor) in enumerate(zip(found, anchors, strict=True))
            if number % wide == 0 or number % narrow == 0
        ]

    @property
    def summary(self) -> str:
        """The whole picture in a sentence."""
        bars = self.bars
        busiest = max(bars, key=lambda bar: bar.n)
        counted = f"{'About ' if self.timeline.about else ''}{self.timeline.total:,} completion"
        counted += "" if self.timeline.total == 1 else "s"
        told = f"{counted}, {span_label(bars[0].begin, bars[-1].until)}, by {self.unit}."
        return f"{told} Most, {busiest.n:,}: {busiest.label}." if busiest.n and len(bars) > 1 else told

    @property
    def unit(self) -> str:
        """The length of a bar: “3 hours”, “day”."""
        step = self.timeline.step
        for size, name in ((365 * DAY, "year"), (28 * DAY, "month"), (7 * DAY, "week"), (DAY, "day"),
                           (HOUR, "hour"), (MINUTE, "minute"), (1, "second")):  # fmt: skip
            if step >= size:
                times = max(1, round(step / size))
                return name if times == 1 else f"{times} {name}s"
        return "second"

    @property
    def clear(self) -> str:
        """All time."""
        return self.address(timeless(self.wanted))

    @property
    def wider(self) -> str:
        """Three times what is chosen, around its middle; all time where that is no more than there is."""
        if self.timeline.selected is None:
            return ""
        first, last = self.timeline.selected
        span = last - first + 1
        if first - span <= self.timeline.low and last + span >= self.timeline.high:
            return self.clear
        return self.address(within(self.wanted, first - span, last + span))


def _fit(labels: list[tuple[float, str]], anchors: list[str], pixels: int) -> bool:
    """Whether labels at these places, in per cent, stand beside each other."""
    end = -2.0
    for (place, text), anchor in zip(labels, anchors, strict=True):
        width = 100 * (len(text) * LETTER + 8) / pixels
        left = place - width * {"start": 0, "middle": 0.5, "end": 1}[anchor]
        if left < end:
            return len(labels) == 1
        end = left + width
    return True


def within(wanted: Filter, first: int, last: int) -> Filter:
    """The filter between two seconds, both included, in place of its own conditions on `created`."""
    made = Filter.parse(f'created:"{stretch(first, last)}"')
    return replace(wanted, clauses=(*timeless(wanted).clauses, *made.clauses))


def timeless(wanted: Filter) -> Filter:
    """The filter without the stretches of time that the timeline shows as chosen."""
    kept = (part for part in wanted.clauses if not (isinstance(part, Clause) and part.is_time))
    return replace(wanted, clauses=tuple(kept))


def stretch(first: int, last: int) -> str:
    """Two seconds, both included, as they are typed: whole days and whole minutes where that is exact.

    >>> stretch(1_790_294_400, 1_790_380_799)
    '2026-09-25'
    """
    first = min(max(first, 0), LAST)
    last = min(max(last, first), LAST)
    if first % DAY == 0 and (last + 1) % DAY == 0:
        form = "%Y-%m-%d"
    elif first % MINUTE == 0 and (last + 1) % MINUTE == 0:
        form = "%Y-%m-%d %H:%M"
    else:
        form = "%Y-%m-%d %H:%M:%S"
    begins, ends = (datetime.fromtimestamp(at, UTC).strftime(form) for at in (first, last))
    return begins if begins == ends else f"{begins}..{ends}"


def span_label(begin: str, until: str) -> str:
    """From one moment to another, both in words; the day is said once."""
    if begin == until:
        return begin
    if begin.endswith(" 00:00") and until.endswith(" 24:00"):
        return span_label(begin[:-6], until[:-6])
    day, _, time = begin.rpartition(" ")
    end_day, _, end_time = until.rpartition(" ")
    if day and day == end_day and ":" in time:
        return f"{begin} {TO} {end_time}"
    return f"{begin} {TO} {until}"


class Clock:
    """Moments in words and the labels of an axis, in one zone and as fine as the bars are."""

    def __init__(self, zone: tzinfo, step: int, low: int, high: int) -> None:
        self.zone, self.step, self.low, self.high = zone, step, low, high
        years = {self._at(low).year, self._at(max(low, high - 1)).year}
        self.years_matter = years != {datetime.now(zone).year}

    def _at(self, seconds: int) -> datetime:
        return datetime.fromtimestamp(min(max(seconds, 0), LAST - 2 * DAY), self.zone)

    def _day(self, at: datetime) -> str:
        return f"{at.day} {at:%b}{f' {at.year}' if self.years_matter else ''}"

    def first(self, seconds: int) -> str:
        """The first moment of a stretch."""
        at = self._at(seconds)
        if self.step >= DAY and (at.hour, at.minute, at.second) == (0, 0, 0):
            return self._day(at)
        return f"{self._day(at)} {at:{'%H:%M' if at.second == 0 and self.step >= MINUTE else '%H:%M:%S'}}"

    def last(self, seconds: int) -> str:
        """The end of a stretch, given the first second after it: a whole day is named as such."""
        at = self._at(seconds)
        if self.step >= DAY and (at.hour, at.minute, at.second) == (0, 0, 0):
            return self._day(at - timedelta(days=1))
        if (at.hour, at.minute, at.second) == (0, 0, 0):
            return f"{self._day(at - timedelta(days=1))} 24:00"
        return f"{self._day(at)} {at:{'%H:%M' if at.second == 0 and self.step >= MINUTE else '%H:%M:%S'}}"

    def ticks(self) -> Iterator[tuple[int, str]]:
        """Round moments between the two ends, a handful."""
        for moments in self._scales():
            found = list(moments)
            if len(found) <= LABELS:
                break
        else:
            return
        if len(found) < 2:
            found = [self._at(self.low), *(each for each in found if each > self._at(self.low))]
        times = any((each.hour, each.minute, each.second) != (0, 0, 0) for each in found)
        seconds = any(each.second for each in found)
        days = [None, *(each.date() for each in found)]
        for (before, day), at in zip(pairwise(days), found, strict=True):
            if not times:
                text = self._date(at, found)
            else:
                clock = f"{at:{'%H:%M:%S' if seconds else '%H:%M'}}"
                text = clock if before == day else f"{self._day(at)} {clock}"
            yield int(at.timestamp()), text

    def _date(self, at: datetime, among: list[datetime]) -> str:
        if all((each.day, each.month) == (1, 1) for each in among):
            return str(at.year)
        if all(each.day == 1 for each in among):
            return f"{at:%b} {at.year}" if self.years_matter or at.month == 1 else f"{at:%b}"
        return self._day(at)

    def _scales(self) -> Iterator[Iterator[datetime]]:
        """Ever coarser rows of round moments; the ones that would be very many are not begun."""
        span = max(1, self.high - self.low)
        for size in (1, 5, 15, 30, 60, 300, 900, 1800, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR):
            if span / size <= LABELS + 1:
                yield self._times(size)
        for days in (1, 2, 3, 7, 14):
            if span / (days * DAY) <= LABELS + 1:
                yield self._days(days)
        for months in (1, 3, 6, 12, 24, 60, 120, 600, 1200, 6000, 12000):
            if span / (months * 28 * DAY) <= 4 * LABELS:
                yield self._months(months)

    def _inside(self, at: datetime) -> bool:
        return at.timestamp() <= self.high

    def _times(self, size: int) -> Iterator[datetime]:
        day = self._at(self.low).replace(hour=0, minute=0, second=0)
        while self._inside(day):
            following = (day.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=self.zone)
            # From its midnight on, so that a day of 23 hours still has its labels at round hours.
            base = int(day.timestamp())
            first = max(0, -(-(self.low - base) // size))
            for number in range(first, DAY // size):
                at = self._at(base + number * size)
                if at >= following or not self._inside(at):
                    break
                yield at
            day = following

    def _days(self, size: int) -> Iterator[datetime]:
        at = self._at(self.low).replace(hour=0, minute=0, second=0)
        if size >= 7:
            at -= timedelta(days=at.weekday())
        while self._inside(at):
            if at.timestamp() >= self.low:
                yield at
            at += timedelta(days=size)

    def _months(self, size: int) -> Iterator[datetime]:
        start = self._at(self.low)
        month = (start.year * 12 + start.month - 1) // size * size
        while month < 9998 * 12:
            at = datetime(max(1, month // 12), month % 12 + 1, 1, tzinfo=self.zone)
            if not self._inside(at):
                return
            if at.timestamp() >= self.low:
                yield at
            month += size
