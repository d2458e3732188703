"""How often a judge prefers a target to the first one. Pure.

A tie counts as half for either. The test is the exact one of signs: would a fair coin prefer as clearly? The
interval is that of the difference of wins and losses, which are paired by item.
"""

from dataclasses import dataclass
from typing import Any

from datasets.evaluate.report_words import SIGNIFICANT, chance
from datasets.evaluate.statistics import Interval, mcnemar, paired_difference
from portal.wording import percent


@dataclass(frozen=True)
class Preference:
    """A target against the first one. `corrected` is the p-value among those of all graders (Holm)."""

    first: str
    second: str
    wins: int
    ties: int
    losses: int
    ungraded: int
    corrected: float | None = None

    @property
    def items(self) -> int:
        return self.wins + self.ties + self.losses

    @property
    def rate(self) -> float | None:
        """The share of items on which it is preferred; of a tie, half."""
        return (self.wins + self.ties / 2) / self.items if self.items else None

    @property
    def interval(self) -> Interval | None:
        found = paired_difference(self.losses, self.wins, self.items)
        return Interval(0.5 + found.low / 2, 0.5 + found.high / 2) if found else None

    @property
    def p(self) -> float:
        return mcnemar(self.losses, self.wins)

    @property
    def is_clear(self) -> bool:
        deciding = self.p if self.corrected is None else self.corrected
        return self.items > 0 and deciding < SIGNIFICANT

    @property
    def tone(self) -> str:
        return "none" if not self.is_clear else "ok" if self.wins > self.losses else "bad"

    @property
    def chance(self) -> str:
        return chance(self.p)

    @property
    def corrected_chance(self) -> str:
        """The chance among all graders, where that is another one; else empty."""
        return chance(self.corrected) if self.corrected is not None and self.corrected != self.p else ""

    @property
    def parts(self) -> list[dict[str, Any]]:
        """Wins, ties and losses as parts of a bar of 100 units."""
        made, at = [], 0.0
        for name, n in (("win", self.wins), ("tie", self.ties), ("loss", self.losses)):
            if n:
                width = 100 * n / self.items
                made.append({"name": name, "n": n, "x": round(at, 3), "width": round(width, 3)})
                at += width
        return made

    @property
    def in_words(self) -> str:
        """The result as a sentence."""
        rate, interval = self.rate, self.interval
        if rate is None or interval is None:
            return f"Nothing could be judged between “{self.second}” and “{self.first}”."
        share = (
            f"preferred to “{self.first}” on {percent(rate, 1)} of {self.items:,}"
            f" {'item' if self.items == 1 else 'items'}, ties counted as half"
            f" (95% interval {100 * interval.low:.1f} to {100 * interval.high:.1f}%, {self.chance})"
        )
        if not self.is_clear:
            return f"No preference can be told: “{self.second}” is {share}."
        return (
            f"“{self.second}” is {share}." if self.wins > self.losses else f"“{self.second}” is only {share}."
        )
