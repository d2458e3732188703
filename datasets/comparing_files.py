"""The comparison of two files row by row, in pieces that can be gone on with after any of them.

Of each row some numbers are kept (136 bytes) in memory, or in files where there are many; what may be near is
read again from the version's file.
"""

from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from completions.duplicates import BANDS, NEAR, Firsts, Hashes, bands_of, jaccard, shape_of, shingles
from datasets.build import files
from datasets.contamination import KINDS, MOST_NEAR, MOST_PAIRS, Found, Pair, Said, Side, said
from datasets.models import Purpose

CHUNK: Final = 500  # rows between two commits
MARK: Final = np.dtype(
    [
        ("offset", "<i8"), ("line", "<i8"), ("prompt", "<i8"), ("conversation", "<i8"), ("shape", "<i8"),
        ("bands", "<u4", (BANDS,)),
    ]
)  # fmt: skip
KNOWN: Final = np.dtype([("kind", "u1"), ("at", "<i4"), ("share", "<f4")])
EXACT: Final = ("line", "prompt", "conversation")
_CODES: Final = {kind: code for code, kind in enumerate(KINDS, 1)}
_NOTHING: Final = shape_of(np.empty(0, np.uint64))  # of a text without a word

Records = NDArray[np.void]


@dataclass(slots=True)
class Place:
    """How far a comparison has come: rows read of both sides and where the next begin, rows compared."""

    mine: int = 0
    mine_at: int = 0
    theirs: int = 0
    theirs_at: int = 0
    exact: bool = False
    near: int = 0


@dataclass(slots=True)
class Comparison:
    """Which rows of `mine` are known from `theirs`; in `folder` if the numbers are to outlive the process."""

    mine: Side
    theirs: Side
    folder: Path | None = None
    place: Place = field(default_factory=Place)

    def __post_init__(self) -> None:
        if self.folder is not None and not self._is_whole():
            self.place = Place()  # the disk was lost, or nothing is there yet
        self._marks = self._array("mine", MARK, self.mine.rows)
        self._others = self._array("theirs", MARK, self.theirs.rows)
        self._known = self._array("known", KNOWN, self.mine.rows)

    _marks: Records = field(init=False)
    _others: Records = field(init=False)
    _known: Records = field(init=False)
    _firsts: Firsts | None = field(init=False, default=None)

    @property
    def looks_near(self) -> bool:
        return max(self.mine.rows, self.theirs.rows) <= MOST_NEAR

    @property
    def total(self) -> int:
        """Rows to be read and compared."""
        return self.mine.rows + self.theirs.rows + (self.mine.rows if self.looks_near else 0)

    @property
    def done(self) -> int:
        return self.place.mine + self.place.theirs + self.place.near

    @property
    def is_done(self) -> bool:
        return self.place.exact and (not self.looks_near or self.place.near >= self.mine.rows)

    def go_on(self) -> None:
        """Do the next piece; afterwards `place` says where it ended."""
        place = self.place
        if place.mine < self.mine.rows:
            place.mine, place.mine_at = self._read(self.mine, self._marks, place.mine, place.mine_at)
        elif place.theirs < self.theirs.rows:
            place.theirs, place.theirs_at = self._read(
                self.theirs, self._others, place.theirs, place.theirs_at
            )
        elif not place.exact:
            self._find_exact()
            place.exact = True
        elif not self.is_done:
            self._find_near()
        for array in (self._marks, self._others, self._known):
            if isinstance(array, np.memmap):
                array.flush()

    def found(self) -> Found:
        """What is known so far."""
        kinds = self._known["kind"]
        counts = {kind: int((kinds == code).sum()) for kind, code in _CODES.items()}
        # The strongest kinds first, in them the nearest, then as they stand in the file.
        rows = np.flatnonzero(kinds)
        order = np.lexsort((rows, -self._known["share"][rows], kinds[rows]))[:MOST_PAIRS]
        pairs = [self._pair(int(row)) for row in rows[order]]
        return Found(self.mine.rows, self.theirs.rows, counts, pairs, self.looks_near)

    def discard(self) -> None:
        """Remove the numbers from the disk."""
        for name in ("mine", "theirs", "known"):
            if self.folder is not None:
                (self.folder / name).unlink(missing_ok=True)
        if self.folder is not None and self.folder.exists():
            self.folder.rmdir()

    def _pair(self, row: int) -> Pair:
        known = self._known[row]
        kind = tuple(KINDS)[int(known["kind"]) - 1]
        share = round(float(known["share"]), 4)
        return Pair(kind, self.mine.first_line + row, self.theirs.first_line + int(known["at"]), share)

    def _is_whole(self) -> bool:
        assert self.folder is not None
        sizes = {
            "mine": MARK.itemsize * self.mine.rows,
            "theirs": MARK.itemsize * self.theirs.rows,
            "known": KNOWN.itemsize * self.mine.rows,
        }
        return all(files.size_of(self.folder / name) == size for name, size in sizes.items())

    def _array(self, name: str, dtype: "np.dtype[Any]", rows: int) -> Records:
        if self.folder is None or not rows:
            return np.zeros(rows, dtype)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / name
        mode = "r+" if files.size_of(path) == dtype.itemsize * rows and self.done else "w+"
        return np.memmap(path, dtype, mode, shape=(rows,))  # type: ignore[call-overload, no-any-return]  # one of two modes

    def _read(self, side: Side, marks: Records, row: int, at: int) -> tuple[int, int]:
        """Take the next rows of a side; returns how many are taken now, and where the next begins."""
        at = at or side.offset
        for offset, line in side.lines(at):
            says = said(line)
            mark = marks[row]
            mark["offset"], mark["line"] = offset, _number(line.rstrip(b"\r\n"))
            mark["prompt"], mark["conversation"] = _number(says.prompt), _number(says.beginning)
            if self.looks_near:
                runs = self._runs(says)
                mark["shape"], mark["bands"] = shape_of(runs), bands_of(runs)
            row, at = row + 1, offset + len(line)
            if row % CHUNK == 0 or row == side.rows:
                return row, at
        return side.rows, at  # the file is shorter than its version says

    def _find_exact(self) -> None:
        for kind in EXACT:
            numbers, order = self._marks[kind], np.argsort(self._others[kind], kind="stable")
            if not len(order) or not len(numbers):
                return
            ascending = self._others[kind][order]
            at = np.minimum(np.searchsorted(ascending, numbers), len(ascending) - 1)
            same = (ascending[at] == numbers) & (numbers != 0) & (self._known["kind"] == 0)
            self._known["at"][same] = order[at[same]]
            self._known["kind"][same], self._known["share"][same] = _CODES[kind], 1.0

    def _find_near(self) -> None:
        if self._firsts is None:
            marks = self._others
            rows = np.arange(len(marks), dtype=np.int64)
            self._firsts = Firsts(rows, np.array(marks["shape"]), np.array(marks["bands"]))
        end = min(self.place.near + CHUNK, self.mine.rows)
        with files.open_file(self.mine.version) as own, files.open_file(self.theirs.version) as other:
            for row in range(self.place.near, end):
                if not self._known[row]["kind"]:
                    self._look_near(row, own, other)
        self.place.near = end

    def _look_near(self, row: int, own: BinaryIO, other: BinaryIO) -> None:
        assert self._firsts is not None
        mark = self._marks[row]
        if int(mark["shape"]) == _NOTHING:
            return
        runs: list[Hashes] = []
        share = 1.0

        def is_near(at: int) -> bool:
            nonlocal share
            if not runs:
                runs.append(self._runs_at(own, int(mark["offset"])))
            share = jaccard(runs[0], self._runs_at(other, int(self._others[at]["offset"])))
            return share >= NEAR

        at = self._firsts.near(int(mark["shape"]), mark["bands"], is_near)
        if at is not None:
            self._known[row] = (_CODES["near"], at, share)

    def _runs_at(self, file: BinaryIO, offset: int) -> Hashes:
        file.seek(offset)
        return self._runs(said(file.readline()))

    def _runs(self, says: Said) -> Hashes:
        # Rows that a model is only asked have no answer that could be compared.
        sides = (self.mine.version, self.theirs.version)
        answers = all(version.dataset.purpose != Purpose.REINFORCEMENT for version in sides)
        return shingles(says.asked, says.answered if answers else "")


def compare(mine: Side, theirs: Side) -> Found:
    """The whole comparison at once."""
    comparison = Comparison(mine, theirs)
    while not comparison.is_done:
        comparison.go_on()
    return comparison.found()


def _number(data: bytes) -> int:
    """A signed number of 64 bits for some bytes; 0 for none."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little", signed=True) if data else 0
