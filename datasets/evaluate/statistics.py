"""How sure a pass rate or a mean score is, and whether two targets really differ. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import erfc, exp, fsum, lgamma, log, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

EXACT_RANKS = 50  # of so few differences every way of signing the ranks is counted
ROUNDS = 2_000  # of drawing again
DRAWN = 20_000  # pairs; the means of more of them, drawn again, lie on the normal curve as far as can be told
_DRAWN_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


def wilson(passed: int, total: int, confidence: float = 0.95) -> Interval | None:
    """Wilson's score interval of a rate (1927): good for few items and for rates near 0 or 1.

    None when nothing was measured.
    """
    if total <= 0:
        return None
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = passed / total
    centre = rate + z * z / (2 * total)
    spread = z * sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    # At the ends rounding would leave a bound of 1e-17 or 0.99…9 where the formula gives exactly 0 or 1.
    low = 0.0 if passed == 0 else (centre - spread) / scale
    high = 1.0 if passed == total else (centre + spread) / scale
    return Interval(low, high)


@lru_cache(maxsize=512)  # one page asks for the same ones several times, and of many items each takes a while
def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value of McNemar's test: does a fair coin decide which target passes alone?

    Items that both pass, or both fail, say nothing about a difference and are not asked for.
    """
    trials = only_first + only_second
    if trials == 0:
        return 1.0
    # Logarithms: 2**trials does not fit a float from 1,024 disagreements on, and whole numbers grow slow.
    whole, fewer = lgamma(trials + 1) - trials * log(2), min(only_first, only_second)
    # Terms fall by more than exp(-2d²/trials) over d steps: what lies further out is less than 1e-80 of it.
    terms = range(max(0, fewer - int(10 * sqrt(trials))), fewer + 1)
    tail = fsum(exp(whole - lgamma(k + 1) - lgamma(trials - k + 1)) for k in terms)
    return min(1.0, 2 * tail)


class Fisher:
    """Fisher's exact test of two groups that are not paired, for tables of up to `most` items (1922)."""

    def __init__(self, most: int) -> None:
        steps = np.log(np.arange(1, most + 1, dtype=float))
        self._of = np.concatenate(([0.0], np.cumsum(steps)))  # logarithms of 0!, 1!, …

    def p(self, passed: int, failed: int, rest_passed: int, rest_failed: int) -> float:
        """Two-sided: how likely are such shares, and rarer ones, if both groups pass equally often."""
        of, group = self._of, passed + failed
        total, every = group + rest_passed + rest_failed, passed + rest_passed
        if not 0 < every < total or not 0 < group < total:
            return 1.0
        k = np.arange(max(0, every + group - total), min(every, group) + 1)
        chances = (of[every] + of[total - every] + of[group] + of[total - group] - of[total]) - (
            of[k] + of[every - k] + of[group - k] + of[total - every - group + k]
        )
        here = chances[passed - k[0]]
        return min(1.0, float(np.exp(chances[chances <= here + 1e-7]).sum()))


def paired_difference(
    only_first: int, only_second: int, total: int, confidence: float = 0.95
) -> Interval | None:
    """Interval of (rate of second minus rate of first) on the same items.

    Bonett and Price's adjusted Wald interval for paired proportions (2012). None when no pair was measured.
    """
    if total <= 0:
        return None
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    first, second = (only_first + 1) / (total + 2), (only_second + 1) / (total + 2)
    difference = second - first
    spread = z * sqrt((first + second - difference * difference) / (total + 2))
    return Interval(max(-1.0, difference - spread), min(1.0, difference + spread))


def wilcoxon(differences: Sequence[float]) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test (1945): is there a shift one way?

    Zeros say nothing and are left out; ties share their ranks. Up to EXACT_RANKS differences without ties
    exactly, else by the normal approximation with its correction for ties. 1 where nothing differs.
    """
    some = np.round(np.asarray(differences, float), 12)  # 0.3 - 0.2 is as much as 0.2 - 0.1
    some = some[some != 0]
    if not len(some):
        return 1.0
    sizes, place, counts = np.unique(np.abs(some), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[place]
    up = float(ranks[some > 0].sum())
    n = len(some)
    if n <= EXACT_RANKS and len(sizes) == n and n == len(differences):
        return _exact(n, up)
    mean = n * (n + 1) / 4
    variance = n * (n + 1) * (2 * n + 1) / 24 - float((counts.astype(float) ** 3 - counts).sum()) / 48
    return erfc(abs(up - mean) / sqrt(2 * variance))  # both tails, exact as far out as floats go


def _exact(n: int, up: float) -> float:
    """How many of the 2**n ways of signing the ranks 1 to n are as far from the middle as `up`."""
    most = n * (n + 1) // 2
    ways = np.zeros(most + 1)
    ways[0] = 1.0
    for rank in range(1, n + 1):
        ways[rank:] = ways[rank:] + ways[: most + 1 - rank]
    low = int(min(up, most - up))
    return min(1.0, 2 * float(ways[: low + 1].sum()) / 2.0**n)


def mean_difference(
    differences: Sequence[float], confidence: float = 0.95, seed: int = 0
) -> tuple[float, Interval] | None:
    """The mean of paired differences and its interval, by drawing the pairs again (Efron, 1979).

    The same differences and seed give the same interval. That of more than DRAWN pairs is what drawing comes
    to, for drawing itself would take seconds. None when there are fewer than two pairs: one alone does not
    say how far others lie from it, and drawn again it would look certain.
    """
    some = np.asarray(differences, float)
    if len(some) < 2:
        return None
    if len(some) > DRAWN:
        mean = float(some.mean())
        spread = NormalDist().inv_cdf((1 + confidence) / 2) * float(some.std()) / sqrt(len(some))
        return mean, Interval(mean - spread, mean + spread)
    means = _drawn_again(some, np.random.Generator(np.random.PCG64(seed)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return float(some.mean()), Interval(float(low), float(high))


def _drawn_again(some: NDArray[np.float64], draw: np.random.Generator) -> NDArray[np.float64]:
    at_once = max(1, _DRAWN_AT_ONCE // len(some))
    means = [
        some[draw.integers(0, len(some), (min(at_once, ROUNDS - first), len(some)))].mean(axis=1)
        for first in range(0, ROUNDS, at_once)
    ]
    return np.concatenate(means)


def holm(ps: Sequence[float]) -> list[float]:
    """P-values of several tests, corrected so that a false alarm among all stays as rare (Holm, 1979)."""
    order = sorted(range(len(ps)), key=lambda place: ps[place])
    corrected = [0.0] * len(ps)
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[place]))
        corrected[place] = highest
    return corrected
