"""Words in stored completions: one promise (words, beginnings of words, phrases), kept by two engines.

Only `put`, `remove` and `empty` write the index; the first two within the transaction that writes the bodies.
"""

from collections.abc import Iterable
from typing import Any

from django.db import connections, models, transaction

from completions.conversation import Texts
from completions.search import postgres, sqlite
from completions.search.tokens import COLUMNS, Column, TextQuery, TextTerm, fits, holds, term, words

__all__ = [
    "COLUMNS",
    "Column",
    "TextQuery",
    "TextTerm",
    "empty",
    "fits",
    "forget",
    "holds",
    "put",
    "remove",
    "term",
    "words",
]

BATCH = 500


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


def _engine(connection: Any) -> Any:
    return postgres if connection.vendor == "postgresql" else sqlite
