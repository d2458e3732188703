"""The slices of a run as its report shows them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from completions.spoken import UNKNOWN
from datasets.evaluate.report import Difference
from datasets.evaluate.report_cells import whisker
from datasets.evaluate.report_words import SIGNIFICANT, chance, signed
from datasets.evaluate.slice_facts import NAMES
from datasets.evaluate.statistics import Interval, wilson

LEAST: Final = 10  # judged items that a slice and the rest must have, or a slice for both targets


@dataclass(frozen=True)
class Cell:
    """One target within a slice, beside all other items, and beside the first target on the same items."""

    label: str
    target: str
    passed: int
    judged: int
    rest_passed: int
    rest_judged: int
    p: float = 1.0
    corrected: float = 1.0
    pair: Difference | None = None

    @property
    def rate(self) -> float | None:
        return self.passed / self.judged if self.judged else None

    @property
    def interval(self) -> Interval | None:
        return wilson(self.passed, self.judged)

    @property
    def whisker(self) -> dict[str, float] | None:
        """The rate and its interval on a line of 100 units."""
        return whisker(self.passed, self.judged)

    @property
    def is_enough(self) -> bool:
        """Whether it can be set against the rest."""
        return self.judged >= LEAST and self.rest_judged >= LEAST

    @property
    def is_compared(self) -> bool:
        """Whether it is set against the first target."""
        return self.pair is not None and self.pair.items >= LEAST

    @property
    def pair_told(self) -> str:
        """What stands behind the difference to the first target."""
        if self.pair is None:
            return ""
        items, first, second = self.pair.items, self.pair.only_first, self.pair.only_second
        sure = (
            f"{chance(self.pair.corrected or 0.0)}, corrected"
            if self.is_compared
            else f"not tested, as that takes {LEAST}"
        )
        return (
            f"n = {items:,} judged for both: {first:,} passed only by {self.pair.first},"
            f" {second:,} only by {self.label}; {sure}"
        )

    @property
    def gap(self) -> float:
        """Points above the rest; below it, negative."""
        if not self.judged or not self.rest_judged:
            return 0.0
        return 100 * (self.passed / self.judged - self.rest_passed / self.rest_judged)

    @property
    def is_clear(self) -> bool:
        return self.is_enough and self.corrected < SIGNIFICANT

    @property
    def tone(self) -> str:
        return "none" if not self.is_clear else "ok" if self.gap > 0 else "bad"

    @property
    def in_points(self) -> str:
        return f"{signed(self.gap, 0)} points"

    @property
    def corrected_chance(self) -> str:
        return chance(self.corrected)


def shown(dimension: str, value: str) -> str:
    """A value of a dimension in words."""
    return "not told" if (dimension, value) == ("language", UNKNOWN) else value or "(empty)"


@dataclass(frozen=True)
class Value:
    """One slice: a value of a dimension, and each target within it."""

    dimension: str
    value: str
    items: int
    cells: tuple[Cell, ...]

    @property
    def shown(self) -> str:
        return shown(self.dimension, self.value)

    @property
    def address(self) -> str:
        """The end of the address of its rows."""
        return f"?{urlencode({'slice': self.dimension, 'value': self.value})}"


@dataclass(frozen=True)
class Dimension:
    name: str
    label: str
    values: tuple[Value, ...]
    small: int  # further values, with too few items

    @property
    def spoken(self) -> str:
        """Its label within a sentence."""
        return f"the {self.label[0].lower()}{self.label[1:]}" if self.name in NAMES else self.label


@dataclass(frozen=True)
class Slices:
    """Every slice of a run under one grader."""

    grader: int
    targets: tuple[tuple[str, str], ...]
    dimensions: tuple[Dimension, ...]
    varied: tuple[str, ...]  # dimensions with too many values
    looked: int  # comparisons that the p-values are corrected for
    worst: tuple[str, ...]  # a sentence for each target, beside the rest
    behind: tuple[str, ...]  # sentences on each further target, beside the first
    counted: str  # when, as ISO 8601

    @property
    def first(self) -> str:
        """The target that others are compared with; empty where none is."""
        pairs = (
            cell.pair
            for each in self.dimensions
            for value in each.values
            for cell in value.cells
            if cell.pair
        )
        return next((pair.first for pair in pairs), "")

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Slices":
        """What `dataclasses.asdict` made of one, by way of JSON."""
        told = dict(data)
        told["targets"] = tuple((key, label) for key, label in told["targets"])
        told["dimensions"] = tuple(
            Dimension(
                **{
                    **each,
                    "values": tuple(
                        Value(**{**value, "cells": tuple(_cell(cell) for cell in value["cells"])})
                        for value in each["values"]
                    ),
                }
            )
            for each in told["dimensions"]
        )
        lists = {name: tuple(told[name]) for name in ("varied", "worst", "behind")}
        return cls(**{**told, **lists})


def _cell(told: Mapping[str, Any]) -> Cell:
    return Cell(**{**told, "pair": Difference(**told["pair"]) if told["pair"] else None})
