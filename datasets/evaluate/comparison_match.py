"""What of several runs can be compared: the graders that judge alike, and the items that all have."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db.models import QuerySet

from datasets.evaluate import rows
from datasets.evaluate.comparison import Column
from datasets.evaluate.report import Cell
from datasets.evaluate.targets import read
from datasets.evaluate.thresholds import graders_of
from datasets.models import Example, Grader, Run

AT_ONCE, READ = 500, 5_000


@dataclass(frozen=True)
class Shared:
    """A grader that every run has, with the same parameters. `number` counts from 1 within a comparison."""

    number: int
    name: str
    kind: str
    params: dict[str, Any]
    ids: dict[int, int]  # by run

    @property
    def described(self) -> dict[str, Any]:
        return {"name": self.name, "kind": self.kind, "params": self.params}


@dataclass(frozen=True)
class Apart:
    """A grader that is not compared, why, and what each run that has it says of its columns."""

    name: str
    kind: str
    reason: str
    differences: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]  # parameter, its value in each run
    cells: tuple[tuple[str, Cell | None], ...]  # the column's name, what its run found


def graders_in(columns: Sequence[Column]) -> tuple[list[Shared], list[Apart]]:
    """The graders that can be compared over all columns, and the others."""
    runs = _runs(columns)
    had = {run.pk: {(grader.name, grader.kind): grader for grader in graders_of(run)} for run in runs}
    keys = list(dict.fromkeys(key for graders in had.values() for key in graders))
    shared: list[Shared] = []
    apart: list[Apart] = []
    for name, kind in keys:
        found = {run.pk: had[run.pk][name, kind] for run in runs if (name, kind) in had[run.pk]}
        first = next(iter(found.values()))
        alike = all(grader.params == first.params for grader in found.values())
        if kind == Grader.Kind.PAIRWISE:
            reason = "It prefers one of two answers within its own run, so it says nothing across runs."
        elif len(found) < len(runs):
            missing = ", ".join(str(run) for run in runs if run.pk not in found)
            reason = f"Not every run has it. Missing in: {missing}."
        elif not alike:
            reason = "Its parameters are not the same in every run."
        else:
            ids = {pk: grader.pk for pk, grader in found.items()}
            shared.append(Shared(len(shared) + 1, name, kind, first.params, ids))
            continue
        told = _differences(runs, found) if not alike else ()
        apart.append(Apart(name, str(Grader.Kind(kind).label), reason, told, _cells(columns, found)))
    return shared, apart


@dataclass(frozen=True)
class Item:
    """An item of the baseline with the example that stands for it in each version."""

    line: int
    base: int
    of_version: dict[int, int]
    alike: bool  # the same line of text in every version


class Items:
    """The items that all runs have: the same rows of one version, else rows of the same source."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._runs = _runs(columns)
        self._base = self._runs[0]
        self.total = 0
        self.differing = 0
        versions = {run.evaluation.version_id: run for run in self._runs[1:]}
        versions.pop(self._base.evaluation.version_id, None)
        self._others = {pk: _by_source(rows.examples_of(run)) for pk, run in versions.items()}
        self.elsewhere = {pk: len(found) for pk, found in self._others.items()}

    @property
    def is_one_version(self) -> bool:
        return not self._others

    def batches(self) -> Iterator[list[Item]]:
        """In the order of the baseline's lines."""
        common = self._common()
        while batch := list(islice(common, AT_ONCE)):
            yield batch

    def _common(self) -> Iterator[Item]:
        base = self._base.evaluation.version_id
        for key, pk, line, digest in _keyed(rows.examples_of(self._base)):
            self.total += 1
            others = {version: found.get(key) for version, found in self._others.items()}
            if None in others.values():
                continue
            there = {version: one for version, one in others.items() if one is not None}
            alike = all(found == digest for _, found in there.values())
            self.differing += not alike
            yield Item(line, pk, {base: pk, **{v: example for v, (example, _) in there.items()}}, alike)


Key = tuple[str, int]


def _keyed(examples: "QuerySet[Example]") -> Iterator[tuple[Key, int, int, str]]:
    """Examples by their source; the second of one source is matched with the second elsewhere.

    They are read some at a time: whoever writes between them, as an operation does, may have nothing open.
    """
    seen: Counter[str] = Counter()
    found, last = examples.values_list("source_key", "pk", "line", "content_hash"), 0
    while some := list(found.filter(line__gt=last)[:READ]):
        last = some[-1][2] or 0
        for source, pk, line, digest in some:
            seen[source] += 1
            yield (source, seen[source]), pk, line or 0, digest


def _by_source(examples: "QuerySet[Example]") -> dict[Key, tuple[int, str]]:
    return {key: (pk, digest) for key, pk, _, digest in _keyed(examples)}


def _runs(columns: Iterable[Column]) -> list[Run]:
    """Each run once, in the order of the columns."""
    return list({column.run.pk: column.run for column in columns if column.run is not None}.values())


def _differences(
    runs: Sequence[Run], found: dict[int, Grader]
) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    there = [run for run in runs if run.pk in found]
    names = sorted({name for grader in found.values() for name in grader.params})
    told = []
    for name in names:
        values = [(str(run), found[run.pk].params.get(name)) for run in there]
        if any(value != values[0][1] for _, value in values):
            told.append(
                (name, tuple((run, "none" if value is None else str(value)) for run, value in values))
            )
    return tuple(told)


def _cells(columns: Sequence[Column], found: dict[int, Grader]) -> tuple[tuple[str, Cell | None], ...]:
    """What the report of each column's own run says."""
    made = []
    for column in columns:
        assert column.run is not None
        assert column.target is not None
        grader = found.get(column.run.pk)
        entries = column.run.summary.get("graders", ()) if grader else ()
        cells = next((entry["cells"] for entry in entries if grader and entry["id"] == grader.pk), ())
        cell = next((cell for cell in cells if cell["target"] == column.target.key), None)
        made.append((column.name, _cell(column, cell) if cell else None))
    return tuple(made)


def _cell(column: Column, cell: dict[str, Any]) -> Cell:
    return Cell(
        target=column.key,
        label=column.label,
        passed=cell["passed"],
        failed=cell["failed"],
        ungraded=cell["ungraded"],
        mean=cell["mean"],
        bins=tuple(cell["bins"]),
    )


def targets_in(run: Run, columns: Iterable[Column]) -> list[str]:
    """The keys of the run's targets that are columns."""
    wanted = {column.key for column in columns}
    return [target.key for target in read(run.targets) if f"{run.pk}:{target.key}" in wanted]
