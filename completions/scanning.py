"""Texts asked about for some rows: words from the index, parts and patterns from the texts themselves.

The index answers for as many rows as one likes. Reading texts costs, so a scan has a budget of rows; where it
ends, the search says how far it came.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from completions import search
from completions.columns.segment import Mask
from completions.filters import Clause, Contains, Field, Lookup, Pattern, Words
from completions.models import Body
from completions.search.index import Asked, holders, within

CHUNK = 500
READING = 2.0  # seconds for which a bounded scan reads on: some patterns take milliseconds a text
SHORT = 4  # characters of the beginning of a word that the index is not asked about
COLUMNS: dict[str, tuple[str, ...]] = {
    "text": ("prompt_text", "answer_text"),
    "prompt": ("prompt_text",),
    "answer": ("answer_text",),
    "system": ("system_text",),
}


@dataclass
class Spent:
    """What all searches of one request share: seconds of reading texts, what they know about words, and the
    terms that hold part of a value or lie in a range, by the condition's name, its lookup and connections.
    """

    seconds: float = 0.0
    asked: dict[search.TextQuery, Asked] = field(default_factory=dict)
    terms: dict[tuple[str, Lookup, tuple[int, ...]], dict[int, NDArray[np.uint32]]] = field(
        default_factory=dict
    )


class Scan:
    """One search through texts.

    `budget` is the number of rows whose texts may be read, while less than READING seconds are `spent`;
    `fetches` is the number of rows that the index may name, `seconds` how long it may be asked; None is no
    bound. Nothing is left out, but whoever searches should stop once it has `ended`.
    """

    def __init__(
        self,
        budget: int | None = None,
        *,
        fetches: int | None = None,
        seconds: float | None = None,
        spent: Spent | None = None,
    ) -> None:
        self.budget, self.read, self.spent = budget, 0, spent or Spent()
        self.fetches, self.fetched = fetches, 0
        self.until = None if seconds is None else monotonic() + seconds
        self._knows_all = True  # about the words that it was asked about last
        self._holders: dict[tuple[Field, Lookup], NDArray[np.int64]] = {}

    @property
    def ended(self) -> bool:
        """Whether nothing more may be read."""
        much_read = self.budget is not None and (self.read >= self.budget or self.spent.seconds >= READING)
        much_fetched = self.fetches is not None and self.fetched >= self.fetches
        late = self.until is not None and not self._knows_all and monotonic() >= self.until
        return much_read or much_fetched or late

    @staticmethod
    def in_order(clauses: Sequence[Clause]) -> list[tuple[Clause, ...]]:
        """The cheapest first: wanted words together, words that are not wanted, then what reads the texts."""
        words = tuple(clause for clause in clauses if not reads(clause) and not clause.negated)
        rest = sorted((clause for clause in clauses if clause not in words), key=reads)
        return [*([words] if words else []), *((clause,) for clause in rest)]

    def holding(self, clauses: tuple[Clause, ...], ids: NDArray[np.int64]) -> Mask:
        """Which of these rows meet all of some conditions that `in_order` has put together."""
        first = clauses[0]
        if len(clauses) == 1:
            return self._look(first, ids) ^ first.negated
        return self._among(ids, *clauses)

    def ask(self, clauses: Sequence[Clause], ids: NDArray[np.int64]) -> None:
        """Find out about these rows at once, so that `hits` knows each of them."""
        self._holders = {_same(clause): np.sort(ids[self._look(clause, ids)]) for clause in clauses}

    def hits(self, clause: Clause, ids: NDArray[np.int64]) -> Mask:
        """Which of some rows that were asked about hold what a condition names (also where it is negated)."""
        return within(ids, self._holders[_same(clause)])

    def _look(self, clause: Clause, ids: NDArray[np.int64]) -> Mask:
        if not reads(clause):
            return self._among(ids, clause)
        began, self.read = monotonic(), self.read + len(ids)
        found = _finder(clause)
        columns = COLUMNS[clause.field.column]
        holders: set[int] = set()
        for some in _chunks(ids.tolist()):
            rows: Any = Body.objects.filter(pk__in=some).values_list("pk", *columns)
            holders.update(pk for pk, *texts in rows if any(found(text) for text in texts))
        self.spent.seconds += monotonic() - began
        return np.fromiter((pk in holders for pk in ids.tolist()), bool, len(ids))

    def _among(self, ids: NDArray[np.int64], *clauses: Clause) -> Mask:
        query = search.TextQuery(tuple(map(term_of, clauses)))
        asked = self.spent.asked.setdefault(query, Asked())
        found = holders(ids, query, asked=asked)
        self._knows_all = asked.every is not None
        self.fetched += len(found)
        return within(ids, found)


def _same(clause: Clause) -> tuple[Field, Lookup]:
    """What is asked of a text, wanted or not."""
    return clause.field, clause.lookup


def reads(clause: Clause) -> bool:
    """Whether a condition has to read the texts themselves.

    An index of words answers a short beginning by joining what it knows of every word that begins so.
    """
    lookup = clause.lookup
    if isinstance(lookup, Words):
        return lookup.begins and len(search.words(lookup.text)[-1]) < SHORT
    return isinstance(lookup, Contains | Pattern)


def term_of(clause: Clause) -> search.TextTerm:
    """What a condition on words asks the index."""
    assert isinstance(clause.lookup, Words)
    column = clause.field.column
    columns: tuple[search.Column, ...] = tuple(each for each in search.COLUMNS if each == column)
    return clause.lookup.term(columns or ("prompt", "answer"))


def _finder(clause: Clause) -> Callable[[str], Any]:
    lookup = clause.lookup
    if isinstance(lookup, Contains):
        part = lookup.text.casefold()
        return lambda text: part in text.casefold()
    if isinstance(lookup, Pattern):
        found: Callable[[str], Any] = lookup.compiled.search
        return found
    assert isinstance(lookup, Words), "nothing else reads"
    asked = search.words(lookup.text)
    return lambda text: _begun(search.words(text), asked)


def _begun(words: list[str], asked: list[str]) -> bool:
    """Whether some words stand in this order, the last one begun."""
    *before, last = asked
    size = len(before)
    return any(
        word.startswith(last) and words[at - size : at] == before
        for at, word in enumerate(words)
        if at >= size
    )


def _chunks(ids: list[int]) -> Iterator[list[int]]:
    left = iter(ids)
    while some := list(islice(left, CHUNK)):
        yield some
