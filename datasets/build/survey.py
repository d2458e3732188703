"""What a recipe would do, shown before it is built: the first rows of a selection, taken through its steps.

Nothing is written. The exact numbers come from the build, which takes every row through the same steps.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

import numpy as np

from completions import selection
from completions.duplicates import Hashes
from completions.models import FrozenSelection
from datasets.build import choose, marks
from datasets.build.lines import in_words
from datasets.build.making import STEPS, Left, Made, Maker
from datasets.build.taking import Sources, Taken
from datasets.build.tokens import Counter
from datasets.build.writing import counted
from datasets.recipe import Recipe

ROWS: Final = 500  # that a survey looks at
SHOWN: Final = 3  # examples of each reason
CHOOSING: Final = "choosing"
_BESIDE: Final = "Rules that look at all rows"


@dataclass(slots=True)
class Reason:
    """Why rows were left out, how many, and some of them as (id, address); the id is None if it is gone."""

    code: str
    rows: int = 0
    examples: list[tuple[int | None, str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return in_words(self.code)

    def add(self, taken: Taken) -> None:
        self.rows += 1
        if len(self.examples) < SHOWN:
            self.examples.append((taken.completion, taken.source_key))


@dataclass(slots=True)
class Step:
    """One step of a recipe: how many rows came to it, and why some went no further."""

    name: str
    came: int = 0
    reasons: dict[str, Reason] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return STEPS.get(self.name, _BESIDE)

    @property
    def left_out(self) -> int:
        return sum(reason.rows for reason in self.reasons.values())

    @property
    def stay(self) -> int:
        return self.came - self.left_out

    @property
    def most_frequent(self) -> list[Reason]:
        return sorted(self.reasons.values(), key=lambda reason: (-reason.rows, reason.code))

    def add(self, code: str, taken: Taken) -> None:
        self.reasons.setdefault(code, Reason(code)).add(taken)


@dataclass(frozen=True, slots=True)
class Survey:
    """`looked_at` of `selected` rows; `stays` would have a line, `edited` say another thing than stored."""

    selected: int
    looked_at: int
    stays: int
    edited: int
    steps: tuple[Step, ...]
    personal: dict[str, int]

    @property
    def is_whole(self) -> bool:
        """Whether every selected row was looked at, so that the numbers are exact but for a sample."""
        return self.looked_at >= self.selected

    @property
    def left_out(self) -> int:
        return sum(step.left_out for step in self.steps)


def survey(frozen: FrozenSelection, recipe: Recipe, most: int = ROWS) -> Survey:
    """Take the first rows of a selection through a recipe. Whoever asks may read every one of its sources.

    A sample is not drawn here, and duplicates, caps and pairs are those among the rows that are looked at.
    """
    maker = Maker(recipe, Counter.plain())
    steps = {name: Step(name) for name in STEPS}
    made: list[tuple[Taken, Made]] = []
    looked_at = 0
    for taken in _taken(frozen, most):
        looked_at += 1
        became = maker.make(taken.material, len(made) + 1)
        if isinstance(became, Left):
            steps[became.step].add(counted(became.reason), taken)
        else:
            made.append((taken, became))
    found = [*steps.values()]
    stays = len(made)
    if recipe.chooses:
        chosen = _chosen(recipe, made)
        found.append(chosen)
        stays -= chosen.left_out
    came = looked_at
    for step in found:
        step.came = came
        came = step.stay
    personal: dict[str, int] = {}
    for _, row in made:
        for kind, times in row.material.personal.items():
            personal[kind] = personal.get(kind, 0) + times
    edited = sum(row.material.edited for _, row in made)
    return Survey(frozen.count, looked_at, stays, edited, tuple(found), personal)


def _taken(frozen: FrozenSelection, most: int) -> Iterator[Taken]:
    ids = list(islice(selection.ids_of(frozen), most))
    return Sources.of(frozen).take(ids) if ids else iter(())


def _chosen(recipe: Recipe, made: list[tuple[Taken, Made]]) -> Step:
    """What the rules that look at all rows take of these; the other halves of pairs are counted with them."""
    step = Step(CHOOSING)
    marker = marks.Marker(recipe)
    runs_at = 0
    for position, (taken, row) in enumerate(made):
        runs_at = marker.add(row, taken.source_key, position, 0, runs_at)
    packed, runs = marker.as_bytes()
    every = np.frombuffer(runs, marks.RUN)
    read = np.frombuffer(packed, marks.dtype_of(recipe))

    def runs_of(row: int) -> Hashes:
        begins = int(read["runs_at"][row]) // marks.RUN.itemsize
        return every[begins : begins + int(read["runs"][row])]

    choice = choose.choose(read, replace(recipe, sample=None), runs_of)
    for (taken, _), number in zip(made, choice["reason"].tolist(), strict=True):
        if number:
            step.add(choose.LEFT_OUT[number], taken)
    return step
