"""Which of the written rows stay, and into which split each goes. Pure and the same every time.

In this order: halves become pairs, exact duplicates go, then near ones, then what is beyond a cap, then what
a sample does not draw; what is left is split. Of rows that are alike the best stays: by what people said of
it, then the newest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from completions.duplicates import BANDS, Firsts, Hashes, jaccard
from completions.duplicates import NEAR as NEAR_SHARE
from datasets.build.marks import SIDES, Marks, mixed
from datasets.build.splitting import split_of
from datasets.models import Purpose
from datasets.recipe import Recipe

# By number, why a row that was written does not stay. The last is no reason: the row is part of another's.
LEFT_OUT: Final = (
    "", "no_partner", "same_answer", "duplicate", "near_duplicate", "over_cap", "not_sampled", "joined",
)  # fmt: skip
STEPS: Final = {"pairs": (1, 2), "duplicates": (3, 4), "cap": (5,), "sample": (6,)}
CHOICE: Final = np.dtype([("reason", "u1"), ("split", "u1"), ("partner", "<i4")])
JOINED: Final = LEFT_OUT.index("joined")
BEST: Final = 255  # ranks count down from here when they are sorted

Choice = NDArray[np.void]
RunsOf = Callable[[int], Hashes]


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a build while they are chosen among: `alive` are the heads of what still stays."""

    marks: Marks
    choice: Choice

    @property
    def alive(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.choice["reason"] == 0)

    def drop(self, rows: NDArray[np.int64], reason: str) -> None:
        """Leave these out, and the other halves of those that are pairs."""
        number = LEFT_OUT.index(reason)
        self.choice["reason"][rows] = number
        partners = self.choice["partner"][rows]
        self.choice["reason"][partners[partners >= 0]] = number

    def best_first(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows in the order in which they would be kept."""
        marks = self.marks[rows]
        order = np.lexsort((marks["position"], BEST - marks["rank"].astype(np.int64)))
        return rows[order]


def choose(marks: Marks, recipe: Recipe, runs_of: RunsOf) -> Choice:
    """For each row why it goes (0 if it stays), its split and the row of its other half (-1 if none)."""
    rows = Rows(marks, np.zeros(len(marks), CHOICE))
    rows.choice["partner"] = -1
    if recipe.purpose == Purpose.PREFERENCE and recipe.pairs.source != "corrections":
        pair(rows)
    if recipe.duplicates:
        drop_same(rows)
    if recipe.duplicates == "near":
        drop_near(rows, runs_of)
    if recipe.cap is not None:
        drop_beyond(rows, recipe.cap.most)
    if recipe.sample is not None:
        sample(rows, recipe.sample.rows, recipe.sample.seed)
    if recipe.is_split:
        alive = rows.alive
        partners = rows.choice["partner"][alive]
        halves = np.flatnonzero(partners >= 0)
        both = np.concatenate([alive, partners[halves].astype(np.int64)])
        pairs = zip(halves.tolist(), range(len(alive), len(both)), strict=True)
        near = runs_of if recipe.split.unit == "near" else None
        rows.choice["split"][both] = split_of(marks, both, recipe.split, near, pairs)
    return rows.choice


def pair(rows: Rows) -> None:
    """Join each preferred half with another of the same prompt, the best first, each half once."""
    marks = rows.marks
    by_prompt: dict[int, tuple[list[int], list[int]]] = {}
    for row in rows.best_first(rows.alive).tolist():
        sides = by_prompt.setdefault(int(marks["prompt"][row]), ([], []))
        sides[SIDES[marks["side"][row]] == "-"].append(row)
    alone: dict[str, list[int]] = {"no_partner": [], "same_answer": []}
    for better, worse in by_prompt.values():
        # The clearest pair: the best of those to prefer, the worst of the others.
        left = worse[::-1]
        for row in better:
            other = next((at for at in left if marks["exact"][at] != marks["exact"][row]), None)
            if other is None:
                alone["same_answer" if left else "no_partner"].append(row)
                continue
            left.remove(other)
            rows.choice["partner"][row], rows.choice["partner"][other] = other, row
            rows.choice["reason"][other] = JOINED
        alone["no_partner"] += left
    for reason, some in alone.items():
        rows.choice["reason"][some] = LEFT_OUT.index(reason)


def drop_same(rows: Rows) -> None:
    """Of rows that say the same, keep the best."""
    order = rows.best_first(rows.alive)
    keys = _exact(rows, order)
    _, first = np.unique(keys, return_index=True)
    again = np.ones(len(order), np.bool_)
    again[first] = False
    rows.drop(order[again], "duplicate")


def _exact(rows: Rows, some: NDArray[np.int64]) -> NDArray[np.uint64]:
    """What rows say as one number each, of pairs both halves."""
    keys = rows.marks["exact"][some].astype(np.int64).view(np.uint64).copy()
    partners = rows.choice["partner"][some]
    halves = partners >= 0
    keys[halves] ^= mixed(rows.marks["exact"][partners[halves]], 1)
    return keys


def drop_near(rows: Rows, runs_of: RunsOf) -> None:
    """Of rows that say nearly the same, keep the best; every one that goes is near to one that stays."""
    order = rows.best_first(rows.alive)
    order = order[_crowded(rows.marks, order)]
    partner = rows.choice["partner"]
    marks = rows.marks
    kept = Firsts(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, BANDS), np.uint32))
    again: list[int] = []

    def is_near(row: int, other: int) -> bool:
        if jaccard(runs_of(row), runs_of(other)) < NEAR_SHARE:
            return False
        one, two = int(partner[row]), int(partner[other])
        return one < 0 or two < 0 or jaccard(runs_of(one), runs_of(two)) >= NEAR_SHARE

    for row in order.tolist():
        # A row's shape says nothing of its other half, so of a pair it is never enough.
        shape, bands = int(marks["shape"][row]) if partner[row] < 0 else -row - 1, marks["bands"][row]
        if kept.near(shape, bands, partial(is_near, row)) is not None:
            again.append(row)
        else:
            kept.add(row, shape, bands)
    rows.drop(np.array(again, np.int64), "near_duplicate")


def _crowded(marks: Marks, some: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the rows share a band with another, so that they may be near; rows without words are not."""
    bands = np.ascontiguousarray(marks["bands"][some].T)
    crowded = np.zeros(len(some), np.bool_)
    for column in bands:
        _, where, counts = np.unique(column, return_inverse=True, return_counts=True)
        crowded |= counts[where] > 1
    found: NDArray[np.bool_] = crowded & (marks["runs"][some] > 0)
    return found


def drop_beyond(rows: Rows, most: int) -> None:
    """Keep the best `most` rows of each group."""
    order = rows.best_first(rows.alive)
    groups = rows.marks["capped"][order]
    by_group = np.argsort(groups, kind="stable")
    beyond = _places(groups[by_group]) >= most
    rows.drop(order[by_group[beyond]], "over_cap")


def _places(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of sorted groups, the place of each row within its own, from 0."""
    if not len(groups):
        return np.empty(0, np.int64)
    starts = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]]))
    sizes = np.diff(np.append(starts, len(groups)))
    found: NDArray[np.int64] = np.arange(len(groups)) - np.repeat(starts, sizes)
    return found


def sample(rows: Rows, wanted: int, seed: int) -> None:
    """Draw `wanted` rows; of groups the same number each, as far as each has so many."""
    alive = rows.alive
    drawn = np.lexsort((rows.marks["position"][alive], mixed(rows.marks["source"][alive], seed)))
    groups = rows.marks["sampled"][alive][drawn]
    by_group = np.argsort(groups, kind="stable")
    # Every group's first, then every group's second …: small groups run out, the others share what is left.
    place = np.empty(len(alive), np.int64)
    place[by_group] = _places(groups[by_group])
    order = drawn[np.argsort(place, kind="stable")]
    rows.drop(alive[order[wanted:]], "not_sampled")
