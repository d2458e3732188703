"""How long the rows of a version are, in tokens: how many of each length, and the longest of them."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count
from django.urls import reverse

from datasets.build import tokens
from datasets.models import DatasetVersion, Example

BARS: Final = 24
WIDTH, HEIGHT = 480, 96  # of the picture
WIDE: Final = 40  # so many times the shortest is the longest row where bars double
LONGEST: Final = 5


@dataclass(frozen=True, slots=True)
class Bar:
    """Rows of `low` to `high` tokens, and where their bar stands in the picture."""

    low: int
    high: int
    rows: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many rows have how many tokens. `over` have more than `limit`, which stands at `limit_x`."""

    bars: tuple[Bar, ...]
    rows: int
    median: int
    most: int  # of 95 of a hundred rows
    shortest: int
    longest: int
    how: tuple[str, ...]
    longest_first: str  # the address where the rows are shown in that order
    limit: int = 0
    over: int = 0
    limit_x: float | None = None
    width: int = WIDTH
    height: int = HEIGHT


def histogram(version: DatasetVersion, *, split: str = "", limit: int = 0) -> Histogram | None:
    """The histogram of a version that is built, or of one of its splits; None if no row was counted."""
    counted = written(version, split).exclude(tokens=None).order_by("tokens")
    lengths = [(length, n) for length, n in counted.values_list("tokens").annotate(n=Count("id"))]
    if not lengths:
        return None
    rows = sum(n for _, n in lengths)
    edges = _edges(lengths[0][0], lengths[-1][0])
    bars = _bars(lengths, edges)
    edges = edges[: len(bars) + 1]
    return Histogram(
        bars,
        rows,
        _at(lengths, rows, 0.5),
        _at(lengths, rows, 0.95),
        lengths[0][0],
        lengths[-1][0],
        tuple(tokens.in_words(version.counts)),
        reverse("datasets:version", args=[version.dataset_id, version.number]) + "?order=longest",
        limit,
        sum(n for length, n in lengths if limit and length > limit),
        _place(limit, edges) if limit else None,
    )


def longest(version: DatasetVersion, count: int = LONGEST) -> list[Example]:
    """The rows with most tokens, with what their links need."""
    rows = written(version).exclude(tokens=None).select_related("completion__connection")
    return list(rows.order_by("-tokens", "position")[:count])


def written(version: DatasetVersion, split: str = "") -> Any:
    rows = version.examples.filter(line__isnull=False)
    return rows.filter(split=split) if split else rows


def _edges(low: int, high: int) -> list[int]:
    """Where bars begin, and where the last one ends: even steps, or doubling ones where rows differ much."""
    if high > WIDE * max(low, 1) and high > 200:
        edges = [0]
        edge = 16
        while edges[-1] <= high:
            edges.append(edge)
            edge *= 2
        first = max(bisect_right(edges, low) - 1, 0)
        return edges[first:]
    step = _step((high - low) / BARS)
    first = low // step * step
    return list(range(first, high + step + 1, step))


def _step(width: float) -> int:
    """The next of 1, 2, 5, 10, 20, 50 …"""
    size = 1
    while True:
        for factor in (1, 2, 5):
            if size * factor >= width:
                return size * factor
        size *= 10


def _bars(lengths: Sequence[tuple[int, int]], edges: list[int]) -> tuple[Bar, ...]:
    counts = [0] * (len(edges) - 1)
    for length, n in lengths:
        counts[min(bisect_right(edges, length) - 1, len(counts) - 1)] += n
    while len(counts) > 1 and not counts[-1]:
        counts.pop()
    width, highest = WIDTH / len(counts), max(counts)
    return tuple(
        Bar(
            edges[at],
            edges[at + 1] - 1,
            n,
            round(at * width + 0.5, 2),
            round(HEIGHT - _tall(n, highest), 2),
            round(width - 1, 2),
            round(_tall(n, highest), 2),
        )
        for at, n in enumerate(counts)
    )


def _tall(n: int, highest: int) -> float:
    """The height of a bar; one with a row is seen, however many rows others have."""
    return max(n / highest * HEIGHT, 1.5 if n else 0)


def _place(limit: int, edges: list[int]) -> float | None:
    """Where the limit stands, if it is in the picture."""
    at = bisect_right(edges, limit) - 1
    if not 0 <= at < len(edges) - 1:
        return None
    within = (limit - edges[at]) / (edges[at + 1] - edges[at])
    return round((at + within) * WIDTH / (len(edges) - 1), 2)


def _at(lengths: Sequence[tuple[int, int]], rows: int, share: float) -> int:
    """What so large a share of the rows is at most as long as."""
    seen = 0
    for length, n in lengths:
        seen += n
        if seen >= rows * share:
            return length
    return lengths[-1][0]
