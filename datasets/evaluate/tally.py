"""Count a run's verdicts in one pass; what the report is made of, as plain data.

An item counts once, whatever the number of answers to it: its score is the mean of theirs, and it passes
where more of them pass than fail.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from django.db.models import Max, Min

from datasets.evaluate import graders, report
from datasets.evaluate.judges import Part
from datasets.evaluate.judging import range_of
from datasets.evaluate.statistics import mean_difference, wilcoxon
from datasets.evaluate.tally_calls import answers_of, judges_in
from datasets.evaluate.targets import read
from datasets.evaluate.thresholds import graders_of
from datasets.models import Grader, Result, Run

BINS = 20
OVERALL = 0  # stands for “all graders together” where a grader's id is expected
Kind = Grader.Kind
Span = tuple[float, float]
UNIT: Span = (0.0, 1.0)
Said = tuple[float | None, bool | None, str]  # score, passed, error


def summarise(run: Run) -> dict[str, Any]:
    """Everything the report needs, small enough for a JSON column."""
    targets = read(run.targets)
    found = graders_of(run)
    spans = spans_of(run, found)
    apart = {grader.pk for grader in found if grader.kind == Kind.PAIRWISE}
    version = run.evaluation.version
    verdicts = Verdicts([target.key for target in targets], [grader.pk for grader in found], spans, apart)
    rows = Result.objects.filter(run=run).order_by("example_id")
    verdicts.add_all(
        rows.values_list("example_id", "target", "grader_id", "score", "passed", "error").iterator(
            chunk_size=2000
        )
    )
    return {
        "items": version.rows,
        "left_out": sum(version.counts.get("left_out", {}).values()),
        "repetitions": run.repetitions,
        "targets": [answers_of(run, target) for target in targets],
        "judges": judges_in(run, found),
        "graders": [verdicts.entry(pk, name) for pk, name in named(found)],
        "ungraded": [{"text": text, "n": n} for text, n in verdicts.errors.most_common(20)],
    }


def named(found: Sequence[Grader]) -> list[tuple[int, str]]:
    """The graders of a report, all together at the end; a preference is none of those."""
    asked = [(grader.pk, grader.name) for grader in found]
    together = sum(grader.kind != Kind.PAIRWISE for grader in found) > 1
    return [*asked, (OVERALL, "All graders")] if together else asked


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


def headline_of(run: Run) -> str:
    """Its result as a sentence, for lists: graders have no part in that, so they are not read."""
    return report.read(run.summary, {}).headline


def spans_of(run: Run, found: Sequence[Grader]) -> dict[int, Span]:
    """From where to where each grader's scores run; what has no range of its own, as far as its scores go."""
    spans: dict[int, Span] = {}
    for grader in found:
        match grader.kind:
            case Kind.SCORE_MODEL:
                spans[grader.pk] = range_of(Part("", grader.kind, grader.params))
            case Kind.TEXT_SIMILARITY if grader.params.get("evaluation_metric") == "cosine":
                seen = _seen(run, grader)
                spans[grader.pk] = UNIT if seen[0] >= 0 else (-1.0, 1.0)
            case Kind.PYTHON | Kind.MULTI:
                low, high = _seen(run, grader)
                spans[grader.pk] = min(0.0, low), max(1.0, high)
            case _:
                spans[grader.pk] = UNIT
    return spans


def _seen(run: Run, grader: Grader) -> Span:
    found = Result.objects.filter(run=run, grader=grader).aggregate(low=Min("score"), high=Max("score"))
    return (found["low"] or 0.0), (found["high"] or 0.0)


def settle(said: Sequence[Said]) -> Said:
    """One verdict on an item from those on each of its answers.

    The score is their mean, and the item passes where more of them passed than failed. What was not graded
    does not count, unless nothing was.
    """
    if len(said) == 1:
        return said[0]
    graded = [passed for _, passed, _ in said if passed is not None]
    if not graded:
        return said[0]
    scores = [score for score, passed, _ in said if score is not None and passed is not None]
    return (sum(scores) / len(scores) if scores else None), 2 * sum(graded) > len(graded), ""


def together(verdicts: Iterable[bool | None]) -> bool | None:
    """All graders as one: failed where one fails, else ungraded where one is missing, else passed."""
    every = list(verdicts)
    return False if False in every else None if None in every else True


class Verdicts:
    """Counts per grader and target, and how each target differs from the first, item by item.

    `spans` says from where to where scores run; `apart` are preferences, which compare with the first target
    and count in nothing else.
    """

    def __init__(
        self,
        targets: Sequence[str],
        graders: Sequence[int],
        spans: Mapping[int, Span] | None = None,
        apart: Collection[int] = (),
    ) -> None:
        self.targets, self.graders = targets, graders
        self._spans, self._apart = dict(spans or {}), frozenset(apart)
        self._rated = [grader for grader in graders if grader not in self._apart]
        keys = [(grader, target) for grader in (*graders, OVERALL) for target in targets]
        self._counts: dict[tuple[int, str], Counter[str]] = {key: Counter() for key in keys}
        self._bins = {key: [0] * BINS for key in keys}
        self._sums = dict.fromkeys(keys, 0.0)
        self._pairs: dict[tuple[int, str], Counter[str]] = {key: Counter() for key in keys}
        self._changes: dict[tuple[int, str], list[float]] = {key: [] for key in keys}
        self._finer: set[int] = set()  # graders whose scores say more than passed and failed
        self.errors: Counter[str] = Counter()

    def as_data(self) -> dict[str, Any]:
        """What was counted so far, in what JSON knows."""
        return {
            "by": [
                [*key, counts, self._bins[key], self._sums[key], self._pairs[key], self._changes[key]]
                for key, counts in self._counts.items()
            ],
            "finer": sorted(self._finer),
            "errors": self.errors,
        }

    def go_on_from(self, data: Mapping[str, Any]) -> None:
        """Take what another of the same targets and graders gave as its data."""
        for grader, target, counts, bins, total, pairs, changes in data["by"]:
            key = grader, target
            self._counts[key], self._pairs[key] = Counter(counts), Counter(pairs)
            self._bins[key], self._sums[key], self._changes[key] = bins, total, changes
        self._finer, self.errors = set(data["finer"]), Counter(data["errors"])

    def add_all(self, rows: Iterable[tuple[int, str, int, float | None, bool | None, str]]) -> None:
        """Rows in the order of their items: (item, target, grader, score, passed, error).

        Several of one item, target and grader are those of several answers.
        """
        item: int | None = None
        said: dict[tuple[int, str], list[Said]] = {}
        for example, target, grader, score, passed, error in rows:
            if example != item:
                self._close(said)
                item, said = example, {}
            if (grader, target) not in self._counts:
                continue
            said.setdefault((grader, target), []).append((score, passed, error))
            if error:
                self.errors[error] += 1
        self._close(said)

    def entry(self, grader: int, name: str) -> dict[str, Any]:
        """What a summary keeps of one grader."""
        if grader in self._apart:
            return {
                "id": grader,
                "name": name,
                "cells": self.cells(grader),
                "pairs": [],
                "preferences": self.preferences(grader),
            }
        return {
            "id": grader,
            "name": name,
            "span": list(self._spans.get(grader, UNIT)),
            "cells": self.cells(grader),
            "pairs": self.pairs(grader),
        }

    def cells(self, grader: int) -> list[dict[str, Any]]:
        """Per target: how many passed, failed, could not be judged; mean and spread of the scores.

        `repeated` items were judged more than once, and `changed` ones not each time alike.
        """
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
                    "repeated": counts["repeated"],
                    "changed": counts["changed"],
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
                "both_judged": sum(self._pairs[grader, target][word] for word in ("same", "first", "second")),
                "only_first": self._pairs[grader, target]["first"],
                "only_second": self._pairs[grader, target]["second"],
                "scores": self._shift(grader, target),
            }
            for target in self.targets[1:]
        ]

    def preferences(self, grader: int) -> list[dict[str, Any]]:
        """Per further target: on how many items a judge prefers it to the first, neither, or the first."""
        return [
            {
                "first": self.targets[0],
                "second": target,
                "wins": self._pairs[grader, target]["win"],
                "ties": self._pairs[grader, target]["tie"],
                "losses": self._pairs[grader, target]["loss"],
                "ungraded": self._counts[grader, target]["ungraded"],
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

    def _close(self, said: Mapping[tuple[int, str], Sequence[Said]]) -> None:
        """All verdicts on an item are there."""
        if not said:
            return
        seen: dict[tuple[int, str], bool | None] = {}
        scores: dict[tuple[int, str], float] = {}
        for (grader, target), each in said.items():
            score, passed, _ = settle(each)
            seen[grader, target] = passed
            self._count(grader, target, passed=passed)
            if len(each) > 1:
                self._repeated(grader, target, each)
            if score is not None:
                scores[grader, target] = score
                self._score(grader, target, score)
                if any(one not in (0, 1) for one, _, _ in each if one is not None):
                    self._finer.add(grader)
        for (grader, target), score in scores.items():
            if grader in self._apart:
                word = "win" if score > 0.5 else "tie" if score == 0.5 else "loss"
                self._pairs[grader, target][word] += 1
                continue
            before = scores.get((grader, self.targets[0]))
            if before is not None and target != self.targets[0]:
                self._changes[grader, target].append(score - before)
        self._together(said, seen)

    def _together(
        self, said: Mapping[tuple[int, str], Sequence[Said]], seen: dict[tuple[int, str], bool | None]
    ) -> None:
        for target in self.targets:
            if self._rated:
                passed = together(seen.get((grader, target)) for grader in self._rated)
                seen[OVERALL, target] = passed
                self._count(OVERALL, target, passed=passed)
            each = [said[grader, target] for grader in self._rated if (grader, target) in said]
            self._counts[OVERALL, target]["repeated"] += any(_graded(one) > 1 for one in each)
            self._counts[OVERALL, target]["changed"] += any(_changed(one) for one in each)
        for grader in (*self._rated, OVERALL):
            first = seen.get((grader, self.targets[0]))
            for target in self.targets[1:]:
                second = seen.get((grader, target))
                if first is None or second is None:
                    continue
                word = "same" if first == second else "first" if first else "second"
                self._pairs[grader, target][word] += 1

    def _repeated(self, grader: int, target: str, each: Sequence[Said]) -> None:
        self._counts[grader, target]["repeated"] += _graded(each) > 1
        self._counts[grader, target]["changed"] += _changed(each)

    def _score(self, grader: int, target: str, score: float) -> None:
        low, high = self._spans.get(grader, UNIT)
        place = int((score - low) / (high - low) * BINS) if high > low else 0
        self._bins[grader, target][min(BINS - 1, max(0, place))] += 1
        self._sums[grader, target] += score


def _graded(each: Sequence[Said]) -> int:
    return sum(passed is not None for _, passed, _ in each)


def _changed(each: Sequence[Said]) -> bool:
    return len({passed for _, passed, _ in each if passed is not None}) > 1
