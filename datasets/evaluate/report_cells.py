"""One target under one grader, and how its report draws it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datasets.evaluate.statistics import Interval, wilson

UNIT = (0.0, 1.0)


def whisker(passed: int, judged: int) -> dict[str, float] | None:
    """A pass rate and its interval on a line of 100 units; None where nothing was judged."""
    interval = wilson(passed, judged)
    if interval is None:
        return None
    low, high = 100 * interval.low, 100 * interval.high
    rate = 100 * passed / judged
    return {"low": round(low, 2), "width": round(max(high - low, 0.5), 2), "rate": round(rate, 2)}


@dataclass(frozen=True)
class Bar:
    """One column of a distribution, in the units of its drawing."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class Cell:
    """One target under one grader."""

    target: str
    label: str
    passed: int
    failed: int
    ungraded: int
    mean: float | None
    bins: Sequence[int]
    span: tuple[float, float] = UNIT
    repeated: int = 0
    changed: int = 0

    @property
    def judged(self) -> int:
        return self.passed + self.failed

    @property
    def rate(self) -> float | None:
        return self.passed / self.judged if self.judged else None

    @property
    def interval(self) -> Interval | None:
        return wilson(self.passed, self.judged)

    @property
    def whisker(self) -> dict[str, float] | None:
        """The rate and its interval on a line of 100 units."""
        return whisker(self.passed, self.judged)

    @property
    def parts(self) -> list[dict[str, Any]]:
        """Passed, failed and ungraded as parts of a bar of 100 units."""
        total = self.judged + self.ungraded
        made, at = [], 0.0
        for name, n in (("passed", self.passed), ("failed", self.failed), ("ungraded", self.ungraded)):
            if n:
                width = 100 * n / total
                made.append({"name": name, "n": n, "x": round(at, 3), "width": round(width, 3)})
                at += width
        return made

    @property
    def bars(self) -> list[Bar]:
        """The distribution of scores, 200 units wide and 48 high."""
        most = max(self.bins, default=0)
        if not most:
            return []
        width = 200 / len(self.bins)
        low, step = self.span[0], (self.span[1] - self.span[0]) / len(self.bins)
        return [
            Bar(
                x=round(place * width + 0.5, 2),
                y=round(48 - 48 * n / most, 2),
                width=round(width - 1, 2),
                height=round(48 * n / most, 2),
                label=f"{low + place * step:.2f} to {low + (place + 1) * step:.2f}: {n:,}",
            )
            for place, n in enumerate(self.bins)
            if n
        ]
