"""Which stored completions hold some words, asked about few of them or about a whole mirror."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db import connections, transaction
from numpy.typing import NDArray

from completions.columns import DERIVED
from completions.models import Mirror
from completions.search import postgres, sqlite
from completions.search.tokens import TextQuery

WIDE = 2**26  # ids that lie so near each other are marked in an array rather than sorted
NEAR = 64  # and those of one range
DIRECTLY = 1_000  # so many documents are looked at one by one rather than found through the index
APART = 256  # ids that lie so far apart, on average, are asked about in many ranges if the words are common:
MANY = 1_000  # so many at most,
TASTE = 16  # which as many documents tell
RARE = 30  # words that fewer than one of so many documents hold are asked about once, in the whole index


@dataclass
class Asked:
    """What a request has found out about some words: how many of the documents hold them, or all that do.

    An index that is asked for words within many blocks of ids reads all that the blocks hold; where words are
    rare, everybody who holds them is found sooner.
    """

    documents: int = 0
    holding: int = 0
    every: NDArray[np.int64] | None = None

    def count(self, documents: int, found: NDArray[np.int64]) -> None:
        self.documents, self.holding = self.documents + documents, self.holding + len(found)

    @property
    def are_rare(self) -> bool:
        return self.holding * RARE < self.documents


def among(ids: NDArray[np.int64], query: TextQuery, *, using: str = "default") -> NDArray[np.bool_]:
    """Which of some ids hold every term, without asking for all that do; `ids` in any order."""
    if not query:
        return np.ones(len(ids), bool)
    return within(ids, holders(ids, query, using=using))


def holders(
    ids: NDArray[np.int64], query: TextQuery, *, asked: Asked | None = None, using: str = "default"
) -> NDArray[np.int64]:
    """Who holds every term, ascending: all of some ids that do, and maybe others that lie elsewhere.

    Who asks about the same words again gives the same `asked` along.
    """
    if not len(ids):
        return np.empty(0, np.int64)
    if connections[using].vendor == "postgresql":
        return _holders_in_postgres(ids, query, asked or Asked(), using)
    with connections[using].cursor() as cursor:
        return _holders_in_sqlite(cursor, ids, query, asked or Asked())


def _holders_in_sqlite(
    cursor: Any, ids: NDArray[np.int64], query: TextQuery, asked: Asked
) -> NDArray[np.int64]:
    """A range costs a seek, and everybody in it who holds the words."""
    text = sqlite.expression(query)

    def look(ranges: list[tuple[int, int]]) -> NDArray[np.int64]:
        found = []
        for first, last in ranges:
            cursor.execute(sqlite.IDS_BETWEEN, [text, first, last])
            found.append(_first(cursor.fetchall()))
        return np.sort(np.concatenate(found))

    ranges = _ranges(ids)
    if sum(last - first for first, last in ranges) > APART * len(ids):
        if not asked.documents:
            some = np.sort(ids)[:: -(-len(ids) // TASTE)]
            asked.count(len(some), look([(pk, pk) for pk in some.tolist()]))
        if not asked.are_rare:
            ranges = _ranges(ids, most=MANY)
    return look(ranges)


def _holders_in_postgres(
    ids: NDArray[np.int64], query: TextQuery, asked: Asked, using: str
) -> NDArray[np.int64]:
    if asked.every is not None:
        return asked.every
    text = postgres.expression(query)
    with connections[using].cursor() as cursor:
        # Documents that were indexed before blocks were have none, until their rows have been read again.
        if len(ids) <= DIRECTLY or Mirror.objects.using(using).filter(derived__lt=DERIVED).exists():
            return _directly(cursor, ids, text, asked)
        if not asked.documents:
            _directly(cursor, ids[:DIRECTLY], text, asked)
        with transaction.atomic(using=using):
            cursor.execute(postgres.BY_INDEX)
            if asked.are_rare and not query.has_phrases:
                cursor.execute(postgres.IDS, [text])
                asked.every = np.sort(_first(cursor.fetchall()))
                found = asked.every
            else:
                blocks = " | ".join(postgres.blocks(first, last) for first, last in _ranges(ids))
                cursor.execute(postgres.IDS, [f"({text}) & ({blocks})"])
                found = np.sort(_first(cursor.fetchall()))
                asked.count(len(ids), found)
            cursor.execute(postgres.BY_ANY_WAY)
    return found


def _directly(cursor: Any, ids: NDArray[np.int64], text: str, asked: Asked) -> NDArray[np.int64]:
    """Those of some ids that hold the words, document by document."""
    found = []
    for start in range(0, len(ids), DIRECTLY):
        cursor.execute(postgres.IDS_AMONG, [ids[start : start + DIRECTLY].tolist(), text])
        found.append(_first(cursor.fetchall()))
    holding = np.sort(np.concatenate(found))
    asked.count(len(ids), holding)
    return holding


def within(ids: NDArray[np.int64], found: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of some ids stand among others, which ascend."""
    if not len(found):
        return np.zeros(len(ids), bool)
    first, last = int(found[0]), int(found[-1])
    if last - first < WIDE:
        there = np.zeros(last - first + 2, bool)  # the last place is for whatever lies outside
        there[found - first] = True
        return there[np.where((ids >= first) & (ids <= last), ids - first, len(there) - 1)]
    at = np.searchsorted(found, ids)
    at[at == len(found)] = 0
    holds: NDArray[np.bool_] = found[at] == ids
    return holds


def _first(rows: list[tuple[int]]) -> NDArray[np.int64]:
    return np.fromiter((pk for (pk,) in rows), np.int64, len(rows))


def _ranges(ids: NDArray[np.int64], *, most: int = 24) -> list[tuple[int, int]]:
    """Ranges that cover some ids, split at the widest holes: rows that arrived together lie together."""
    first, last = int(ids.min()), int(ids.max())
    if last - first < WIDE:
        there = np.zeros((last - first) // NEAR + 1, bool)
        there[(ids - first) // NEAR] = True
        blocks = np.flatnonzero(there)
    else:
        blocks = np.unique((ids - first) // NEAR)
    holes = np.diff(blocks)
    wide = np.flatnonzero(holes > 1)
    if len(wide) >= most:
        wide = np.sort(wide[np.argpartition(-holes[wide], most - 2)[: most - 1]])
    starts, ends = blocks[np.append(0, wide + 1)], blocks[np.append(wide, len(blocks) - 1)]
    return [
        (first + start * NEAR, min(last, first + (end + 1) * NEAR - 1))
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]
