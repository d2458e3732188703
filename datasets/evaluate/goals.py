"""What a run is held to: how often each target passes, and that none is clearly worse than the first one.

Held against the report as soon as there is one, whoever started the run; what does not hold turns it red.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from datasets.evaluate.report import Judged, Report


class NoSuchGrader(LookupError):
    """The goal names a grader that the evaluation does not have; the text says which there are."""


@dataclass(frozen=True, slots=True)
class Goal:
    """`grader` is a name, or empty for all of them together; `at_least` a share from 0 to 1, or None."""

    grader: str = ""
    at_least: float | None = None
    no_worse: bool = False

    @classmethod
    def read(cls, data: Mapping[str, Any] | None) -> "Goal":
        """A goal as a run keeps it; what is not there asks for nothing."""
        data = data or {}
        share = data.get("at_least")
        return cls(
            str(data.get("grader") or ""),
            float(share) if isinstance(share, int | float) else None,
            bool(data.get("no_worse")),
        )

    def as_dict(self) -> dict[str, Any]:
        """Empty where nothing is asked for."""
        if not self:
            return {}
        return {"grader": self.grader, "at_least": self.at_least, "no_worse": self.no_worse}

    def __bool__(self) -> bool:
        return self.at_least is not None or self.no_worse

    @property
    def in_words(self) -> str:
        """What is asked for, as a sentence; empty if nothing is."""
        parts = []
        if self.at_least is not None:
            by = f"“{self.grader}”" if self.grader else "every grader"
            parts.append(f"each target passes {by} on at least {in_percent(self.at_least)}")
        if self.no_worse:
            by = f" by “{self.grader}”" if self.grader and self.at_least is None else ""
            parts.append(f"none is clearly worse than the first one{by}")
        text = ", and ".join(parts)
        return f"{text[:1].upper()}{text[1:]}." if text else ""


def judged_by(report: Report, grader: str) -> Judged | None:
    """The grader of this name, or what the headline speaks of; None where nothing was judged at all.

    Raises NoSuchGrader.
    """
    if not grader:
        return report.chief
    found = next((one for one in report.graders if one.name == grader), None)
    if found is None:
        names = ", ".join(f"“{one.name}”" for one in report.graders if one.id)
        raise NoSuchGrader(f"There is no grader “{grader}”; there are {names}.")
    return found


def misses(report: Report, goal: Goal) -> list[str]:
    """What of the goal does not hold, in sentences; with any, the run is red."""
    if not goal:
        return []
    try:
        judged = judged_by(report, goal.grader)
    except NoSuchGrader as reason:
        return [str(reason)]
    if judged is None:
        return ["Nothing was judged."]
    return list(_misses(judged, goal))


def _misses(judged: Judged, goal: Goal) -> Iterator[str]:
    # A preference compares the others with the first target, of which it says nothing.
    asked = [cell for cell in judged.cells if cell.judged or cell.ungraded]
    if not asked:
        yield f"Nothing was judged by “{judged.name}”."
        return
    for cell in asked:
        # Neither often enough nor no worse: nothing is known of it.
        if cell.rate is None:
            yield f"{cell.label}: nothing could be judged by “{judged.name}”."
        elif goal.at_least is not None and cell.rate < goal.at_least:
            yield (
                f"{cell.label} passes “{judged.name}” on {_below(cell.rate, goal.at_least)} of"
                f" {cell.judged:,}, asked for are {in_percent(goal.at_least)}."
            )
    if goal.no_worse:
        yield from _worse(judged, {cell.label for cell in asked if cell.judged})


def _worse(judged: Judged, known: Collection[str]) -> Iterator[str]:
    """Which targets are clearly worse than the first one, or cannot be compared with it."""
    for difference in judged.differences:
        if not difference.items and {difference.first, difference.second} <= set(known):
            both = f"{difference.first} and {difference.second}"
            yield f"No item was judged by “{judged.name}” for {both} alike."
        elif difference.is_clear and difference.points < 0:
            yield (
                f"{difference.second} is worse than {difference.first}: {difference.in_points}"
                f" (95% interval {difference.range}, {difference.items:,} items)."
            )
    for preference in judged.preferences:
        if preference.is_clear and preference.wins < preference.losses:
            yield preference.in_words


def in_percent(share: float) -> str:
    """A share with as many decimals as it has, up to four, which is how a goal is kept."""
    return f"{100 * share:.4f}".rstrip("0").rstrip(".") + "%"


def _below(rate: float, share: float) -> str:
    """A rate that is less than a share, with as many decimals as it takes to see that."""
    told = (f"{100 * rate:.{decimals}f}" for decimals in range(1, 8))
    return next((text for text in told if float(text) < round(100 * share, 4)), f"{100 * rate}") + "%"
