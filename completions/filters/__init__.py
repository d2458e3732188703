"""The filter: one immutable value that the whole site passes on, from the address to the query."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from time import time
from typing import Any, Self

from django.db.models import Q

from completions.filters import language
from completions.filters.clauses import Broken, Clause, Scope, TermName, Terms, read
from completions.filters.fields import FIELDS, TEXT, Field
from completions.filters.lookups import AnyOf, Words
from completions.readings import clean

__all__ = ["FIELDS", "TEXT", "Broken", "Clause", "Field", "Filter", "Scope", "Terms"]

MOST_CHARS = 4000


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that must all hold. Equal filters are written equally: `Filter.parse(f.q) == f`."""

    clauses: tuple[Clause, ...] = ()
    broken: tuple[Broken, ...] = ()

    @classmethod
    def parse(cls, q: str) -> Self:
        """Read the typed language; what cannot be read is kept in `broken`, and then nothing matches."""
        if len(q) > MOST_CHARS:
            return cls(broken=(Broken(q[:MOST_CHARS], f"A filter has at most {MOST_CHARS} characters."),))
        parts = [read(piece) for piece in language.split(clean(q))]
        clauses: list[Clause] = []
        for part in parts:
            if isinstance(part, Clause):
                _join(clauses, part)
        return cls(tuple(clauses), tuple(part for part in parts if isinstance(part, Broken)))

    def __bool__(self) -> bool:
        return bool(self.clauses or self.broken)

    @property
    def parts(self) -> tuple[Clause | Broken, ...]:
        return (*self.clauses, *self.broken)

    @property
    def q(self) -> str:
        """The filter as typed; what is broken stands last, since an open quote takes what follows."""
        return " ".join(part.q for part in self.parts)

    def describe(self) -> str:
        """The filter in words: “model is gpt-4o and created in the last 7 days”."""
        return " and ".join(part.describe() for part in self.parts) or "all stored completions"

    def apply(self, queryset: Any, *, now: int | None = None) -> Any:
        """The completions of `queryset` that match; none of them if a part cannot be read."""
        if self.broken:
            return queryset.none()
        scope = Scope(int(time()) if now is None else now, Terms.look_up(self.term_names()))
        for clause in self.clauses:
            queryset = queryset.filter(clause.condition(scope))
        return queryset

    # What lists and counts need to choose their way.

    def term_names(self) -> tuple[TermName, ...]:
        return tuple(name for clause in self.clauses for name in clause.term_names())

    def conditions(self, scope: Scope, leave: Callable[[Clause], bool]) -> Q:
        """The conditions joined, except for the clauses that the caller has seen to by itself."""
        joined = Q()
        for clause in self.clauses:
            if not leave(clause):
                joined &= clause.condition(scope)
        return joined

    @property
    def words(self) -> tuple[Clause, ...]:
        """The clauses that search the text."""
        return tuple(clause for clause in self.clauses if clause.is_words)

    def bounds(self, now: int) -> tuple[int | None, int | None]:
        """The first and last second of `created` that can match."""
        low: int | None = None
        high: int | None = None
        for clause in self.clauses:
            if clause.is_time:
                first, last = clause.lookup.bounds(now)  # type: ignore[attr-defined]  # is_time says it is Moments
                low = first if low is None else low if first is None else max(low, first)
                high = last if high is None else high if last is None else min(high, last)
        return low, high

    @staticmethod
    def key(key: str) -> str:
        """The name of a metadata key as a field: `meta.category`."""
        return language.write_name("meta", key)

    # Filters made from this one. Names are written as in the language: `model`, `meta.category`.

    def without(self, name: str) -> Self:
        """Without every condition on a field."""
        return replace(self, clauses=tuple(clause for clause in self.clauses if clause.name != name))

    def without_part(self, part: Clause | Broken) -> Self:
        """Without one condition."""
        return replace(
            self,
            clauses=tuple(clause for clause in self.clauses if clause != part),
            broken=tuple(broken for broken in self.broken if broken != part),
        )

    def with_(self, clause: Clause) -> Self:
        """With one more condition; values of a field that has only one per completion are joined by “or”."""
        clauses = list(self.clauses)
        _join(clauses, clause)
        return replace(self, clauses=tuple(clauses))

    def with_text(self, text: str) -> Self:
        return self.with_(Clause(TEXT, Words(text)))

    def values(self, name: str, *, negated: bool = False) -> tuple[str, ...]:
        """The values chosen (or excluded) for a field."""
        return tuple(
            value
            for clause in self.clauses
            if clause.name == name and clause.negated is negated
            for value in clause.values
        )

    def only(self, name: str, value: str) -> Self:
        """With this value alone for a field."""
        return self._of(name, (value,), ())

    def toggle(self, name: str, value: str) -> Self:
        """With this value as well, or without it if it is chosen already; no longer excluded in any case."""
        chosen, excluded = self.values(name), self.values(name, negated=True)
        return self._of(name, _flip(chosen, value), (each for each in excluded if each != value))

    def exclude(self, name: str, value: str) -> Self:
        """Without completions of this value, or with them again if they are excluded already."""
        chosen, excluded = self.values(name), self.values(name, negated=True)
        return self._of(name, (each for each in chosen if each != value), _flip(excluded, value))

    def _of(self, name: str, chosen: Iterable[str], excluded: Iterable[str]) -> Self:
        """The same place in the list for the field's conditions, with these values in them."""
        field, key = _field(name)
        made = [
            Clause(field, AnyOf(tuple(values)), negated, key)
            for values, negated in ((tuple(chosen), False), (tuple(excluded), True))
            if values
        ]
        places = [at for at, clause in enumerate(self.clauses) if clause.name == name]
        at = places[0] if places else len(self.clauses)
        before = [clause for clause in self.clauses[:at] if clause.name != name]
        after = [clause for clause in self.clauses[at:] if clause.name != name]
        return replace(self, clauses=(*before, *made, *after))


def _flip(values: tuple[str, ...], value: str) -> tuple[str, ...]:
    return tuple(each for each in values if each != value) if value in values else (*values, value)


def _field(name: str) -> tuple[Field, str | None]:
    """The registry's entry for a name as written."""
    (piece,) = language.split(f"{name}:x")
    return FIELDS[piece.name], piece.key


def _join(clauses: list[Clause], new: Clause) -> None:
    """Add a condition to a list: into the one that says the same kind of thing, if there is one."""
    if new in clauses:
        return
    if new.field.merges and isinstance(new.lookup, AnyOf):
        for at, old in enumerate(clauses):
            if old.name == new.name and old.negated is new.negated and isinstance(old.lookup, AnyOf):
                values = tuple(dict.fromkeys((*old.lookup.values, *new.lookup.values)))
                clauses[at] = replace(old, lookup=AnyOf(values))
                return
    clauses.append(new)
