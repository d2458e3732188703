"""Counts beside the table: what values there are, and how many completions each would leave.

A facet is counted on the filter without its own conditions, from the arrays; only the names of the values
that are shown are asked of the database.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from django.db.models import Case, Q, When
from numpy.typing import NDArray

from completions.filters import FIELDS, Filter
from completions.filters.language import write_name
from completions.listing import Listing, Matches
from completions.models import Term
from completions.terms import KEYED

VALUES = 8
FOUND = 50  # values that a search inside one facet shows
KEYS = 6
LABELS = 12
MOST_KEYS = 500
TAME = 200  # a key with more values than this is a name or a number rather than a kind
FREQUENT = 40  # values of one connection that are looked at by name
CANDIDATES = 200  # and so many that a search finds


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a facet, and where its clicks lead. `share` is of the facet's largest count.

    `tone` is the mark of a review's state, which stands beside its name.
    """

    text: str
    label: str
    tone: str
    count: str
    share: float
    chosen: bool
    excluded: bool
    toggle: str
    only: str
    exclude: str


@dataclass(frozen=True, slots=True)
class Facet:
    """One field with its most frequent values. `about` marks counts that are of some matches only."""

    name: str
    title: str
    values: tuple[Value, ...]
    more: int
    about: bool
    active: bool
    clear: str
    searchable: bool


@dataclass(frozen=True, slots=True)
class _Field:
    """What a facet is of: the kind and key of its terms."""

    name: str
    title: str
    kind: str
    key: str = ""

    @property
    def field(self) -> str:
        return f"{self.kind}.{self.key}" if self.kind in KEYED else self.kind

    @property
    def choices(self) -> Mapping[str, str]:
        """All values there can be, in the order in which they stand; empty if they are not known."""
        return FIELDS[self.name].choices if self.name in FIELDS else {}

    @property
    def nothing(self) -> str:
        return FIELDS[self.name].nothing if self.name in FIELDS else ""


_SCORE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
# The marks of what a review came to, wherever they are shown.
TONES = {"unreviewed": "none", "needs_review": "warn", "approved": "ok", "rejected": "bad"}

# By connection: the terms of a field that matches hold, ascending, and how many hold each.
Tallies = dict[int, tuple[NDArray[np.uint32], NDArray[np.int64]]]

MODEL = _Field("model", "Model", "model")
CONNECTION = _Field("connection", "Connection", "")
FINISH = _Field("finish", "Finish reason", "finish")
REVIEW = _Field("review", "Review", "review")
RATING = _Field("rating", "Rating", "rating")


class Facets:
    """The facets of one pane. `address` turns a filter into a link."""

    def __init__(self, listing: Listing, address: Callable[[Filter], str]) -> None:
        self.listing, self.address = listing, address
        self.wanted = listing.wanted
        self._matches: dict[Filter, Matches] = {}

    @cached_property
    def all(self) -> tuple[Facet, ...]:
        if self.wanted.broken:
            return ()
        fields = [MODEL, *([CONNECTION] if len(self.listing.readable) > 1 else []), FINISH, REVIEW, RATING]
        labels, keys = map(_label, self.labels[:LABELS]), map(_metadata, self.keys[:KEYS])
        found = self._facets([*fields, *labels, *keys])
        return tuple(facet for facet in found if facet.values)

    def one(self, name: str, find: str = "") -> Facet | None:
        """One facet by the name of its field, with the values that contain a text; None if there is none."""
        if self.wanted.broken:
            return None
        fields = (MODEL, CONNECTION, FINISH, REVIEW, RATING)
        several = (*map(_label, self.labels), *map(_metadata, self.keys))
        known = {field.name: field for field in (*fields, *several)}
        field = known.get(name)
        return self._facets([field], find=find, most=FOUND)[0] if field else None

    @property
    def active(self) -> int:
        """How many conditions there are."""
        return len(self.wanted.clauses)

    @cached_property
    def keys(self) -> list[str]:
        """The metadata keys, the most useful first: filtered by, then few values and many rows."""
        filtered = [clause.key or "" for clause in self.wanted.leaves() if clause.field.name == "meta"]
        names = self._keys_of(Term.Kind.METADATA)
        wild = {name for name in names if self._distinct(_metadata(name)) > TAME}
        names.sort(key=lambda name: name in wild)
        return list(dict.fromkeys([*filtered, *names]))

    @cached_property
    def labels(self) -> list[str]:
        """The labels that have answers or are filtered by, the one with most rows first."""
        filtered = [clause.key or "" for clause in self.wanted.leaves() if clause.field.name == "label"]
        return list(dict.fromkeys([*self._keys_of(Term.Kind.LABEL), *filtered]))

    def _keys_of(self, kind: str) -> list[str]:
        """The keys of a kind that has fields of its own, those of most rows first."""
        rows: Counter[str] = Counter()
        for (_, name), (_, n) in self._fields.items():
            if name.startswith(f"{kind}."):
                rows[name.removeprefix(f"{kind}.")] += n
        ordered = sorted(rows.items(), key=lambda entry: (-entry[1], entry[0]))
        return [name for name, _ in ordered[:MOST_KEYS]]

    def _distinct(self, field: _Field) -> int:
        """About how many values a field has: the most in any one segment."""
        most = 0
        for connection, columns in self.listing.columns.items():
            of, _ = self._fields.get((connection, field.field), (None, 0))
            for part in columns.parts if of is not None else ():
                first, last = part.segment.span_of(of or 0)
                most = max(most, last - first)
        return most

    @cached_property
    def _fields(self) -> dict[tuple[int, str], tuple[int, int]]:
        """Fields by connection and name: the number of each, and how many rows have any value of it."""
        readable = [each.pk for each in self.listing.readable]
        rows: Any = Term.objects.filter(connection__in=readable, kind=Term.Kind.FIELD, n__gt=0)
        # There may be more metadata keys than are looked at, and of everything else only few.
        is_key = Case(When(key__startswith="metadata.", then=1), default=0)
        rows = rows.order_by(is_key, "-n")
        some = rows.values_list("connection_id", "key", "pk", "n")[: MOST_KEYS * max(1, len(readable))]
        return {(connection, key): (pk, n) for connection, key, pk, n in some}

    def _facets(self, fields: Sequence[_Field], *, find: str = "", most: int = VALUES) -> list[Facet]:
        """The facets of some fields, with two queries for all their names."""
        terms = [field for field in fields if field is not CONNECTION]
        tallies = {
            field: self._tallies(field, self._matched(self.wanted.without(field.name))) for field in terms
        }
        named = self._named(tallies, find)
        made = []
        for field in fields:
            if field is CONNECTION:
                counts, distinct = self._by_connection(find)
            else:
                counts, distinct = _counted(tallies[field], named[field])
                if field.nothing and find.casefold() in field.choices[field.nothing]:
                    counts[field.nothing] = self._without_any(field, tallies[field])
                    counts = +counts
                    distinct = len(counts)
            made.append(self._facet(field, counts, distinct, kept=not find, most=most))
        return made

    def _facet(self, field: _Field, counts: Counter[str], distinct: int, *, kept: bool, most: int) -> Facet:
        """One of them; what is chosen stays in it where nothing is searched for."""
        base = self.wanted.without(field.name)
        chosen = self.wanted.values(field.name)
        excluded = self.wanted.values(field.name, negated=True)
        labels = {value: title.capitalize() for value, title in field.choices.items()}
        if field is CONNECTION:
            labels = {each.slug: each.name for each in self.listing.readable}
        order = {value: at for at, value in enumerate(field.choices)}
        entries = sorted(
            counts.items(), key=lambda entry: (order.get(entry[0], len(order)), -entry[1], entry[0])
        )
        shown = [value for value, _ in entries[:most]]
        if field.kind == Term.Kind.LABEL and all(_SCORE.fullmatch(value) for value in shown):
            shown.sort(key=int)
        if kept:
            shown += [value for value in (*chosen, *excluded) if value not in shown]
        largest = max(counts.values(), default=0) or 1
        return Facet(
            name=field.name,
            title=field.title,
            values=tuple(
                Value(
                    text=value,
                    label=labels.get(value) or value or "(empty)",
                    tone=TONES.get(value, "") if field is REVIEW else "",
                    count=f"{counts[value]:,}",
                    share=counts[value] / largest,
                    chosen=value in chosen,
                    excluded=value in excluded,
                    toggle=self.address(self.wanted.toggle(field.name, value)),
                    only=self.address(self.wanted.only(field.name, value)),
                    exclude=self.address(self.wanted.exclude(field.name, value)),
                )
                for value in shown
            ),
            more=max(0, distinct - len(shown)),
            about=self._matched(base).about,
            active=bool(chosen or excluded),
            clear=self.address(base),
            searchable=distinct > VALUES,
        )

    def _matched(self, base: Filter) -> Matches:
        found = self._matches.get(base)
        if found is None:
            listing = self.listing if base == self.wanted else self.listing.with_filter(base)
            found = self._matches[base] = listing.matches()
        return found

    def _without_any(self, field: _Field, tallies: Tallies) -> int:
        """How many matches hold no value of a field of which each holds one at most."""
        matches = self._matched(self.wanted.without(field.name))
        held = sum(int(counts.sum()) for _, counts in tallies.values())
        return sum(len(places) for _, places in matches.lanes) - held

    def _by_connection(self, find: str) -> tuple[Counter[str], int]:
        counted: Counter[str] = Counter()
        for lane, places in self._matched(self.wanted.without(CONNECTION.name)).lanes:
            connection = lane.matcher.connection
            if find.casefold() in connection.name.casefold():
                counted[connection.slug] += len(places)
        return +counted, len(+counted)

    def _named(self, tallies: Mapping[_Field, Tallies], find: str) -> dict[_Field, dict[int, str]]:
        """By field: the names of what is frequent on any connection, or of what contains a text.

        A value that is frequent on one connection is named on all of them, so that its count is whole.
        """
        found: dict[_Field, dict[int, str]] = {field: {} for field in tallies}
        if "\x00" in find:  # nothing that is stored holds it, and PostgreSQL cannot be asked about it
            return found
        if find:
            for field, counts in tallies.items():
                rows: Any = Term.objects.filter(connection__in=list(counts), kind=field.kind, key=field.key)
                some = rows.filter(value__icontains=find, n__gt=0).order_by("-n")
                found[field] = dict(some.values_list("pk", "value")[:CANDIDATES])
        else:
            frequent = {
                int(term): field
                for field, counts in tallies.items()
                for terms, n in counts.values()
                for term in terms[np.argsort(-n, kind="stable")[:FREQUENT]]
            }
            for pk, value in Term.objects.filter(pk__in=list(frequent)).values_list("pk", "value"):
                found[frequent[pk]][pk] = value
        wanted = Q()
        by_name = {}
        for field, names in found.items():
            values = {*names.values()}
            if not find:
                values |= {*self.wanted.values(field.name), *self.wanted.values(field.name, negated=True)}
            if values and (len(tallies[field]) > 1 or len(values) > len(names)):
                wanted |= Q(kind=field.kind, key=field.key, value__in=values)
                by_name[field.kind, field.key] = field
        if wanted:
            connections = {connection for counts in tallies.values() for connection in counts}
            terms: Any = Term.objects.filter(wanted, connection__in=connections)
            for pk, kind, key, value in terms.values_list("pk", "kind", "key", "value"):
                found[by_name[kind, key]][pk] = value
        return found

    def _tallies(self, field: _Field, matches: Matches) -> Tallies:
        """By connection: the terms of a field that matches hold, ascending, and how many hold each."""
        pieces: dict[int, list[tuple[NDArray[np.uint32], NDArray[np.int64]]]] = {}
        for lane, places in matches.lanes:
            connection = lane.matcher.connection.pk
            of, _ = self._fields.get((connection, field.field), (None, 0))
            if of is None or not len(places):
                continue
            segment = lane.segment
            first, last = segment.span_of(of)
            if first == last:
                continue
            starts = segment.starts[first : last + 1]
            if len(places) == len(segment):
                counts = np.diff(starts).astype(np.int64)
            else:
                holds = np.zeros(len(segment), bool)
                holds[places] = True
                among = holds[segment.rows[starts[0] : starts[-1]]]
                counts = np.add.reduceat(among, starts[:-1] - starts[0], dtype=np.int64)
            some = np.flatnonzero(counts)
            if not len(some):
                continue
            terms = (segment.keys[first:last][some] & np.uint64(0xFFFFFFFF)).astype(np.uint32)
            pieces.setdefault(connection, []).append((terms, counts[some]))
        return {connection: _summed(some) for connection, some in pieces.items()}


def _counted(tallies: Tallies, names: Mapping[int, str]) -> tuple[Counter[str], int]:
    """Counts by value, exact for each that is named, and about how many values there are."""
    wanted = np.array(sorted(names), np.uint32)
    counted: Counter[str] = Counter()
    for terms, counts in tallies.values():
        at = np.searchsorted(terms, wanted)
        at[at == len(terms)] = 0
        here = terms[at] == wanted
        for term, n in zip(wanted[here].tolist(), counts[at[here]].tolist(), strict=True):
            counted[names[term]] += n
    distinct = max((len(terms) for terms, _ in tallies.values()), default=0)
    return +counted, max(distinct, len(+counted))


def _summed(
    pieces: list[tuple[NDArray[np.uint32], NDArray[np.int64]]],
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    terms, place = np.unique(np.concatenate([terms for terms, _ in pieces]), return_inverse=True)
    counts = np.bincount(place, np.concatenate([counts for _, counts in pieces]), len(terms))
    return terms, counts.astype(np.int64)


def _label(name: str) -> _Field:
    return _Field(Filter.label(name), f"Label · {name or '(empty)'}", Term.Kind.LABEL, name)


def _metadata(key: str) -> _Field:
    return _Field(write_name("meta", key), key or "(empty key)", Term.Kind.METADATA, key)
