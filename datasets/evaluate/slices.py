"""Where a target is worse than elsewhere: pass rates by what is known of the items, and the worst in words.

One pass over the items, a batch at a time; what is kept is a few numbers for each slice.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from django.utils import timezone

from datasets.evaluate.report import Difference
from datasets.evaluate.report_words import chance
from datasets.evaluate.slice_cells import LEAST, Cell, Dimension, Slices, Value, shown
from datasets.evaluate.slice_counts import MOST_VALUES, Judging, SliceCounts, Tally, alone, kinds_of
from datasets.evaluate.slice_facts import BANDS, LENGTH, LONGEST_BAND, Facts, FactsOf, label_of
from datasets.evaluate.statistics import Fisher, holm
from datasets.evaluate.tally import OVERALL, Said, settle, together
from datasets.evaluate.targets import Target, read
from datasets.evaluate.thresholds import graders_of
from datasets.models import Example, Grader, Result, Run

__all__ = ["LEAST", "MOST_VALUES", "Counting", "Slices", "shown"]
AT_ONCE: Final = 500
_ORDER: Final = [name for _, name in BANDS] + [LONGEST_BAND]


class Counting:
    """The slices of a run under every grader, a batch of items after the other.

    What `as_data` gives stands for what was counted so far, so that another process can go on from there.
    """

    def __init__(self, run: Run, data: Mapping[str, Any] | None = None) -> None:
        self.done: int = data["done"] if data else 0
        self.after: int = data["after"] if data else 0
        self._run, self._targets = run, read(run.targets)
        self._rated = [one.pk for one in graders_of(run) if one.kind != Grader.Kind.PAIRWISE]
        self._counts = SliceCounts(data["counts"] if data else None)

    def go_on(self, may_go_on: Callable[[], bool] = lambda: True) -> bool:
        """Count while it may; True once every item is."""
        examples = Example.objects.filter(version=self._run.evaluation.version_id, line__isnull=False)
        examples = examples.order_by("line").only("line", "completion_id", "offset", "length")
        with FactsOf(self._run, self._targets) as facts:
            while batch := list(examples.filter(line__gt=self.after)[:AT_ONCE]):
                known, said = facts.of(batch), _verdicts(self._run, batch, self._rated)
                for example in batch:
                    _add(self._counts, known[example.pk], said.get(example.pk, {}), self._targets[0].key)
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


def _add(counts: SliceCounts, fact: Facts, said: Mapping[Judging, bool], first: str) -> None:
    """One item with what is said of each target.

    The length is that of each target's own answer: two targets of one band were asked other items, so there
    nothing is paired.
    """
    tallies = [found for of in set(fact.slices) if (found := counts.tally(of)) is not None]
    bands = {of: found for of in set(fact.answers.values()) if (found := counts.tally(of)) is not None}
    for found in (*tallies, *bands.values()):
        found.items += 1
    kinds = kinds_of(said, first)
    for found in (counts.total, *tallies):
        found.add(kinds)
    for band, found in bands.items():
        found.add(alone([one for one in kinds if fact.answers.get(one[0][1]) == band]))


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


def _compared(counts: SliceCounts, targets: Sequence[Target], grader: int) -> Slices:
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
    looked = [cell for cell in _every(made) if cell.is_enough]
    dimensions = _corrected(made, looked)
    return Slices(
        grader,
        tuple((target.key, target.label) for target in targets if judged[target.key]),
        dimensions,
        tuple(label_of(name) for name in counts.dropped),
        len(looked),
        tuple(_worst(dimensions, targets, len(looked))),
        tuple(_behind(dimensions, targets)),
        timezone.now().isoformat(),
    )


def _every(dimensions: Sequence[Dimension]) -> Iterator[Cell]:
    return (cell for dimension in dimensions for value in dimension.values for cell in value.cells)


def _corrected(made: Sequence[Dimension], looked: Sequence[Cell]) -> tuple[Dimension, ...]:
    """P-values corrected: all comparisons with the rest, and of each target those with the first."""
    rest = iter(holm([cell.p for cell in looked]))
    ps: dict[str, list[float]] = {}
    for cell in _every(made):
        if cell.pair is not None and cell.is_compared:
            ps.setdefault(cell.target, []).append(cell.pair.p)
    pairs = {target: iter(holm(each)) for target, each in ps.items()}

    def corrected(cell: Cell) -> Cell:
        if cell.pair is not None and cell.is_compared:
            cell = replace(cell, pair=replace(cell.pair, corrected=next(pairs[cell.target])))
        return replace(cell, corrected=next(rest)) if cell.is_enough else cell

    return tuple(
        replace(
            dimension,
            values=tuple(
                replace(value, cells=tuple(corrected(cell) for cell in value.cells))
                for value in dimension.values
            ),
        )
        for dimension in made
    )


def _cells(
    found: Tally, total: Tally, targets: Sequence[Target], grader: int, fisher: Fisher
) -> Iterator[Cell]:
    for target in targets:
        judged, passed = found.of(grader, target.key)
        every, every_passed = total.of(grader, target.key)
        if every:
            rest, rest_passed = every - judged, every_passed - passed
            cell = Cell(target.label, target.key, passed, judged, rest_passed, rest)
            p = fisher.p(passed, judged - passed, rest_passed, rest - rest_passed) if cell.is_enough else 1.0
            both, first, second = found.paired(grader, target.key)
            # Not clear as long as it is not tested.
            pair = Difference(targets[0].label, target.label, both, first, second, corrected=1.0)
            yield replace(cell, p=p, pair=pair if both else None)


def _worst(dimensions: Sequence[Dimension], targets: Sequence[Target], looked: int) -> Iterator[str]:
    """For each target the slice that it is farthest below the rest on, and how sure that is."""
    unsure: list[tuple[str, str]] = []
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
            lowest = f"No slice of “{cell.label}” is clearly worse than the rest. The lowest is {sliced}"
            unsure.append((f"“{cell.label}”", f"{lowest} with {share}, which may well be chance ({sure})."))
    yield from _shared(unsure, "No slice of", "is clearly worse than the rest.")


def _behind(dimensions: Sequence[Dimension], targets: Sequence[Target]) -> Iterator[str]:
    """For each further target the slice where it is farthest behind the first, if that is sure anywhere."""
    unsure: list[tuple[str, str]] = []
    for target in targets[1:]:
        found = [
            (cell.pair, f"{dimension.spoken} is {value.shown}")
            for dimension in dimensions
            for value in dimension.values
            for cell in value.cells
            if cell.target == target.key and cell.is_compared and cell.pair is not None
        ]
        if not found:
            continue
        lower = [one for one in found if one[0].points < 0]
        clear = [one for one in lower if one[0].is_clear]
        names = f"“{target.label}”", f"“{targets[0].label}”"
        if not lower:
            unsure.append((names[0], f"In no slice is {names[0]} behind {names[1]}."))
            continue
        pair, where = min(clear or lower, key=lambda one: one[0].points)
        share = f"{pair.in_points} on {pair.items:,} items judged for both, 95% interval {pair.range}"
        sure = f"{chance(pair.corrected or 0.0)}, corrected for {len(found):,} slices"
        if clear:
            yield f"{names[0]} is furthest behind {names[1]} where {where}: {share} ({sure})."
        else:
            lowest = f"In no slice is {names[0]} clearly behind {names[1]}. The furthest is where {where}"
            unsure.append((names[0], f"{lowest}: {share}, which may well be chance ({sure})."))
    yield from _shared(unsure, "In no slice is", f"clearly behind “{targets[0].label}”.")


def _shared(unsure: Sequence[tuple[str, str]], begin: str, end: str) -> Iterator[str]:
    """What is said of each target where nothing is clear; of more than a few in one sentence."""
    if len(unsure) <= 2:
        yield from (sentence for _, sentence in unsure)
    else:
        *most, last = [name for name, _ in unsure]
        yield f"{begin} {', '.join(most)} or {last} {end}"


def _size(value: Value) -> tuple[int, str]:
    return -value.items, value.value


def _bands(value: Value) -> tuple[int, str]:
    return _ORDER.index(value.value) if value.value in _ORDER else len(_ORDER), value.value
