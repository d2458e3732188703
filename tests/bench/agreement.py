"""How far metrics and statistics are from those they follow: `python -m tests.bench agreement`.

Metrics and exact tests are compared with the reference values of tests/datasets/reference/, case by case.
What no table can show, how often a test is wrong and an interval right, is counted by drawing samples whose
truth is known. Results go to results/agreement.json.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datasets.evaluate.metrics import FOLLOWS, METRICS, similarity
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
from tests.bench import agreement_table, render
from tests.bench.pane import machine
from tests.bench.pane_places import HOME, ROOT
from tests.datasets.metric_pairs import pairs

REFERENCE = ROOT / "tests" / "datasets" / "reference"
TESTS = {
    "wilson": ("Wilson's interval", "SciPy `proportion_ci`"),
    "mcnemar": ("McNemar's exact test", "SciPy `binomtest`"),
    "wilcoxon": ("Wilcoxon's signed-rank test", "SciPy `wilcoxon`"),
    "fisher": ("Fisher's exact test", "SciPy `fisher_exact`"),
}


def main(arguments: Sequence[str]) -> bool:
    """Compare, draw, write; True if every metric agrees to six places and every test to eight."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench agreement", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, default=HOME)
    options = parser.parse_args(arguments)
    home = options.keep.resolve()
    texts, tests = metrics(), exact_tests()
    result = {"machine": machine(), "metrics": texts, "tests": tests, "drawn": list(drawn(options.rounds))}
    (home / "results").mkdir(parents=True, exist_ok=True)
    (home / "results" / "agreement.json").write_text(json.dumps(result, indent=1))
    print("\n".join(agreement_table.of(home)))
    render.write(render.DOCUMENT, home)
    return all(line[3] <= 1e-6 for line in texts) and all(line[3] <= 1e-8 for line in tests)


def metrics() -> list[tuple[str, str, int, float]]:
    """The largest difference of each metric from its reference, which is rounded to six places."""
    known = _reference("metrics")
    texts = pairs()
    lines = []
    for metric in METRICS:
        column = known["columns"].index(metric)
        found = max(
            abs(round(similarity(metric, text, wanted), 6) - scores[column])
            for (text, wanted), scores in zip(texts, known["scores"], strict=True)
        )
        lines.append((metric, FOLLOWS[metric], len(texts), found))
    return lines


def exact_tests() -> list[tuple[str, str, int, float]]:
    """The largest relative difference of each statistic."""
    fisher = Fisher(12_000)
    told: dict[str, Callable[..., Iterable[tuple[float, float]]]] = {
        "wilson": lambda passed, total, level, *ends: zip(
            _ends(wilson(passed, total, level)), ends, strict=True
        ),
        "mcnemar": lambda first, second, p: [(mcnemar(first, second), p)],
        "wilcoxon": lambda differences, p: [(wilcoxon(differences), p)],
        "fisher": lambda a, b, c, d, p: [(fisher.p(a, b, c, d), p)],
    }
    known = _reference("statistics")
    return [
        (
            *TESTS[name],
            len(known[name]),
            max(
                abs(ours - theirs) / (abs(theirs) or 1)
                for case in known[name]
                for ours, theirs in tell(*case)
            ),
        )
        for name, tell in told.items()
    ]


def drawn(rounds: int) -> Iterable[tuple[str, int, str, float, str]]:
    """How often what should happen once in twenty times does, where the truth is known."""
    draw = np.random.Generator(np.random.PCG64(2026))

    def line(
        what: str, counted: str, happened: Iterable[bool], should: str
    ) -> tuple[str, int, str, float, str]:
        every = list(happened)
        return what, len(every), counted, sum(every) / len(every), should

    for total in (25, 120, 800):
        rates = draw.uniform(0.02, 0.98, rounds)
        yield line(
            f"pass rates from 2 to 98 %, n = {total}", "Wilson's interval covers the truth",
            (_covers(wilson(int(draw.binomial(total, rate)), total), rate) for rate in rates), "95 %",
        )  # fmt: skip
    for total, first, second in ((120, 0.1, 0.1), (812, 0.08, 0.05), (2_000, 0.15, 0.15)):
        rows = draw.multinomial(total, [first, second, 1 - first - second], rounds)
        alone = [(int(one), int(two)) for one, two, _ in rows]
        what = f"two targets, n = {total}, alone right {first:.0%} and {second:.0%}"
        if first == second:
            yield line(
                what, "McNemar calls them different", (mcnemar(*each) < 0.05 for each in alone), "at most 5 %"
            )
        yield line(
            what, "the difference's interval covers the truth",
            (_covers(paired_difference(*each, total), second - first) for each in alone), "95 %",
        )  # fmt: skip
    fewer = max(1, rounds // 10)  # these take long
    yield line(
        "equal scores, n = 40", "Wilcoxon calls them different",
        (wilcoxon([float(each) for each in draw.normal(0, 1, 40)]) < 0.05 for _ in range(fewer)), "5 %",
    )  # fmt: skip
    equal = (mean_difference([float(each) for each in draw.normal(0, 0.2, 80)], seed=n) for n in range(fewer))
    yield line(
        "equal scores, n = 80", "the interval of the mean difference covers 0",
        (_covers(found and found[1], 0) for found in equal), "95 %",
    )  # fmt: skip
    preferred = [
        Preference("first", "second", int(wins), int(ties), int(losses), 0)
        for wins, losses, ties in draw.multinomial(300, [0.3, 0.3, 0.4], rounds)
    ]
    yield line(
        "no preference, n = 300", "one is claimed", (each.is_clear for each in preferred), "at most 5 %"
    )
    fisher = Fisher(800)
    yield line(
        "forty slices that are alike, n = 20 each", "one is called worse (Holm)",
        (_one_is_worse(fisher, draw.binomial(20, 0.7, 40).tolist()) for _ in range(fewer)), "at most 5 %",
    )  # fmt: skip


def _reference(name: str) -> dict[str, Any]:
    table: dict[str, Any] = json.loads((REFERENCE / f"{name}.json").read_text())
    return table


def _ends(interval: Interval | None) -> tuple[float, float]:
    assert interval is not None
    return interval.low, interval.high


def _covers(interval: Interval | None, truth: float) -> bool:
    return interval is not None and bool(interval.low <= truth <= interval.high)


def _one_is_worse(fisher: Fisher, passed: Sequence[int]) -> bool:
    every, total = sum(passed), 20 * len(passed)
    ps = [fisher.p(k, 20 - k, every - k, total - 20 - every + k) for k in passed]
    return min(holm(ps)) < 0.05
