"""Intervals and tests against SciPy (see reference/README.md), and by simulation."""

import json
from math import exp
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from datasets.evaluate import statistics
from datasets.evaluate.report_preferences import Preference
from datasets.evaluate.statistics import (
    Fisher,
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
        assert mcnemar(first, second) == pytest.approx(p, rel=1e-9, abs=0)
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
        assert wilcoxon(differences) == pytest.approx(p, rel=1e-9, abs=0), len(differences)
        assert wilcoxon([-each for each in differences]) == pytest.approx(p, rel=1e-9, abs=0)


def test_equal_scores_give_no_difference() -> None:
    assert wilcoxon([]) == wilcoxon([0.0, 0.0]) == 1
    assert mean_difference([]) is mean_difference([0.25]) is None  # one pair would look certain
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


def test_of_very_many_pairs_the_interval_is_what_drawing_again_comes_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = _skewed(1, 2_000)
    drawn = mean_difference(pairs)
    monkeypatch.setattr(statistics, "DRAWN", 1_999)
    told = mean_difference(pairs)
    assert drawn is not None
    assert told is not None
    assert told[0] == drawn[0]
    width = drawn[1].high - drawn[1].low
    assert told[1].low == pytest.approx(drawn[1].low, abs=0.05 * width)
    assert told[1].high == pytest.approx(drawn[1].high, abs=0.05 * width)


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


def test_fishers_test_agrees_with_scipy(reference: dict[str, Any]) -> None:
    fisher = Fisher(12_000)
    for *table, p in reference["fisher"]:
        passed, failed, rest_passed, rest_failed = table
        assert fisher.p(passed, failed, rest_passed, rest_failed) == pytest.approx(p, rel=1e-8, abs=1e-300)
        assert fisher.p(rest_passed, rest_failed, passed, failed) == pytest.approx(p, rel=1e-8, abs=1e-300)


def test_groups_that_say_nothing_do_not_differ() -> None:
    fisher = Fisher(20)
    assert fisher.p(0, 0, 5, 5) == fisher.p(5, 0, 5, 0) == fisher.p(0, 5, 0, 5) == fisher.p(0, 0, 0, 0) == 1


# The simulations below draw with NumPy, as they take many rounds. Each bound is 5 %, or 95 %, three standard
# errors to each side: that is sqrt(0.05 * 0.95 / rounds), 0.49 points for 2,000 rounds.
ROUNDS = 2_000
ERROR = 3 * (0.05 * 0.95 / ROUNDS) ** 0.5


@pytest.mark.parametrize("total", [25, 120, 800])
def test_a_pass_rates_interval_covers_the_truth_nineteen_times_of_twenty(total: int) -> None:
    draw = np.random.Generator(np.random.PCG64(11))
    covered = 0
    for rate in draw.uniform(0.02, 0.98, ROUNDS):  # at one rate counts, which are whole, reach more or less
        covered += _covers(wilson(int(draw.binomial(total, rate)), total), rate)
    assert covered / ROUNDS == pytest.approx(0.95, abs=0.005 + ERROR)


def _covers(interval: Interval | None, truth: float) -> bool:
    return interval is not None and interval.low <= truth <= interval.high


def _alone(seed: int, total: int, first: float, second: float) -> list[tuple[int, int]]:
    """On how many items only the first and only the second passes, round by round."""
    draw = np.random.Generator(np.random.PCG64(seed))
    rows = draw.multinomial(total, [first, second, 1 - first - second], ROUNDS)
    return [(int(one), int(two)) for one, two, _ in rows]


def test_mcnemars_test_is_false_as_seldom_as_it_says() -> None:
    for total, alone in ((60, 0.05), (400, 0.1), (2_000, 0.15)):
        alarms = sum(mcnemar(one, two) < 0.05 for one, two in _alone(3, total, alone, alone)) / ROUNDS
        # Exact, so never above 5 %, and below it where few items decide.
        assert alarms <= 0.05 + ERROR
        assert alarms >= 0.02 or total == 60


def test_a_differences_interval_covers_the_truth_where_one_is_much_better() -> None:
    for total, first, second in ((60, 0.04, 0.12), (400, 0.02, 0.1), (2_000, 0.1, 0.1)):
        pairs = _alone(5, total, first, second)
        found = {pair: paired_difference(*pair, total) for pair in set(pairs)}
        covered = sum(_covers(found[pair], second - first) for pair in pairs) / ROUNDS
        assert covered == pytest.approx(0.95, abs=0.005 + ERROR), total


def test_a_preference_that_is_none_is_claimed_as_seldom_as_that() -> None:
    draw = np.random.Generator(np.random.PCG64(17))
    clear = covered = 0
    for wins, losses, ties in draw.multinomial(300, [0.3, 0.3, 0.4], ROUNDS):
        one = Preference("first", "second", int(wins), int(ties), int(losses), 0)
        clear += one.is_clear
        covered += _covers(one.interval, 0.5)
    assert 0.03 <= clear / ROUNDS <= 0.05 + ERROR
    assert covered / ROUNDS == pytest.approx(0.95, abs=0.005 + ERROR)


def test_an_interval_of_equal_scores_leaves_out_zero_in_one_of_twenty_cases() -> None:
    draw = np.random.Generator(np.random.PCG64(23))
    alarms = 0
    for seed in range(400):
        found = mean_difference(list(draw.normal(0, 0.2, 80)), seed=seed)
        assert found is not None
        alarms += not _covers(found[1], 0.0)
    assert alarms / 400 == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / 400) ** 0.5)


def test_among_forty_slices_that_are_alike_one_is_seldom_called_worse() -> None:
    draw = np.random.Generator(np.random.PCG64(29))
    fisher = Fisher(800)
    alarms = 0
    for _ in range(400):
        passed = draw.binomial(20, 0.7, 40)
        every = int(passed.sum())
        ps = [fisher.p(int(k), 20 - int(k), every - int(k), 780 - every + int(k)) for k in passed]
        alarms += min(holm(ps)) < 0.05
    # Exact tests of few items are conservative.
    assert alarms / 400 <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
