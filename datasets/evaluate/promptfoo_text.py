"""Texts with variables: Promptfoo's `{{ name }}` and our `{{ item.name }}`, where both mean the same. Pure.

Promptfoo fills its texts with Nunjucks; of that only plain names, paths and indexes have an equal here.
https://www.promptfoo.dev/docs/configuration/guide/
"""

import json
import re
from typing import Any, Final

from datasets.evaluate import template
from datasets.evaluate.carry import NotCarried, number_of

ANSWER: Final = "{{ sample.output_text }}"
LONGEST: Final = 100_000
_HOLE = re.compile(r"\{\{-?(.*?)-?\}\}", re.DOTALL)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_FIRST = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_WORDS = frozenset({"and", "else", "env", "false", "if", "in", "is", "none", "not", "null", "or", "true"})
_READS = ("file://", "package:")


class Untold(ValueError):
    """A text that has no equal on the other side; says why."""


def read(value: Any) -> str | NotCarried:
    """A value of an assertion as a text of ours, with its variables as columns of the item."""
    number = number_of(value)
    if number is not None:
        return f"{number:.12g}"
    if not isinstance(value, str):
        return NotCarried("Its value is neither a text nor a number.")
    try:
        return columns_of(value)
    except Untold as problem:
        return NotCarried(str(problem))


def columns_of(text: str) -> str:
    """The text with `{{ name }}` as `{{ item.name }}`. Raises Untold."""
    if text.startswith(_READS):
        raise Untold("It reads a file, which is not part of the configuration.")
    if len(text) > LONGEST:
        raise Untold("Its text is too long.")
    if "{%" in text or "{#" in text:
        raise Untold("Its text holds commands of Nunjucks; only names are filled in here.")
    if text.rfind("{{") > text.rfind("}}"):
        raise Untold("“{{” is opened but never closed with “}}”.")
    filled = _HOLE.sub(lambda hole: f"{{{{ item.{_path(hole[1].strip())} }}}}", text)
    try:
        template.parse(filled)
    except template.Broken as problem:
        raise Untold(str(problem)) from None
    return filled


def variables_of(text: str) -> str:
    """The text with `{{ item.name }}` as `{{ name }}`. Raises Untold."""
    if text.startswith(_READS):
        raise Untold("Promptfoo would read a file in its place.")
    written = []
    for part in template.parse(text):
        if isinstance(part, str):
            if "{%" in part or "{#" in part:
                raise Untold("Promptfoo would read commands in its text.")
            written.append(part)
        else:
            written.append(f"{{{{ {_variable(part)} }}}}")
    return "".join(written)


def _path(source: str) -> str:
    first = _FIRST.match(source)
    if first is None or first[0] in _WORDS:
        raise Untold(f"“{source[:60]}” is no plain variable.")
    try:
        parts = template.parse(f"{{{{ item.{source} }}}}")
    except template.Broken:
        raise Untold(f"“{source[:60]}” is no plain variable.") from None
    path = parts[0]
    assert not isinstance(path, str)
    return _spelled(path[1:])


def _variable(path: template.Path) -> str:
    if path[0] != "item":
        raise Untold(f"Promptfoo has no {template.spell(path)} in its texts.")
    if isinstance(path[1], int) or not _IDENTIFIER.match(path[1]) or path[1] in _WORDS:
        raise Untold(f"“{str(path[1])[:60]}” cannot be a variable of Promptfoo.")
    return _spelled(path[1:])


def _spelled(steps: tuple[str | int, ...]) -> str:
    written = str(steps[0])
    for step in steps[1:]:
        if isinstance(step, int):
            written += f"[{step}]"
        elif _IDENTIFIER.match(step):
            written += f".{step}"
        else:
            written += f"[{json.dumps(step, ensure_ascii=False)}]"
    return written
