"""What a filter is made of: a condition, a group of them, and what cannot be read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Union

from completions.filters.fields import FIELDS, FLAGS, MARKS, STATES, TEXT, Field
from completions.filters.language import in_quotes, is_told_plainly, unquote, write_name
from completions.filters.lookups import AnyOf, Lookup, Moments
from completions.readings import term_of

TermName = tuple[str, str, str]  # kind, key, value
FLAG = "flag"
META = "meta"
_TITLES = {**MARKS, **FLAGS, **STATES}


@dataclass(frozen=True, slots=True)
class Clause:
    """A condition that could be read. `key` is the metadata key or the label, None for every other field."""

    field: Field
    lookup: Lookup
    negated: bool = False
    key: str | None = None

    @property
    def name(self) -> str:
        """The field as written, `meta.category`; `text` for words without a field."""
        return write_name(self.field.name, self.key)

    @property
    def q(self) -> str:
        return "-" * self.negated + ("" if self.field is TEXT else f"{self.name}:") + self.lookup.write()

    @property
    def title(self) -> str:
        if self.key is None:
            return self.field.title
        if self.key == "":
            return f"{self.field.title} (empty key)"
        return self.key if self.field.name == META else f"{self.field.title} {self.key}"

    @property
    def values(self) -> tuple[str, ...]:
        return self.lookup.values if isinstance(self.lookup, AnyOf) else ()

    def describe(self) -> str:
        if self.field.how == "marks":
            return self._describe_marks()
        if self.key is None:
            title = self.field.title
        elif not is_told_plainly(self.key):
            title = f"{self.field.title} {in_quotes(self.key)}"
        elif self.field.name != META:
            title = f"{self.field.title} {self.key}"
        elif self.key.casefold() in _FIELD_TITLES:
            title = f"{self.field.title} {in_quotes(self.key)}"
        else:
            title = self.key
        return f"{title} {self.lookup.phrase(negated=self.negated)}"

    def _describe_marks(self) -> str:
        told = [_TITLES[value] for value in self.values]
        verb = "is" if self.field.name == "is" else "has"
        if len(told) > 1:
            return f"{verb} {'none' if self.negated else 'at least one'} of {', '.join(told)}"
        if verb == "has":
            return f"does not have {told[0]}" if self.negated else f"has {told[0]}"
        return f"is {'not ' * self.negated}{told[0]}"

    # What the dictionary of terms is asked for.

    def term_names(self) -> tuple[TermName, ...]:
        """The terms that this condition names; a value for nothing names none (see `asks_for_nothing`)."""
        if self.field.how == "terms":
            cut = (term_of(self.key or "", value) for value in self.values if value not in self._nothing)
            return tuple((self.field.column, key, value) for key, value in cut)
        if self.field.name == "has":
            return tuple((FLAG, "", value) for value in self.values if value in FLAGS)
        return ()

    @property
    def field_name(self) -> TermName:
        """The term that every completion with any value of this field holds."""
        if self.key is None:
            return ("field", self.field.column, "")
        return ("field", f"{self.field.column}.{term_of(self.key, '')[0]}", "")

    @property
    def asks_for_nothing(self) -> bool:
        """Whether a completion without any term of this field is one of those that are meant."""
        return any(value in self._nothing for value in self.values)

    @property
    def _nothing(self) -> tuple[str, ...]:
        """The values that stand for no term; of a key, an empty value is one like any other."""
        return () if self.field.keyed else ("", self.field.nothing)

    @property
    def is_words(self) -> bool:
        """Whether it searches the text."""
        return self.field.how == "words"

    @property
    def is_time(self) -> bool:
        """A stretch of `created`, which bounds every list directly."""
        return self.field.column == "created" and isinstance(self.lookup, Moments) and not self.negated


_FIELD_TITLES = frozenset(word for field in FIELDS.values() for word in (field.title, field.name))

Node = Union[Clause, "Group"]


@dataclass(frozen=True, slots=True)
class Group:
    """Alternatives, each of conditions that must all hold; at least one alternative must, or none if negated.

    Make one with `nodes_of`, so that equal groups are equal.
    """

    options: tuple[tuple[Node, ...], ...]
    negated: bool = False

    name: ClassVar[str] = ""
    key: ClassVar[None] = None
    title: ClassVar[str] = "group"
    values: ClassVar[tuple[str, ...]] = ()

    @property
    def q(self) -> str:
        inner = " OR ".join(" ".join(node.q for node in option) for option in self.options)
        return f"{'-' * self.negated}({inner})"

    def leaves(self) -> Iterator[Clause]:
        return leaves(node for option in self.options for node in option)

    @property
    def depth(self) -> int:
        return 1 + max(
            (node.depth for option in self.options for node in option if isinstance(node, Group)), default=0
        )

    def describe(self) -> str:
        told = [_describe_option(option) for option in self.options]
        if len(told) == 1:
            return f"not {told[0]}" if self.negated else told[0]
        either = f"either {' or '.join(told)}"
        return f"not ({either})" if self.negated else either


def leaves(nodes: Iterable[Node]) -> Iterator[Clause]:
    """All conditions, those in groups too, as they are written."""
    for node in nodes:
        if isinstance(node, Group):
            yield from node.leaves()
        else:
            yield node


def describe_all(nodes: Iterable["Node | Broken"]) -> str:
    """Conditions that must all hold, in words."""
    told = list(nodes)
    if len(told) == 1:
        return told[0].describe()
    return " and ".join(_in_parentheses(node) for node in told)


def _in_parentheses(node: "Node | Broken") -> str:
    plain = not isinstance(node, Group) or node.negated
    return node.describe() if plain else f"({node.describe()})"


def _describe_option(option: tuple[Node, ...]) -> str:
    return describe_all(option) if len(option) == 1 else f"({describe_all(option)})"


def nodes_of(options: Iterable[Iterable[Node]], *, negated: bool = False) -> tuple[Node, ...]:
    """The nodes that say that one of the options holds (or none): no group within a group for nothing."""
    made: list[tuple[Node, ...]] = []
    for each in options:
        option = joined(each)
        if len(option) == 1 and isinstance(option[0], Group) and not option[0].negated:
            made += option[0].options
        else:
            made.append(option)
    made = list(dict.fromkeys(made))
    if len(made) > 1:
        return (Group(tuple(made), negated),)
    if not negated:
        return made[0]
    if len(made[0]) == 1:
        return turned(made[0][0])
    return (Group((made[0],), negated=True),)


def turned(node: Node) -> tuple[Node, ...]:
    """The contrary."""
    if isinstance(node, Group):
        return nodes_of(node.options, negated=not node.negated)
    return (replace(node, negated=not node.negated),)


def renamed(node: Node, old: str, new: str) -> tuple[Node, ...]:
    """The same with another field and key in the place of one, both as written: `meta.a`, `meta.b`."""
    if isinstance(node, Clause):
        return (replace(node, key=key_of(new)) if node.name == old else node,)
    options = [[made for each in option for made in renamed(each, old, new)] for option in node.options]
    return nodes_of(options, negated=node.negated)


def key_of(name: str) -> str | None:
    """The key in a name as written, None if it has none."""
    _, dot, key = name.partition(".")
    return (unquote(key) if key.startswith('"') else key) if dot else None


def joined(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """Conditions side by side; values of a field with one value per completion are joined by “or”."""
    made: list[Node] = []
    for node in nodes:
        add(made, node)
    return tuple(made)


def add(nodes: list[Node], new: Node) -> None:
    """Add a condition to a list: into the one that says the same kind of thing, if there is one."""
    if new in nodes:
        return
    if isinstance(new, Clause) and new.field.merges and isinstance(new.lookup, AnyOf):
        for at, old in enumerate(nodes):
            if (
                isinstance(old, Clause)
                and old.name == new.name
                and old.negated is new.negated
                and isinstance(old.lookup, AnyOf)
            ):
                values = tuple(dict.fromkeys((*old.lookup.values, *new.lookup.values)))
                nodes[at] = replace(old, lookup=AnyOf(values))
                return
    nodes.append(new)


@dataclass(frozen=True, slots=True)
class Broken:
    """A condition that cannot be read: it stays visible, and nothing matches until it is mended."""

    q: str
    problem: str
    instead: str = ""  # what was probably meant, in the language

    def describe(self) -> str:
        return f"“{self.q}” cannot be read"
