"""One row on its way from what is stored to a line of the file, in the order of the recipe. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from django.utils.module_loading import import_string

from datasets.build import facts, files, rewrite, validate
from datasets.build.facts import Facts
from datasets.build.lines import CannotExpress, Counter, Line, Refusal
from datasets.build.material import Material
from datasets.build.personal import Scanner
from datasets.build.rules import Rules
from datasets.models import Purpose
from datasets.recipe import Recipe

Writer = Callable[[Material, Recipe, Counter], Line | Refusal]

# By name, so that one purpose does not load the other's code.
WRITERS: Final[Mapping[str, str]] = {
    Purpose.SUPERVISED: "datasets.build.convert.supervised",
    Purpose.PREFERENCE: "datasets.build.pairs.preference",
    Purpose.REINFORCEMENT: "datasets.build.reinforcement.prompt",
    Purpose.EVALUATION: "datasets.build.items.evaluation",
}
# The steps of a row, in their order, in the words that people read.
STEPS: Final = {
    "taking": "What can be read",
    "rules": "Rules about the row",
    "rewriting": "What the row says",
    "personal": "Personal data",
    "writing": "What the format can say",
    "checking": "The checks of the provider",
}


@dataclass(frozen=True, slots=True)
class Left:
    """A row that is left out: at which of STEPS, and why."""

    step: str
    reason: str


@dataclass(frozen=True, slots=True)
class Made:
    """A row that has a line: its bytes with their line end, its facts, and what is doubtful about it."""

    line: Line
    data: bytes
    facts: Facts
    material: Material
    doubts: tuple[validate.Problem, ...] = ()


class Maker:
    """The steps of one recipe, ready for many rows."""

    def __init__(self, recipe: Recipe, counter: Counter) -> None:
        self._recipe, self._counter = recipe, counter
        self._rules = Rules(recipe)
        self._write: Writer = import_string(WRITERS[recipe.purpose])
        personal = recipe.personal
        self._scanner = Scanner(personal) if personal.kinds or personal.patterns else None

    def make(self, stored: Material | Refusal, number: int) -> Made | Left:
        """The row as line `number` of the file, or where and why it was left out."""
        if isinstance(stored, Refusal):
            return Left("taking", stored.reason)
        try:
            return self._made(stored, number)
        except RecursionError:  # something in it is nested beyond all measure
            return Left("taking", "unreadable")

    def _made(self, stored: Material, number: int) -> Made | Left:
        reason = self._rules.refuse(stored)
        if reason:
            return Left("rules", reason)
        try:
            material = rewrite.rewritten(stored, self._recipe)
        except CannotExpress as problem:
            return Left("rewriting", problem.reason)
        if self._scanner is not None:
            cleaned = self._scanner.clean(material)
            if cleaned is None:
                return Left("personal", "personal_data")
            material = cleaned
        line = self._write(material, self._recipe, self._counter)
        if isinstance(line, Refusal):
            return Left("writing", line.reason)
        return self._checked(stored, material, line, number)

    def _checked(self, stored: Material, material: Material, line: Line, number: int) -> Made | Left:
        limit = self._recipe.token_limit
        over = bool(limit and line.tokens and line.tokens > limit)
        if over and self._recipe.leave_out_long:
            return Left("checking", "too_long")
        try:
            data = files.as_line(line.data)
        except files.Unwritable:
            return Left("checking", "unwritable")
        doubts = [validate.warning(code, number) for code in line.warnings]
        if over:
            doubts.append(validate.warning("over_long", number))
        if line.side:  # the half of a pair is no line yet
            problems = validate.of_half(number, line.data, line.side)
        else:
            problems = validate.of_value(number, line.data, self._recipe.purpose)
        for problem in problems:
            if problem.severity == "error":
                return Left("checking", problem.code)
            doubts.append(problem)
        return Made(line, data, facts.facts_of(stored, material, self._recipe), material, tuple(doubts))
