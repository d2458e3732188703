"""Arguments of a tool call as a person writes them: JSON, and if not, where it fails and why. Pure."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

LONGEST: Final = 500_000

_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_NO_NUMBER = re.compile(r"-?(?:NaN|Infinity)")
# What the parser says in each version of Python, and what a person can do about it.
_WORDS = (
    ("Expecting property name", "a name in double quotes is expected"),
    ("Expecting ',' delimiter", "a comma or a closing bracket is expected"),
    ("Expecting ':' delimiter", "a colon is expected after the name"),
    ("Expecting value", "a value is expected"),
    ("Extra data", "the JSON has ended before this"),
    ("Unterminated string", "the text that begins here has no closing quote"),
    ("Invalid control character", "a line break or another control character stands in a text: write \\n"),
    ("Invalid \\", "this is no escape that JSON knows"),
    ("Illegal trailing comma", "there is a comma after the last entry"),
)


class Unreadable(ValueError):
    """The arguments cannot be taken; the text says where and why."""

    def __init__(self, why: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"Line {line}, column {column}: {why}." if line else f"{why[:1].upper()}{why[1:]}.")
        self.line, self.column = line, column


def check(text: str) -> None:
    """Raise Unreadable unless the text is one JSON object that every reader of JSON understands alike."""
    if len(text) > LONGEST:
        raise Unreadable(f"arguments may have {LONGEST:,} characters")
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise _at(text, error.pos, _in_words(error.msg)) from error
    except RecursionError as error:
        raise Unreadable("it is nested too deeply") from error
    except ValueError as error:  # a number with thousands of digits
        raise Unreadable("it holds a number with too many digits") from error
    for place, why in _flaws(text):
        raise _at(text, place, why)
    if not isinstance(value, dict):
        raise _at(text, len(text) - len(text.lstrip()), "arguments are an object: {…}")


def _at(text: str, place: int, why: str) -> Unreadable:
    return Unreadable(why, text.count("\n", 0, place) + 1, place - text.rfind("\n", 0, place))


def _in_words(message: str) -> str:
    return next((words for known, words in _WORDS if message.startswith(known)), "this is not JSON")


def _flaws(text: str) -> Iterator[tuple[int, str]]:
    """Where JSON that Python reads is not read alike everywhere: names that come twice, and no numbers."""
    names: list[set[Any] | None] = []  # of each object that is open; None for a list
    at_name = False
    for found in _TOKENS.finditer(text):
        part = found[0]
        if part in "{[":
            names.append(set() if part == "{" else None)
            at_name = part == "{"
        elif part in "}]":
            names.pop()
            at_name = False
        elif part == ",":
            at_name = names[-1] is not None
        elif at_name and part.startswith('"'):
            held, name = names[-1], json.loads(part)
            assert held is not None, "only objects have names"
            if name in held:
                yield found.start(), f"the name {part[:80]} stands here a second time"
            held.add(name)
            at_name = False
        elif _NO_NUMBER.fullmatch(part):
            yield found.start(), f"{part} is no JSON: write null or a number"
