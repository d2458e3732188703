"""Values from outside as source code in which nothing is hidden: Python literals and JSON. Pure."""

import json
import math
import re
from typing import Any, Final

from portal.hidden import spell

# Python's parser gives up at 200 brackets within each other.
# https://docs.python.org/3/library/ast.html#ast.parse
MAX_DEPTH: Final = 40
SHORT: Final = 88
_QUOTED = re.compile(r'["\\\n\t]')
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


class TooDeep(ValueError):
    """The value is nested more deeply than source code may be."""


def python_string(text: str) -> str:
    """A double-quoted literal on one line."""
    escaped = _QUOTED.sub(lambda found: _ESCAPES[found[0]], text)
    return f'"{spell(escaped, _python_escape)}"'


def _python_escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()


def python_literal(value: Any, indent: int = 0) -> str:
    """A value that JSON can hold as Python source, over several lines where it is long."""
    try:
        return _literal(value, indent, 0)
    except RecursionError as error:
        raise TooDeep from error


def _literal(value: Any, indent: int, depth: int) -> str:
    if isinstance(value, str):
        return _text(value, indent)
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if not isinstance(value, dict | list):
        return repr(value)
    if depth >= MAX_DEPTH:
        return f"json.loads({python_string(json.dumps(value))})"
    if isinstance(value, dict):
        rows = [
            f"{python_string(key)}: {_literal(each, indent + 4, depth + 1)}" for key, each in value.items()
        ]
    else:
        rows = [_literal(each, indent + 4, depth + 1) for each in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    line = f"{opening}{', '.join(rows)}{closing}"
    if len(line) + indent <= SHORT and "\n" not in line:
        return line
    before = "\n" + " " * (indent + 4)
    return f"{opening}{''.join(f'{before}{row},' for row in rows)}\n{' ' * indent}{closing}"


def _text(text: str, indent: int) -> str:
    """Text of several lines stands in as many, which Python puts together."""
    lines = text.split("\n")
    if len(lines) < 3:
        return python_string(text)
    quoted = [python_string(f"{line}\n") for line in lines[:-1]]
    if lines[-1]:
        quoted.append(python_string(lines[-1]))
    before = "\n" + " " * (indent + 4)
    return f"({''.join(before + line for line in quoted)}\n{' ' * indent})"


def needs_json(value: Any) -> bool:
    """Whether the Python literal of a value reads its deepest parts with the json module."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for each in level
            if isinstance(each, dict | list)
            for child in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return any(isinstance(each, dict | list) for each in level)


def visible_json(value: Any) -> str:
    """Indented JSON that people can read and in which hidden characters are written as escapes."""
    try:
        return spell(json.dumps(value, indent=2, ensure_ascii=False), _json_escape)
    except RecursionError as error:
        raise TooDeep from error


def _json_escape(character: str) -> str:
    return json.dumps(character)[1:-1]
