"""Count the verdicts of several runs item by item, in one pass; what a comparison's numbers are made of.

The same counting and the same report as of one run (tally, report), with a column in the place of a target.
What was counted is kept in the cache under the runs and when they ended, so a page reads it again in
milliseconds, and a run that is repeated is counted anew.
"""

import hashlib
import json
import pickle
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from django.core.cache import cache
from numpy.typing import NDArray

from datasets.evaluate import graders, report
from datasets.evaluate.comparison import Column
from datasets.evaluate.comparison_match import Item, Items, Shared, targets_in
from datasets.evaluate.tally import OVERALL, Said, Verdicts, settle, together
from datasets.models import Result

NONE, UNGRADED, FAILED, PASSED = 0, 1, 2, 3  # what a column says of an item
_CODES: Final[dict[bool | None, int]] = {None: UNGRADED, False: FAILED, True: PASSED}
KEPT: Final = 24 * 3600  # seconds
_FORM: Final = 1  # of what is kept; raised when it changes


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


def counted(columns: Sequence[Column], shared: Sequence[Shared]) -> Counted:
    """Count, or take what was counted before. The first column is the baseline."""
    key = _key(columns, shared)
    packed: bytes | None = cache.get(key)
    if packed is not None:
        kept: Counted = pickle.loads(zlib.decompress(packed))  # noqa: S301  # ours, from our own cache
        return kept
    found = _count(columns, shared)
    cache.set(key, zlib.compress(pickle.dumps(found), 1), KEPT)
    return found


def is_counted(columns: Sequence[Column], shared: Sequence[Shared]) -> bool:
    """Whether it was counted before, so that `counted` takes no time."""
    return bool(cache.has_key(_key(columns, shared)))


def _count(columns: Sequence[Column], shared: Sequence[Shared]) -> Counted:
    keys = [column.key for column in columns]
    numbers = [one.number for one in shared]
    verdicts = Verdicts(keys, numbers)
    items = Items(columns)
    lines: list[int] = []
    examples: list[list[int]] = []
    parts = [np.empty((0, len(keys), len(numbers) + 1), np.int8)]
    for batch in items.batches():
        said = _said(columns, shared, batch)
        codes = np.zeros((len(batch), len(keys), len(numbers) + 1), np.int8)
        for place, item in enumerate(batch):
            lines.append(item.line)
            examples.append([item.of_version[_version(column)] for column in columns])
            rows: list[tuple[int, str, int, float | None, bool | None, str]] = []
            for at, key in enumerate(keys):
                passed: list[bool | None] = []
                for number in numbers:
                    each = said.get((item.base, key, number), ())
                    rows.extend((item.base, key, number, *one) for one in each)
                    passed.append(settle(each)[1] if each else None)
                    codes[place, at, number] = _CODES[passed[-1]] if each else NONE
                codes[place, at, OVERALL] = _CODES[together(passed)] if numbers else NONE
            verdicts.add_all(rows)
        parts.append(codes)
    named = [(one.number, one.name) for one in shared]
    if len(named) > 1:
        named.append((OVERALL, "All graders"))
    return Counted(
        summary={
            "items": len(lines),
            "left_out": 0,
            "targets": [{"key": c.key, "label": label, "kind": "column"} for c, label in _labels(columns)],
            "graders": [verdicts.entry(number, name) for number, name in named],
            "ungraded": [{"text": text, "n": n} for text, n in verdicts.errors.most_common(20)],
        },
        total=items.total,
        differing=items.differing,
        elsewhere=items.elsewhere,
        lines=np.array(lines, np.int64),
        examples=np.array(examples, np.int64).reshape(len(lines), len(keys)),
        codes=np.concatenate(parts),
    )


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
    """Each column by its target's name, with its run where two are called the same."""
    names = [column.label for column in columns]
    return [
        (column, column.label if names.count(column.label) == 1 else f"{column.label} ({column.of})")
        for column in columns
    ]


def _key(columns: Sequence[Column], shared: Sequence[Shared]) -> str:
    said = [
        _FORM,
        [(column.key, column.run.finished if column.run else None, *_names(column)) for column in columns],
        [(one.described, sorted(one.ids.items())) for one in shared],
    ]
    return f"comparison-{hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest()}"


def _names(column: Column) -> tuple[str, str]:
    return column.label, column.of
