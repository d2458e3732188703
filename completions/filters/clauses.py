"""One condition of a filter: read, written, told in words, and applied."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from django.db.models import Exists, OuterRef, Q

from completions.filters.fields import FIELDS, FLAGS, MARKS, STATES, TEXT, Field, Unknown
from completions.filters.language import RESERVED, Piece, quote, split, write_name
from completions.filters.lookups import AnyOf, Lookup, Moments, Unreadable, Words
from completions.models import Posting, Term
from completions.readings import term_of


@dataclass(frozen=True, slots=True)
class Held:
    """A term of the dictionary: its id, and how many completions hold it."""

    id: int
    n: int


TermName = tuple[str, str, str]  # kind, key, value


@dataclass(frozen=True)
class Terms:
    """The terms that a filter names, looked up once, by connection."""

    held: Mapping[int, Mapping[TermName, Held]] = field(default_factory=dict)

    @classmethod
    def look_up(cls, names: Iterable[TermName], connections: Iterable[int] | None = None) -> "Terms":
        """One query for all of them; `connections=None` means every one."""
        wanted = set(names)
        if not wanted:
            return cls()
        condition = Q()
        for kind, key in {(kind, key) for kind, key, _ in wanted}:
            values = [name[2] for name in wanted if name[:2] == (kind, key)]
            condition |= Q(kind=kind, key=key, value__in=values)
        rows = Term.objects.filter(condition)
        if connections is not None:
            rows = rows.filter(connection__in=list(connections))
        held: dict[int, dict[TermName, Held]] = {}
        for pk, connection, kind, key, value, n in rows.values_list(
            "pk", "connection_id", "kind", "key", "value", "n"
        ):
            held.setdefault(connection, {})[(kind, key, value)] = Held(pk, n)
        return cls(held)

    def of(self, names: Iterable[TermName], connection: int | None = None) -> list[Held]:
        """Those that exist, on one connection or on all of them."""
        books = self.held.values() if connection is None else [self.held.get(connection, {})]
        return [book[name] for book in books for name in names if name in book]


@dataclass(frozen=True, slots=True)
class Scope:
    """What conditions are made for: a moment, the terms looked up, and one connection or (None) all."""

    now: int
    terms: Terms
    connection: int | None = None


@dataclass(frozen=True, slots=True)
class Clause:
    """A condition that could be read. `key` is the metadata key, None for every other field."""

    field: Field
    lookup: Lookup
    negated: bool = False
    key: str | None = None

    @property
    def name(self) -> str:
        """The field as written, `meta.category`; empty for text."""
        return write_name(self.field.name, self.key)

    @property
    def q(self) -> str:
        return "-" * self.negated + (f"{self.name}:" if self.field.name else "") + self.lookup.write()

    @property
    def title(self) -> str:
        return (
            self.key
            if self.key
            else f"{self.field.title} (empty key)"
            if self.key == ""
            else self.field.title
        )

    @property
    def values(self) -> tuple[str, ...]:
        return self.lookup.values if isinstance(self.lookup, AnyOf) else ()

    def describe(self) -> str:
        if self.field.how == "marks" and isinstance(self.lookup, AnyOf):
            names = {**FLAGS, **{name: title for name, (title, _) in KNOWN.items()}}
            told = " or ".join(names[value] for value in self.lookup.values)
            return {"has": ("has ", "has not "), "is": ("is ", "is not ")}[self.field.name][
                self.negated
            ] + told
        return f"{self.title} {self.lookup.phrase(negated=self.negated)}"

    def term_names(self) -> tuple[TermName, ...]:
        """The terms of the dictionary that this condition speaks of."""
        if self.field.how == "terms":
            cut = (term_of(self.key or "", value) for value in self.values)
            return tuple((Term.Kind.METADATA, key, value) for key, value in cut)
        if self.field.name == "has":
            return tuple((Term.Kind.FLAG, "", value) for value in self.values if value in FLAGS)
        return ()

    @property
    def is_words(self) -> bool:
        return self.field.how == "words"

    @property
    def is_time(self) -> bool:
        """A stretch of `created`, which bounds every list directly."""
        return isinstance(self.lookup, Moments) and not self.negated

    def condition(self, scope: Scope) -> Q:
        """The condition on StoredCompletion."""
        made = self._positive(scope)
        return ~made if self.negated else made

    def _positive(self, scope: Scope) -> Q:
        if self.field.how == "connection":
            return Q(connection__slug__in=self.values)
        if self.field.how == "terms":
            return held_by([term.id for term in scope.terms.of(self.term_names(), scope.connection)])
        if self.field.how == "marks":
            flags = held_by([term.id for term in scope.terms.of(self.term_names(), scope.connection)])
            for value in self.values:
                flags |= KNOWN[value][1] if value in KNOWN else NOTHING
            return flags
        return self.lookup.condition(self.field.column, scope.now)


class LookedUp(Exists):
    """EXISTS that PostgreSQL looks up row by row.

    It would join otherwise, and as it takes the parts of a key for independent of each other, it expects one
    row where there are thousands: minutes instead of milliseconds. OFFSET keeps it from that.
    """

    template = "EXISTS(%(subquery)s OFFSET 0)"


NOTHING = Q(pk__in=[])
KNOWN = {**MARKS, **STATES}


def held_by(terms: list[int]) -> Q:
    """Completions that hold one of these terms: one look into the key of the postings per row and term."""
    if not terms:
        return NOTHING
    held = Posting.objects.filter(term__in=terms, created=OuterRef("created"), completion=OuterRef("pk"))
    return Q(LookedUp(held))


@dataclass(frozen=True, slots=True)
class Broken:
    """A condition that cannot be read: it stays visible, and nothing matches until it is mended."""

    q: str
    problem: str
    instead: str = ""  # what was probably meant, in the language

    def describe(self) -> str:
        return f"“{self.q}” cannot be read"


def read(piece: Piece) -> Clause | Broken:
    """What a piece means."""
    if piece.problem:
        return Broken(piece.source, piece.problem, _readable(quote(piece.source.replace('"', ""))))
    if not piece.name:
        return _read_text(piece)
    found = FIELDS.get(piece.name)
    if found is None or (piece.key is not None and not found.keyed):
        near = get_close_matches(piece.name, FIELDS, 1, 0.6)
        instead = f"{'-' * piece.negated}{near[0]}{_rest(piece)}" if near and near[0] != piece.name else ""
        instead = _readable(instead) or _readable(quote(piece.source.replace('"', "")))
        return Broken(piece.source, f"There is no field “{piece.name}”.", instead)
    if found.keyed and piece.key is None:
        return Broken(piece.source, "Say which metadata: meta.KEY:value.")
    if not piece.operands:
        return Broken(piece.source, f"Say which value, for example {found.example}.")
    try:
        lookup = found.read(piece.operands, piece.begins)
    except Unknown as unknown:
        near = get_close_matches(unknown.value, unknown.known, 1, 0.5)
        instead = f"{'-' * piece.negated}{piece.name}:{near[0]}" if near else ""
        return Broken(piece.source, str(unknown), instead)
    except Unreadable as unreadable:
        return Broken(piece.source, str(unreadable))
    return Clause(found, lookup, piece.negated, piece.key)


def _read_text(piece: Piece) -> Clause | Broken:
    (operand,) = piece.operands
    if not operand.quoted and operand.text in RESERVED and not piece.begins:
        problem = "Conditions are joined by “and”; several values are written model:a,b."
        return Broken(piece.source, problem, quote(operand.text.lower()))
    try:
        lookup: Any = Words.read(piece.operands, begins=piece.begins)
    except Unreadable as unreadable:
        return Broken(piece.source, str(unreadable))
    return Clause(TEXT, lookup, piece.negated)


def _readable(q: str) -> str:
    """A suggestion, if it can be read itself."""
    return q if all(isinstance(read(piece), Clause) for piece in split(q)) else ""


def _rest(piece: Piece) -> str:
    """What followed the name of the field, as it was written."""
    return piece.source.removeprefix("-")[len(piece.name) :]
