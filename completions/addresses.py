"""Addresses of the pane and of a completion, and the places in a list that stand in them."""

import re
from urllib.parse import urlencode

from django.urls import reverse

from completions.listing import Key


def pane_address(q: str, **cursor: str) -> str:
    """The address of a page; what is empty is left out."""
    query = urlencode({name: value for name, value in {"q": q, **cursor}.items() if value})
    return f"{reverse('completions:pane')}{'?' * bool(query)}{query}"


# Ids that stand in a path as they are. Browsers and proxies fold dots and slashes; `health` is a page here.
# https://url.spec.whatwg.org/#double-dot-path-segment
_OPENS = re.compile(r"(?!(?:\.{1,2}|health)\Z)[^/\\\x00-\x1f\x7f\u0085\u2028\u2029]+")


def drawer_address(slug: str, upstream_id: str, pk: int, query: str = "") -> str:
    """Where one completion is opened: by its id upstream, or by its number here if a path cannot."""
    if _OPENS.fullmatch(upstream_id):
        path = reverse("completions:drawer", args=[slug, upstream_id])
    else:
        path = reverse("completions:by_number", args=[slug, pk])
    return f"{path}{'?' * bool(query)}{query}"


def write_key(key: Key | None) -> str:
    return f"{key.created}.{key.id}" if key else ""


def read_key(text: str) -> Key | None:
    """A place from an address, or None if it is none."""
    created, dot, pk = text.partition(".")
    if not dot or len(text) > 40 or not pk.isascii() or not pk.isdigit() or len(pk) > 18:
        return None
    digits = created.removeprefix("-")
    return Key(int(created), int(pk)) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None
