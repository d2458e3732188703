"""Words in PostgreSQL: a table of tsvectors beside the completions, with a GIN index.

The tsvector is written from our own words; no text search configuration takes part. Columns are its weights.
A GIN index knows no weights: a query with one makes PostgreSQL read every document found. So words of the
system prompt are lexemes of their own, and the usual search in prompt and answer needs no weight.
"""

from collections.abc import Sequence
from typing import Any

from completions.conversation import Texts
from completions.search.tokens import COLUMNS, GAP, Column, Document, TextQuery, TextTerm, document

EMPTY = "TRUNCATE completions_textindex"
IDS = "SELECT completion_id FROM completions_textindex WHERE document @@ %s::tsquery"
# The planner does not count what it costs to unpack every document of the table, and too much for words
# that wait for their place in the index.
BY_INDEX = "SET LOCAL enable_seqscan = off"
BY_ANY_WAY = "SET LOCAL enable_seqscan TO DEFAULT"
# Offset 0 keeps the planner from walking every document of the table in the order of the ids.
IDS_AMONG = (
    "SELECT completion_id FROM (SELECT completion_id, document FROM completions_textindex"
    " WHERE completion_id = ANY(%s) OFFSET 0) AS candidate WHERE document @@ %s::tsquery"
)
_COPY = "COPY completions_textindex (completion_id, document) FROM STDIN"
_WEIGHTS: dict[Column, str] = {"prompt": "A", "answer": "B", "system": "C"}
_STEP = 2  # free positions between two columns, so that no phrase reaches from one into the next
# Where words beyond PHRASE_WORDS stand, which are found singly.
# The end of each word at each place, written once.
_PLACES: dict[Column, list[str]] = {
    column: [f":{place}{weight}" for place in range(1, 16_384)] for column, weight in _WEIGHTS.items()
}
BLOCK_IDS = 4096
SYSTEM = "_s"  # begins the lexemes of the system prompt; no word contains its `_`
_SINGLY: dict[Column, int] = {"prompt": 16_379, "answer": 16_381, "system": 16_383}


def remove(cursor: Any, rows: Sequence[tuple[int, Texts]]) -> None:
    cursor.execute(
        "DELETE FROM completions_textindex WHERE completion_id = ANY(%s)", [[pk for pk, _ in rows]]
    )


def add(cursor: Any, rows: Sequence[tuple[int, Texts]]) -> None:
    made = [(pk, vector(pk, texts)) for pk, texts in rows]
    remove(cursor, rows)  # rows that are read again are here already, and COPY replaces nothing
    with cursor.db.wrap_database_errors, cursor.copy(_COPY) as copy:
        for row in made:
            copy.write_row(row)


def vector(pk: int, texts: Texts) -> str:
    """A tsvector's text: each word with its place and the weight of its column, and the block of the id.

    A word that occurs again is written again: PostgreSQL collects its places.
    """
    return vector_of(pk, document(texts))


def vector_of(pk: int, made: Document) -> str:
    """The same of a document."""
    pieces = [block(pk)]
    start = 0
    for column in COLUMNS:
        found, beyond = made.columns[column], made.beyond[column]
        if column == "system":
            found = [GAP if word == GAP else SYSTEM + word for word in found]
            beyond = [SYSTEM + word for word in beyond]
        places = _PLACES[column][start : start + len(found)]
        if GAP in found:
            pieces += [word + place for word, place in zip(found, places, strict=True) if word != GAP]
        else:
            pieces += map(str.__add__, found, places)
        start += len(found) + _STEP
        pieces += [f"{word}:{_SINGLY[column]}{_WEIGHTS[column]}" for word in beyond]
    return " ".join(pieces)


def block(pk: int) -> str:
    """The lexeme that a document carries for the block of 4096 ids it lies in. No word contains its `_`."""
    return f"_b{pk // BLOCK_IDS}"


def blocks(first_id: int, last_id: int) -> str:
    """A tsquery that holds for the documents of all blocks that meet these ids.

    It stands beside words (`word & (_b17 | _b18)`) and lets the index read no more than those blocks have.
    The blocks reach beyond the ids at both ends, so the ids are compared as well.
    """
    numbers = range(first_id // BLOCK_IDS, last_id // BLOCK_IDS + 1)
    return f"({' | '.join(f'_b{number}' for number in numbers)})"


def expression(query: TextQuery) -> str:
    """The query as a tsquery's text; every word is quoted, so none of it can be read as an operator."""
    return " & ".join(f"({_term(term)})" for term in query.terms)


def _term(term: TextTerm) -> str:
    spoken = [column for column in COLUMNS if column in term.columns and column != "system"]
    either = [_phrase(term, "", "" if len(spoken) == 2 else _WEIGHTS[spoken[0]])] if spoken else []
    if "system" in term.columns:
        either.append(_phrase(term, SYSTEM, ""))
    return " | ".join(f"({each})" for each in either)


def _phrase(term: TextTerm, before: str, weights: str) -> str:
    *first, last = (f"'{before}{word}'" for word in term.words)
    end = "*" * term.prefix + weights
    return " <-> ".join(
        [*(f"{word}:{weights}" if weights else word for word in first), f"{last}:{end}" if end else last]
    )
