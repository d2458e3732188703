"""Up to 65,536 rows of one connection as arrays, newest first: what filters and counts are answered from.

Pure: rows in, arrays out, no database. A segment never changes; rows that changed stand again in a later one.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

MOST_ROWS = 65_536

# A row as it is asked of the database, with what stands beside it in tables of its own (review: ReviewState,
# belonging: Belonging); `terms` hold pairs (field, term) of little-endian uint32.
FIELDS = (
    "pk", "created", "prompt_tokens", "completion_tokens", "total_tokens", "turns", "tool_calls",
    "answer_length", "review.reviewed", "temperature", "has_image", "refused", "gone_at", "messages_state",
    "answer_is_json", "request_id", "review.correction_id", "review.notes", "review.disputed", "terms",
    "review.terms", "belonging.terms",
)  # fmt: skip
_AT = {name: at for at, name in enumerate(FIELDS)}
WHOLE = (
    "prompt_tokens", "completion_tokens", "total_tokens", "turns", "tool_calls", "answer_length", "reviewed",
)  # fmt: skip
MARKS = {
    "image": 1, "refusal": 2, "gone": 4, "pending": 8, "json": 16, "tools": 32, "request": 64,
    "correction": 128, "note": 256, "disagreement": 512,
}  # fmt: skip

Row = Sequence[Any]
Mask = NDArray[np.bool_]
Places = NDArray[np.intp]
_ARRAYS = ("created", "ids", *WHOLE, "temperature", "marks", "keys", "starts", "rows")


@dataclass(frozen=True)
class Segment:
    """Arrays of one length, and which rows hold each term.

    `keys` are field << 32 | term, ascending; the rows that hold keys[i] are rows[starts[i]:starts[i + 1]].
    """

    created: NDArray[np.int64]
    ids: NDArray[np.int64]
    numbers: dict[str, NDArray[Any]]  # whole numbers; what is missing is the smallest number of the type
    temperature: NDArray[np.float64]  # what is missing is NaN
    marks: NDArray[np.uint16]
    keys: NDArray[np.uint64]
    starts: NDArray[np.int32]
    rows: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.ids)

    # Making one.

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Self:
        """At most MOST_ROWS rows, in any order; each id once."""
        count = len(rows)
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(FIELDS)
        ids, created = _integers(columns[0]), _integers(columns[1])
        order = np.lexsort((ids, created))[::-1]
        blobs = [
            b"".join([bytes(blob) for blob in each if blob])
            for each in zip(
                columns[_AT["terms"]],
                columns[_AT["review.terms"]],
                columns[_AT["belonging.terms"]],
                strict=True,
            )
        ]
        pairs = np.frombuffer(b"".join(blobs), "<u4").reshape(-1, 2)
        place = np.empty(count, np.uint16)
        place[order] = np.arange(count, dtype=np.uint16)
        held = np.repeat(place, [len(blob) // 8 for blob in blobs])
        keys = pairs[:, 0].astype(np.uint64) << np.uint64(32) | pairs[:, 1]
        return cls(
            created[order],
            ids[order],
            {name: _narrow(columns[2 + at])[order] for at, name in enumerate(WHOLE)},
            np.array([np.nan if each is None else each for each in columns[_AT["temperature"]]], np.float64)[
                order
            ],
            _marks(columns, count)[order],
            *_inverted(keys, held),
        )

    @classmethod
    def joined(cls, parts: Iterable[tuple["Segment", Mask | None]]) -> list[Self]:
        """The living rows of several as few segments, in one order; `None` says that every row lives."""
        some = [
            (segment, np.ones(len(segment), bool) if alive is None else alive) for segment, alive in parts
        ]
        created = np.concatenate([segment.created[alive] for segment, alive in some])
        ids = np.concatenate([segment.ids[alive] for segment, alive in some])
        order = np.lexsort((ids, created))[::-1]
        place = np.empty(len(order), np.intp)
        place[order] = np.arange(len(order))
        numbers = {
            name: _together([segment.numbers[name][alive] for segment, alive in some]) for name in WHOLE
        }
        temperature = np.concatenate([segment.temperature[alive] for segment, alive in some])
        marks = np.concatenate([segment.marks[alive] for segment, alive in some])
        keys, held, before = [], [], 0
        for segment, alive in some:
            living = alive[segment.rows]
            where = np.cumsum(alive) - 1 + before
            keys.append(np.repeat(segment.keys, np.diff(segment.starts))[living])
            held.append(place[where[segment.rows[living]]])
            before += int(np.count_nonzero(alive))
        every, holders = np.concatenate(keys), np.concatenate(held)
        made = []
        for first in range(0, len(order), MOST_ROWS):
            piece = order[first : first + MOST_ROWS]
            inside = (holders >= first) & (holders < first + MOST_ROWS)
            made.append(
                cls(
                    created[piece],
                    ids[piece],
                    {name: _fitted(values[piece]) for name, values in numbers.items()},
                    temperature[piece],
                    marks[piece],
                    *_inverted(every[inside], (holders[inside] - first).astype(np.uint16)),
                )
            )
        return made

    # Asking it.

    def rows_of(self, field: int, term: int) -> NDArray[np.uint16]:
        """The rows that hold a term."""
        key = np.uint64(field << 32 | term)
        at = int(np.searchsorted(self.keys, key))
        if at == len(self.keys) or self.keys[at] != key:
            return self.rows[:0]
        return self.rows[self.starts[at] : self.starts[at + 1]]

    def rows_of_any(self, field: int, terms: NDArray[np.uint32]) -> NDArray[np.uint16]:
        """The rows that hold any of many terms; a row with several stands in it several times."""
        first, last = self.span_of(field)
        if first == last:
            return self.rows[:0]
        held = np.isin((self.keys[first:last] & np.uint64(0xFFFFFFFF)).astype(np.uint32), terms)
        starts = self.starts[first : last + 1]
        found: NDArray[np.uint16] = self.rows[starts[0] : starts[-1]][np.repeat(held, np.diff(starts))]
        return found

    def span_of(self, field: int) -> tuple[int, int]:
        """The first and the last key of a field, as a half-open range of places in `keys`."""
        first, last = np.searchsorted(self.keys, np.array([field << 32, (field + 1) << 32], np.uint64))
        return int(first), int(last)

    def rows_with(self, field: int) -> NDArray[np.uint16]:
        """The rows that hold any term of a field; a row with several stands in it several times."""
        first, last = self.span_of(field)
        return self.rows[self.starts[first] : self.starts[last]]

    def places_of(self, ids: NDArray[np.int64]) -> Places:
        """Where those of some ids stand that are here."""
        if not len(ids) or not len(self):
            return np.empty(0, np.intp)
        order, ascending = self._by_id
        at = np.searchsorted(ascending, ids)
        at[at == len(ascending)] = 0
        found: Places = order[at[ascending[at] == ids]]
        return found

    @cached_property
    def _by_id(self) -> tuple[Places, NDArray[np.int64]]:
        order = np.argsort(self.ids)
        return order, self.ids[order]

    def newer_than(self, created: int, pk: int) -> int:
        """How many rows stand before the place (created, id) in the order of every list."""
        first, after = self._within(created)
        return first + int(np.count_nonzero(self.ids[first:after] > pk))

    def older_than(self, created: int, pk: int) -> int:
        """The first row that stands after the place (created, id)."""
        first, after = self._within(created)
        return first + int(np.count_nonzero(self.ids[first:after] >= pk))

    def _within(self, created: int) -> tuple[int, int]:
        """The half-open range of rows of one second."""
        ascending, count = self.created[::-1], len(self)
        return (
            count - int(np.searchsorted(ascending, created, "right")),
            count - int(np.searchsorted(ascending, created, "left")),
        )

    # Keeping it.

    def encode(self) -> bytes:
        """The arrays as bytes, each at a multiple of eight so that they are used where they lie."""
        arrays = {name: self.numbers[name] if name in WHOLE else getattr(self, name) for name in _ARRAYS}
        head = json.dumps([[name, array.dtype.str, len(array)] for name, array in arrays.items()]).encode()
        pieces = [_padded(len(head).to_bytes(8, "little") + head)]
        pieces += [_padded(np.ascontiguousarray(array).tobytes()) for array in arrays.values()]
        return b"".join(pieces)

    @classmethod
    def decode(cls, data: bytes | memoryview) -> Self:
        """What `encode` made; the arrays keep `data` alive."""
        size = int.from_bytes(data[:8], "little")
        at = _up(8 + size)
        arrays: dict[str, NDArray[Any]] = {}
        for name, kind, count in json.loads(bytes(data[8 : 8 + size])):
            arrays[name] = np.frombuffer(data, kind, count, at)
            at += _up(arrays[name].nbytes)
        # What was packed before a column was there misses it.
        none = np.full(len(arrays["ids"]), np.iinfo(np.int32).min, np.int32)
        numbers = {name: arrays.pop(name, none) for name in WHOLE}
        return cls(numbers=numbers, **arrays)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return sum((self.numbers[name] if name in WHOLE else getattr(self, name)).nbytes for name in _ARRAYS)


def known(values: NDArray[Any]) -> Mask:
    """Which of some whole numbers are there."""
    there: Mask = values != np.iinfo(values.dtype).min
    return there


def _integers(values: Sequence[int]) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def _narrow(values: Sequence[int | None]) -> NDArray[Any]:
    missing = np.iinfo(np.int64).min
    return _fitted(np.array([missing if each is None else each for each in values], np.int64))


def _fitted(values: NDArray[Any]) -> NDArray[Any]:
    """In 32 bits if all of them fit."""
    if values.dtype == np.int32:
        return values
    there = values[known(values)]
    small = np.iinfo(np.int32)
    if len(there) and (int(there.max()) > small.max or int(there.min()) <= small.min):
        return values
    made = np.full(len(values), small.min, np.int32)
    made[known(values)] = there
    return made


def _together(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    if len({array.dtype for array in arrays}) == 1:
        return np.concatenate(arrays)
    wide = []
    for array in arrays:
        made = array.astype(np.int64)
        made[~known(array)] = np.iinfo(np.int64).min
        wide.append(made)
    return np.concatenate(wide)


def _marks(columns: Sequence[Sequence[Any]], count: int) -> NDArray[np.uint16]:
    made = np.zeros(count, np.uint16)
    for name, column, holds in (
        ("image", "has_image", bool),
        ("refusal", "refused", bool),
        ("gone", "gone_at", _is_there),
        ("pending", "messages_state", _is_pending),
        ("json", "answer_is_json", bool),
        ("tools", "tool_calls", _is_some),
        ("request", "request_id", bool),
        ("correction", "review.correction_id", _is_there),
        ("note", "review.notes", _is_some),
        ("disagreement", "review.disputed", bool),
    ):
        held = [holds(each) for each in columns[_AT[column]]]
        made |= np.array(held, bool).astype(np.uint16) * np.uint16(MARKS[name])
    return made


def _is_there(value: object) -> bool:
    return value is not None


def _is_some(number: int | None) -> bool:
    return number is not None and number > 0


def _is_pending(value: object) -> bool:
    return value == "pending"


def _inverted(
    keys: NDArray[np.uint64], held: NDArray[np.uint16]
) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.uint16]]:
    """Keys in order, where the rows of each begin, and those rows, ascending within each key."""
    by_row = np.argsort(held, kind="stable")
    order = by_row[np.argsort(keys[by_row], kind="stable")]
    distinct, first = np.unique(keys[order], return_index=True)
    starts = np.append(first, len(keys)).astype(np.int32)
    return distinct, starts, held[order]


def _up(size: int) -> int:
    return -(-size // 8) * 8


def _padded(data: bytes) -> bytes:
    return data + bytes(_up(len(data)) - len(data))
