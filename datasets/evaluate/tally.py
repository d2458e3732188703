"""Count a run's calls and verdicts in one pass each; what the report is made of, as plain data."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from datasets.evaluate import graders, report
from datasets.evaluate.statistics import mean_difference, wilcoxon
from datasets.evaluate.targets import Target, read
from datasets.evaluate.thresholds import graders_of
from datasets.models import Call, Result, Run

BINS = 20
OVERALL = 0  # stands for “all graders together” where a grader's id is expected


def summarise(run: Run) -> dict[str, Any]:
    """Everything the report needs, small enough for a JSON column."""
    targets = read(run.targets)
    asked = list(run.evaluation.graders.values_list("pk", "name"))
    version = run.evaluation.version
    verdicts = Verdicts([target.key for target in targets], [pk for pk, _ in asked])
    rows = Result.objects.filter(run=run).order_by("example_id")
    verdicts.add_all(
        rows.values_list("example_id", "target", "grader_id", "score", "passed", "error").iterator(
            chunk_size=2000
        )
    )
    named = [*asked, (OVERALL, "All graders")] if len(asked) > 1 else asked
    return {
        "items": version.rows,
        "left_out": sum(version.counts.get("left_out", {}).values()),
        "targets": [_answers(run, target) for target in targets],
        "graders": [
            {"id": pk, "name": name, "cells": verdicts.cells(pk), "pairs": verdicts.pairs(pk)}
            for pk, name in named
        ],
        "ungraded": [{"text": text, "n": n} for text, n in verdicts.errors.most_common(20)],
    }


def report_of(run: Run) -> report.Report:
    """The report of a run that is done."""
    known = {
        grader.pk: {
            "threshold": grader.params.get("pass_threshold"),
            "explained": graders.explain(grader.kind, grader.params),
        }
        for grader in graders_of(run)
    }
    return report.read(run.summary, known)


class Verdicts:
    """Counts per grader and target, and how each target differs from the first, item by item."""

    def __init__(self, targets: Sequence[str], graders: Sequence[int]) -> None:
        self.targets, self.graders = targets, graders
        keys = [(grader, target) for grader in (*graders, OVERALL) for target in targets]
        self._counts: dict[tuple[int, str], Counter[str]] = {key: Counter() for key in keys}
        self._bins = {key: [0] * BINS for key in keys}
        self._sums = dict.fromkeys(keys, 0.0)
        self._pairs: dict[tuple[int, str], Counter[str]] = {key: Counter() for key in keys}
        self._changes: dict[tuple[int, str], list[float]] = {key: [] for key in keys}
        self._finer: set[int] = set()  # graders whose scores say more than passed and failed
        self.errors: Counter[str] = Counter()

    def add_all(self, rows: Iterable[tuple[int, str, int, float | None, bool | None, str]]) -> None:
        """Rows in the order of their items: (item, target, grader, score, passed, error)."""
        item: int | None = None
        seen: dict[tuple[int, str], bool | None] = {}
        scores: dict[tuple[int, str], float] = {}
        for example, target, grader, score, passed, error in rows:
            if example != item:
                self._close(seen, scores)
                item, seen, scores = example, {}, {}
            if (grader, target) not in self._counts:
                continue
            seen[grader, target] = passed
            self._count(grader, target, passed=passed)
            if error:
                self.errors[error] += 1
            if score is not None:
                self._bins[grader, target][min(BINS - 1, max(0, int(score * BINS)))] += 1
                self._sums[grader, target] += score
                scores[grader, target] = score
                if score not in (0, 1):
                    self._finer.add(grader)
        self._close(seen, scores)

    def cells(self, grader: int) -> list[dict[str, Any]]:
        """Per target: how many passed, failed, could not be judged; mean and spread of the scores."""
        made = []
        for target in self.targets:
            counts = self._counts[grader, target]
            scored = sum(self._bins[grader, target])
            made.append(
                {
                    "target": target,
                    "passed": counts["passed"],
                    "failed": counts["failed"],
                    "ungraded": counts["ungraded"],
                    "mean": self._sums[grader, target] / scored if scored else None,
                    "bins": self._bins[grader, target] if grader != OVERALL else [],
                }
            )
        return made

    def pairs(self, grader: int) -> list[dict[str, Any]]:
        """Per further target, against the first: items judged for both, and those that only one passes.

        `scores` is there where scores are finer than that: the mean of the paired differences, its interval,
        and how likely such a shift is by chance.
        """
        return [
            {
                "first": self.targets[0],
                "second": target,
                "both_judged": self._pairs[grader, target].total(),
                "only_first": self._pairs[grader, target]["first"],
                "only_second": self._pairs[grader, target]["second"],
                "scores": self._shift(grader, target),
            }
            for target in self.targets[1:]
        ]

    def _shift(self, grader: int, target: str) -> dict[str, float] | None:
        changes = self._changes[grader, target] if grader in self._finer else []
        found = mean_difference(changes)
        if found is None:
            return None
        mean, interval = found
        return {
            "n": len(changes),
            "mean": mean,
            "low": interval.low,
            "high": interval.high,
            "p": wilcoxon(changes),
        }

    def _count(self, grader: int, target: str, *, passed: bool | None) -> None:
        self._counts[grader, target]["ungraded" if passed is None else "passed" if passed else "failed"] += 1

    def _close(self, seen: dict[tuple[int, str], bool | None], scores: dict[tuple[int, str], float]) -> None:
        if not seen:
            return
        for (grader, target), score in scores.items():
            before = scores.get((grader, self.targets[0]))
            if before is not None and target != self.targets[0]:
                self._changes[grader, target].append(score - before)
        for target in self.targets:
            verdicts = [seen.get((grader, target)) for grader in self.graders]
            passed = False if False in verdicts else None if None in verdicts else True
            seen[OVERALL, target] = passed
            self._count(OVERALL, target, passed=passed)
        for grader in (*self.graders, OVERALL):
            first = seen.get((grader, self.targets[0]))
            for target in self.targets[1:]:
                second = seen.get((grader, target))
                if first is None or second is None:
                    continue
                word = "same" if first == second else "first" if first else "second"
                self._pairs[grader, target][word] += 1


def _answers(run: Run, target: Target) -> dict[str, Any]:
    """What came back from one target: counts, tokens, how long it took, errors by kind."""
    told: dict[str, Any] = {"key": target.key, "label": target.label, "kind": target.kind}
    if not target.is_fresh:
        return told
    states: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    latencies: list[int] = []
    errors: Counter[str] = Counter()
    examples: dict[str, str] = {}
    calls = Call.objects.filter(run=run, target=target.key, grader="").order_by("id")
    for state, usage, latency, error in calls.values_list(
        "state", "answer__usage", "latency_ms", "error"
    ).iterator(chunk_size=2000):
        states[state] += 1
        for name in ("prompt_tokens", "completion_tokens"):
            amount = usage.get(name) if isinstance(usage, dict) else None
            tokens[name] += amount if isinstance(amount, int) else 0
        if state == Call.State.DONE and latency is not None:
            latencies.append(latency)
        if state == Call.State.FAILED:
            kind = str(error.get("kind", "unexpected"))
            errors[kind] += 1
            examples.setdefault(kind, str(error.get("text", "")))
    latencies.sort()
    return told | {
        "answered": states[Call.State.DONE],
        "failed": states[Call.State.FAILED],
        "missing": states[Call.State.PENDING] + states[Call.State.SENT],
        "tokens": dict(tokens),
        "latency": {name: _quantile(latencies, share) for name, share in (("p50", 0.5), ("p95", 0.95))},
        "errors": [{"kind": kind, "n": n, "text": examples[kind]} for kind, n in errors.most_common()],
    }


def _quantile(ordered: Sequence[int], share: float) -> int | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
