"""Completions of a filter in their one order, newest first: pages, all ids, and counts that end.

Every list is read per connection, each from an index that is already in order, and merged: a planner asked
for several connections at once sorts all their rows. Where the filter names metadata, the rarest pair leads
and the other conditions are looked up row by row. Words are looked for among the newest rows first; only if
those do not fill the page is the index of words asked for every match.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from heapq import merge
from time import time
from typing import Any, NamedTuple

from django.core.exceptions import EmptyResultSet
from django.db import connection as database
from django.db.models import F, Q, QuerySet, Sum

from completions import search
from completions.filters import Clause, Filter, Scope, Terms
from completions.filters.fields import FLAGS
from completions.filters.lookups import Words
from completions.models import StoredCompletion, Term
from portal.models import Connection

COUNT_LIMIT = 10_000
PROBES = {"sqlite": (500, 4_000), "postgresql": (500, 2_000)}
FEW = 4_000
CHUNK = 2_000


class Key(NamedTuple):
    """A row's place in every list."""

    created: int
    id: int


@dataclass(frozen=True, slots=True)
class Count:
    """How many; `exact` is False where counting stopped at the limit."""

    n: int
    exact: bool = True

    def __str__(self) -> str:
        return f"{self.n:,}" + "+" * (not self.exact)


@dataclass(frozen=True, slots=True)
class Branch:
    """One connection's share of a list, by one term (posting), by one model, or by the row's own index."""

    connection: int
    term: int | None = None
    model: str | None = None
    by: Clause | None = None


class Listing:
    """The completions that `user` may read and `wanted` matches."""

    def __init__(self, user: Any, wanted: Filter, *, now: int | None = None) -> None:
        self.user, self.wanted = user, wanted
        self.now = int(time()) if now is None else now

    @cached_property
    def readable(self) -> list[Connection]:
        """Every connection that the user may read."""
        return list(Connection.objects.readable_by(self.user).defer("secret").order_by("name"))

    def with_filter(self, wanted: Filter) -> "Listing":
        """The same person's list under another filter, at the same moment."""
        other = Listing(self.user, wanted, now=self.now)
        other.readable = self.readable
        return other

    @cached_property
    def connections(self) -> list[int]:
        """Those of them that the filter leaves."""
        if self.wanted.broken:
            return []
        left = self.readable
        for clause in self.wanted.clauses:
            if clause.field.how == "connection":
                left = [each for each in left if (each.slug in clause.values) is not clause.negated]
        return [each.pk for each in left]

    @cached_property
    def terms(self) -> Terms:
        return Terms.look_up(self.wanted.term_names(), self.connections)

    @cached_property
    def branches(self) -> list[Branch]:
        return [branch for pk in self.connections for branch in self._of(pk)]

    def page(self, limit: int, *, after: Key | None = None, before: Key | None = None) -> list[Key]:
        """Up to `limit` places after one (older), or just before one (newer); newest first either way."""
        backwards = before is not None
        found = self._look(limit, before if backwards else after, backwards=backwards)
        return found[::-1] if backwards else found

    def ids(self) -> Iterator[int]:
        """Every id, newest first."""
        return (key.id for key, _ in self.entries())

    def entries(self) -> Iterator[tuple[Key, int]]:
        """Every place and its connection, newest first; each branch is read once, as a stream."""
        if self.wanted.words:
            found = self._rows(words=True).values_list("created", "pk", "connection_id")
            return iter(sorted(((Key(*row[:2]), row[2]) for row in found), reverse=True))
        streams = (
            self._stream(self._in_order(branch, None, backwards=False), branch.connection)
            for branch in self.branches
        )
        return merge(*streams, reverse=True)

    def _stream(self, rows: QuerySet[Any, Any], connection: int) -> Iterator[tuple[Key, int]]:
        for created, pk in rows.iterator(chunk_size=CHUNK):
            yield Key(created, pk), connection

    def count(self, limit: int = COUNT_LIMIT) -> Count:
        """How many match: exactly where that is cheap, otherwise up to `limit`."""
        if not self.branches:
            return Count(0)
        known = self._known_count()
        if known is not None:
            return Count(known)
        n = 0
        if self.wanted.words and self._led_by_few():
            n = len(self._hits([key.id for key in self._ordered(FEW, None, backwards=False)]))
        elif self.wanted.words:
            n = self._rows(words=True)[: limit + 1].count()
        else:
            for branch in self.branches:
                n += self._branch(branch)[: limit + 1 - n].count()
                if n > limit:
                    break
        return Count(min(n, limit), n <= limit)

    def newest(self, limit: int) -> list[int]:
        """The ids of the newest matches, for counts that end."""
        return [key.id for key in self._look(limit, None, backwards=False)]

    # How a page is found.

    def _look(self, limit: int, cursor: Key | None, *, backwards: bool) -> list[Key]:
        if not self.wanted.words:
            return self._ordered(limit, cursor, backwards=backwards)
        found: list[Key] = []
        for size in PROBES[database.vendor]:
            if size < limit:
                continue
            keys = self._ordered(size, cursor, backwards=backwards)
            hits = self._hits([key.id for key in keys])
            found += [key for key in keys if key.id in hits]
            if len(found) >= limit or len(keys) < size:
                return found[:limit]
            cursor = keys[-1]
        rows = self._rows(words=True).filter(_beyond(cursor, "created", "pk", backwards=backwards))
        # An expression no index is made for: all matches are fetched and sorted, rather than all rows walked.
        order = (F("k") + 0).asc() if backwards else (F("k") + 0).desc()
        rows = rows.annotate(k=F("created"), i=F("pk")).order_by(order, "i" if backwards else "-i")
        return found + [Key(*key) for key in rows.values_list("k", "i")[: limit - len(found)]]

    def _ordered(self, limit: int, cursor: Key | None, *, backwards: bool) -> list[Key]:
        """Places by every condition but the words."""
        parts = [self._in_order(branch, cursor, backwards=backwards)[:limit] for branch in self.branches]
        if len(parts) == 1:
            return [Key(*key) for key in parts[0]]
        return _merged(parts, limit, "ASC" if backwards else "DESC")

    def _in_order(self, branch: Branch, cursor: Key | None, *, backwards: bool) -> QuerySet[Any, Any]:
        created, pk = ("postings__created", "postings__completion_id") if branch.term else ("created", "pk")
        rows = self._branch(branch, _beyond(cursor, created, pk, backwards=backwards))
        order = (created, pk) if backwards else (f"-{created}", f"-{pk}")
        keys: QuerySet[Any, Any] = rows.annotate(k=F(created), i=F(pk)).order_by(*order).values_list("k", "i")
        return keys

    def _branch(self, branch: Branch, beyond: Q | None = None) -> QuerySet[Any]:
        created = "postings__created" if branch.term else "created"
        low, high = self.wanted.bounds(self.now)
        lead = Q() if beyond is None else beyond
        if low is not None:
            lead &= Q(**{f"{created}__gte": low})  # names of ours
        if high is not None:
            lead &= Q(**{f"{created}__lte": high})
        rows = StoredCompletion.objects.filter(connection=branch.connection)
        if branch.term:
            rows = rows.filter(lead, postings__term=branch.term)
        elif branch.model is not None:
            rows = rows.filter(lead, model=branch.model)
        else:
            rows = rows.filter(lead)
        scope = Scope(self.now, self.terms, branch.connection)
        found: QuerySet[Any] = rows.filter(
            self.wanted.conditions(
                scope,
                lambda clause: (
                    clause is branch.by
                    or clause.is_time
                    or clause.is_words
                    or clause.field.how == "connection"
                ),
            )
        )
        return found

    def _of(self, connection: int) -> list[Branch]:
        """The branches of one connection: by its rarest named term, by model, or by time."""
        best: tuple[int, Clause, list[int]] | None = None
        for clause in self.wanted.clauses:
            if clause.negated or not _by_terms(clause):
                continue
            held = self.terms.of(clause.term_names(), connection)
            n = sum(term.n for term in held)
            if best is None or n < best[0]:
                best = (n, clause, [term.id for term in held])
        if best is not None:
            _, by, ids = best
            # A completion can hold several flags, and would then stand in several branches.
            if by.field.merges or len(ids) < 2:
                return [Branch(connection, term=pk, by=by) for pk in ids]
        for clause in self.wanted.clauses:
            if clause.field.name == "model" and not clause.negated:
                return [Branch(connection, model=value, by=clause) for value in clause.values]
        return [Branch(connection)]

    def _led_by_few(self) -> bool:
        """Whether a rare term leads, so that every candidate can be looked at by itself."""
        rare = [
            sum(held.n for held in self.terms.of(clause.term_names()))
            for clause in self.wanted.clauses
            if not clause.negated and _by_terms(clause)
        ]
        return bool(rare) and min(rare) < FEW

    # Words.

    def _hits(self, ids: list[int]) -> set[int]:
        """Those of some ids whose texts hold what is wanted and not what is unwanted."""
        wanted = [clause for clause in self.wanted.words if not clause.negated]
        hits = search.among(ids, search.TextQuery(tuple(_term(clause) for clause in wanted)))
        for clause in self.wanted.words:
            if clause.negated and hits:
                hits -= search.among(hits, search.TextQuery((_term(clause),)))
        return hits

    def _rows(self, *, words: bool) -> QuerySet[Any]:
        """The matches as one plain query, in no order."""
        scope = Scope(self.now, self.terms)
        rows = StoredCompletion.objects.filter(connection__in=self.connections)
        found: QuerySet[Any] = rows.filter(
            self.wanted.conditions(
                scope, lambda clause: clause.field.how == "connection" or (clause.is_words and not words)
            )
        )
        return found

    def _known_count(self) -> int | None:
        """What the dictionary of terms knows: no condition, or one value of metadata, model or flag."""
        others = [clause for clause in self.wanted.clauses if clause.field.how != "connection"]
        if not others:
            # A completion without a model holds no term of one.
            nameless = StoredCompletion.objects.filter(connection__in=self.connections, model="").count()
            return nameless + self._held_by(Q())
        if len(others) > 1 or others[0].negated:
            return None
        clause = others[0]
        if _by_terms(clause) and (clause.field.merges or len(clause.values) == 1):
            return sum(held.n for held in self.terms.of(clause.term_names()))
        if clause.field.name == "model" and "" not in clause.values:
            return self._held_by(Q(value__in=clause.values))
        return None

    def _held_by(self, models: Q) -> int:
        held = Term.objects.filter(models, connection__in=self.connections, kind=Term.Kind.MODEL)
        return int(held.aggregate(n=Sum("n"))["n"] or 0)


def _merged(parts: list[QuerySet[Any, Any]], limit: int, way: str) -> list[Key]:
    """The lists as one, in one query. Django's own union takes no limited parts on SQLite."""
    selects: list[str] = []
    params: list[Any] = []
    for number, part in enumerate(parts):
        try:
            sql, values = part.query.sql_with_params()
        except EmptyResultSet:
            continue
        selects.append(f"SELECT * FROM ({sql}) AS branch{number}")  # noqa: S608  # our own statement
        params += values
    if not selects:
        return []
    union = " UNION ALL ".join(selects)
    merged = " ".join((union, f"ORDER BY 1 {way}, 2 {way} LIMIT {limit:d}"))
    with database.cursor() as cursor:
        cursor.execute(merged, params)
        return [Key(*row) for row in cursor.fetchall()]


def _by_terms(clause: Clause) -> bool:
    """Whether postings can lead: every value is a term of the dictionary."""
    if clause.field.how == "terms":
        return True
    return clause.field.name == "has" and all(value in FLAGS for value in clause.values)


def _beyond(cursor: Key | None, created: str, pk: str, *, backwards: bool) -> Q:
    """Rows after a place in the list, or before it; the first part is what an index can seek to."""
    if cursor is None:
        return Q()
    way = "gt" if backwards else "lt"
    return Q(**{f"{created}__{way}e": cursor.created}) & (
        Q(**{f"{created}__{way}": cursor.created}) | Q(**{f"{pk}__{way}": cursor.id})
    )


def _term(clause: Clause) -> search.TextTerm:
    assert isinstance(clause.lookup, Words)
    column = clause.field.column
    columns: tuple[search.Column, ...] = tuple(each for each in search.COLUMNS if each == column)
    return clause.lookup.term(columns or ("prompt", "answer"))
