"""Addresses of the pane and of a completion, and the places in a list that stand in them."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from django.urls import reverse

from completions.listing import Key

# What Django leaves as it is in a path, and so do we. https://www.rfc-editor.org/rfc/rfc3986#section-3.3
_PATH = "/~:@!$&'()*+,;="


def pane_address(q: str, **parameters: str) -> str:
    """The address of a page; what is empty is left out. Beside a view no filter has to be said as well."""
    every = {"q": q, **parameters}
    empty = ("q",) if parameters.get("view") else ()
    query = urlencode({name: value for name, value in every.items() if value or name in empty})
    return f"{reverse('completions:pane')}{'?' * bool(query)}{query}"


# Ids that stand in a path as they are. Browsers and proxies fold dots and slashes; two words are pages here.
# https://url.spec.whatwg.org/#double-dot-path-segment
_OPENS = re.compile(r"(?!(?:\.{1,2}|health|labels)\Z)[^/\\\x00-\x1f\x7f\u0085\u2028\u2029]+")


def drawer_addresses(slug: str, query: str = "") -> Callable[[str, int], str]:
    """Where the completions of one connection are opened, as a function of id upstream and number here."""
    root = f"{reverse('completions:pane')}{slug}/"
    tail = f"/{'?' * bool(query)}{query}"

    def address(upstream_id: str, pk: int) -> str:
        if _OPENS.fullmatch(upstream_id):
            return f"{root}{quote(upstream_id, safe=_PATH, errors='replace')}{tail}"
        return f"{root}by-number/{pk}{tail}"

    return address


def drawer_address(slug: str, upstream_id: str, pk: int, query: str = "") -> str:
    """Where one completion is opened: by its id upstream, or by its number here if a path cannot."""
    return drawer_addresses(slug, query)(upstream_id, pk)


# A place in a list.


def write_key(key: Key | None) -> str:
    if key is None:
        return ""
    return f"{key.created}.{key.id}" + ("" if key.value is None else f".{key.value}")


def read_key(text: str) -> Key | None:
    """A place from an address, or None if it is none."""
    parts = text.split(".")
    if not 2 <= len(parts) <= 3 or len(text) > 60:
        return None
    created, pk, *value = parts
    if not _is_number(created) or not pk.isascii() or not pk.isdigit() or len(pk) > 18:
        return None
    if value and not _is_number(value[0]):
        return None
    return Key(int(created), int(pk), int(value[0]) if value else None)


def _is_number(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) < 20


def read_day(text: str, zone: str) -> tuple[int, int] | None:
    """The first second of a day (2026-11-20) in a zone and the first one after it; None if it is none."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
        return None
    try:
        start = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=ZoneInfo(zone))
        return int(start.timestamp()), int((start + timedelta(days=1)).timestamp())
    except (ValueError, OverflowError):
        return None
