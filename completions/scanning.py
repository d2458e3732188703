"""Texts asked about for some rows: words from the index, parts and patterns from the texts themselves.

The index answers for as many rows as one likes. Reading texts costs, so a scan has a budget of rows; where it
ends, the search says how far it came.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from completions import search
from completions.columns.segment import Mask
from completions.filters import Clause
from completions.filters.lookups import Contains, Pattern, Words
from completions.models import Body

CHUNK = 500
COLUMNS: dict[str, tuple[str, ...]] = {
    "text": ("prompt_text", "answer_text"),
    "prompt": ("prompt_text",),
    "answer": ("answer_text",),
    "system": ("system_text",),
}


class Scan:
    """One search through texts. `budget` is the number of rows whose texts may be read; None is no bound."""

    def __init__(self, budget: int | None = None) -> None:
        self.budget, self.read = budget, 0

    @property
    def ended(self) -> bool:
        """Whether nothing more may be read."""
        return self.budget is not None and self.read >= self.budget

    @staticmethod
    def in_order(clauses: Iterable[Clause]) -> list[Clause]:
        """The cheapest first: words that are wanted, words that are not, then what reads the texts."""
        return sorted(clauses, key=lambda clause: (reads(clause), clause.negated))

    def hits(self, clause: Clause, ids: NDArray[np.int64]) -> Mask:
        """Which of these rows hold what the condition names (also where it is negated)."""
        if not reads(clause):
            return search.among(ids, search.TextQuery((term_of(clause),)))
        self.read += len(ids)
        found = _finder(clause.lookup)
        columns = COLUMNS[clause.field.column]
        holders: set[int] = set()
        for some in _chunks(ids.tolist()):
            rows: Any = Body.objects.filter(pk__in=some).values_list("pk", *columns)
            holders.update(pk for pk, *texts in rows if any(found(text) for text in texts))
        return np.fromiter((pk in holders for pk in ids.tolist()), bool, len(ids))


def reads(clause: Clause) -> bool:
    """Whether a condition has to read the texts themselves."""
    return isinstance(clause.lookup, Contains | Pattern)


def term_of(clause: Clause) -> search.TextTerm:
    """What a condition on words asks the index."""
    assert isinstance(clause.lookup, Words)
    column = clause.field.column
    columns: tuple[search.Column, ...] = tuple(each for each in search.COLUMNS if each == column)
    return clause.lookup.term(columns or ("prompt", "answer"))


def _finder(lookup: Any) -> Callable[[str], Any]:
    if isinstance(lookup, Contains):
        part = lookup.text.casefold()
        return lambda text: part in text.casefold()
    found: Callable[[str], Any] = lookup.compiled.search
    return found


def _chunks(ids: list[int]) -> Iterator[list[int]]:
    left = iter(ids)
    while some := list(islice(left, CHUNK)):
        yield some
