"""Where a target is worse than elsewhere: pass rates by what is known of the items, and the worst in words.

One pass over the items, a batch at a time; what is kept is a few numbers for each slice.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from django.utils import timezone

from completions.spoken import UNKNOWN
from datasets.evaluate.report_cells import whisker
from datasets.evaluate.report_words import SIGNIFICANT, chance, signed
from datasets.evaluate.slice_facts import BANDS, LENGTH, LONGEST_BAND, Facts, FactsOf, Slice, label_of
from datasets.evaluate.statistics import Fisher, Interval, holm, wilson
from datasets.evaluate.tally import OVERALL, Said, settle, together
from datasets.evaluate.targets import Target, read
from datasets.evaluate.thresholds import graders_of
from datasets.models import Example, Grader, Result, Run

LEAST: Final = 10  # judged items that a slice and the rest must have
MOST_VALUES: Final = 60  # of a dimension; one with more is no kind of thing, but an id or a date
MOST_DIMENSIONS: Final = 60
AT_ONCE: Final = 500
Judging = tuple[int, str]  # the grader, 0 for all together, and the key of the target
_ORDER: Final = [name for _, name in BANDS] + [LONGEST_BAND]


@dataclass(frozen=True)
class Cell:
    """One target within a slice, beside all other items."""

    label: str
    target: str
    passed: int
    judged: int
    rest_passed: int
    rest_judged: int
    p: float = 1.0
    corrected: float = 1.0

    @property
    def rate(self) -> float | None:
        return self.passed / self.judged if self.judged else None

    @property
    def interval(self) -> Interval | None:
        return wilson(self.passed, self.judged)

    @property
    def whisker(self) -> dict[str, float] | None:
        """The rate and its interval on a line of 100 units."""
        return whisker(self.passed, self.judged)

    @property
    def is_enough(self) -> bool:
        """Whether it can be set against the rest."""
        return self.judged >= LEAST and self.rest_judged >= LEAST

    @property
    def gap(self) -> float:
        """Points above the rest; below it, negative."""
        if not self.judged or not self.rest_judged:
            return 0.0
        return 100 * (self.passed / self.judged - self.rest_passed / self.rest_judged)

    @property
    def is_clear(self) -> bool:
        return self.is_enough and self.corrected < SIGNIFICANT

    @property
    def tone(self) -> str:
        return "none" if not self.is_clear else "ok" if self.gap > 0 else "bad"

    @property
    def in_points(self) -> str:
        return f"{signed(self.gap, 0)} points"

    @property
    def corrected_chance(self) -> str:
        return chance(self.corrected)


def shown(dimension: str, value: str) -> str:
    """A value of a dimension in words."""
    return "not told" if (dimension, value) == ("language", UNKNOWN) else value or "(empty)"


@dataclass(frozen=True)
class Value:
    """One slice: a value of a dimension, and each target within it."""

    dimension: str
    value: str
    items: int
    cells: tuple[Cell, ...]

    @property
    def shown(self) -> str:
        return shown(self.dimension, self.value)

    @property
    def address(self) -> str:
        """The end of the address of its rows."""
        return f"?{urlencode({'slice': self.dimension, 'value': self.value})}"


@dataclass(frozen=True)
class Dimension:
    name: str
    label: str
    values: tuple[Value, ...]
    small: int  # further values, with too few items


@dataclass(frozen=True)
class Slices:
    """Every slice of a run under one grader."""

    grader: int
    targets: tuple[tuple[str, str], ...]
    dimensions: tuple[Dimension, ...]
    varied: tuple[str, ...]  # dimensions with too many values
    looked: int  # comparisons that the p-values are corrected for
    worst: tuple[str, ...]  # a sentence for each target
    counted: str  # when, as ISO 8601

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Slices":
        """What `dataclasses.asdict` made of one, by way of JSON."""
        told = dict(data)
        told["targets"] = tuple((key, label) for key, label in told["targets"])
        told["dimensions"] = tuple(
            Dimension(
                **{
                    **each,
                    "values": tuple(
                        Value(**{**value, "cells": tuple(Cell(**cell) for cell in value["cells"])})
                        for value in each["values"]
                    ),
                }
            )
            for each in told["dimensions"]
        )
        return cls(**{**told, "varied": tuple(told["varied"]), "worst": tuple(told["worst"])})


class _Tally:
    """Of one slice: its items, and by grader and target how many of them were judged and passed."""

    __slots__ = ("by", "items")

    def __init__(self, items: int = 0, by: dict[Judging, list[int]] | None = None) -> None:
        self.items = items
        self.by = {} if by is None else by

    def add(self, of: Judging, passed: int) -> None:
        counts = self.by.get(of)
        if counts is None:
            counts = self.by[of] = [0, 0]
        counts[0] += 1
        counts[1] += passed

    def of(self, grader: int, target: str) -> tuple[int, int]:
        """How many were judged, and how many of those passed."""
        judged, passed = self.by.get((grader, target), (0, 0))
        return judged, passed

    def as_data(self) -> list[Any]:
        return [self.items, [[*of, *counts] for of, counts in self.by.items()]]

    @classmethod
    def read(cls, data: Sequence[Any]) -> "_Tally":
        items, by = data
        return cls(items, {(grader, target): counts for grader, target, *counts in by})


class _Counts:
    """Every slice with its tally; dimensions that get out of hand are dropped."""

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        told = data or {"values": {}, "dropped": [], "total": [0, []]}
        self.values: dict[str, dict[str, _Tally]] = {
            dimension: {value: _Tally.read(tally) for value, tally in values.items()}
            for dimension, values in told["values"].items()
        }
        self.dropped: dict[str, None] = dict.fromkeys(told["dropped"])
        self.total = _Tally.read(told["total"])

    def tally(self, of: Slice) -> _Tally | None:
        """That of a slice; None where its dimension is not counted."""
        dimension, value = of
        values = self.values.get(dimension)
        if values is None:
            if dimension in self.dropped or len(self.values) >= MOST_DIMENSIONS:
                return None
            values = self.values[dimension] = {}
        found = values.get(value)
        if found is None:
            if len(values) >= MOST_VALUES:
                self.dropped[dimension] = None
                del self.values[dimension]
                return None
            found = values[value] = _Tally()
        return found

    def as_data(self) -> dict[str, Any]:
        return {
            "values": {
                dimension: {value: tally.as_data() for value, tally in values.items()}
                for dimension, values in self.values.items()
            },
            "dropped": list(self.dropped),
            "total": self.total.as_data(),
        }


class Counting:
    """The slices of a run under every grader, a batch of items after the other.

    What `as_data` gives stands for what was counted so far, so that another process can go on from there.
    """

    def __init__(self, run: Run, data: Mapping[str, Any] | None = None) -> None:
        self.done: int = data["done"] if data else 0
        self.after: int = data["after"] if data else 0
        self._run, self._targets = run, read(run.targets)
        self._rated = [one.pk for one in graders_of(run) if one.kind != Grader.Kind.PAIRWISE]
        self._counts = _Counts(data["counts"] if data else None)

    def go_on(self, may_go_on: Callable[[], bool] = lambda: True) -> bool:
        """Count while it may; True once every item is."""
        examples = Example.objects.filter(version=self._run.evaluation.version_id, line__isnull=False)
        examples = examples.order_by("line").only("line", "completion_id", "offset", "length")
        with FactsOf(self._run, self._targets) as facts:
            while batch := list(examples.filter(line__gt=self.after)[:AT_ONCE]):
                known, said = facts.of(batch), _verdicts(self._run, batch, self._rated)
                for example in batch:
                    _add(self._counts, known[example.pk], said.get(example.pk, {}))
                self.after, self.done = batch[-1].line or 0, self.done + len(batch)
                if not may_go_on():
                    return False
        return True

    def as_data(self) -> dict[str, Any]:
        return {"done": self.done, "after": self.after, "counts": self._counts.as_data()}

    def found(self) -> dict[int, Slices]:
        """By grader; 0 stands for all of them together."""
        return {
            grader: _compared(self._counts, self._targets, grader)
            for grader in dict.fromkeys((*self._rated, OVERALL))
        }


def _add(counts: _Counts, fact: Facts, said: Mapping[Judging, bool]) -> None:
    """One item with what is said of each target."""
    tallies = [found for of in set(fact.slices) if (found := counts.tally(of)) is not None]
    bands = {of: found for of in set(fact.answers.values()) if (found := counts.tally(of)) is not None}
    for found in (*tallies, *bands.values()):
        found.items += 1
    for of, passed in said.items():
        counts.total.add(of, passed)
        for found in tallies:
            found.add(of, passed)
        own = fact.answers.get(of[1])
        if own in bands:
            bands[own].add(of, passed)


def _verdicts(run: Run, batch: Sequence[Example], rated: Sequence[int]) -> dict[int, dict[Judging, bool]]:
    """What each grader, and all together, say of each target of these items; not what is ungraded."""
    found: dict[int, dict[str, dict[int, list[Said]]]] = {}
    keys = [example.pk for example in batch]
    # The grader is not asked for, so that the index by example is the one that serves.
    rows = Result.objects.filter(run=run, example__in=keys)
    wanted = frozenset(rated)
    for example, target, by, score, passed in rows.values_list(
        "example_id", "target", "grader_id", "score", "passed"
    ):
        if by in wanted:
            of_target = found.setdefault(example, {}).setdefault(target, {})
            of_target.setdefault(by, []).append((score, passed, ""))
    made: dict[int, dict[Judging, bool]] = {}
    for example, by_target in found.items():
        of_item = made[example] = {}
        for target, each in by_target.items():
            settled = {by: settle(each[by])[1] if by in each else None for by in rated}
            settled[OVERALL] = together(settled.values())
            for by, said in settled.items():
                if said is not None:
                    of_item[by, target] = said
    return made


def _compared(counts: _Counts, targets: Sequence[Target], grader: int) -> Slices:
    judged = {target.key: counts.total.of(grader, target.key)[0] for target in targets}
    fisher = Fisher(max(judged.values(), default=0))
    made: list[Dimension] = []
    for name, values in counts.values.items():
        every = [
            Value(name, value, found.items, tuple(_cells(found, counts.total, targets, grader, fisher)))
            for value, found in values.items()
        ]
        enough = [value for value in every if any(cell.is_enough for cell in value.cells)]
        if enough:
            enough.sort(key=_bands if name == LENGTH else _size)
            made.append(Dimension(name, label_of(name), tuple(enough), len(every) - len(enough)))
    made.sort(key=lambda dimension: (dimension.name in ("model", "language", LENGTH), dimension.label))
    cells = [cell for dimension in made for value in dimension.values for cell in value.cells]
    looked = [cell for cell in cells if cell.is_enough]
    corrected = iter(holm([cell.p for cell in looked]))
    dimensions = tuple(
        replace(
            dimension,
            values=tuple(
                replace(
                    value,
                    cells=tuple(
                        replace(cell, corrected=next(corrected)) if cell.is_enough else cell
                        for cell in value.cells
                    ),
                )
                for value in dimension.values
            ),
        )
        for dimension in made
    )
    return Slices(
        grader,
        tuple((target.key, target.label) for target in targets if judged[target.key]),
        dimensions,
        tuple(label_of(name) for name in counts.dropped),
        len(looked),
        tuple(_worst(dimensions, targets, len(looked))),
        timezone.now().isoformat(),
    )


def _cells(
    found: _Tally, total: _Tally, targets: Sequence[Target], grader: int, fisher: Fisher
) -> Iterator[Cell]:
    for target in targets:
        judged, passed = found.of(grader, target.key)
        every, every_passed = total.of(grader, target.key)
        if every:
            rest, rest_passed = every - judged, every_passed - passed
            cell = Cell(target.label, target.key, passed, judged, rest_passed, rest)
            p = fisher.p(passed, judged - passed, rest_passed, rest - rest_passed) if cell.is_enough else 1.0
            yield replace(cell, p=p)


def _worst(dimensions: Sequence[Dimension], targets: Sequence[Target], looked: int) -> Iterator[str]:
    """For each target the slice that it is farthest below the rest on, and how sure that is."""
    for target in targets:
        found = [
            (value, dimension, cell)
            for dimension in dimensions
            for value in dimension.values
            for cell in value.cells
            if cell.target == target.key and cell.is_enough and cell.gap < 0
        ]
        clear = [one for one in found if one[2].is_clear]
        some = clear or found
        if not some:
            continue
        value, dimension, cell = min(some, key=lambda one: one[2].gap)
        assert cell.rate is not None
        sliced = f"{dimension.label} = {value.shown}"
        gap = abs(cell.gap)
        points = f"{gap:.0f}" if gap >= 2 else f"{gap:.1f}"
        share = f"{100 * cell.rate:.0f}% of {cell.judged:,}, {points} points below the rest"
        sure = f"{cell.corrected_chance}, corrected for {looked:,} such comparisons"
        if clear:
            yield f"On {sliced}, “{cell.label}” passes {share} ({sure})."
        else:
            yield (
                f"No slice of “{cell.label}” is clearly worse than the rest. The lowest is {sliced} with"
                f" {share}, which may well be chance ({sure})."
            )


def _size(value: Value) -> tuple[int, str]:
    return -value.items, value.value


def _bands(value: Value) -> tuple[int, str]:
    return _ORDER.index(value.value) if value.value in _ORDER else len(_ORDER), value.value
