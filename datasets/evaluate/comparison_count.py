"""Count the verdicts of several runs item by item, in one pass; what a comparison's numbers are made of.

The same counting and the same report as of one run (tally, report), with a column in the place of a target.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from datasets.evaluate import graders, kept, report
from datasets.evaluate.comparison import Column
from datasets.evaluate.comparison_match import Item, Items, Shared, targets_in
from datasets.evaluate.tally import OVERALL, Said, Verdicts, settle, together
from datasets.models import Result

NONE, UNGRADED, FAILED, PASSED = 0, 1, 2, 3  # what a column says of an item
_CODES: Final[dict[bool | None, int]] = {None: UNGRADED, False: FAILED, True: PASSED}


@dataclass(frozen=True)
class Counted:
    """What all runs say of the items that all have.

    `codes` has an entry for each item, column and grader, all graders together first. `examples` has the
    item's example in the version of each column.
    """

    summary: dict[str, Any]
    total: int
    differing: int
    elsewhere: dict[int, int]
    lines: NDArray[np.int64]
    examples: NDArray[np.int64]
    codes: NDArray[np.int8]

    @property
    def common(self) -> int:
        return len(self.lines)

    def packed(self) -> bytes:
        told = {name: getattr(self, name) for name in ("summary", "total", "differing", "elsewhere")}
        return kept.pack(told, lines=self.lines, examples=self.examples, codes=self.codes)

    @classmethod
    def unpacked(cls, data: bytes) -> "Counted":
        told, arrays = kept.unpack(data)
        elsewhere = {int(run): items for run, items in told.pop("elsewhere").items()}
        lines, examples, codes = (arrays[name] for name in ("lines", "examples", "codes"))
        return cls(**told, elsewhere=elsewhere, lines=lines, examples=examples, codes=codes)

    def report(self, shared: Iterable[Shared]) -> report.Report:
        """The numbers and sentences, as a run's report has them."""
        known = {
            one.number: {
                "threshold": one.params.get("pass_threshold"),
                "explained": graders.explain(one.kind, one.params),
            }
            for one in shared
        }
        return report.read(self.summary, known)


class Counting:
    """The verdicts of all columns, a batch of items after the other; the first column is the baseline.

    What `packed` gives stands for what was counted so far, so that another process can go on from there.
    """

    def __init__(
        self, columns: Sequence[Column], shared: Sequence[Shared], data: bytes | None = None
    ) -> None:
        self.columns, self.shared = columns, shared
        self._keys = [column.key for column in columns]
        self._numbers = [one.number for one in shared]
        self._verdicts = Verdicts(self._keys, self._numbers)
        self._lines: list[int] = []
        self._examples: list[NDArray[np.int64]] = [np.empty((0, len(self._keys)), np.int64)]
        self._codes = [np.empty((0, len(self._keys), len(self._numbers) + 1), np.int8)]
        self._told: dict[str, Any] = {}
        self.done = 0  # items of the baseline that were looked at
        if data is not None:
            told, arrays = kept.unpack(data)
            self.done = told["done"]
            self._verdicts.go_on_from(told["verdicts"])
            self._lines = arrays["lines"].tolist()
            self._examples, self._codes = [arrays["examples"]], [arrays["codes"]]

    def packed(self) -> bytes:
        return kept.pack(
            {"done": self.done, "verdicts": self._verdicts.as_data()},
            lines=np.array(self._lines, np.int64),
            examples=np.concatenate(self._examples),
            codes=np.concatenate(self._codes),
        )

    def go_on(self, may_go_on: Callable[[], bool] = lambda: True) -> bool:
        """Count while it may; True once every item is."""
        items, last = Items(self.columns), self._lines[-1] if self._lines else 0
        for batch in items.batches():
            if batch[-1].line <= last:
                continue
            self._add(batch)
            self.done = items.total
            if not may_go_on():
                return False
        self._told = {"total": items.total, "differing": items.differing, "elsewhere": items.elsewhere}
        return True

    def _add(self, batch: Sequence[Item]) -> None:
        columns, keys, numbers = self.columns, self._keys, self._numbers
        said = _said(columns, self.shared, batch)
        codes = np.zeros((len(batch), len(keys), len(numbers) + 1), np.int8)
        for place, item in enumerate(batch):
            rows: list[tuple[int, str, int, float | None, bool | None, str]] = []
            for at, key in enumerate(keys):
                passed: list[bool | None] = []
                for number in numbers:
                    each = said.get((item.base, key, number), ())
                    rows.extend((item.base, key, number, *one) for one in each)
                    passed.append(settle(each)[1] if each else None)
                    codes[place, at, number] = _CODES[passed[-1]] if each else NONE
                codes[place, at, OVERALL] = _CODES[together(passed)] if numbers else NONE
            self._verdicts.add_all(rows)
        versions = [_version(column) for column in columns]
        examples = [[item.of_version[version] for version in versions] for item in batch]
        self._lines.extend(item.line for item in batch)
        self._examples.append(np.array(examples, np.int64))
        self._codes.append(codes)

    def found(self) -> Counted:
        """What was counted, once everything is."""
        named = [(one.number, one.name) for one in self.shared]
        if len(named) > 1:
            named.append((OVERALL, "All graders"))
        verdicts = self._verdicts
        labels = _labels(self.columns)
        return Counted(
            summary={
                "items": len(self._lines),
                "left_out": 0,
                "targets": [{"key": c.key, "label": label, "kind": "column"} for c, label in labels],
                "graders": [verdicts.entry(number, name) for number, name in named],
                "ungraded": [{"text": text, "n": n} for text, n in verdicts.errors.most_common(20)],
            },
            **self._told,
            lines=np.array(self._lines, np.int64),
            examples=np.concatenate(self._examples),
            codes=np.concatenate(self._codes),
        )


def counted(columns: Sequence[Column], shared: Sequence[Shared]) -> Counted:
    """Count all of it here and now."""
    counting = Counting(columns, shared)
    counting.go_on()
    return counting.found()


def _said(
    columns: Sequence[Column], shared: Sequence[Shared], batch: Sequence[Item]
) -> dict[tuple[int, str, int], list[Said]]:
    """What each column's run says of each answer, by (example of the baseline, column, grader)."""
    found: dict[tuple[int, str, int], list[Said]] = {}
    for run in {column.run.pk: column.run for column in columns if column.run is not None}.values():
        of_base = {item.of_version[run.evaluation.version_id]: item.base for item in batch}
        numbers = {one.ids[run.pk]: one.number for one in shared}
        keys = {target: f"{run.pk}:{target}" for target in targets_in(run, columns)}
        # Neither target nor grader is asked for, so that the index by example is the one that serves.
        rows = Result.objects.filter(run=run, example__in=list(of_base))
        for example, target, grader, score, passed, error in rows.values_list(
            "example_id", "target", "grader_id", "score", "passed", "error"
        ):
            if target in keys and grader in numbers:
                place = of_base[example], keys[target], numbers[grader]
                found.setdefault(place, []).append((score, passed, error))
    return found


def _version(column: Column) -> int:
    assert column.run is not None
    return int(column.run.evaluation.version_id)


def _labels(columns: Sequence[Column]) -> list[tuple[Column, str]]:
    """Each column by its target's name, with its run where two are called the same, and with the number of
    its evaluation where runs are too: numbers are found by these names.
    """
    names = [column.label for column in columns]
    longer = [(column.label, column.of) for column in columns]
    told = []
    for column in columns:
        name = column.label
        if longer.count((column.label, column.of)) > 1 and column.run is not None:
            name = f"{name} ({column.of}, evaluation {column.run.evaluation_id})"
        elif names.count(name) > 1:
            name = f"{name} ({column.of})"
        told.append((column, name))
    return told
