"""A JSON document of any size as a tree whose closed branches come only when they are opened.

A node is named by the numbers of the children that lead to it (`0.3.12`), so that no key of the document
stands in an address.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from portal.json_rendering import children, label, length, scalar

OPEN_NODES: Final = 400
CHUNK: Final = 200
OPEN_LEVELS: Final = 4
OPEN_CHILDREN: Final = 50

Path = Sequence[int]


def folding_tree(value: Any, name: str, source: str) -> SafeString:
    """The tree of a document; `source` is the address that gives its branches, `name` what it is called."""
    room = [OPEN_NODES]
    rows = "".join(_node(None, 0, value, 0, room))
    return mark_safe(  # noqa: S308  # the address and the name are escaped here, the rest in its own place
        f'<div class="json untrusted" data-tree data-tree-source="{escape(source)}"'
        f' role="group" aria-label="{escape(name)}">{rows}</div>'
    )


def branch(value: Any, path: Path, start: int = 0) -> SafeString:
    """The children of one node from the number `start` on; raises LookupError where there is none."""
    return mark_safe("".join(_rows(_at(value, path), len(path) + 1, start, [0])))  # noqa: S308  # as above


def value_at(value: Any, path: Path) -> Any:
    """One node's value; raises LookupError where there is none."""
    return _at(value, path)


def name_at(value: Any, path: Path) -> str:
    """How a program reaches a node: `choices[0].message["odd key"]`."""
    written = ""
    for number in path:
        key = list(value)[number] if isinstance(value, dict) else number
        value = _at(value, (number,))
        if isinstance(key, str) and key.isidentifier() and key.isascii():
            written += f".{key}" if written else key
        else:
            written += f"[{json.dumps(key, ensure_ascii=False)}]"
    return written


def read_path(text: str) -> tuple[int, ...]:
    """The numbers of an address; raises ValueError for everything else."""
    if len(text) > 4_000:
        raise ValueError("too long for a path")
    numbers = text.split(".") if text else []
    if not all(number.isascii() and number.isdigit() and len(number) < 10 for number in numbers):
        raise ValueError("not the path of a node")
    return tuple(int(number) for number in numbers)


def _at(value: Any, path: Path) -> Any:
    for number in path:
        if isinstance(value, dict):
            value = list(value.values())[number]
        elif isinstance(value, list):
            value = value[number]
        else:
            raise LookupError("a leaf has no children")
    return value


def _node(key: str | int | None, number: int, value: Any, depth: int, room: list[int]) -> Iterator[str]:
    room[0] -= 1
    if not isinstance(value, dict | list) or not value:
        yield f'<div class="row" data-n="{number}" tabindex="-1">{label(key)}{scalar(value)}</div>'
    elif depth < OPEN_LEVELS and len(value) <= OPEN_CHILDREN and room[0] > 0:
        yield f'<details data-n="{number}" open><summary>{label(key)}{length(value)}</summary><div>'
        yield from _rows(value, depth + 1, 0, room)
        yield "</div></details>"
    else:
        yield (
            f'<details data-n="{number}" data-later><summary>{label(key)}{length(value)}</summary>'
            "<div></div></details>"
        )


def _rows(value: Any, depth: int, start: int, room: list[int]) -> Iterator[str]:
    if not isinstance(value, dict | list):
        raise LookupError("a leaf has no children")
    for number, (key, child) in enumerate(children(value)):
        if number < start:
            continue
        if number >= start + CHUNK:
            rest = len(value) - number
            yield f'<button class="link more" type="button" data-from="{number}">{rest:,} more</button>'
            return
        yield from _node(key, number, child, depth, room)
