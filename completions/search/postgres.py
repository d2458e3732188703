"""Words in PostgreSQL: a table of tsvectors beside the completions, with a GIN index.

The tsvector is written from our own words; no text search configuration takes part. Columns are its weights.
"""

from collections.abc import Iterable
from typing import Any

from completions.conversation import Texts
from completions.search.tokens import COLUMNS, GAP, Column, TextQuery, TextTerm, document

EMPTY = "TRUNCATE completions_textindex"
IDS = "SELECT completion_id FROM completions_textindex WHERE document @@ %s::tsquery"
# Offset 0 keeps the planner from walking every document of the table in the order of the ids.
IDS_AMONG = (
    "SELECT completion_id FROM (SELECT completion_id, document FROM completions_textindex"
    " WHERE completion_id = ANY(%s) OFFSET 0) AS candidate WHERE document @@ %s::tsquery"
)
_WEIGHTS: dict[Column, str] = {"prompt": "A", "answer": "B", "system": "C"}
_STEP = 2  # free positions between two columns, so that no phrase reaches from one into the next
# Where words beyond PHRASE_WORDS stand, which are found singly.
_SINGLY: dict[Column, int] = {"prompt": 16_379, "answer": 16_381, "system": 16_383}


def remove(cursor: Any, rows: Iterable[tuple[int, Texts]]) -> None:
    cursor.execute(
        "DELETE FROM completions_textindex WHERE completion_id = ANY(%s)", [[pk for pk, _ in rows]]
    )


def add(cursor: Any, rows: Iterable[tuple[int, Texts]]) -> None:
    made = [(pk, vector(texts)) for pk, texts in rows]
    cursor.execute(
        "INSERT INTO completions_textindex (completion_id, document)"
        " SELECT * FROM unnest(%s::bigint[], %s::text[]::tsvector[])"
        " ON CONFLICT (completion_id) DO UPDATE SET document = excluded.document",
        [[pk for pk, _ in made], [text for _, text in made]],
    )


def vector(texts: Texts) -> str:
    """A tsvector's text: each word with its places and the weight of its column."""
    made = document(texts)
    places: dict[str, list[str]] = {}
    start = 1
    for column in COLUMNS:
        weight = _WEIGHTS[column]
        for place, word in enumerate(made.columns[column], start):
            if word != GAP:
                places.setdefault(word, []).append(f"{place}{weight}")
        start += len(made.columns[column]) + _STEP
        for word in made.beyond[column]:
            places.setdefault(word, []).append(f"{_SINGLY[column]}{weight}")
    return " ".join(f"'{word}':{','.join(where)}" for word, where in places.items())


def expression(query: TextQuery) -> str:
    """The query as a tsquery's text; every word is quoted, so none of it can be read as an operator."""
    return " & ".join(f"({_term(term)})" for term in query.terms)


def _term(term: TextTerm) -> str:
    weights = "".join(_WEIGHTS[column] for column in term.columns)
    *first, last = (f"'{word}':" for word in term.words)
    return " <-> ".join([*(word + weights for word in first), last + "*" * term.prefix + weights])
