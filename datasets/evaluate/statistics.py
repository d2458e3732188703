"""How sure a pass rate is, and whether two targets really differ. Pure; no dependency."""

from dataclasses import dataclass
from math import exp, fsum, lgamma, log, sqrt
from statistics import NormalDist


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


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value of McNemar's test: does a fair coin decide which target passes alone?

    Items that both pass, or both fail, say nothing about a difference and are not asked for.
    """
    trials = only_first + only_second
    if trials == 0:
        return 1.0
    # Logarithms: 2**trials does not fit a float from 1,024 disagreements on, and whole numbers grow slow.
    whole = lgamma(trials + 1) - trials * log(2)
    tail = fsum(
        exp(whole - lgamma(k + 1) - lgamma(trials - k + 1)) for k in range(min(only_first, only_second) + 1)
    )
    return min(1.0, 2 * tail)


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
