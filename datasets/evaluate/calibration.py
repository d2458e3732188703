"""How far a grader agrees with people: percent, kappa, who said what, the threshold that fits best.

Pure. A pair is one answer that a grader judged and a person judged too.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import floor
from operator import itemgetter
from typing import Final

from completions import agreement
from datasets.evaluate.statistics import Interval, wilson

MOST_CUTS: Final = 60  # thresholds that are looked at
FEW: Final = 50  # pairs below which nothing is sure
FEW_OF_ONE: Final = 10  # of what people called good, or bad


@dataclass(frozen=True, slots=True)
class Pair:
    """`item` is the line of the answer; `good` what people say, `passed` what the grader says."""

    item: int
    passed: bool
    good: bool
    score: float | None = None

    @property
    def cell(self) -> str:
        return cell_of(passed=self.passed, good=self.good)


def cell_of(*, passed: bool, good: bool) -> str:
    """The name of a cell of the table in addresses."""
    return f"{'pass' if passed else 'fail'}-{'good' if good else 'bad'}"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far one way of passing agrees with people."""

    pairs: int
    alike: int
    kappa: float | None

    @property
    def percent(self) -> float | None:
        return self.alike / self.pairs if self.pairs else None

    @property
    def interval(self) -> Interval | None:
        """Wilson's interval of the share that agrees."""
        return wilson(self.alike, self.pairs)

    @property
    def words(self) -> str:
        return "" if self.kappa is None else agreement.in_words(self.kappa)


@dataclass(frozen=True, slots=True)
class Cut:
    """One threshold and how far passing from there on agrees with people."""

    threshold: float
    agreement: Agreement


def agreement_of(pairs: Sequence[Pair], threshold: float | None = None) -> Agreement:
    """Agreement on what passed, or on what would pass from a threshold on."""
    passing = [
        pair.good
        for pair in pairs
        if (pair.passed if threshold is None else pair.score is not None and pair.score >= threshold)
    ]
    return _agreement(len(pairs), sum(pair.good for pair in pairs), len(passing), sum(passing))


def _agreement(pairs: int, good: int, passed: int, passed_good: int) -> Agreement:
    """From how many are good, pass, and both; with Cohen's kappa (1960) of that table."""
    alike = passed_good + (pairs - passed - good + passed_good)
    chance = passed * good + (pairs - passed) * (pairs - good)  # over the square of the pairs
    # Where both say one and the same of everything, agreement by chance is certain.
    kappa = (pairs * alike - chance) / (pairs * pairs - chance) if chance < pairs * pairs else None
    return Agreement(pairs, alike, kappa)


def table_of(pairs: Sequence[Pair]) -> dict[str, int]:
    """How many answers are in each cell."""
    counts = Counter(pair.cell for pair in pairs)
    return {
        cell_of(passed=passed, good=good): counts[cell_of(passed=passed, good=good)]
        for passed in (True, False)
        for good in (True, False)
    }


def cuts_of(pairs: Sequence[Pair], threshold: float) -> list[Cut]:
    """The thresholds between the scores that came, and the present one, in their order.

    Of many scores, as many cuts as a curve needs.
    """
    scored = sorted((pair.score, pair.good) for pair in pairs if pair.score is not None)
    scores = sorted({score for score, _ in scored})
    between = [_round(low, high) for low, high in pairwise(scores)]
    every = -(-len(between) // MOST_CUTS) or 1
    wanted = {*between[::every], threshold}
    if scores:
        wanted.add(floor(100 * scores[0]) / 100)  # every answer passes
    good = sum(pair.good for pair in pairs)
    good_from = [*accumulate((each for _, each in reversed(scored)), initial=0)][::-1]

    def at(cut: float) -> Cut:
        below = bisect_left(scored, cut, key=itemgetter(0))
        return Cut(cut, _agreement(len(pairs), good, len(scored) - below, good_from[below]))

    return [at(cut) for cut in sorted(wanted)]


def best_of(pairs: Sequence[Pair], threshold: float) -> Cut | None:
    """The cut with the greatest kappa; of several the one that agrees most, then the nearest to the present.

    None where people said one thing only: the least or the greatest threshold would then be the best.
    """
    cuts = cuts_of(pairs, threshold) if len({pair.good for pair in pairs}) > 1 else ()
    told = [(cut.agreement.kappa, cut) for cut in cuts if cut.agreement.kappa is not None]
    if not told:
        return None
    return max(
        told,
        key=lambda each: (round(each[0], 9), each[1].agreement.alike, -abs(each[1].threshold - threshold)),
    )[1]


def doubts(pairs: Sequence[Pair]) -> str:
    """Why one should not rely on these figures, in words; empty if there are enough pairs of both kinds."""
    good = sum(pair.good for pair in pairs)
    bad = len(pairs) - good
    if not good or not bad:
        kind = "good" if good else "bad"
        return (
            f"People called every one of these answers {kind}, so nothing shows whether the grader can tell."
        )
    if len(pairs) < FEW:
        return f"Only {len(pairs)} reviewed answers: the figures may be far off. {FEW} or more say something."
    if min(good, bad) < FEW_OF_ONE:
        kind = "good" if good < bad else "bad"
        return f"Only {min(good, bad)} answers that people call {kind}: review more of those."
    return ""


def _round(low: float, high: float) -> float:
    """The shortest number above `low` and not above `high`, near the middle of both."""
    middle = (low + high) / 2
    return next((cut for digits in range(10) if low < (cut := round(middle, digits)) <= high), high)
