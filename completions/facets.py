"""Counts beside the table: what values there are, and how many completions each would leave.

A facet is counted on the filter without its own conditions. Without any condition the dictionary of terms
knows; under a filter the newest matches are counted, up to a bound, and the facet says so.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db.models import Count as CountRows
from django.db.models import Q, Sum

from completions.filters import Filter
from completions.filters.language import write_name
from completions.listing import Listing
from completions.models import StoredCompletion, Term
from completions.readings import term_of

BOUND = 10_000
VALUES = 8
KEYS = 6
TAME = 200  # a key with more values than this is a name or a number rather than a kind
CHUNK = 2_000


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a facet, and where its clicks lead."""

    text: str
    label: str
    count: str
    chosen: bool
    excluded: bool
    toggle: str
    only: str
    exclude: str


@dataclass(frozen=True, slots=True)
class Facet:
    """One field with its most frequent values. `about` marks counts that are of the newest matches only."""

    name: str
    title: str
    values: tuple[Value, ...]
    more: int
    about: bool
    active: bool
    clear: str


class Facets:
    """The facets of one pane. `address` turns a filter into a link."""

    def __init__(self, listing: Listing, address: Callable[[Filter], str]) -> None:
        self.listing, self.address = listing, address
        self.wanted = listing.wanted
        self._samples: dict[Filter, Sample] = {}

    @cached_property
    def all(self) -> tuple[Facet, ...]:
        if self.wanted.broken:
            return ()
        found = [self._facet("model", "Model")]
        if len(self.listing.readable) > 1:
            found.append(self._facet("connection", "Connection"))
        found += [self._facet(write_name("meta", key), key or "(empty key)", key) for key in self._keys()]
        return tuple(facet for facet in found if facet.values)

    @property
    def active(self) -> int:
        """How many fields are filtered by."""
        return len({part.name if part in self.wanted.clauses else part.q for part in self.wanted.clauses})

    def _keys(self) -> list[str]:
        """The metadata keys to show: those filtered by, then the ones with few values and many rows."""
        filtered = [
            clause.key for clause in self.wanted.clauses if clause.key is not None and clause.field.keyed
        ]
        rows: Any = (
            Term.objects.filter(connection__in=self.listing.connections, kind=Term.Kind.METADATA, n__gt=0)
            .values("key")
            .annotate(rows=Sum("n"), values=CountRows("value", distinct=True))
        )
        known = sorted(rows, key=lambda row: (row["values"] > TAME, -row["rows"], row["key"]))
        return list(dict.fromkeys([*filtered, *(row["key"] for row in known)]))[: max(KEYS, len(filtered))]

    def _facet(self, name: str, title: str, key: str | None = None) -> Facet:
        base = self.wanted.without(name)
        chosen = self.wanted.values(name)
        excluded = self.wanted.values(name, negated=True)
        counts, about = self._counts(base, name, key)
        labels = {each.slug: each.name for each in self.listing.readable} if name == "connection" else {}
        shown = [value for value, _ in counts.most_common(VALUES)]
        shown += [value for value in (*chosen, *excluded) if value not in shown]
        return Facet(
            name=name,
            title=title,
            values=tuple(
                Value(
                    text=value,
                    label=labels.get(value) or value or "(empty)",
                    count=f"{counts[value]:,}",
                    chosen=value in chosen,
                    excluded=value in excluded,
                    toggle=self.address(self.wanted.toggle(name, value)),
                    only=self.address(self.wanted.only(name, value)),
                    exclude=self.address(self.wanted.exclude(name, value)),
                )
                for value in shown
            ),
            more=max(0, len(counts) - VALUES),
            about=about,
            active=bool(chosen or excluded),
            clear=self.address(base),
        )

    def _counts(self, base: Filter, name: str, key: str | None) -> tuple[Counter[str], bool]:
        if not _conditions(base):
            return self._known(base, name, key), False
        sample = self._samples.get(base)
        if sample is None:
            sample = self._samples[base] = Sample(self._listing(base))
        return sample.counts(name, key), sample.cut

    def _listing(self, base: Filter) -> Listing:
        if base == self.wanted:
            return self.listing
        return self.listing.with_filter(base)

    def _known(self, base: Filter, name: str, key: str | None) -> Counter[str]:
        """From the dictionary, which keeps the count of every value."""
        terms = Term.objects.filter(connection__in=self._listing(base).connections, n__gt=0)
        if name == "connection":
            slugs = {each.pk: each.slug for each in self.listing.readable}
            rows = terms.filter(kind=Term.Kind.MODEL).values_list("connection").annotate(rows=Sum("n"))
            counted = Counter({slugs[pk]: int(n) for pk, n in rows if pk in slugs})
            nameless = StoredCompletion.objects.filter(Q(connection__in=slugs), model="")
            for pk, n in nameless.values_list("connection").annotate(rows=CountRows("pk")).order_by():
                counted[slugs[pk]] += n
            return counted
        terms = terms.filter(kind=Term.Kind.MODEL if key is None else Term.Kind.METADATA, key=key or "")
        totals = terms.values_list("value").annotate(rows=Sum("n")).order_by("-rows")[: TAME + 1]
        return Counter({value: int(n) for value, n in totals})


class Sample:
    """The newest matches of a filter, as far as they are counted."""

    def __init__(self, listing: Listing) -> None:
        ids = listing.newest(BOUND + 1)
        self.cut = len(ids) > BOUND
        self.slugs = {each.pk: each.slug for each in listing.readable}
        self.rows: list[tuple[int, str, Mapping[str, str]]] = []
        for start in range(0, min(len(ids), BOUND), CHUNK):
            some = StoredCompletion.objects.filter(pk__in=ids[start : min(start + CHUNK, BOUND)])
            self.rows += some.values_list("connection_id", "model", "metadata")

    def counts(self, name: str, key: str | None) -> Counter[str]:
        if name == "model":
            return Counter(model for _, model, _ in self.rows)
        if name == "connection":
            return Counter(self.slugs[pk] for pk, _, _ in self.rows)
        return Counter(_held(self.rows, key or ""))


def _held(rows: Iterable[tuple[int, str, Mapping[str, str]]], key: str) -> Iterable[str]:
    for _, _, metadata in rows:
        value = metadata.get(key)
        if value is not None:
            yield term_of(key, value)[1]


def _conditions(base: Filter) -> bool:
    return any(clause.field.how != "connection" for clause in base.clauses)
