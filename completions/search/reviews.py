"""Words in what people wrote about completions, notes and corrections: a small index beside the large one.

It is made by the same rules. Notes stand in the column that prompts have there, a correction where the answer
has its own, so that both engines ask as they do there.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from django.db import connections, transaction
from numpy.typing import NDArray

from completions.models import ReviewEvent, ReviewState
from completions.search import postgres, sqlite
from completions.search.tokens import GAP, Column, Document, TextQuery, TextTerm, fitted, words

COLUMNS: dict[str, Column] = {"note": "prompt", "correction": "answer"}
_EMPTY = "DELETE FROM completions_reviewindex"
_IDS = {
    "postgresql": "SELECT completion_id FROM completions_reviewindex WHERE document @@ %s::tsquery",
    "sqlite": "SELECT rowid FROM completions_reviewindex WHERE completions_reviewindex MATCH %s",
}
_REMOVE = {
    "postgresql": "DELETE FROM completions_reviewindex WHERE completion_id = %s",
    "sqlite": "DELETE FROM completions_reviewindex WHERE rowid = %s",
}
_ADD = {
    "postgresql": "INSERT INTO completions_reviewindex (completion_id, document) VALUES (%s, %s::tsvector)",
    "sqlite": "INSERT INTO completions_reviewindex (rowid, prompt, answer) VALUES (%s, %s, %s)",
}


def update(ids: Iterable[int], *, using: str = "default") -> None:
    """Index anew what is written about these completions, in the transaction that wrote it."""
    wanted = sorted(ids)
    if not wanted:
        return
    written = _written(wanted, using)
    documents = [(pk, _document(*written[pk])) for pk in wanted if pk in written]
    connection = connections[using]
    # A savepoint of its own, as the large index needs it.
    with transaction.atomic(using=using), connection.cursor() as cursor:
        cursor.executemany(_REMOVE[connection.vendor], [(pk,) for pk in wanted])
        if connection.vendor == "postgresql":
            rows: list[tuple[Any, ...]] = [(pk, postgres.vector_of(pk, made)) for pk, made in documents]
        else:
            rows = [sqlite.row(pk, made)[:3] for pk, made in documents]
        if rows:
            cursor.executemany(_ADD[connection.vendor], rows)


def remove(ids: Iterable[int], *, using: str = "default") -> None:
    """Take completions out, in the transaction that deletes them."""
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.executemany(_REMOVE[connection.vendor], [(pk,) for pk in ids])


def empty(*, using: str = "default") -> None:
    """Take everything out."""
    with connections[using].cursor() as cursor:
        cursor.execute(_EMPTY)


def holders(term: TextTerm, *, using: str = "default") -> NDArray[np.int64]:
    """Who holds the words of a term, ascending."""
    connection, query = connections[using], TextQuery((term,))
    engine = postgres if connection.vendor == "postgresql" else sqlite
    with connection.cursor() as cursor:
        cursor.execute(_IDS[connection.vendor], [engine.expression(query)])
        found = np.fromiter((pk for (pk,) in cursor.fetchall()), np.int64)
    return np.sort(found)


def _written(ids: Sequence[int], using: str) -> dict[int, tuple[list[str], list[str]]]:
    """What is written about completions and not taken back: their notes, and the texts of a correction."""
    found: dict[int, tuple[list[str], list[str]]] = {}
    events = ReviewEvent.objects.using(using).filter(completion__in=ids, kind=ReviewEvent.Kind.NOTE)
    rows = list(events.order_by("pk").values_list("pk", "completion_id", "value", "undoes"))
    gone = {undoes for _, _, _, undoes in rows if undoes is not None}
    for event, pk, value, undoes in rows:
        if undoes is None and event not in gone:
            found.setdefault(pk, ([], []))[0].append(str(value))
    states = ReviewState.objects.using(using).filter(pk__in=ids, correction__isnull=False)
    for pk, value in states.values_list("pk", "correction__value"):
        found.setdefault(pk, ([], []))[1].extend(_texts(value))
    return found


def _texts(correction: Any) -> Iterable[str]:
    """The text of a correction, and the names and arguments of its tool calls."""
    if not isinstance(correction, dict):
        return
    yield str(correction.get("text") or "")
    for call in correction.get("tool_calls") or []:
        yield from (str(call.get("name") or ""), str(call.get("arguments") or ""))


def _document(notes: Sequence[str], correction: Sequence[str]) -> Document:
    return fitted({"prompt": _apart(notes), "answer": _apart(correction), "system": []})


def _apart(texts: Sequence[str]) -> list[str]:
    """The words of several texts; no phrase reaches from one into the next."""
    found: list[str] = []
    for text in texts:
        found += [GAP, *words(text)] if found else words(text)
    return found
