"""The items behind a comparison: which of them, a page at a time, and the answers beside each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.utils.safestring import SafeString
from numpy.typing import NDArray

from completions import diff, diff_html
from datasets.evaluate import rows
from datasets.evaluate.comparison import Column
from datasets.evaluate.comparison_count import FAILED, PASSED, UNGRADED, Counted
from datasets.evaluate.rows import Answer, Said, Settled
from datasets.models import Example, Run
from portal.rendering import plain

PAGE, AT_ONCE = 25, 100
SHOWS = {
    "regressions": "Regressions",
    "improvements": "Improvements",
    "disagreements": "Disagreements",
    "all": "All items",
}
STATES = {PASSED: "passed", FAILED: "failed", UNGRADED: "ungraded"}


@dataclass(frozen=True)
class Told:
    """What one column says of an item: its verdict under the grader that is looked at, and its answer."""

    column: Column
    state: str
    answer: Answer | None

    @property
    def short(self) -> str:
        return self.answer.short if self.answer is not None else "(no answer)"

    @property
    def text(self) -> str:
        return self.answer.text if self.answer is not None else ""

    @property
    def problem(self) -> str:
        return self.answer.problem if self.answer is not None else "There is no answer."

    @property
    def settled(self) -> list[Settled]:
        """What each grader says of all answers of the column to this item."""
        return self.answer.settled if self.answer is not None else []

    @property
    def further(self) -> tuple[Said, ...]:
        """The answers after the first, where there are several."""
        return self.answer.every[1:] if self.answer is not None else ()


@dataclass(frozen=True)
class Row:
    """One item; `row` is that of the baseline."""

    line: int
    row: rows.Row
    told: tuple[Told, ...]

    @property
    def baseline(self) -> Told:
        return self.told[0]

    @property
    def others(self) -> tuple[Told, ...]:
        return self.told[1:]

    def twins(self) -> list["Twin"]:
        """Every other answer beside that of the baseline, with the words that only one of them has."""
        room = [2 * diff.STEPS]  # for all of them together
        made = []
        for other in self.others:
            if self.baseline.text and other.text:
                left, right = diff_html.sides(self.baseline.text, other.text, room)
            else:
                left, right = plain(self.baseline.text), plain(other.text)
            made.append(Twin(self.baseline, other, left, right))
        return made


@dataclass(frozen=True)
class Twin:
    """Two answers to one item."""

    first: Told
    second: Told
    left: SafeString
    right: SafeString

    @property
    def sides(self) -> tuple[tuple[Told, SafeString], ...]:
        return (self.first, self.left), (self.second, self.right)

    @property
    def are_equal(self) -> bool:
        return bool(self.first.text) and self.first.text == self.second.text


@dataclass(frozen=True)
class Page:
    """A page of items by key: `next` and `previous` are lines."""

    rows: list[Row]
    total: int
    next: int | None
    previous: int | None


class Shown:
    """The items that a person asked for, by a grader (0: all together) and what the columns say under it.

    `against` is the place of the column that is looked at beside the baseline; 0: any of them.
    """

    def __init__(
        self, counted: Counted, columns: Sequence[Column], show: str, grader: int = 0, against: int = 0
    ) -> None:
        self._counted, self._columns = counted, columns
        self._codes = counted.codes[:, :, grader]
        self._beside = [against] if against else list(range(1, len(columns)))
        self._places = np.flatnonzero(self._mask(show))
        self._lines = counted.lines[self._places]

    def __len__(self) -> int:
        return len(self._places)

    def page(self, after: int, before: int) -> Page:
        """The items after a line, or before one."""
        if before:
            end = int(np.searchsorted(self._lines, before))
            start = max(0, end - PAGE)
        else:
            start = int(np.searchsorted(self._lines, after, "right"))
            end = min(len(self), start + PAGE)
        return Page(
            self._read(self._places[start:end]),
            len(self),
            int(self._lines[end - 1]) if 0 < end < len(self) else None,
            int(self._lines[start]) if 0 < start < len(self) else None,
        )

    def every(self) -> Iterator[Row]:
        """All of them, a few at a time."""
        for start in range(0, len(self), AT_ONCE):
            yield from self._read(self._places[start : start + AT_ONCE])

    def row(self, line: int) -> Row | None:
        """One item, whether it is among those shown or not."""
        place = int(np.searchsorted(self._counted.lines, line))
        if place >= self._counted.common or self._counted.lines[place] != line:
            return None
        return self._read(np.array([place]))[0]

    def neighbours(self, line: int) -> tuple[int | None, int | None]:
        """The lines before and after one, among those shown."""
        at = int(np.searchsorted(self._lines, line))
        behind = int(np.searchsorted(self._lines, line, "right"))
        previous = int(self._lines[at - 1]) if at > 0 else None
        return previous, int(self._lines[behind]) if behind < len(self) else None

    def _mask(self, show: str) -> NDArray[np.bool_]:
        passed, failed = self._codes == PASSED, self._codes == FAILED
        if show == "regressions":
            return np.asarray(passed[:, 0] & failed[:, self._beside].any(axis=1))
        if show == "improvements":
            return np.asarray(failed[:, 0] & passed[:, self._beside].any(axis=1))
        if show == "disagreements":
            looked = [0, *self._beside]
            return np.asarray(passed[:, looked].any(axis=1) & failed[:, looked].any(axis=1))
        return np.ones(len(self._codes), np.bool_)

    def _read(self, places: NDArray[Any]) -> list[Row]:
        """These items with every column's answers, each run's with the same few queries."""
        examples = self._counted.examples[places]
        known = Example.objects.select_related("completion__connection").in_bulk(
            {int(pk) for pk in examples.flat}
        )
        read: dict[tuple[int, int], rows.Row] = {}
        for run, at in self._runs():
            wanted = [known[int(pk)] for pk in examples[:, at] if int(pk) in known]
            read |= {(run.pk, row.example.pk): row for row in rows.read_rows(run, wanted)}
        made = []
        for number, place in enumerate(places):
            told = []
            base = None
            for at, column in enumerate(self._columns):
                assert column.run is not None
                assert column.target is not None
                row = read.get((column.run.pk, int(examples[number, at])))
                base = base or row
                answers = row.answers if row is not None else ()
                answer = next((each for each in answers if each.target.key == column.target.key), None)
                state = STATES.get(int(self._codes[place, at]), "not judged")
                told.append(Told(column, state, answer))
            if base is not None:
                made.append(Row(int(self._counted.lines[place]), base, tuple(told)))
        return made

    def _runs(self) -> list[tuple[Run, int]]:
        """Each run once, with a column of it."""
        first: dict[int, tuple[Run, int]] = {}
        for at, column in enumerate(self._columns):
            assert column.run is not None
            first.setdefault(column.run.pk, (column.run, at))
        return list(first.values())
