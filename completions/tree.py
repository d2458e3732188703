"""The conditions of a filter as a tree of rows in a form, with rows that are not filled yet.

A form names every row by its place: `field.0.1` is the field of the second member of the whole.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as made
from typing import Any, Literal, cast

from completions.filters import FIELDS, Field
from completions.filters.edit import how_many

Kind = Literal["all", "any", "none"]
KINDS: tuple[tuple[Kind, str], ...] = (
    ("all", "All of these"),
    ("any", "Any of these"),
    ("none", "None of these"),
)
TYPED = "?"  # the field of a row that holds the language itself
MOST_ROWS = 120
MOST_DEPTH = 6  # that buttons make; a typed filter may come deeper
DEEPEST = 14  # a group of the language takes up to two levels here
MOST_VALUES = 2_000
_NAME = re.compile(r"(kind|field|key|lookup|value)\.([0-9]{1,4}(?:\.[0-9]{1,4}){0,14})")


@dataclass
class Line:
    """One row: a field, a comparison and values, any of which may still be empty."""

    field: str = ""
    lookup: str = ""
    values: list[str] = made(default_factory=list)
    key: str = ""
    problem: str = ""
    fresh: bool = False
    path: str = ""
    number: int = 0
    depth: int = 0

    members = None  # a branch has some

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        """Bring comparison and number of values in line with the field."""
        if self.is_typed:
            self.values = self.values[:1] or [""]
            return
        self.field = self.field if self.field in FIELDS else next(iter(FIELDS))
        if self.lookup not in self.lookups:
            self.lookup = self.lookups[0]
        filled = [*self.values, "", ""]
        if self.many:
            self.values = filled[: max(2, len(self.values))]
        else:
            self.values = filled[: {"none": 0, "one": 1, "two": 2}[how_many(self.lookup)]]

    @property
    def about(self) -> Field:
        return FIELDS[self.field]

    @property
    def is_typed(self) -> bool:
        return self.field == TYPED

    @property
    def id(self) -> str:
        return self.path.replace(".", "-")

    @property
    def lookups(self) -> tuple[str, ...]:
        return self.about.lookups

    @property
    def keyed(self) -> bool:
        return not self.is_typed and bool(self.about.keyed)

    @property
    def many(self) -> bool:
        return how_many(self.lookup) == "many"

    @property
    def is_range(self) -> bool:
        return how_many(self.lookup) == "two"

    @property
    def is_number(self) -> bool:
        return self.about.how == "numbers"

    @property
    def is_score(self) -> bool:
        """Whether values that may be any text are compared as numbers, with a minus perhaps."""
        compares = self.is_range or self.lookup.endswith((" than", "at least", "at most"))
        return self.about.how == "terms" and compares

    @property
    def proposes(self) -> bool:
        """Whether values can be proposed."""
        how = self.about.how
        if how == "moments":
            return self.lookup.endswith("the last")
        return how in ("terms", "connection", "marks") and not self.is_score

    @property
    def of(self) -> str:
        """Whose values are proposed."""
        return f"{self.field}.{self.key}" if self.keyed else self.field

    @property
    def hint(self) -> str:
        how = self.about.how
        if how == "moments":
            return "7d" if self.lookup.endswith("the last") else "2026-11-20"
        if self.is_number or self.is_score:
            return "number"
        return "text" if how in ("words", "notes") else "value"

    @property
    def key_title(self) -> str:
        """What its key is called."""
        return "Metadata key" if self.field == "meta" else self.about.title.capitalize()

    @property
    def is_complete(self) -> bool:
        """Whether it says anything yet; what is empty is not filled."""
        if self.is_typed:
            return bool(self.values[0].strip())
        return (not self.keyed or bool(self.key)) and (not self.values or any(self.values))

    @property
    def may_indent(self) -> bool:
        return self.depth < MOST_DEPTH

    @property
    def may_outdent(self) -> bool:
        return self.depth > 1


@dataclass
class Branch:
    """Rows and branches of which all, any or none must hold."""

    kind: Kind = "all"
    members: list["Line | Branch"] = made(default_factory=list)
    path: str = "0"
    depth: int = 0

    @property
    def id(self) -> str:
        return self.path.replace(".", "-")

    @property
    def told(self) -> str:
        return f"{self.kind} of these"

    @property
    def may_nest(self) -> bool:
        return self.depth < MOST_DEPTH

    def lines(self) -> list[Line]:
        found: list[Line] = []
        for each in self.members:
            found += each.lines() if isinstance(each, Branch) else [each]
        return found

    def place(self) -> "Branch":
        """Write every place anew, after the tree was read or changed."""
        _place(self)
        for number, line in enumerate(self.lines(), 1):
            line.number = number
        return self


def _place(branch: Branch) -> None:
    for at, member in enumerate(branch.members):
        member.path, member.depth = f"{branch.path}.{at}", branch.depth + 1
        if isinstance(member, Branch):
            _place(member)


def read(form: Any) -> Branch:
    """The tree of a submitted form (a QueryDict)."""
    found: dict[tuple[int, ...], dict[str, list[str]]] = {}
    for name in list(form)[: 8 * MOST_ROWS]:
        if named := _NAME.fullmatch(name):
            place = tuple(int(part) for part in named[2].split("."))
            found.setdefault(place, {})[named[1]] = form.getlist(name)[:MOST_VALUES]
    root = Branch(_kind(found.get((0,), {})))
    branches: dict[tuple[int, ...], Branch] = {(0,): root}
    for place, given in sorted(found.items()):
        above = branches.get(place[:-1])
        if above is None or len(place) > DEEPEST:
            continue
        if "kind" in given:
            branches[place] = Branch(_kind(given))
            above.members.append(branches[place])
        elif "field" in given:
            first = {name: given.get(name, [""])[0] for name in ("field", "lookup", "key")}
            above.members.append(Line(values=given.get("value", []), **cast(Any, first)))
    return root.place()


def _kind(given: Mapping[str, list[str]]) -> Kind:
    kind = given.get("kind", ["all"])[0]
    return kind if kind in dict(KINDS) else "all"


def act(root: Branch, what: str) -> Branch:
    """Do what a button says: `add 0`, `group 0.1`, `value 0.1`, `in 0.1`, `out 0.1`, `remove 0.1`."""
    verb, _, path = what.partition(" ")
    found = _find(root, path)
    if found is None or (verb in ("add", "group", "in") and len(root.lines()) >= MOST_ROWS):
        return root
    above, node = found
    if isinstance(node, Branch):
        _act_on_branch(verb, above, node)
    else:
        _act_on_line(verb, root, above, node)
    return root.place()


def _act_on_branch(verb: str, above: Branch | None, branch: Branch) -> None:
    if verb == "add":
        branch.members.append(Line(fresh=True))
    elif verb == "group" and branch.may_nest:
        branch.members.append(Branch("all" if branch.kind == "any" else "any", [Line(fresh=True), Line()]))
    elif above is not None and verb in ("remove", "out"):
        at = next(place for place, member in enumerate(above.members) if member is branch)
        above.members[at : at + 1] = branch.members if verb == "out" else []


def _act_on_line(verb: str, root: Branch, above: Branch | None, line: Line) -> None:
    assert above is not None, "only the whole stands in nothing"
    at = next(place for place, member in enumerate(above.members) if member is line)
    if verb == "value" and line.many:
        line.values.append("")
    elif verb == "remove":
        del above.members[at]
    elif verb == "in" and line.may_indent:
        before = above.members[at - 1] if at else None
        if isinstance(before, Branch):
            before.members.append(line)
            del above.members[at]
        else:
            above.members[at] = Branch("all" if above.kind == "any" else "any", [line, Line(fresh=True)])
    elif verb == "out" and (around := _find(root, above.path)) and around[0] is not None:
        outer = around[0]
        del above.members[at]
        outer.members.insert(next(n for n, each in enumerate(outer.members) if each is above) + 1, line)
        if not above.members:
            outer.members = [each for each in outer.members if each is not above]


def _find(root: Branch, path: str) -> tuple[Branch | None, Line | Branch] | None:
    """The branch around a place, and what stands there."""
    if not re.fullmatch(r"0(\.[0-9]{1,4})*", path, re.ASCII):
        return None
    above: Branch | None = None
    node: Line | Branch = root
    for at in (int(part) for part in path.split(".")[1:]):
        if not isinstance(node, Branch) or at >= len(node.members):
            return None
        above, node = node, node.members[at]
    return above, node
