"""Intervals and tests against SciPy (see reference/README.md), and by simulation."""

import json
from math import exp
from pathlib import Path
from random import Random
from typing import Any

import pytest

from datasets.evaluate.statistics import (
    Interval,
    holm,
    mcnemar,
    mean_difference,
    paired_difference,
    wilcoxon,
    wilson,
)


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    table: dict[str, Any] = json.loads((Path(__file__).parent / "reference" / "statistics.json").read_text())
    return table


def test_wilson_agrees_with_scipy(reference: dict[str, Any]) -> None:
    for passed, total, confidence, low, high in reference["wilson"]:
        interval = wilson(passed, total, confidence)
        assert interval is not None
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-12)


def test_mcnemar_agrees_with_scipy(reference: dict[str, Any]) -> None:
    for first, second, p in reference["mcnemar"]:
        assert mcnemar(first, second) == pytest.approx(p, rel=1e-9)
        assert mcnemar(second, first) == mcnemar(first, second)


def test_nothing_measured_gives_no_interval_and_no_difference() -> None:
    assert wilson(0, 0) is None
    assert paired_difference(0, 0, 0) is None
    assert mcnemar(0, 0) == 1


def test_many_disagreements_do_not_overflow() -> None:
    assert mcnemar(20_000, 20_000) == pytest.approx(1, abs=0.01)
    assert mcnemar(1_000, 30_000) == pytest.approx(0, abs=1e-12)


def test_a_difference_follows_bonett_and_price() -> None:
    # n = 100, 10 only first, 25 only second: (26 - 11) / 102 ± 1.959964 · sqrt((37/102 - (15/102)²) / 102)
    interval = paired_difference(10, 25, 100)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((0.033714, 0.260403), abs=1e-5)


def _trials(seed: int, total: int, first: float, second: float) -> tuple[int, int]:
    draw = Random(seed)
    only_first = only_second = 0
    for _ in range(total):
        one, two = draw.random() < first, draw.random() < second
        only_first += one and not two
        only_second += two and not one
    return only_first, only_second


def test_equal_targets_are_called_different_in_at_most_one_of_twenty_cases() -> None:
    found = sum(mcnemar(*_trials(seed, 200, 0.7, 0.7)) < 0.05 for seed in range(1000))
    # The exact test is conservative: well under 5 %, three standard errors above it would be 7.1 %.
    assert 5 <= found <= 71


def test_the_interval_of_a_difference_covers_the_truth_nineteen_times_of_twenty() -> None:
    covered = 0
    for seed in range(1000):
        interval = paired_difference(*_trials(seed, 200, 0.6, 0.7), total=200)
        assert interval is not None
        covered += interval.low <= 0.1 <= interval.high
    assert 929 <= covered <= 980


def test_wilcoxon_agrees_with_scipy(reference: dict[str, Any]) -> None:
    for differences, p in reference["wilcoxon"]:
        assert wilcoxon(differences) == pytest.approx(p, rel=1e-9), len(differences)
        assert wilcoxon([-each for each in differences]) == pytest.approx(p, rel=1e-9)


def test_equal_scores_give_no_difference() -> None:
    assert wilcoxon([]) == wilcoxon([0.0, 0.0]) == 1
    assert mean_difference([]) is None
    assert mean_difference([0.25] * 8) == (0.25, Interval(0.25, 0.25))


def test_differences_of_equal_steps_are_ties_whatever_their_last_bits() -> None:
    assert 0.3 - 0.2 != 0.2 - 0.1
    assert wilcoxon([0.3 - 0.2, 0.2 - 0.1, 0.1]) == wilcoxon([0.1, 0.1, 0.1])


def _skewed(seed: int, total: int) -> list[float]:
    draw = Random(seed)
    return [min(1.0, draw.expovariate(4)) - 0.25 * (1 - exp(-4)) for _ in range(total)]


def test_an_interval_of_scores_covers_the_truth_about_nineteen_times_of_twenty() -> None:
    covered = 0
    for seed in range(400):
        found = mean_difference(_skewed(seed, 120), seed=seed)
        assert found is not None
        covered += found[1].low <= 0 <= found[1].high
    # 95 %, three standard errors to each side; percentiles of skewed scores reach a little less.
    assert 365 <= covered <= 393


def test_scores_without_a_difference_are_called_different_in_one_of_twenty_cases() -> None:
    draw = Random(5)
    found = sum(wilcoxon([draw.gauss(0, 1) for _ in range(40)]) < 0.05 for _ in range(1000))
    assert 29 <= found <= 71


def test_an_interval_is_the_same_each_time() -> None:
    assert mean_difference(_skewed(1, 50)) == mean_difference(_skewed(1, 50))


def test_several_tests_at_once_are_corrected_as_holm_did() -> None:
    # 4 · 0.005, 3 · 0.01, 2 · 0.03, and never less than the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5]) == [0.5]
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_one_false_alarm_among_six_graders_stays_as_rare_as_among_one() -> None:
    draw = Random(7)
    alarms = sum(min(holm([draw.random() for _ in range(6)])) < 0.05 for _ in range(2000))
    assert 68 <= alarms <= 132  # 5 %, three standard errors to each side
