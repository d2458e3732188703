"""Addresses of the pane and of a completion, and the places in a list that stand in them."""

from urllib.parse import urlencode

from django.urls import reverse

from completions.listing import Key


def pane_address(q: str, **cursor: str) -> str:
    """The address of a page; what is empty is left out."""
    query = urlencode({name: value for name, value in {"q": q, **cursor}.items() if value})
    return f"{reverse('completions:pane')}{'?' * bool(query)}{query}"


def drawer_address(slug: str, upstream_id: str, query: str = "") -> str:
    return f"{reverse('completions:drawer', args=[slug, upstream_id])}{'?' * bool(query)}{query}"


def write_key(key: Key | None) -> str:
    return f"{key.created}.{key.id}" if key else ""


def read_key(text: str) -> Key | None:
    """A place from an address, or None if it is none."""
    created, dot, pk = text.partition(".")
    if not dot or len(text) > 40 or not pk.isascii() or not pk.isdigit() or len(pk) > 18:
        return None
    digits = created.removeprefix("-")
    return Key(int(created), int(pk)) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None
