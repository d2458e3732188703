"""What choosing reads of every written row: numbers of one size, in a file beside the growing one.

So no row is read twice, and a hundred thousand of them take some megabytes. A second file holds the shingles
of rows whose near-duplicates are asked for.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from completions.duplicates import BANDS, Hashes, bands_of, shape_of, shingles
from datasets.build.making import Made
from datasets.models import Purpose
from datasets.recipe import Recipe

HOWS: Final = ("", "usage", "exact", "fitted", "guessed")  # how tokens were counted
SIDES: Final = ("", "+", "-")
MARK: Final = np.dtype(
    [
        ("position", "<i4"), ("offset", "<i8"), ("length", "<i4"), ("tokens", "<i4"), ("how", "u1"),
        ("estimated", "u1"), ("side", "u1"), ("rank", "u1"), ("source", "<i8"), ("exact", "<i8"),
        ("prompt", "<i8"), ("conversation", "<i8"), ("capped", "<i8"), ("sampled", "<i8"), ("even", "<i8"),
    ]
)  # fmt: skip
NEAR: Final = np.dtype(
    [*MARK.descr, ("shape", "<i8"), ("runs_at", "<i8"), ("runs", "<i4"), ("bands", "<u4", (BANDS,))]
)
RUN: Final = np.dtype("<u8")

Marks = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Beside:
    """The files beside a growing one."""

    marks: Path
    runs: Path
    choice: Path
    laid: Path

    @classmethod
    def of(cls, growing: Path) -> "Beside":
        return cls(*(growing.with_suffix(f".{name}") for name in ("marks", "runs", "choice", "laid")))

    def discard(self) -> None:
        for path in (self.marks, self.runs, self.choice, self.laid):
            path.unlink(missing_ok=True)


def looks_near(recipe: Recipe) -> bool:
    """Whether near-duplicates have to be known."""
    return recipe.duplicates == "near" or (recipe.is_split and recipe.split.unit == "near")


def dtype_of(recipe: Recipe) -> "np.dtype[Any]":
    return NEAR if looks_near(recipe) else MARK


class Marker:
    """Marks of a chunk of rows, as bytes to append."""

    def __init__(self, recipe: Recipe) -> None:
        self._near = looks_near(recipe)
        self._dtype = dtype_of(recipe)
        self._answers = recipe.purpose != Purpose.REINFORCEMENT
        self._marks: list[tuple[Any, ...]] = []
        self._runs: list[Hashes] = []

    @property
    def size(self) -> int:
        """Bytes of one mark."""
        return self._dtype.itemsize

    def add(self, made: Made, source_key: str, position: int, offset: int, runs_at: int) -> int:
        """Take one row; returns where the next one's shingles begin."""
        facts, line = made.facts, made.line
        mark: tuple[Any, ...] = (
            position, offset, len(made.data), line.tokens or 0, HOWS.index(line.how),
            line.estimated, SIDES.index(line.side), facts.rank, number_of(source_key), facts.exact,
            number_of(facts.prompt_key), number_of(facts.conversation), number_of(facts.capped_by),
            number_of(facts.sampled_by), number_of(facts.even),
        )  # fmt: skip
        if self._near:
            texts = made.material.conversation.texts()
            runs = shingles(texts.prompt, texts.answer if self._answers else "")
            mark = (*mark, shape_of(runs), runs_at, len(runs), bands_of(runs))
            self._runs.append(runs)
            runs_at += runs.nbytes
        self._marks.append(mark)
        return runs_at

    def as_bytes(self) -> tuple[bytes, bytes]:
        """The marks and the shingles."""
        return np.array(self._marks, self._dtype).tobytes(), b"".join(
            runs.astype(RUN).tobytes() for runs in self._runs
        )


def read_marks(path: Path, recipe: Recipe, lines: int) -> Marks:
    """The marks of so many lines; fewer if the disk has lost some."""
    dtype = dtype_of(recipe)
    if not lines or not path.exists():
        return np.empty(0, dtype)
    return np.fromfile(path, dtype, lines)


class Runs:
    """The shingles of rows, read where they are asked for; a context.

    Read and not mapped: pages of a mapped file count as memory of this process until they are wanted back.
    """

    def __init__(self, path: Path, marks: Marks) -> None:
        self._path = path
        self._at, self._counts = marks["runs_at"], marks["runs"]

    def __enter__(self) -> Self:
        self._file = self._path.open("rb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def of(self, row: int) -> Hashes:
        size = int(self._counts[row]) * RUN.itemsize
        read = os.pread(self._file.fileno(), size, int(self._at[row]))
        if len(read) != size:
            raise OSError(f"{self._path} ends before the shingles of row {row}")
        found: Hashes = np.frombuffer(read, RUN)
        return found


def number_of(text: str) -> int:
    """A signed number of 64 bits that stands for a text; 0 for none."""
    if not text:
        return 0
    return int.from_bytes(
        blake2b(text.encode(errors="replace"), digest_size=8).digest(), "little", signed=True
    )


def mixed(numbers: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """Numbers that look drawn, the same for the same number and seed. https://prng.di.unimi.it/splitmix64.c"""
    made = numbers.astype(np.int64).view(np.uint64) + np.uint64((seed * 0x9E3779B97F4A7C15) & (2**64 - 1))
    made = (made ^ (made >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    made = (made ^ (made >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return made ^ (made >> np.uint64(31))


def rows_of(flags: NDArray[np.bool_]) -> Sequence[int]:
    """The rows that a flag is set of, ascending."""
    found: list[int] = np.flatnonzero(flags).tolist()
    return found
