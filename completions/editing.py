"""From the tree of rows to a filter, and back without any loss."""

from dataclasses import replace

from completions.filters import Broken, Clause, Filter, Group, Node, edit
from completions.filters.clauses import joined, nodes_of
from completions.tree import TYPED, Branch, Line


def tree_of(wanted: Filter) -> Branch:
    """The rows of a filter; what cannot be read is a row of its own, as typed."""
    if len(wanted.clauses) == 1 and not wanted.broken and isinstance(wanted.clauses[0], Group):
        return _branch(wanted.clauses[0]).place()
    root = Branch("all", [_member(node) for node in wanted.clauses])
    root.members += [Line(TYPED, values=[broken.q], problem=broken.problem) for broken in wanted.broken]
    return root.place()


def _member(node: Node) -> Line | Branch:
    return _branch(node) if isinstance(node, Group) else _line(node)


def _branch(group: Group) -> Branch:
    options = [
        _member(option[0]) if len(option) == 1 else Branch("all", [_member(node) for node in option])
        for option in group.options
    ]
    return Branch("none" if group.negated else "any", options)


def _line(clause: Clause) -> Line:
    if "" in clause.values or clause.key == "":
        return Line(TYPED, values=[clause.q])  # in a form, what is empty is not filled yet
    (row,) = edit.to_rows(Filter((clause,)))
    return Line(row["field"], row["lookup"], row["values"], row["key"])


def filter_of(root: Branch) -> Filter:
    """What the rows say; rows that are not filled say nothing, and each notes what cannot be read of it."""
    broken: list[Broken] = []
    made = Filter.parse(Filter(_nodes(root, broken)).q)
    return replace(made, broken=(*made.broken, *broken))


def _nodes(branch: Branch, broken: list[Broken]) -> tuple[Node, ...]:
    options = [nodes for member in branch.members if (nodes := _said(member, broken))]
    if branch.kind == "all":
        return joined(node for option in options for node in option)
    return nodes_of(options, negated=branch.kind == "none") if options else ()


def _said(member: Line | Branch, broken: list[Broken]) -> tuple[Node, ...]:
    if isinstance(member, Branch):
        return _nodes(member, broken)
    member.problem = ""
    if not member.is_complete:
        return ()
    read = _read(member)
    broken += read.broken
    member.problem = read.broken[0].problem if read.broken else ""
    return read.clauses


def _read(line: Line) -> Filter:
    if line.is_typed:
        return Filter.parse(line.values[0])
    values = [value for value in line.values if value] if line.many else line.values
    row = {"field": line.field, "key": line.key, "lookup": line.lookup, "values": values}
    return edit.from_rows([row])
