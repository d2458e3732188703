"""Which stored completions hold some words, asked about few of them or about a whole mirror."""

import numpy as np
from django.db import connections, transaction
from numpy.typing import NDArray

from completions.columns import DERIVED
from completions.models import Mirror
from completions.search import postgres, sqlite
from completions.search.tokens import TextQuery

DIRECTLY = 1_000  # so many documents are looked at one by one rather than found through the index


def among(ids: NDArray[np.int64], query: TextQuery, *, using: str = "default") -> NDArray[np.bool_]:
    """Which of some ids hold every term, without asking for all that do; `ids` in any order."""
    if not query:
        return np.ones(len(ids), bool)
    return within(ids, holders(ids, query, using=using))


def holders(ids: NDArray[np.int64], query: TextQuery, *, using: str = "default") -> NDArray[np.int64]:
    """Who holds every term, ascending: all of some ids that do, and maybe others that lie between them."""
    if not len(ids):
        return np.empty(0, np.int64)
    connection = connections[using]
    ranges = _ranges(ids)
    found: list[NDArray[np.int64]] = []
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            text = postgres.expression(query)
            # Documents that were indexed before blocks were have none, until their rows have been read again.
            if len(ids) <= DIRECTLY or Mirror.objects.using(using).filter(derived__lt=DERIVED).exists():
                for start in range(0, len(ids), DIRECTLY):
                    cursor.execute(postgres.IDS_AMONG, [ids[start : start + DIRECTLY].tolist(), text])
                    found.append(_first(cursor.fetchall()))
            else:
                blocks = " | ".join(postgres.blocks(first, last) for first, last in ranges)
                with transaction.atomic(using=using):
                    cursor.execute(postgres.BY_INDEX)
                    cursor.execute(postgres.IDS, [f"({text}) & ({blocks})"])
                    found.append(_first(cursor.fetchall()))
                    cursor.execute(postgres.BY_ANY_WAY)
        else:
            text = sqlite.expression(query)
            for first, last in ranges:
                cursor.execute(sqlite.IDS_BETWEEN, [text, first, last])
                found.append(_first(cursor.fetchall()))
    return np.sort(np.concatenate(found))


def within(ids: NDArray[np.int64], held: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of some ids, in any order, are among others, which ascend."""
    if not len(held):
        return np.zeros(len(ids), bool)
    at = np.searchsorted(held, ids)
    at[at == len(held)] = 0
    found: NDArray[np.bool_] = held[at] == ids
    return found


def _first(rows: list[tuple[int]]) -> NDArray[np.int64]:
    return np.fromiter((pk for (pk,) in rows), np.int64, len(rows))


def _ranges(ids: NDArray[np.int64], *, most: int = 24) -> list[tuple[int, int]]:
    """Ranges that cover some ids, split at the widest holes: rows that arrived together lie together."""
    first, last = int(ids.min()), int(ids.max())
    if len(ids) > (last - first) // 2:
        return [(first, last)]
    ascending = np.sort(ids)
    holes = np.diff(ascending)
    wide = np.flatnonzero(holes > 64)
    if len(wide) >= most:
        wide = np.sort(wide[np.argpartition(-holes[wide], most - 2)[: most - 1]])
    starts, ends = [0, *(wide + 1).tolist()], [*wide.tolist(), len(ids) - 1]
    return [(int(ascending[start]), int(ascending[end])) for start, end in zip(starts, ends, strict=True)]
