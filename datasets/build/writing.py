"""The first phase of a build: row by row from the frozen selection into a growing file.

A chunk's bytes are on the disk before its rows and the cursor are committed; a worker that takes over writes
at the same offset. A build that was killed anywhere ends in the same file as one that was not.
"""

import codecs
import hashlib
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from django.db import transaction

from completions import bulk, selection
from completions.models import StoredCompletion
from completions.querysets import holding
from datasets.build import files
from datasets.build.facts import shown
from datasets.build.lines import BY_HAND
from datasets.build.making import Left, Made, Maker
from datasets.build.marks import Beside, Marker, dtype_of
from datasets.build.taking import Sources, Taken
from datasets.build.tokens import Counter
from datasets.models import DatasetVersion, Example
from datasets.recipe import Recipe
from portal import operations
from portal.crashpoints import crashpoint
from portal.models import Operation

CHUNK = 500
MAX_PROBLEMS = 200  # kept with their line numbers; the rest is counted
LONGEST_FLAGS = 200
# How bad a warning is beside the others; what is not named here counts 1.
DOUBTS = {"filtered": 4, "truncated": 3, "over_long": 3}


@dataclass
class Cursor:
    """How far a build has come: the phase, and in it rows looked at, bytes and lines written."""

    position: int = 0
    offset: int = 0
    lines: int = 0
    sealed: str = ""
    phase: str = "writing"
    runs: int = 0  # bytes of shingles
    laid: int = 0  # rows laid out


def write_rows(work: operations.Working, version: DatasetVersion, recipe: Recipe, cursor: Cursor) -> bool:
    """Write chunk by chunk; False when the step's time is up first."""
    frozen = version.frozen_selection
    assert frozen is not None
    if cursor.position == 0 or is_lost(version, recipe, cursor):
        start_over(work, version, recipe, cursor)
    ids = islice(selection.ids_of(frozen), cursor.position, None)
    sources, maker = Sources.of(version), Maker(recipe, Counter.for_version(version))
    while chunk := list(islice(ids, CHUNK)):
        if work.cancelled():
            raise operations.Cancelled
        if not work.time_left():
            return False
        _Chunk(work, version, recipe, cursor).write(sources.take(chunk), maker)
    return True


def is_lost(version: DatasetVersion, recipe: Recipe, cursor: Cursor) -> bool:
    """Whether the disk no longer holds what the cursor says."""
    growing = files.growing(version)
    if files.size_of(growing) < cursor.offset:
        return True
    if not recipe.chooses:
        return False
    beside = Beside.of(growing)
    marks = cursor.lines * dtype_of(recipe).itemsize
    return files.size_of(beside.marks) < marks or files.size_of(beside.runs) < cursor.runs


def start_over(work: operations.Working, version: DatasetVersion, recipe: Recipe, cursor: Cursor) -> None:
    """Begin at the first row: the file is new, or its disk was lost."""
    assert version.frozen_selection is not None
    fresh = Cursor()
    if recipe.byte_order_mark and not recipe.chooses:
        with files.append_at(files.growing(version), 0) as file:
            fresh.offset = file.write(codecs.BOM_UTF8)
    cursor.__dict__.update(asdict(fresh))
    with transaction.atomic():
        version.examples.all().delete()
        version.counts = {
            "selected": version.frozen_selection.count, "written": 0, "tokens": 0, "tokens_estimated": 0,
            "tokens_by": {}, "left_out": {}, "problems": {},
        }  # fmt: skip
        version.problems, version.splits, version.state = [], [], version.State.BUILDING
        version.save(update_fields=["counts", "problems", "splits", "state"])
        work.advance(cursor=asdict(cursor), step="writing", done=0, total=version.counts["selected"])


class _Chunk:
    """Some rows that are written and committed together."""

    def __init__(
        self, work: operations.Working, version: DatasetVersion, recipe: Recipe, cursor: Cursor
    ) -> None:
        self._work, self._version, self._cursor = work, version, cursor
        self._marker = Marker(recipe) if recipe.chooses else None
        self._growing = files.growing(version)
        self._examples: list[dict[str, Any]] = []

    def write(self, taken: Any, maker: Maker) -> None:
        """Append what has a line, then commit all rows with the place that was reached."""
        cursor = self._cursor
        lines, runs = cursor.lines, cursor.runs
        self._hold()
        with ExitStack() as stack:
            file = stack.enter_context(files.append_at(self._growing, cursor.offset))
            self._hold()
            for each in taken:
                made = maker.make(each.material, cursor.lines + 1)
                if isinstance(made, Made):
                    file.write(made.data)
                    self._examples.append(self._written(each, made))
                else:
                    self._examples.append(self._left_out(each, made))
                cursor.position += 1
            if self._marker is not None:
                self._mark(stack, lines, runs)
        crashpoint("dataset.build.written")
        self._commit()
        crashpoint("dataset.build.committed")

    def _hold(self) -> None:
        """Raise LeaseLost if another worker has taken over. While the file is held, none writes to it.

        One that wakes up late must not write over what its successor wrote: people may have corrected or
        deleted rows meanwhile, so it would not be the same.
        """
        operation = self._work.operation
        mine = Operation.objects.filter(pk=operation.pk, fence=operation.fence, state=Operation.State.RUNNING)
        if not mine.exists():
            raise operations.LeaseLost

    def _mark(self, stack: ExitStack, lines: int, runs_at: int) -> None:
        assert self._marker is not None
        beside = Beside.of(self._growing)
        marks, runs = self._marker.as_bytes()
        stack.enter_context(files.append_at(beside.marks, lines * self._marker.size)).write(marks)
        stack.enter_context(files.append_at(beside.runs, runs_at)).write(runs)

    def _written(self, taken: Taken, made: Made) -> dict[str, Any]:
        cursor, counts, facts = self._cursor, self._version.counts, made.facts
        cursor.lines += 1
        example = _row(self._version, taken, cursor.position)
        example["line"], example["offset"], example["length"] = cursor.lines, cursor.offset, len(made.data)
        example["content_hash"] = hashlib.sha256(made.data).hexdigest()
        example["tokens"], example["side"] = made.line.tokens, made.line.side
        example["prompt_key"], example["conversation"] = facts.prompt_key, facts.conversation
        example["stratum"], example["capped_by"] = facts.stratum, shown(facts.capped_by)
        example["edited"] = made.material.edited
        if made.doubts:
            codes = list(dict.fromkeys(problem.code for problem in made.doubts))
            example["flags"] = _flags(codes)
            example["doubts"] = min(sum(DOUBTS.get(code, 1) for code in codes), 1000)
        if self._marker is not None:
            cursor.runs = self._marker.add(
                made, taken.source_key, cursor.position, cursor.offset, cursor.runs
            )
        cursor.offset += len(made.data)
        counts["written"] += 1
        counts["tokens"] += made.line.tokens or 0
        counts["tokens_estimated"] += made.line.estimated
        if made.line.how:
            count(counts["tokens_by"], made.line.how)
        for kind, times in made.material.personal.items():
            count(counts.setdefault("personal", {}), kind, times)
        for problem in made.doubts:
            note(self._version, problem)
        return example

    def _left_out(self, taken: Taken, left: Left) -> dict[str, Any]:
        count(self._version.counts["left_out"], counted(left.reason))
        example = _row(self._version, taken, self._cursor.position)
        example["excluded_reason"] = left.reason[:120]
        return example

    def _commit(self) -> None:
        cursor, version = self._cursor, self._version
        with transaction.atomic():
            self._work.advance(
                cursor=asdict(cursor), done=cursor.position, note=f"{cursor.lines:,} rows written"
            )
            wanted = [row["completion"] for row in self._examples if row["completion"] is not None]
            held = StoredCompletion.objects.filter(holding(wanted)).values_list("pk", flat=True)
            here = set(held) if len(wanted) else set()
            for row in self._examples:
                if row["completion"] not in here:  # deleted since it was read
                    row["completion"] = None
            bulk.insert(Example, self._examples)
            version.save(update_fields=["counts", "problems"])


def _row(version: DatasetVersion, taken: Taken, position: int) -> dict[str, Any]:
    """The columns of an example that is left out."""
    return {
        "version": version.pk, "position": position, "line": None, "completion": taken.completion,
        "source_key": taken.source_key, "content_hash": "", "offset": None, "length": None, "tokens": None,
        "split": "train", "excluded_reason": "", "prompt_key": "", "conversation": "", "stratum": "",
        "capped_by": "", "side": "", "partner": None, "edited": False, "flags": "", "doubts": 0,
    }  # fmt: skip


def _flags(codes: list[str]) -> str:
    """Codes as Example.flags holds them, those that fit."""
    made = ""
    for code in codes:
        if len(made) + len(code) + 2 <= LONGEST_FLAGS:
            made = f"{made or ' '}{code} "
    return made


def note(version: DatasetVersion, problem: Any) -> None:
    """Count a problem, and keep it while there are few."""
    count(version.counts["problems"], problem.code)
    if len(version.problems) < MAX_PROBLEMS:
        version.problems.append(problem.as_dict())


def count(counts: dict[str, int], name: str, times: int = 1) -> None:
    counts[name] = counts.get(name, 0) + times


def counted(reason: str) -> str:
    """The name that a reason is counted under: all that was left out by hand together."""
    return BY_HAND.rstrip(":") if reason.startswith(BY_HAND) else reason[:120]
