"""The filter: one immutable value that the whole site passes on, from the address to the table."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Self

from completions.filters import grammar, language
from completions.filters.clauses import (
    Broken,
    Clause,
    Group,
    Node,
    TermName,
    add,
    describe_all,
    joined,
    key_of,
    leaves,
    renamed,
)
from completions.filters.fields import FIELDS, TEXT, Field
from completions.filters.lookups import (
    AnyOf,
    Contains,
    Lookup,
    Moments,
    Numbers,
    Pattern,
    Present,
    Words,
)
from completions.readings import clean

__all__ = [
    "FIELDS",
    "TEXT",
    "AnyOf",
    "Broken",
    "Clause",
    "Contains",
    "Field",
    "Filter",
    "Group",
    "Lookup",
    "Moments",
    "Node",
    "Numbers",
    "Pattern",
    "Present",
    "TermName",
    "Words",
]


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that must all hold. Equal filters are written equally: `Filter.parse(f.q) == f`."""

    clauses: tuple[Node, ...] = ()
    broken: tuple[Broken, ...] = ()

    @classmethod
    def parse(cls, q: str) -> Self:
        """Read the typed language; what cannot be read is kept in `broken`, and then nothing matches."""
        return cls(*grammar.parse(clean(q)))

    def __bool__(self) -> bool:
        return bool(self.clauses or self.broken)

    @property
    def parts(self) -> tuple[Node | Broken, ...]:
        return (*self.clauses, *self.broken)

    @property
    def q(self) -> str:
        """The filter as typed; what is broken stands last, since an open quote takes what follows."""
        return " ".join(part.q for part in self.parts)

    def describe(self) -> str:
        """The filter in words: “model is gpt-4o and created in the last 7 days”."""
        return describe_all(self.parts) or "all stored completions"

    # What lists and counts need to choose their way.

    def leaves(self) -> Iterator[Clause]:
        """Every condition, those in groups too."""
        return leaves(self.clauses)

    def text_leaves(self) -> Iterator[Clause]:
        """Every condition that searches the text: words, parts of it, patterns."""
        return (clause for clause in self.leaves() if clause.is_words)

    def names(self) -> tuple[str, ...]:
        """The names of all fields that are asked about, each once."""
        return tuple(dict.fromkeys(clause.name for clause in self.leaves()))

    def term_names(self) -> tuple[TermName, ...]:
        """The terms of the dictionary that are named anywhere."""
        return tuple(dict.fromkeys(name for clause in self.leaves() for name in clause.term_names()))

    @property
    def words(self) -> tuple[Clause, ...]:
        """The same as `text_leaves`, as a tuple."""
        return tuple(self.text_leaves())

    def bounds(self, now: int) -> tuple[int | None, int | None]:
        """The first and last second of `created` that can match."""
        low: int | None = None
        high: int | None = None
        for clause in self.clauses:
            if isinstance(clause, Clause) and clause.is_time and isinstance(clause.lookup, Moments):
                first, last = clause.lookup.bounds(now)
                low = first if low is None else low if first is None else max(low, first)
                high = last if high is None else high if last is None else min(high, last)
        return low, high

    @staticmethod
    def key(key: str) -> str:
        """The name of a metadata key as a field: `meta.category`."""
        return language.write_name("meta", key)

    @staticmethod
    def label(name: str) -> str:
        """The name of a label as a field: `label.quality`."""
        return language.write_name("label", name)

    # Filters made from this one. Names are written as in the language: `model`, `meta.category`.

    def without(self, name: str) -> Self:
        """Without every condition on a field; what groups say about it stays."""
        return replace(self, clauses=tuple(clause for clause in self.clauses if clause.name != name))

    def without_part(self, part: Node | Broken) -> Self:
        """Without one condition."""
        return replace(
            self,
            clauses=tuple(clause for clause in self.clauses if clause != part),
            broken=tuple(broken for broken in self.broken if broken != part),
        )

    def with_(self, clause: Node) -> Self:
        """With one more condition; values of a field that has only one per completion are joined by “or”."""
        clauses = list(self.clauses)
        add(clauses, clause)
        return replace(self, clauses=tuple(clauses))

    def renamed(self, old: str, new: str) -> Self:
        """With another metadata key or label in the place of one, in groups too: `meta.a`, `meta.b`."""
        return replace(
            self, clauses=joined(made for node in self.clauses for made in renamed(node, old, new))
        )

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
    return FIELDS[name.partition(".")[0]], key_of(name)
