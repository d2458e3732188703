"""Words in SQLite: one contentless FTS5 table whose rowid is the completion's id.

A contentless table keeps no text: words leave it only by the 'delete' command with the text they came from.
https://www.sqlite.org/fts5.html#the_delete_command
"""

from collections.abc import Iterable
from typing import Any

from completions.conversation import Texts
from completions.search.tokens import GAP, Document, TextQuery, TextTerm, document

EMPTY = "INSERT INTO completions_textindex (completions_textindex) VALUES ('delete-all')"
IDS_BETWEEN = (
    "SELECT rowid FROM completions_textindex WHERE completions_textindex MATCH %s AND rowid BETWEEN %s AND %s"
)
_INSERT = "INSERT INTO completions_textindex (rowid, prompt, answer, system) VALUES (%s, %s, %s, %s)"
_DELETE = (
    "INSERT INTO completions_textindex (completions_textindex, rowid, prompt, answer, system)"
    " VALUES ('delete', %s, %s, %s, %s)"
)


def remove(cursor: Any, rows: Iterable[tuple[int, Texts]]) -> None:
    cursor.executemany(_DELETE, [_row(pk, texts) for pk, texts in rows])


def add(cursor: Any, rows: Iterable[tuple[int, Texts]]) -> None:
    # In the order of the ids, which the index is built in several times faster.
    cursor.executemany(_INSERT, sorted(_row(pk, texts) for pk, texts in rows))


def expression(query: TextQuery) -> str:
    """The query in FTS5's own language; every word is quoted, so none of it can be read as an operator."""
    return " AND ".join(_term(term) for term in query.terms)


def _term(term: TextTerm) -> str:
    columns = " ".join(term.columns)
    return f'({{{columns}}} : "{" ".join(term.words)}"{" *" if term.prefix else ""})'


def _row(pk: int, texts: Texts) -> tuple[int, str, str, str]:
    return row(pk, document(texts))


def row(pk: int, made: Document) -> tuple[int, str, str, str]:
    """A row of the table: words with gaps between those that are found singly."""
    columns = []
    for column in ("prompt", "answer", "system"):
        apart = [piece for word in made.beyond[column] for piece in (GAP, word)]
        columns.append(" ".join([*made.columns[column], *apart]))
    return (pk, columns[0], columns[1], columns[2])
