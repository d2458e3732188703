"""Which rows of a segment match a filter: everything but texts from arrays, texts by asking for ids.

A filter is made ready once for the connections it is asked of: names become numbers of terms, ids are looked
up. After that no row costs a query, except where words, parts of texts or patterns are wanted.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np
from django.db.models import Func, IntegerField, Q
from django.db.models.functions import Length
from django.db.models.lookups import GreaterThan
from numpy.typing import NDArray

from completions.columns.segment import MARKS, Mask, Places, Segment, known
from completions.filters import Clause, Filter, Group
from completions.filters.lookups import AnyOf, Contains, Moments, Numbers, Present, Words
from completions.models import StoredCompletion, Term
from completions.scanning import Scan, Spent
from completions.search import reviews
from portal.models import Connection

Part = Clause | Group
Name = tuple[str, str, str]  # kind, key, value
Held = tuple[int, int]  # field, term
Ids = NDArray[np.int64]
Terms = NDArray[np.uint32]
_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True)
class Book:
    """What the database was asked once for a filter: numbers of terms by connection, and ids by clause."""

    terms: Mapping[int, Mapping[Name, int]] = field(default_factory=dict)
    within: Mapping[tuple[int, Clause], Terms] = field(default_factory=dict)
    ids: Mapping[Clause, Ids] = field(default_factory=dict)

    @classmethod
    def look_up(cls, wanted: Filter, connections: Sequence[int], spent: Spent | None = None) -> "Book":
        """At most one query for all terms, and one more for each condition that cannot name them: on a part
        of a value, a range, an id, words of a note. What such a one has found is remembered in `spent`.
        """
        spent = spent or Spent()
        leaves = list(dict.fromkeys(wanted.leaves()))
        names = {
            name for clause in leaves if clause.field.how in ("terms", "marks") for name in _names(clause)
        }
        within: dict[tuple[int, Clause], Terms] = {}
        ids: dict[Clause, Ids] = {}
        for clause in leaves:
            if clause.field.how == "terms" and isinstance(clause.lookup, Contains | Numbers):
                asked = (clause.name, clause.lookup, tuple(connections))
                if asked not in spent.terms:
                    spent.terms[asked] = _among(clause, clause.lookup, connections)
                within |= {(connection, clause): found for connection, found in spent.terms[asked].items()}
            elif isinstance(clause.lookup, Words) and clause.field.how == "notes":
                ids[clause] = reviews.holders(clause.lookup.term((reviews.COLUMNS[clause.field.column],)))
            elif clause.field.how == "lookup" and isinstance(clause.lookup, AnyOf):
                rows = StoredCompletion.objects.filter(
                    Q(**{f"{clause.field.column}__in": clause.lookup.values}),  # a name of ours
                    connection__in=connections,
                )
                if clause.field.column == "request_id":
                    rows = rows.exclude(request_id="")  # said in these words, its index can be used
                ids[clause] = np.sort(np.array(list(rows.values_list("pk", flat=True)), np.int64))
        return cls(_numbers(names, connections), within, ids)


class Matcher:
    """A filter made ready for one connection."""

    def __init__(self, wanted: Filter, connection: Connection, book: Book, now: int) -> None:
        self.parts = wanted.clauses
        self.connection, self.book, self.now = connection, book, now
        self.terms = book.terms.get(connection.pk, {})

    def mask(self, segment: Segment) -> Mask:
        """The rows that may match; where no text is asked for, the rows that match."""
        made = np.ones(len(segment), bool)
        leaves: dict[Clause, Mask] = {}
        for part in self.parts:
            made &= self._possible(part, segment, leaves, negated=False)
            if not made.any():
                break
        return made

    def holds(self, groups: Sequence[Group], segment: Segment, places: Places, scan: Scan) -> Mask:
        """Which of some places meet every group, now that `scan` has asked about their texts."""
        made = np.ones(len(places), bool)
        leaves: dict[Clause, Mask] = {}
        for group in groups:
            made &= self._certain(group, segment, places, leaves, scan)
        return made

    # A text that is not asked yet may be there as well as not, so it never takes a row out.

    def _possible(self, part: Part, segment: Segment, leaves: dict[Clause, Mask], *, negated: bool) -> Mask:
        if isinstance(part, Clause):
            if part.is_words:
                return np.ones(len(segment), bool)
            made = leaves.get(part)
            if made is None:
                made = leaves[part] = self._leaf(part, segment)
            return ~made if negated else made
        negated ^= part.negated
        options = [
            [self._possible(each, segment, leaves, negated=negated) for each in option]
            for option in part.options
        ]
        if negated:
            return _all([_any(option) for option in options])
        return _any([_all(option) for option in options])

    def _certain(
        self, part: Part, segment: Segment, places: Places, leaves: dict[Clause, Mask], scan: Scan
    ) -> Mask:
        if isinstance(part, Clause):
            made = leaves.get(part)
            if made is None:
                if part.is_words:
                    made = scan.hits(part, segment.ids[places]) ^ part.negated
                else:
                    made = self._leaf(part, segment)[places]
                leaves[part] = made
            return made
        made = _any(
            [
                _all([self._certain(each, segment, places, leaves, scan) for each in option])
                for option in part.options
            ]
        )
        return ~made if part.negated else made

    # Conditions on everything but texts.

    def _leaf(self, clause: Clause, segment: Segment) -> Mask:
        made = self._holds(clause, segment)
        return ~made if clause.negated else made

    def _holds(self, clause: Clause, segment: Segment) -> Mask:
        how, lookup = clause.field.how, clause.lookup
        if how == "connection":
            return np.full(len(segment), isinstance(lookup, AnyOf) and self.connection.slug in lookup.values)
        if how == "terms":
            return self._terms(clause, segment)
        if how == "marks":
            return self._marks(clause, segment)
        if how == "numbers":
            return _numbers_between(_column(segment, clause.field.column), lookup)
        if how == "moments":
            moments = _column(segment, clause.field.column)
            if isinstance(lookup, Present):
                return known(moments)
            assert isinstance(lookup, Moments)
            return known(moments) & _between(moments, *lookup.bounds(self.now))
        assert how in ("lookup", "notes"), how
        if isinstance(lookup, Present):
            return _marked(segment, MARKS["request"])
        return _at(segment, segment.places_of(self.book.ids[clause]))

    def _terms(self, clause: Clause, segment: Segment) -> Mask:
        lookup = clause.lookup
        of = self.terms.get(clause.field_name)
        made = np.zeros(len(segment), bool)
        if of is not None:
            if isinstance(lookup, Present):
                made[segment.rows_with(of)] = True
            elif isinstance(lookup, Contains | Numbers):
                if (found := self.book.within.get((self.connection.pk, clause))) is not None:
                    made[segment.rows_of_any(of, found)] = True
            else:
                for name in clause.term_names():
                    if (term := self.terms.get(name)) is not None:
                        made[segment.rows_of(of, term)] = True
        if clause.asks_for_nothing:
            # A column without a value holds no term.
            empty = np.ones(len(segment), bool)
            if of is not None:
                empty[segment.rows_with(of)] = False
            made |= empty
        return made

    def _marks(self, clause: Clause, segment: Segment) -> Mask:
        made = np.zeros(len(segment), bool)
        bits = sum(MARKS[value] for value in clause.values if value in MARKS)
        if bits:
            made |= _marked(segment, bits)
        flag = self.terms.get(("field", "flag", ""))
        for name in clause.term_names():
            if flag is not None and (term := self.terms.get(name)) is not None:
                made[segment.rows_of(flag, term)] = True
        return made


def _names(clause: Clause) -> Iterable[Name]:
    if clause.field.how == "marks":
        return (("field", "flag", ""), *clause.term_names())
    return (clause.field_name, *clause.term_names())


def _numbers(names: Iterable[Name], connections: Sequence[int]) -> dict[int, dict[Name, int]]:
    """Numbers of terms by connection; a term that no completion ever held has none."""
    wanted: dict[tuple[str, str], list[str]] = {}
    for kind, key, value in names:
        wanted.setdefault((kind, key), []).append(value)
    if not wanted or not connections:
        return {}
    condition = Q()
    for (kind, key), values in wanted.items():
        condition |= Q(kind=kind, key=key, value__in=values)
    found: dict[int, dict[Name, int]] = {}
    rows: Any = Term.objects.filter(condition, connection__in=connections)
    for pk, connection, *name in rows.values_list("pk", "connection_id", "kind", "key", "value"):
        kind, key, value = name
        found.setdefault(connection, {})[kind, key, value] = pk
    return found


def _among(clause: Clause, lookup: Contains | Numbers, connections: Sequence[int]) -> dict[int, Terms]:
    """The terms whose value contains a text, whatever its case, or is a number within a range."""
    _, name, _ = clause.field_name
    kind, _, key = name.partition(".")
    holds = _part(lookup.text) if isinstance(lookup, Contains) else _range(lookup)
    found: dict[int, list[int]] = {}
    rows: Any = Term.objects.filter(connection__in=connections, kind=kind, key=key, n__gt=0)
    if isinstance(lookup, Contains) and lookup.text.isascii():
        # Only letters beyond ASCII have cases that a database does not know.
        rows = rows.filter(Q(value__icontains=lookup.text) | Q(GreaterThan(Bytes("value"), Length("value"))))
    for pk, connection, value in rows.values_list("pk", "connection_id", "value").iterator(chunk_size=5_000):
        if holds(value):
            found.setdefault(connection, []).append(pk)
    return {connection: np.array(terms, np.uint32) for connection, terms in found.items()}


class Bytes(Func):
    """How many bytes of UTF-8 a text takes."""

    function = "octet_length"
    output_field = IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="length(CAST(%(expressions)s AS BLOB))", **context)


def _part(text: str) -> Callable[[str], bool]:
    part = text.casefold()
    return lambda value: part in value.casefold()


def _range(numbers: Numbers) -> Callable[[str], bool]:
    """A value that is no whole number lies in no range."""
    low = -inf if numbers.low is None else numbers.low
    high = inf if numbers.high is None else numbers.high
    return lambda value: _WHOLE.fullmatch(value) is not None and low <= int(value) <= high


def _column(segment: Segment, name: str) -> NDArray[Any]:
    if name == "created":
        return segment.created
    return segment.temperature if name == "temperature" else segment.numbers[name]


def _numbers_between(values: NDArray[Any], lookup: Any) -> Mask:
    there = ~np.isnan(values) if values.dtype == np.float64 else known(values)
    if isinstance(lookup, Present):
        return there
    assert isinstance(lookup, Numbers)
    return there & _between(values, lookup.low, lookup.high)


def _between(values: NDArray[Any], low: float | None, high: float | None) -> Mask:
    made = np.ones(len(values), bool)
    if values.dtype != np.float64:
        # Bounds beyond what the type holds are not compared with it.
        span = np.iinfo(values.dtype)
        if (low is not None and low > span.max) or (high is not None and high < span.min):
            return np.zeros(len(values), bool)
        low = None if low is not None and low < span.min else low
        high = None if high is not None and high > span.max else high
    if low is not None:
        made &= values >= low
    if high is not None:
        made &= values <= high
    return made


def _marked(segment: Segment, bits: int) -> Mask:
    made: Mask = (segment.marks & np.uint16(bits)) != 0
    return made


def _at(segment: Segment, places: Places) -> Mask:
    made = np.zeros(len(segment), bool)
    made[places] = True
    return made


def _all(masks: Sequence[Mask]) -> Mask:
    made = masks[0]
    for mask in masks[1:]:
        made = made & mask
    return made


def _any(masks: Sequence[Mask]) -> Mask:
    made = masks[0]
    for mask in masks[1:]:
        made = made | mask
    return made
