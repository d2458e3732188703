"""A list answer cut into its items, each with the very bytes in which it came.

The decoder of the standard library reads each item at C speed and says where it ends; only what it cannot
read (nesting without end, numbers without end) is measured by counting brackets.
"""

import codecs
import json
import re
from json.decoder import scanstring  # type: ignore[attr-defined]  # documented nowhere, there since 2.6
from typing import Any

from portal.upstream.errors import UpstreamError, clean
from portal.upstream.records import Item, Page

DEEPEST = 200  # far below what any Python's decoder and encoder take, so that every version agrees
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def text_of(body: bytes, content_type: str = "") -> str:
    """The text of a JSON body; bytes that are not UTF-8 survive as surrogate escapes, or by their charset."""
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return body.decode("utf-16", "replace")
    if body.startswith(codecs.BOM_UTF8):
        body = body[3:]
    try:
        return body.decode()
    except UnicodeDecodeError:
        named = re.search(r"charset=\"?([\w.:-]+)", content_type, re.I)
        if named and named[1].lower() not in ("utf-8", "utf8"):
            try:
                text = body.decode(named[1])
            except (LookupError, ValueError):
                text = ""
            if text.lstrip()[:1] in ("{", "["):  # a charset may be named and not be meant
                return text
        return body.decode("utf-8", "surrogateescape")


def cut_page(body: bytes, content_type: str = "") -> Page:
    """The items of a list answer; raises UpstreamError("unreadable") if it is not one."""
    text = text_of(body, content_type)
    items: tuple[Item, ...] | None = None
    rest: dict[str, Any] = {}
    try:
        at = _past(text, 0, "{")
        while text[at : at + 1] != "}":
            key, at = scanstring(text, _past(text, at, '"'), False)
            at = _past(text, at, ":")
            if key == "data" and text[at : at + 1] == "[":
                items, at = _cut(text, at + 1)
            else:
                try:
                    rest[key], at = _DECODER.raw_decode(text, at)
                except (RecursionError, ValueError):
                    at = _end_of(text, at)
            at = _SPACE.match(text, at).end()  # type: ignore[union-attr]  # matches the empty string
            if text[at : at + 1] == ",":
                at = _SPACE.match(text, at + 1).end()  # type: ignore[union-attr]
    except ValueError as error:
        raise not_json(text) from error
    if items is None:
        raise UpstreamError(
            "unreadable",
            "The answer is not a list of stored completions.",
            code="no_data",
            excerpt=clean(text, limit=200),
            hint="Check the base URL and the API version: something else answers at this address.",
        )
    more = rest.get("has_more", rest.get("hasMore"))
    total = rest.get("total")
    return Page(
        items=items,
        has_more=more if isinstance(more, bool) else None,
        first_id=_id(rest.get("first_id", rest.get("firstId"))),
        last_id=_id(rest.get("last_id", rest.get("lastId"))),
        total=total if isinstance(total, int) and not isinstance(total, bool) else None,
    )


def cut_one(body: bytes, content_type: str = "") -> Item:
    """A single object as an Item."""
    text = text_of(body, content_type)
    start = _SPACE.match(text).end()  # type: ignore[union-attr]
    if text[start : start + 1] != "{":
        raise not_json(text)
    try:
        item, _ = _item(text, start)
    except ValueError as error:
        raise not_json(text) from error
    return item


def not_json(text: str) -> UpstreamError:
    """The error for an answer that should have been JSON."""
    page = text.lstrip()[:1] == "<"
    return UpstreamError(
        "unreadable",
        "It answered with a web page instead of data." if page else "The answer is not readable JSON.",
        code="html" if page else "not_json",
        excerpt=clean(text, limit=200),
        hint="Check the base URL: a proxy's or a portal's page answers there." if page else "",
    )


def _cut(text: str, at: int) -> tuple[tuple[Item, ...], int]:
    items = []
    at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
    while text[at : at + 1] != "]":
        item, at = _item(text, at)
        items.append(item)
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        if text[at : at + 1] == ",":
            at = _SPACE.match(text, at + 1).end()  # type: ignore[union-attr]
        elif text[at : at + 1] != "]":
            raise ValueError("items without a comma between them")
    return tuple(items), at + 1


def _item(text: str, start: int) -> tuple[Item, int]:
    value: Any
    problem = ""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        value, end, problem = None, _end_of(text, start), "nested too deeply"
    except ValueError:  # an integer of more digits than Python converts
        value, end, problem = None, _end_of(text, start), "holds a number that is too long"
    raw = text[start:end]
    if value is not None and raw.count("{") + raw.count("[") > DEEPEST and too_deep(value):
        value, problem = None, "nested too deeply"
    if not isinstance(value, dict):
        value, problem = None, problem or "not an object"
    return Item(raw.encode("utf-8", "surrogateescape"), value, problem), end


def too_deep(value: Any) -> bool:
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for container in level:
            members = container.values() if isinstance(container, dict) else container
            inner += [member for member in members if isinstance(member, dict | list)]
        if not inner:
            return False
        level = inner
    return True


def _end_of(text: str, at: int) -> int:
    """Where the value that begins at `at` ends, by counting brackets outside strings."""
    if text[at : at + 1] not in ("{", "["):
        found = re.compile(r"[^,\]}\s]+").match(text, at)
        if found is None:
            raise ValueError("no value")
        return found.end()
    depth = 0
    for token in _TOKEN.finditer(text, at):
        mark = token[0]
        if mark in "{[":
            depth += 1
        elif mark in "}]":
            depth -= 1
            if depth == 0:
                return token.end()
    raise ValueError("brackets without end")


def _past(text: str, at: int, mark: str) -> int:
    at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
    if text[at : at + 1] != mark:
        raise ValueError(f"expected {mark}")
    return _SPACE.match(text, at + 1).end() if mark != '"' else at + 1  # type: ignore[union-attr]


def _id(value: Any) -> str | None:
    return value if isinstance(value, str) else None
