"""The best of each group in a selection, and the others: to keep one of many that say the same.

The best is one that was approved, then one that was rated good, then one that was corrected; what was
rejected or rated bad comes last, and otherwise the newest is the best.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from django.db import transaction
from numpy.typing import NDArray

from completions.belonging import KINDS
from completions.models import Belonging, FrozenSelection, ReviewState, StoredCompletion
from completions.purposes import purpose
from completions.querysets import holding
from completions.selection import NOTHING_LEFT, Refused, pack, unpacked

PURPOSE = "one_of_each"
purpose(PURPOSE, "Only one of each…", "copy", url="completions:one_of_each", needs="", order=70)

Keep = Literal["others", "best"]
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Repeated:
    """How often one kind of group occurs in a selection."""

    kind: str
    title: str
    groups: int
    rows: int

    @property
    def others(self) -> int:
        """How many there are beside the best of each."""
        return self.rows - self.groups


TITLES = {
    "same": "Exact duplicates",
    "near": "Near-duplicates",
    "alike": "Same system prompt",
    "thread": "Same conversation",
}


def repeated(frozen: FrozenSelection) -> list[Repeated]:
    """What there is of each kind; a group counts if two of its members are selected."""
    _, keys = _held(frozen)
    found = []
    for at, kind in enumerate(KINDS):
        groups = _groups(keys[:, at])
        found.append(Repeated(kind, TITLES[kind], int(groups.max(initial=0)), int(np.count_nonzero(groups))))
    return found


def select(frozen: FrozenSelection, kind: str, keep: Keep) -> FrozenSelection:
    """Another selection of the same person: the best of each group and what is in none, or all the others.

    Raises Refused where none is left.
    """
    every = unpacked(frozen.ids)
    ids, keys = _held(frozen)
    groups = _groups(keys[:, KINDS.index(kind)])
    others = _others(ids[groups > 0], groups[groups > 0])
    left = every[np.isin(every, others, invert=keep == "best")]
    if not len(left):
        raise Refused("No completion stands twice here." if keep == "others" else NOTHING_LEFT)
    with transaction.atomic():
        made: FrozenSelection = FrozenSelection.objects.create(
            owner=frozen.owner, count=len(left), ids=pack(left)
        )
        made.connections.set(_sources(left, frozen))
    return made


def _held(frozen: FrozenSelection) -> tuple[Ids, NDArray[np.str_]]:
    """Those of the selection that belong to anything, and their keys, a column for each kind."""
    rows: Any = Belonging.objects.filter(connection__in=frozen.connections.values("pk"))
    found = list(rows.values_list("pk", *KINDS).iterator(chunk_size=5_000))
    ids = np.array([row[0] for row in found], np.int64)
    keys = np.array([row[1:] for row in found], "U16").reshape(-1, len(KINDS))
    selected = np.isin(ids, unpacked(frozen.ids))
    return ids[selected], keys[selected]


def _groups(keys: NDArray[np.str_]) -> NDArray[np.int64]:
    """A number from 1 for each key that stands twice or more; 0 for the others."""
    if not len(keys):
        return np.empty(0, np.int64)
    distinct, place, counts = np.unique(keys, return_inverse=True, return_counts=True)
    several = (counts > 1) & (distinct != "")
    numbers: NDArray[np.int64] = np.where(several, np.cumsum(several), 0)[place].astype(np.int64)
    return numbers


def _others(ids: Ids, groups: NDArray[np.int64]) -> Ids:
    """All but the best of each group."""
    if not len(ids):
        return ids
    order = np.argsort(ids)
    ids, groups = ids[order], groups[order]
    created, said = np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64)
    for pk, moment in _of(StoredCompletion.objects, ids, "created"):
        created[np.searchsorted(ids, pk)] = moment
    for pk, state, rating, correction in _of(ReviewState.objects, ids, "state", "rating", "correction"):
        approved, good = state == ReviewState.State.APPROVED, rating == ReviewState.Rating.GOOD
        poor = state == ReviewState.State.REJECTED or rating == ReviewState.Rating.BAD
        worth = 8 * approved + 4 * good + 2 * (correction is not None)
        said[np.searchsorted(ids, pk)] = worth if not poor or approved else worth - 16
    ranked = np.lexsort((ids, created, said, groups))
    is_best = np.append(np.diff(groups[ranked]) > 0, True)
    others: Ids = ids[ranked[~is_best]]
    return others


def _of(rows: Any, ids: Ids, *columns: str) -> Iterable[tuple[Any, ...]]:
    found: Iterable[tuple[Any, ...]] = rows.filter(holding(ids.tolist())).values_list("pk", *columns)
    return found


def _sources(ids: Ids, frozen: FrozenSelection) -> list[int]:
    sources = list(frozen.connections.values_list("pk", flat=True))
    if len(sources) == 1:
        return sources
    rows = StoredCompletion.objects.filter(holding(ids.tolist()))
    return sorted(set(rows.values_list("connection_id", flat=True).distinct()))
