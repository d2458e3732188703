"""How far people who answered the same questions agree: percent, Cohen's kappa and Krippendorff's alpha.

Each item is what its raters said, by rater; who did not answer is not in it. Answers are texts or numbers
that are equal or not, or, with `interval`, numbers whose distance counts. Cohen, "A Coefficient of Agreement
for Nominal Scales" (1960); Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

Answer = str | int
Ratings = Sequence[Mapping[Any, Answer]]

# Landis and Koch, "The Measurement of Observer Agreement for Categorical Data" (1977).
_WORDS = ((0.0, "poor"), (0.2, "slight"), (0.4, "fair"), (0.6, "moderate"), (0.8, "substantial"))


@dataclass(frozen=True, slots=True)
class Figures:
    """What there is to say about one question; None where a figure is not defined."""

    items: int  # that two or more people answered
    raters: int
    percent: float | None
    kappa: float | None
    alpha: float | None

    @property
    def words(self) -> str:
        """How good that is, in words, from the figure that corrects for chance."""
        figure = self.kappa if self.kappa is not None else self.alpha
        return "" if figure is None else in_words(figure)


def figures(items: Ratings, *, interval: bool = False) -> Figures:
    """Every figure that is defined for these answers."""
    shared = [item for item in items if len(item) > 1]
    raters = {rater for item in shared for rater in item}
    return Figures(
        len(shared),
        len(raters),
        percent(shared),
        kappa(shared) if len(raters) == 2 else None,
        alpha(shared, interval=interval),
    )


def percent(items: Ratings) -> float | None:
    """The share of pairs of raters who gave an item the same answer; None if no item has two answers.

    Each item counts as much as another, however many people answered it.
    """
    shares = []
    for item in items:
        given = Counter(item.values())
        pairs = _pairs(given.total())
        if pairs:
            shares.append(sum(_pairs(each) for each in given.values()) / pairs)
    return sum(shares) / len(shares) if shares else None


def kappa(items: Ratings) -> float | None:
    """Cohen's kappa of two raters over the items that both answered.

    None if there is no such item, if there are not two raters, or if both gave one and the same answer to
    everything: agreement by chance is then certain, and kappa is 0 / 0.
    """
    both = [item for item in items if len(item) > 1]
    raters = sorted({rater for item in both for rater in item}, key=repr)
    if not both or len(raters) != 2:
        return None
    n = len(both)
    one, other = (Counter(item[rater] for item in both) for rater in raters)
    same = sum(item[raters[0]] == item[raters[1]] for item in both)
    # Whole numbers as long as possible, so that "certain" is not a question of rounding.
    chance = sum(count * other[answer] for answer, count in one.items())
    if chance == n * n:
        return None
    return (same * n - chance) / (n * n - chance)


def alpha(items: Ratings, *, interval: bool = False) -> float | None:
    """Krippendorff's alpha of any number of raters, of whom some may be missing.

    None if fewer than two answers can be compared, or if every answer is the same: nothing then shows that
    raters could have differed, and alpha is 1 - 0 / 0.
    """
    every: Counter[Answer] = Counter()
    observed = 0.0
    for item in items:
        given = Counter(item.values())
        size = given.total()
        if size > 1:
            every += given
            observed += _differences(given, interval=interval) / (size - 1)
    n = every.total()
    if n < 2:
        return None
    expected = _differences(every, interval=interval) / (n - 1)
    return 1 - observed / expected if expected else None


def differing(items: Iterable[Mapping[Any, Answer]]) -> list[int]:
    """The places of the items that were not answered alike by all who answered."""
    return [place for place, item in enumerate(items) if len(set(item.values())) > 1]


def in_words(figure: float) -> str:
    """What is usually said of a figure that corrects for chance."""
    return next((words for limit, words in _WORDS if figure <= limit), "almost perfect")


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def _differences(given: Counter[Answer], *, interval: bool) -> float:
    """The sum of the distances of all ordered pairs of answers."""
    if not interval:
        total = given.total()
        return float(total * total - sum(count * count for count in given.values()))
    return 2.0 * sum(
        count * other * (int(answer) - int(another)) ** 2
        for (answer, count), (another, other) in combinations(given.items(), 2)
    )
