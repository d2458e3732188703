"""Words in stored completions: one promise (words, beginnings of words, phrases), kept by two engines.

Only `put`, `remove` and `empty` write the index; the first two within the transaction that writes the bodies.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from django.db import connections, models, transaction
from django.db.models.expressions import BaseExpression, Combinable
from numpy.typing import NDArray

from completions.columns.changes import DERIVED
from completions.conversation import Texts
from completions.models import Mirror
from completions.search import postgres, sqlite
from completions.search.tokens import COLUMNS, Column, TextQuery, TextTerm, fits, holds, term, words

__all__ = [
    "COLUMNS",
    "Column",
    "Matches",
    "TextQuery",
    "TextTerm",
    "among",
    "empty",
    "fits",
    "forget",
    "holds",
    "match",
    "put",
    "remove",
    "term",
    "words",
]

BATCH = 500
DIRECTLY = 1_000  # so many documents are looked at one by one rather than found through the index


def put(rows: Iterable[tuple[int, Texts | None, Texts | None]], *, using: str = "default") -> None:
    """Index completions: (id, the texts indexed until now or None, the texts to index or None).

    The old texts must be those of the last `put`: one of the engines can only take back what it is told.
    """
    changed = [row for row in rows if row[1] != row[2]]
    old = [(pk, texts) for pk, texts, _ in changed if texts is not None]
    new = [(pk, texts) for pk, _, texts in changed if texts is not None]
    _write(old, new, using)


def remove(rows: Iterable[tuple[int, Texts]], *, using: str = "default") -> None:
    """Take completions out of the index: (id, the texts that were put)."""
    _write(list(rows), [], using)


def _write(old: list[tuple[int, Texts]], new: list[tuple[int, Texts]], using: str) -> None:
    connection = connections[using]
    engine = _engine(connection)
    # A savepoint of its own: FTS5 keeps new words in memory, and SQLite 3.40 damages them when the beginning
    # of a word is searched and the same row is then written again, all in one transaction. A savepoint makes
    # it write them down.
    with transaction.atomic(using=using), connection.cursor() as cursor:
        for start in range(0, len(old), BATCH):
            engine.remove(cursor, old[start : start + BATCH])
        for start in range(0, len(new), BATCH):
            engine.add(cursor, new[start : start + BATCH])


def forget(bodies: models.QuerySet[Any], *, using: str = "default") -> None:
    """Take the completions of these bodies out of the index, before their rows are deleted."""
    fields = ("pk", "completion__messages_state", "system_text", "prompt_text", "answer_text")
    remove(
        (
            (pk, Texts(system, prompt, answer))
            for pk, state, system, prompt, answer in bodies.values_list(*fields).iterator(chunk_size=BATCH)
            if state != "pending"
        ),
        using=using,
    )


def empty(*, using: str = "default") -> None:
    """Take everything out of the index."""
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute(_engine(connection).EMPTY)


def match(queryset: Any, query: TextQuery) -> Any:
    """The completions of `queryset` that hold every term; all of them if there is no term."""
    return queryset.filter(Matches(query)) if query else queryset


def among(ids: NDArray[np.int64], query: TextQuery, *, using: str = "default") -> NDArray[np.bool_]:
    """Which of some ids hold every term, without asking for all that do; `ids` in any order."""
    if not len(ids) or not query:
        return np.ones(len(ids), bool)
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
    held = np.sort(np.concatenate(found))
    if not len(held):
        return np.zeros(len(ids), bool)
    at = np.searchsorted(held, ids)
    at[at == len(held)] = 0
    holds: NDArray[np.bool_] = held[at] == ids
    return holds


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


def _engine(connection: Any) -> Any:
    return postgres if connection.vendor == "postgresql" else sqlite


class Matches(BaseExpression, Combinable):
    """Condition on StoredCompletion: it holds every term of the query."""

    conditional = True

    def __init__(self, query: TextQuery) -> None:
        super().__init__(output_field=models.BooleanField())
        self.query = query
        self.row: BaseExpression | None = None

    def resolve_expression(
        self,
        query: Any = None,
        allow_joins: bool = True,  # noqa: FBT001, FBT002  # Django's own signature
        reuse: Any = None,
        summarize: bool = False,  # noqa: FBT001, FBT002  # Django's own signature
        for_save: bool = False,  # noqa: FBT001, FBT002  # Django's own signature
    ) -> "Matches":
        resolved = super().resolve_expression(query, allow_joins, reuse, summarize, for_save)
        resolved.row = models.F("pk").resolve_expression(query, allow_joins, reuse, summarize, for_save)
        return resolved

    def get_source_expressions(self) -> list[Any]:
        return [self.row]

    def set_source_expressions(self, exprs: Any) -> None:
        (self.row,) = exprs

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        engine = _engine(connection)
        row, params = compiler.compile(self.row)
        return f"{row} IN ({engine.IDS})", (*params, engine.expression(self.query))

    def get_group_by_cols(self) -> list[Any]:
        return []
