"""The phases after writing: choose among all rows, copy what stays into the final file, seal each split.

What was chosen stands in a file beside the growing one and follows from that one alone, so a worker that
takes over finds it or makes the same again. Rows are copied a few hundred at a time, however many there are.
"""

import codecs
import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from django.db import transaction
from numpy.typing import NDArray

from completions import bulk
from datasets.build import choose, files, pairs, validate
from datasets.build.marks import HOWS, Beside, Marks, Runs, read_marks
from datasets.build.writing import MAX_PROBLEMS, Cursor, count
from datasets.models import DatasetVersion, Example, Part
from datasets.recipe import SPLITS, Recipe
from portal import operations
from portal.crashpoints import crashpoint

CHUNK = 500


class Lost(Exception):
    """The disk no longer holds what was written; the build begins anew."""


# Choosing.


def choose_rows(work: operations.Working, version: DatasetVersion, recipe: Recipe, cursor: Cursor) -> None:
    """Decide of every written row, and count what goes."""
    beside = Beside.of(files.growing(version))
    marks = _marks(version, recipe, cursor)
    if "runs" in (marks.dtype.names or ()) and len(marks):
        with Runs(beside.runs, marks) as runs:
            choice = choose.choose(marks, recipe, runs.of)
    else:
        choice = choose.choose(marks, recipe, _no_runs)
    files.replace(beside.choice, choice.tobytes())
    crashpoint("dataset.build.chosen")
    _count(version, marks, choice)
    cursor.phase, cursor.laid, cursor.offset = "laying out", 0, 0
    with transaction.atomic():
        work.advance(cursor=asdict(cursor), step="laying out", done=0, total=len(marks))
        version.save(update_fields=["counts"])
    crashpoint("dataset.build.choosing_committed")


def _no_runs(_: int) -> Any:
    raise LookupError("no shingles were kept")


def _marks(version: DatasetVersion, recipe: Recipe, cursor: Cursor) -> Marks:
    marks = read_marks(Beside.of(files.growing(version)).marks, recipe, cursor.lines)
    if len(marks) != cursor.lines:
        raise Lost
    return marks


def _count(version: DatasetVersion, marks: Marks, choice: choose.Choice) -> None:
    """What stays and why the rest does not, as `counts` tells it."""
    counts = version.counts
    for number, times in enumerate(np.bincount(choice["reason"], minlength=len(choose.LEFT_OUT)).tolist()):
        reason = choose.LEFT_OUT[number]
        if times and reason == "joined":
            counts["joined"] = times
        elif times and reason:
            count(counts["left_out"], reason, times)
    used = (choice["reason"] == 0) | (choice["reason"] == choose.JOINED)
    counts["written"] = int((choice["reason"] == 0).sum())
    counts["tokens"] = int(marks["tokens"][used].astype(np.int64).sum())
    counts["tokens_estimated"] = int(marks["estimated"][used].sum())
    hows = np.bincount(marks["how"][used], minlength=len(HOWS)).tolist()
    counts["tokens_by"] = {how: times for how, times in zip(HOWS, hows, strict=True) if how and times}


# Laying out.


def lay_out(work: operations.Working, version: DatasetVersion, recipe: Recipe, cursor: Cursor) -> bool:
    """Copy what stays into the final file; False when the step's time is up first."""
    growing = files.growing(version)
    beside = Beside.of(growing)
    marks = _marks(version, recipe, cursor)
    choice = _read_choice(beside.choice, len(marks))
    order = _order(marks, choice)
    if files.size_of(beside.laid) < cursor.offset or files.size_of(growing) == 0 < len(marks):
        raise Lost
    with growing.open("rb") if len(marks) else open(os.devnull, "rb") as source:
        while cursor.laid < len(order):
            if work.cancelled():
                raise operations.Cancelled
            if not work.time_left():
                return False
            some = order[cursor.laid : cursor.laid + CHUNK]
            _lay_chunk(work, version, recipe, cursor, _Rows(marks, choice, source), some)
    return True


def _read_choice(path: Path, rows: int) -> choose.Choice:
    found = np.fromfile(path, choose.CHOICE) if path.exists() else np.empty(0, choose.CHOICE)
    if len(found) != rows:
        raise Lost
    return found


def _order(marks: Marks, choice: choose.Choice) -> NDArray[np.int64]:
    """Rows by split and then as they were selected; after them those that have no line."""
    return np.lexsort((marks["position"], choice["split"], choice["reason"] > 0))


class _Rows:
    """What is known of the rows, and the file that they stand in."""

    def __init__(self, marks: Marks, choice: choose.Choice, source: BinaryIO) -> None:
        self.marks, self.choice, self._source = marks, choice, source

    def line(self, row: int) -> bytes:
        """The final line of a row; of a pair, the line of both halves."""
        partner = int(self.choice["partner"][row])
        if partner < 0:
            return self._read(row)
        return files.as_line(pairs.joined(json.loads(self._read(row)), json.loads(self._read(partner))))

    def tokens(self, row: int) -> int:
        """Tokens of the row; a pair is trained on with both of its halves."""
        partner = int(self.choice["partner"][row])
        return int(self.marks["tokens"][row]) + (int(self.marks["tokens"][partner]) if partner >= 0 else 0)

    def _read(self, row: int) -> bytes:
        self._source.seek(int(self.marks["offset"][row]))
        data = self._source.read(length := int(self.marks["length"][row]))
        if len(data) != length:
            raise Lost
        return data


def _lay_chunk(
    work: operations.Working,
    version: DatasetVersion,
    recipe: Recipe,
    cursor: Cursor,
    rows: _Rows,
    some: NDArray[np.int64],
) -> None:
    marks, choice = rows.marks, rows.choice
    chosen: dict[int, dict[str, Any]] = {}
    laid = files.append_at(Beside.of(files.growing(version)).laid, cursor.offset)
    with laid as file:
        for row in some.tolist():
            if choice["reason"][row]:
                continue
            part = _part(version, recipe, cursor, SPLITS[choice["split"][row]], file)
            line = rows.line(row)
            file.write(line)
            chosen[row] = {
                "line": part["first_line"] + part["rows"], "offset": cursor.offset, "length": len(line),
                "tokens": rows.tokens(row), "content_hash": hashlib.sha256(line).hexdigest(),
            }  # fmt: skip
            cursor.offset += len(line)
            part["rows"] += 1
            part["size"] += len(line)
            part["tokens"] += rows.tokens(row)
    cursor.laid += len(some)
    crashpoint("dataset.build.laid")
    _commit_laid(work, version, cursor, rows, some, chosen, marks)
    crashpoint("dataset.build.laid_committed")


def _part(
    version: DatasetVersion, recipe: Recipe, cursor: Cursor, name: str, file: BinaryIO
) -> dict[str, Any]:
    """The split that lines are written to now, begun where the one before it ended."""
    if version.splits and version.splits[-1]["name"] == name:
        last: dict[str, Any] = version.splits[-1]
        return last
    first = 1 + sum(part["rows"] for part in version.splits)
    part = asdict(Part(name, first, 0, cursor.offset, 0, "", ""))
    if recipe.byte_order_mark:
        part["size"] = file.write(codecs.BOM_UTF8)
        cursor.offset += part["size"]
    version.splits.append(part)
    return part


def _commit_laid(
    work: operations.Working,
    version: DatasetVersion,
    cursor: Cursor,
    rows: _Rows,
    some: NDArray[np.int64],
    chosen: dict[int, dict[str, Any]],
    marks: Marks,
) -> None:
    choice = rows.choice
    partners = choice["partner"][some]
    wanted = np.concatenate([marks["position"][some], marks["position"][partners[partners >= 0]]])
    with transaction.atomic():
        work.advance(cursor=asdict(cursor), done=cursor.laid)
        keys = dict(version.examples.filter(position__in=wanted.tolist()).values_list("position", "pk"))
        stays, goes = [], []
        for row in some.tolist():
            pk, partner = keys[int(marks["position"][row])], int(choice["partner"][row])
            reason = choose.LEFT_OUT[choice["reason"][row]]
            values: dict[str, Any] = {
                "split": SPLITS[choice["split"][row]],
                "partner": keys[int(marks["position"][partner])] if partner >= 0 else None,
            }
            if row in chosen:
                stays.append((pk, values | chosen[row]))
            else:
                reason = "" if reason == "joined" else reason
                none = {"line": None, "offset": None, "length": None, "excluded_reason": reason}
                goes.append((pk, values | none))
        bulk.update(Example, stays)
        bulk.update(Example, goes)
        version.save(update_fields=["splits"])


def tell_problems(version: DatasetVersion) -> None:
    """Warnings with the lines that they have come to; those of rows without a line are gone."""
    problems: dict[str, int] = {}
    version.problems = []
    doubted = version.examples.filter(line__isnull=False).exclude(flags="").order_by("line")
    for line, flags in doubted.values_list("line", "flags").iterator():
        assert line is not None
        for code in flags.split():
            count(problems, code)
            if len(version.problems) < MAX_PROBLEMS:
                version.problems.append(validate.warning(code, line).as_dict())
    version.counts["problems"] = problems


# Sealing.


def seal(version: DatasetVersion, recipe: Recipe, cursor: Cursor) -> None:
    """Cut off what a worker that died left behind, and take the checksums of the whole and of each split."""
    if not recipe.chooses:
        whole = Part("train", 1, cursor.lines, 0, cursor.offset, "", "", version.counts["tokens"])
        version.splits = [asdict(whole)] if cursor.lines else []
    sizes = [part["size"] for part in version.splits]
    cursor.sealed, digests = files.seal(final(version, recipe), cursor.offset, sizes)
    for part, digest in zip(version.splits, digests, strict=True):
        part["sha256"], part["file_name"] = digest, _name(version, part["name"])


def _name(version: DatasetVersion, part: str) -> str:
    """A name of the split's own; nothing of it tells what it is made from."""
    stem = Path(version.file_name).stem
    return version.file_name if len(version.splits) == 1 else f"{stem}-{part}.jsonl"


def final(version: DatasetVersion, recipe: Recipe) -> Path:
    """Where the whole file stands before it is published."""
    growing = files.growing(version)
    return Beside.of(growing).laid if recipe.chooses else growing


def discard(version: DatasetVersion) -> None:
    """Remove everything that a build has on the disk beside the artifact."""
    files.discard(version)
    Beside.of(files.growing(version)).discard()
