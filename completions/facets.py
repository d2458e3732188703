"""Counts beside the table: what values there are, and how many completions each would leave.

A facet is counted on the filter without its own conditions, from the arrays; only the names of the values
that are shown are asked of the database.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from django.db.models import Sum
from numpy.typing import NDArray

from completions.filters import Filter
from completions.filters.language import write_name
from completions.listing import Listing, Matches
from completions.models import Term

VALUES = 8
FOUND = 50  # values that a search inside one facet shows
KEYS = 6
MOST_KEYS = 500
TAME = 200  # a key with more values than this is a name or a number rather than a kind
CANDIDATES = 200  # values of one connection that are looked at by name


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a facet, and where its clicks lead. `share` is of the facet's largest count."""

    text: str
    label: str
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
        return f"metadata.{self.key}" if self.kind == Term.Kind.METADATA else self.kind


MODEL = _Field("model", "Model", "model")
CONNECTION = _Field("connection", "Connection", "")
FINISH = _Field("finish", "Finish reason", "finish")


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
        fields = [MODEL, *([CONNECTION] if len(self.listing.readable) > 1 else []), FINISH]
        found = [self._facet(field) for field in [*fields, *map(_metadata, self.keys[:KEYS])]]
        return tuple(facet for facet in found if facet.values)

    def one(self, name: str, find: str = "") -> Facet | None:
        """One facet by the name of its field, with the values that contain a text; None if there is none."""
        if self.wanted.broken:
            return None
        known = {field.name: field for field in (MODEL, CONNECTION, FINISH, *map(_metadata, self.keys))}
        field = known.get(name)
        return self._facet(field, find=find, most=FOUND) if field else None

    @property
    def active(self) -> int:
        """How many conditions there are."""
        return len(self.wanted.clauses)

    @cached_property
    def keys(self) -> list[str]:
        """The metadata keys, the most useful first: filtered by, then few values and many rows."""
        filtered = [clause.key for clause in self.wanted.leaves() if clause.key is not None]
        rows: Any = (
            Term.objects.filter(
                connection__in=[each.pk for each in self.listing.readable],
                kind=Term.Kind.FIELD,
                key__startswith="metadata.",
                n__gt=0,
            )
            .values("key")
            .annotate(rows=Sum("n"))
            .order_by("-rows", "key")[:MOST_KEYS]
        )
        names = [row["key"].removeprefix("metadata.") for row in rows]
        wild = {name for name in names if self._distinct(_metadata(name)) > TAME}
        names.sort(key=lambda name: name in wild)
        return list(dict.fromkeys([*filtered, *names]))

    def _distinct(self, field: _Field) -> int:
        """About how many values a field has: the most in any one segment."""
        most = 0
        for connection, columns in self.listing.columns.items():
            of = self._numbers.get((connection, field.field))
            for part in columns.parts if of is not None else ():
                first, last = part.segment.span_of(of or 0)
                most = max(most, last - first)
        return most

    @cached_property
    def _numbers(self) -> dict[tuple[int, str], int]:
        """Numbers of fields by connection and name."""
        rows: Any = Term.objects.filter(
            connection__in=[each.pk for each in self.listing.readable], kind=Term.Kind.FIELD, n__gt=0
        )
        found: dict[tuple[int, str], int] = {}
        for pk, connection, key in rows.order_by("-n").values_list("pk", "connection_id", "key")[
            : 12 * MOST_KEYS
        ]:
            found[connection, key] = pk
        return found

    def _facet(self, field: _Field, *, find: str = "", most: int = VALUES) -> Facet:
        base = self.wanted.without(field.name)
        chosen = self.wanted.values(field.name)
        excluded = self.wanted.values(field.name, negated=True)
        matches = self._matched(base)
        if field is CONNECTION:
            counts, distinct = self._by_connection(matches, find)
        else:
            counts, distinct = self._by_term(field, matches, (*chosen, *excluded), find)
        labels = {each.slug: each.name for each in self.listing.readable} if field is CONNECTION else {}
        shown = [value for value, _ in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:most]]
        if not find:
            shown += [value for value in (*chosen, *excluded) if value not in shown]
        largest = max(counts.values(), default=0) or 1
        return Facet(
            name=field.name,
            title=field.title,
            values=tuple(
                Value(
                    text=value,
                    label=labels.get(value) or value or "(empty)",
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
            about=matches.about,
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

    def _by_connection(self, matches: Matches, find: str) -> tuple[Counter[str], int]:
        counted: Counter[str] = Counter()
        for lane, places in matches.lanes:
            connection = lane.matcher.connection
            if find.casefold() in connection.name.casefold():
                counted[connection.slug] += len(places)
        return +counted, len(+counted)

    def _by_term(
        self, field: _Field, matches: Matches, kept: Iterable[str], find: str
    ) -> tuple[Counter[str], int]:
        """Counts by value, exact for each that is returned, and about how many values there are."""
        tallies = self._tallies(field, matches)
        distinct = max((len(terms) for terms, _ in tallies.values()), default=0)
        names = self._named(field, tallies, find)
        values = {*names.values(), *kept} if not find else set(names.values())
        if len(tallies) > 1 or kept:
            # What is frequent on one connection is counted on all of them.
            rows: Any = Term.objects.filter(
                connection__in=list(tallies), kind=field.kind, key=field.key, value__in=values
            )
            names |= dict(rows.values_list("pk", "value"))
        counted: Counter[str] = Counter()
        for terms, counts in tallies.values():
            wanted = np.array(sorted(names), np.uint32)
            at = np.searchsorted(terms, wanted)
            at[at == len(terms)] = 0
            for term, n in zip(
                wanted[terms[at] == wanted].tolist(), counts[at[terms[at] == wanted]].tolist(), strict=True
            ):
                counted[names[term]] += n
        return +counted, max(distinct, len(+counted))

    def _named(
        self, field: _Field, tallies: dict[int, tuple[NDArray[np.uint32], NDArray[np.int64]]], find: str
    ) -> dict[int, str]:
        """The names of the most frequent terms of each connection, or of those that contain a text."""
        rows: Any = Term.objects.filter(connection__in=list(tallies), kind=field.kind, key=field.key)
        if find:
            found = rows.filter(value__icontains=find, n__gt=0).order_by("-n")
            return dict(found.values_list("pk", "value")[:CANDIDATES])
        top: list[int] = []
        for terms, counts in tallies.values():
            some = np.argsort(-counts, kind="stable")[:CANDIDATES]
            top += terms[some].tolist()
        return dict(Term.objects.filter(pk__in=top).values_list("pk", "value"))

    def _tallies(
        self, field: _Field, matches: Matches
    ) -> dict[int, tuple[NDArray[np.uint32], NDArray[np.int64]]]:
        """By connection: the terms of a field that matches hold, ascending, and how many hold each."""
        pieces: dict[int, list[tuple[NDArray[np.uint32], NDArray[np.int64]]]] = {}
        for lane, places in matches.lanes:
            connection = lane.matcher.connection.pk
            of = self._numbers.get((connection, field.field))
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


def _summed(
    pieces: list[tuple[NDArray[np.uint32], NDArray[np.int64]]],
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    terms, place = np.unique(np.concatenate([terms for terms, _ in pieces]), return_inverse=True)
    counts = np.bincount(place, np.concatenate([counts for _, counts in pieces]), len(terms))
    return terms, counts.astype(np.int64)


def _metadata(key: str) -> _Field:
    return _Field(write_name("meta", key), key or "(empty key)", Term.Kind.METADATA, key)
