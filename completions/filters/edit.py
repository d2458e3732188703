"""The filter as rows that a form shows and posts: field, comparison and values, and groups of them.

Plain dicts in, a filter out, and back, without loss: `from_rows(to_rows(f)) == f` for every filter without
broken conditions. A row that cannot be read becomes a broken condition, never nothing.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from completions.filters import Filter, grammar
from completions.filters.clauses import Clause, Group, Node
from completions.filters.fields import FIELDS, Field
from completions.filters.language import quote, write_name, write_pattern, write_text, write_value
from completions.filters.lookups import AnyOf, Contains, Moments, Numbers, Pattern, Present, Words

# Either {"field", "key", "lookup", "values"}: a name of the registry, the key or label or "", one of
# `Field.lookups`, a list of strings. Or {"group": "any" or "none", "options": a list of lists of rows}; a
# group of one option holds if all of its rows do, and "none" turns a group round.
Row = dict[str, Any]

# Ways to compare and their contraries.
CONTRARY = {
    "is": "is not", "any of": "none of", "contains": "does not contain", "present": "absent",
}  # fmt: skip
_POSITIVE = {contrary: lookup for lookup, contrary in CONTRARY.items()}
_SIGNS = {"more than": ">", "at least": ">=", "less than": "<", "at most": "<="}
_TIMES = {"after": ">", "since": ">=", "before": "<", "until": "<="}
_NAMES = {sign: name for name, sign in _SIGNS.items()}
_TIME_NAMES = {sign: name for name, sign in _TIMES.items()}
_PLAIN = re.compile(r"[<>=]{0,2}[\w.:+\-]+", re.ASCII)


def contrary(lookup: str) -> str:
    return CONTRARY.get(lookup, f"not {lookup}")


def how_many(lookup: str) -> str:
    """How many values a comparison takes: "none", "one", "two" or "many"."""
    positive = _POSITIVE.get(lookup, lookup.removeprefix("not "))
    return {"present": "none", "between": "two", "any of": "many"}.get(positive, "one")


def to_rows(wanted: Filter) -> list[Row]:
    """The rows of a filter; broken conditions have none, they are shown as typed."""
    return [_row(node) for node in wanted.clauses]


def _row(node: Node) -> Row:
    if isinstance(node, Group):
        options = [[_row(each) for each in option] for option in node.options]
        return {"group": "none" if node.negated else "any", "options": options}
    lookup, values = _parts(node)
    return {
        "field": node.field.name,
        "key": node.key or "",
        "lookup": contrary(lookup) if node.negated else lookup,
        "values": values,
    }


def _parts(clause: Clause) -> tuple[str, list[str]]:
    lookup = clause.lookup
    match lookup:
        case AnyOf(values):
            return ("is" if len(values) == 1 else "any of"), list(values)
        case Present():
            return "present", []
        case Contains(text):
            return "contains", [text]
        case Pattern(text):
            return "regex", [text]
        case Words(text, begins):
            return ("words beginning" if begins else "words"), [text]
        case Numbers(text) | Moments(text):
            return _compared(text, is_time=isinstance(lookup, Moments), span=_is_span(lookup))
    raise TypeError(f"no row for {lookup!r}")


def _is_span(lookup: object) -> bool:
    return isinstance(lookup, Moments) and lookup.last is not None


def _compared(text: str, *, is_time: bool, span: bool) -> tuple[str, list[str]]:
    if span:
        return "in the last", [text]
    first, dots, last = text.partition("..")
    if dots:
        return "between", [first, last]
    sign = text[: 2 if text[1:2] == "=" else 1 if text[:1] in ("<", ">") else 0]
    if sign:
        return (_TIME_NAMES if is_time else _NAMES)[sign], [text.removeprefix(sign)]
    return ("on" if is_time else "is"), [text]


def from_rows(rows: Sequence[Mapping[str, Any]]) -> Filter:
    """The filter of some rows, checked like a typed one."""
    return Filter.parse(_written(rows, 0))


def _written(rows: Sequence[Mapping[str, Any]], depth: int) -> str:
    return " ".join(_group(row, depth) if "group" in row else _condition(row) for row in rows)


def _condition(row: Mapping[str, Any]) -> str:
    try:
        return write(row)
    except Unfit:
        return f"{row.get('field') if row.get('field') in FIELDS else ''}:,"  # nothing can read this


def _group(row: Mapping[str, Any], depth: int) -> str:
    options = [
        [each for each in _list(option) if isinstance(each, Mapping)] for option in _list(row.get("options"))
    ]
    written = [_written(option, depth + 1) for option in options if option and depth < grammar.MOST_DEPTH]
    return f"{'-' * (row['group'] == 'none')}({' OR '.join(written) or ':,'})"


class Unfit(ValueError):
    """A row that says nothing yet, or something that its field cannot be asked; the text says what to do."""


def problem(row: Mapping[str, Any]) -> str:
    """What to do about one row, empty if there is nothing to do."""
    try:
        broken = Filter.parse(write(row)).broken
    except Unfit as unfit:
        return str(unfit)
    return broken[0].problem if broken else ""


def write(row: Mapping[str, Any]) -> str:
    """One row in the language. Its values are data: nothing in them is read as part of the language."""
    name, key, lookup = (str(row.get(part) or "") for part in ("field", "key", "lookup"))
    values = [str(value) for value in _list(row.get("values"))]
    field = FIELDS.get(name)
    if field is None:
        raise Unfit("Choose a field.")
    if lookup not in field.lookups:
        raise Unfit(f"Choose how to compare {field.title}.")
    positive = _POSITIVE.get(lookup, lookup.removeprefix("not "))
    if how_many(lookup) == "one" and len(values) != 1:
        raise Unfit("One value is expected here.")
    if how_many(lookup) == "many" and not values:
        raise Unfit("At least one value is expected here.")
    operand = _operand(field, positive, values)
    before = "" if name == "text" else f"{write_name(name, key if field.keyed else None)}:"
    return f"{'-' * (positive != lookup)}{before}{operand}"


def _operand(field: Field, lookup: str, values: list[str]) -> str:
    if lookup == "present":
        return "*"
    if lookup in ("words", "words beginning"):
        return write_text(values[0], begins=lookup == "words beginning")
    if lookup == "contains":
        return f"~{write_value(values[0])}"
    if lookup == "regex":
        return _pattern(values[0])
    if field.how not in ("numbers", "moments") and lookup not in (*_SIGNS, "between"):
        return ",".join(write_value(value) for value in values)
    cut = [value.strip() for value in values]
    if not all(cut) or any(".." in value or value[0] in '<>=*"' for value in cut):
        raise Unfit("A number or a time is expected here.")
    if lookup == "between":
        if len(cut) != 2:
            raise Unfit("Two values are expected here.")
        text = "..".join(cut)
    else:
        text = (_TIMES if field.how == "moments" else _SIGNS).get(lookup, "") + cut[0]
    is_span = field.how == "moments" and cut[0].isascii() and cut[0][-1:] in "mhdw"
    if is_span is not (lookup == "in the last"):
        raise Unfit("Write a span such as 7d, or a date such as 2026-11-01.")
    return text if _PLAIN.fullmatch(text) else quote(text)


def _pattern(text: str) -> str:
    written = write_pattern(text)
    trailing = len(text) - len(text.rstrip("\\"))
    if not text or trailing % 2:
        raise Unfit("The pattern is empty or ends with a single backslash.")
    return written


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []
