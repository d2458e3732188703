"""What is counted of a run's slices, a few numbers for each, so that it goes through JSON. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from datasets.evaluate.slice_facts import Slice

MOST_VALUES: Final = 60  # of a dimension; one with more is no kind of thing, but an id or a date
MOST_DIMENSIONS: Final = 60
Judging = tuple[int, str]  # the grader, 0 for all together, and the key of the target
Kinds = Sequence[tuple[Judging, int]]  # of one item: by which counter each judging counts
_KINDS: Final = 6


def kinds_of(said: Mapping[Judging, bool], first: str) -> Kinds:
    """By which counter each verdict on an item counts; odd ones are passes.

    0 and 1 stand alone, 2 and 3 beside a first target that failed, 4 and 5 beside one that passed.
    """
    made = []
    for of, passed in said.items():
        beside = said.get((of[0], first)) if of[1] != first else None
        made.append((of, passed + (0 if beside is None else 4 if beside else 2)))
    return made


def alone(kinds: Kinds) -> Kinds:
    """The same without a look at the first target."""
    return [(of, kind & 1) for of, kind in kinds]


class Tally:
    """Of one slice: its items, and by grader and target how many there are of each kind."""

    __slots__ = ("by", "items")

    def __init__(self, items: int = 0, by: dict[Judging, list[int]] | None = None) -> None:
        self.items = items
        self.by = {} if by is None else by

    def add(self, kinds: Kinds) -> None:
        by = self.by
        for of, kind in kinds:
            counts = by.get(of)
            if counts is None:
                counts = by[of] = [0] * _KINDS
            counts[kind] += 1

    def of(self, grader: int, target: str) -> tuple[int, int]:
        """How many were judged, and how many of those passed."""
        counts = self.by.get((grader, target), ())
        return sum(counts), sum(counts[1::2])

    def paired(self, grader: int, target: str) -> tuple[int, int, int]:
        """How many were judged for the first target too, and which of the two passed alone how often."""
        counts = self.by.get((grader, target))
        return (sum(counts[2:]), counts[4], counts[3]) if counts else (0, 0, 0)

    def as_data(self) -> list[Any]:
        return [self.items, [[*of, *counts] for of, counts in self.by.items()]]

    @classmethod
    def read(cls, data: Sequence[Any]) -> "Tally":
        items, by = data
        return cls(items, {(grader, target): counts for grader, target, *counts in by})


class SliceCounts:
    """Every slice with its tally; dimensions that get out of hand are dropped."""

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        told = data or {"values": {}, "dropped": [], "total": [0, []]}
        self.values: dict[str, dict[str, Tally]] = {
            dimension: {value: Tally.read(tally) for value, tally in values.items()}
            for dimension, values in told["values"].items()
        }
        self.dropped: dict[str, None] = dict.fromkeys(told["dropped"])
        self.total = Tally.read(told["total"])

    def tally(self, of: Slice) -> Tally | None:
        """That of a slice; None where its dimension is not counted."""
        dimension, value = of
        values = self.values.get(dimension)
        if values is None:
            if dimension in self.dropped or len(self.values) >= MOST_DIMENSIONS:
                return None
            values = self.values[dimension] = {}
        found = values.get(value)
        if found is None:
            if len(values) >= MOST_VALUES:
                self.dropped[dimension] = None
                del self.values[dimension]
                return None
            found = values[value] = Tally()
        return found

    def as_data(self) -> dict[str, Any]:
        return {
            "values": {
                dimension: {value: tally.as_data() for value, tally in values.items()}
                for dimension, values in self.values.items()
            },
            "dropped": list(self.dropped),
            "total": self.total.as_data(),
        }
