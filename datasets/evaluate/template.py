"""`{{ item.x }}` and `{{ sample.output_text }}`: plain substitution, nothing else.

Texts come from users and models, so there are no filters, loops or calls, and what was put in is never read
again.
Syntax as in https://platform.openai.com/docs/guides/graders: two namespaces, names and indexes, any depth.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

NAMESPACES = ("item", "sample")
_HOLE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_NAME = re.compile(r"[\w-]+")
_STEP = re.compile(
    r"""\.\s*([\w-]+)                     # .name
    | \[\s*(-?\d{1,9})\s*\]             # [0]
    | \[\s*"((?:[^"\\]|\\.)*)"\s*\]     # ["a key"]
    | \[\s*'((?:[^'\\]|\\.)*)'\s*\]     # ['a key']
    """,
    re.VERBOSE,
)
_OPEN = "“{{” is opened but never closed with “}}”."
_QUOTES = re.compile(r'\\.|"', re.DOTALL)  # an escaped one is none
_ESCAPED = re.compile(r"\\(.)")


class Broken(ValueError):
    """The template itself cannot be read; the same for every item."""


class Missing(LookupError):
    """This item has nothing at a path; an error of the item, never an empty string."""


Path = tuple[str | int, ...]


def parse(text: str) -> tuple[str | Path, ...]:
    """Literal texts and paths in order. Raises Broken, naming what cannot be read."""
    if text.rfind("{{") > text.rfind("}}"):
        raise Broken(_OPEN)  # at once: from each of many to the end of a long text takes for ever
    parts: list[str | Path] = []
    at = 0
    for hole in _HOLE.finditer(text):
        if hole.start() > at:
            parts.append(_literal(text[at : hole.start()]))
        parts.append(_path(hole[1].strip()))
        at = hole.end()
    if at < len(text):
        parts.append(_literal(text[at:]))
    return tuple(parts)


def render(
    text: str, item: Mapping[str, Any], sample: Mapping[str, Any], put: Callable[[str], str] = str
) -> str:
    """The text with every hole filled from `item` or `sample`. Raises Broken or Missing.

    `put` says how a value stands in the text; the template's own words are left alone.
    """
    roots = {"item": item, "sample": sample}
    return "".join(
        part if isinstance(part, str) else put(_text(_look_up(part, roots), part)) for part in parse(text)
    )


def render_json(text: str, item: Mapping[str, Any], sample: Mapping[str, Any]) -> str:
    """The same for a template of JSON: what is put into a text of it, within its quotes, cannot end it."""
    roots = {"item": item, "sample": sample}
    written: list[str] = []
    quoted = False
    for part in parse(text):
        if isinstance(part, str):
            quoted ^= sum(sign[0] == '"' for sign in _QUOTES.finditer(part)) % 2 == 1
            written.append(part)
        else:
            value = _text(_look_up(part, roots), part)
            written.append(json.dumps(value, ensure_ascii=False)[1:-1] if quoted else value)
    return "".join(written)


def spell(path: Path) -> str:
    """A path as a person would write it."""
    first, *rest = path
    return str(first) + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in rest)


def _literal(text: str) -> str:
    if "{{" in text:
        raise Broken(_OPEN)
    return text


def _path(source: str) -> Path:
    name = _NAME.match(source)
    if not name:
        raise Broken(f"“{{{{ {source} }}}}” holds no name. Write for example {{{{ item.reference }}}}.")
    if name[0] not in NAMESPACES:
        raise Broken(f"“{name[0]}” is unknown: a name starts with item or sample.")
    path: list[str | int] = [name[0]]
    at = name.end()
    while at < len(source):
        step = _STEP.match(source, at)
        if not step:
            raise Broken(
                f"“{{{{ {source} }}}}” cannot be read from “{source[at:][:40]}” on: only names and indexes."
            )
        dotted, index, double, single = step.groups()
        if index is not None:
            path.append(int(index))
        elif dotted is not None:
            path.append(dotted)
        else:
            path.append(_ESCAPED.sub(r"\1", double if double is not None else single))
        at = step.end()
    if len(path) == 1:
        raise Broken(f"“{{{{ {source} }}}}” names everything. Say what of it: {{{{ {source}.… }}}}.")
    return tuple(path)


def _look_up(path: Path, roots: Mapping[str, Any]) -> Any:
    value: Any = roots
    for reached, step in enumerate(path):
        try:
            value = _step(value, step)
        except (KeyError, IndexError):
            raise Missing(f"There is no {spell(path[: reached + 1])}.") from None
    return value


def _step(value: Any, step: str | int) -> Any:
    if isinstance(step, int):
        if isinstance(value, list):
            return value[step]
    elif isinstance(value, Mapping):
        return value[step]
    raise KeyError(step)


def _text(value: Any, path: Path) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        raise Missing(f"{spell(path)} is empty (null).")
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        raise Missing(f"{spell(path)} is nested too deeply.") from None
