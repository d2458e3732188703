"""What fits where the caret stands in a typed filter. Observed values are looked up elsewhere."""

import re
from dataclasses import dataclass
from typing import Literal

from completions.filters.fields import FIELDS, FLAGS, MARKS, STATES, TEXT_FIELDS, Field
from completions.filters.language import unquote, write_name, write_value

Place = Literal["field", "key", "value", "text"]
MOST = 12

_HEAD = re.compile(
    r'(-?)(?:(meta|label)\.("(?:[^"\\]|\\.)*"?|[^\s":()]*)|([A-Za-z_][A-Za-z0-9_]*))(:?)',
    re.DOTALL | re.IGNORECASE,
)
_PATTERN = re.compile(rf"-?(?:(?:{'|'.join(sorted(TEXT_FIELDS))}):)?", re.IGNORECASE)


# Fields of which every value is known.
_CHOICES = {
    "has": {**MARKS, **FLAGS},
    "is": dict(STATES),
    **{field.name: dict(field.choices) for field in FIELDS.values() if field.choices},
}


@dataclass(frozen=True, slots=True)
class Context:
    """Where the caret stands: `typed` was typed of what `start` to `end` of the text will be replaced by.

    `field` and `key` say whose value it is, or whose key.
    """

    kind: Place
    field: str = ""
    key: str = ""
    typed: str = ""
    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`insert` takes the place of what was typed; a condition that is complete ends with a space."""

    insert: str
    title: str
    hint: str = ""


def at(q: str, caret: int) -> Context:
    """What is being typed at the caret."""
    caret = max(0, min(caret, len(q)))
    start, end = _bounds(q, caret)
    head = _HEAD.match(q, start)
    if head is None or head.end() > end:
        return _free(q, start, caret, end)
    minus, keyed, key, plain, colon = head.groups()
    if colon and caret >= head.end():
        name = (keyed or plain).lower()
        key = unquote(key) if key and key.startswith('"') else key or ""
        if name not in FIELDS:
            return _free(q, start, caret, end)
        return _value(q, name, key, head.end(), caret, end)
    if keyed:
        from_key = start + len(minus) + len(keyed) + 1
        if caret >= from_key:
            typed = q[from_key:caret]
            return Context("key", keyed.lower(), "", typed.strip('"').replace('\\"', '"'), from_key, end)
    if not colon and head.end() < end:
        return _free(q, start, caret, end)
    begin = min(caret, start + len(minus))
    return Context("field", typed=q[begin:caret], start=begin, end=end)


def _free(q: str, start: int, caret: int, end: int) -> Context:
    return Context("text", "text", "", q[start:caret], start, end)


def _value(q: str, name: str, key: str, begin: int, caret: int, end: int) -> Context:
    """One of the values that are separated by commas outside quotes."""
    start, at_, inside = begin, begin, False
    last = end
    while at_ < end:
        character = q[at_]
        if inside and character == "\\":
            at_ += 1
        elif character == '"':
            inside = not inside
        elif character == "," and not inside:
            if at_ < caret:
                start = at_ + 1
            else:
                last = at_
                break
        at_ += 1
    typed = q[start:caret].removeprefix("~").removeprefix('"').removesuffix('"')
    return Context("value", name, key, re.sub(r'\\(["\\])', r"\1", typed), start, last)


def _bounds(q: str, caret: int) -> tuple[int, int]:
    """The piece that holds the caret: up to spaces and group parentheses outside quotes and patterns."""
    at_, start, inside = 0, 0, ""
    while at_ < len(q):
        character = q[at_]
        if inside:
            if character == "\\":
                at_ += 1
            elif character == inside:
                inside = ""
        elif character == '"' or (character == "/" and _PATTERN.fullmatch(q, start, at_)):
            inside = character
        elif character.isspace() or character == ")" or (character == "(" and q[start:at_] in ("", "-")):
            if at_ >= caret:
                return start, at_
            start = at_ + 1
        at_ += 1
    return min(start, caret), len(q)


def fields(typed: str) -> list[Suggestion]:
    """Fields that begin like this, then those that hold it anywhere in their name or title."""
    wanted = typed.casefold()
    found = [field for field in FIELDS.values() if field.name.startswith(wanted)]
    found += [
        field
        for field in FIELDS.values()
        if field not in found and wanted in f"{field.name} {field.title}".casefold()
    ]
    marks = [each for name in _CHOICES for each in names(name, typed, whole=True)] if typed else []
    return [*(_field(field) for field in found), *marks][:MOST]


def _field(field: Field) -> Suggestion:
    return Suggestion(f"{field.name}{'.' if field.keyed else ':'}", field.title, field.example)


def names(name: str, typed: str, *, whole: bool = False) -> list[Suggestion]:
    """What a field of few values can be followed by, as `has:`; `whole` writes the field as well."""
    known = _CHOICES.get(name, {})
    wanted = typed.casefold()
    found = [each for each in known if each.startswith(wanted)]
    found += [each for each in known if each not in found and wanted in known[each].casefold()]
    return [
        Suggestion(f"{name}:{each} " if whole else f"{each} ", known[each], f"{name}:{each}")
        for each in found
    ][:MOST]


def examples(name: str) -> list[Suggestion]:
    """How values of a field may be written."""
    field = FIELDS.get(name)
    if field is None:
        return []
    if field.choices:
        return names(name, "")
    forms = {
        "numbers": (("{n}", "exactly"), (">{n}", "more than"), ("<={n}", "at most"), ("{n}..{m}", "between")),
        "moments": (
            ("24h", "in the last 24 hours"), ("7d", "in the last 7 days"), ("30d", "in the last 30 days"),
            (">=2026-01-01", "since a day"), ("2026-01..2026-03", "from one month to another"),
        ),
        "words": (('"two words"', "words side by side"), ("begin*", "a word beginning so"),
                  ("~part", "a part of the text"), ("/patt(er)?n/", "a pattern")),
        "notes": (('"two words"', "words side by side"), ("begin*", "a word beginning so")),
        "terms": (("*", "any value"), ("~part", "a part of the value"), ("one,other", "one of several")),
    }.get(field.how, ())  # fmt: skip
    if field.how == "terms" and "contains" not in field.lookups:
        forms = tuple(form for form in forms if form[0] != "~part")
    if field.how == "terms" and "between" in field.lookups:
        forms = (*forms, (">=4", "a score of at least"), ("3..5", "a score between"))
    n, m = ("0.5", "1") if field.column == "temperature" else ("100", "500")
    return [
        Suggestion(form.format(n=n, m=m), title, f"{name}:{form.format(n=n, m=m)}") for form, title in forms
    ]


def value(text: str) -> str:
    """An observed value as it is inserted."""
    return write_value(text)


def key(text: str) -> str:
    """An observed metadata key as it is inserted, with its colon."""
    return f"{write_name('', text).removeprefix('.')}:"
