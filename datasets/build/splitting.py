"""Train, validation and test: what belongs together stays together, drawn by a seed. Pure."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from completions.duplicates import NEAR as NEAR_SHARE
from completions.duplicates import Hashes, jaccard, joined
from datasets.build.marks import Marks, mixed
from datasets.recipe import SPLITS, Split

TRAIN, VALIDATION, TEST = (SPLITS.index(name) for name in ("train", "validation", "test"))
# Rows that share a band are compared with so many of those before them that share it too. Rows that are near
# share eight bands on average, so that one of them is missed by all is unlikely.
NEIGHBOURS: Final = 4

RunsOf = Callable[[int], Hashes]
Link = tuple[int, int]


def split_of(
    marks: Marks, rows: NDArray[np.int64], split: Split, runs_of: RunsOf | None, pairs: Iterable[Link] = ()
) -> NDArray[np.uint8]:
    """The split of each of the rows, by its number in recipe.SPLITS.

    `pairs` are places in `rows` that belong together anyway.
    """
    made = np.full(len(rows), TRAIN, np.uint8)
    if not len(rows):
        return made
    unit = units(marks, rows, runs_of, pairs)
    first, size, number = _sizes(unit)
    drawn = np.full(len(first), np.iinfo(np.uint64).max, np.uint64)
    # By what its rows are, not by where they stand: a unit is drawn alike when rows are added.
    np.minimum.at(drawn, number, mixed(marks["conversation"][rows], split.seed))
    stratum = marks["even"][rows][first]
    order = np.lexsort((first, drawn, stratum))
    chosen = _dealt(stratum[order], size[order], split)
    by_unit = np.empty(len(first), np.uint8)
    by_unit[order] = chosen
    made[:] = by_unit[number]
    return made


def _sizes(
    unit: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Of each unit its first row and how many it has; of each row the number of its unit."""
    first, number, size = np.unique(unit, return_inverse=True, return_counts=True)
    return first, size, number


def _dealt(strata: NDArray[np.int64], sizes: NDArray[np.int64], split: Split) -> NDArray[np.uint8]:
    """The split of each unit, in the order in which they were drawn within their strata.

    Quotas of small strata are carried on to the next, so that all together come to the percentages.
    """
    made = np.full(len(sizes), TRAIN, np.uint8)
    ends = np.flatnonzero(np.diff(strata)) + 1
    seen, given = 0, {TEST: 0, VALIDATION: 0}
    for run in np.split(np.arange(len(sizes)), ends):
        seen += int(sizes[run].sum())
        wanted = {
            TEST: round(seen * split.test / 100) - given[TEST],
            VALIDATION: round(seen * split.validation / 100) - given[VALIDATION],
        }
        for at in run.tolist():
            size = int(sizes[at])
            for name in (TEST, VALIDATION):
                # One that is larger than what is missing is taken if that comes nearer to it.
                if size < 2 * wanted[name]:
                    made[at] = name
                    wanted[name] -= size
                    given[name] += size
                    break
            else:
                if all(missing <= 0 for missing in wanted.values()):
                    break
    return made


def units(
    marks: Marks, rows: NDArray[np.int64], runs_of: RunsOf | None, pairs: Iterable[Link] = ()
) -> NDArray[np.int64]:
    """For each of the rows the first that it belongs with: of one conversation, one prompt, or near to it."""
    return joined(len(rows), chain(pairs, _links(marks[rows], rows, runs_of)))


def _links(marks: Marks, rows: NDArray[np.int64], runs_of: RunsOf | None) -> Iterator[Link]:
    for name in ("conversation", "prompt"):
        yield from _neighbours(marks[name])
    if runs_of is None:
        return
    yield from _neighbours(marks["shape"], marks["runs"] > 0)
    for one, other in _likely(marks):
        if jaccard(runs_of(int(rows[one])), runs_of(int(rows[other]))) >= NEAR_SHARE:
            yield one, other


def _likely(marks: Marks) -> Iterator[Link]:
    """Rows that share a band, each pair once; of rows with the same words only the first is looked at."""
    single = _distinct(marks["shape"], marks["runs"] > 0)
    found = [np.empty(0, np.int64)]
    for column in np.ascontiguousarray(marks["bands"][single].T):
        order = np.argsort(column, kind="stable")
        ascending, row = column[order], single[order]
        for step in range(1, NEIGHBOURS + 1):
            same = np.flatnonzero(ascending[step:] == ascending[:-step])
            found.append(row[same] * len(marks) + row[same + step])  # a pair as one number
    firsts, seconds = np.divmod(np.unique(np.concatenate(found)), len(marks))
    return zip(firsts.tolist(), seconds.tolist(), strict=True)


def _neighbours(keys: NDArray[np.int64], among: NDArray[np.bool_] | None = None) -> Iterator[Link]:
    """Each row with the next that has the same key."""
    order = np.argsort(keys, kind="stable")
    if among is not None:
        order = order[among[order]]
    same = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
    yield from zip(order[same].tolist(), order[same + 1].tolist(), strict=True)


def _distinct(keys: NDArray[np.int64], among: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The first row of each key."""
    rows = np.flatnonzero(among)
    _, first = np.unique(keys[rows], return_index=True)
    found: NDArray[np.int64] = np.sort(rows[first])
    return found
