"""Pack the answers of upstream, byte for byte, into one compressed blob, and read them back.

Layout before compression: a JSON header line with the length of each part, then the parts: the list
item as cut from its page, then each page of the messages answer. Pure: no models, no settings.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LEVEL = 3  # level 6 is a third smaller on nothing we measured and three times slower


class Unreadable(ValueError):
    """The bytes hold no JSON object of the expected shape."""


@dataclass(frozen=True, slots=True)
class Raw:
    """What upstream sent: `item` from the list, `pages` of messages or None while they are pending."""

    item: bytes
    pages: tuple[bytes, ...] | None


def pack(item: bytes, pages: Sequence[bytes] | None) -> bytes:
    """Compress an item and its pages of messages; `pages=None` means that they were not fetched yet."""
    header = {"item": len(item), "pages": None if pages is None else [len(page) for page in pages]}
    return zlib.compress(b"".join([json.dumps(header).encode(), b"\n", item, *(pages or ())]), LEVEL)


def unpack(blob: bytes | memoryview) -> Raw:
    """The bytes that `pack` was given."""
    data = zlib.decompress(blob)
    head, _, rest = data.partition(b"\n")
    header = json.loads(head)
    item, position = rest[: header["item"]], header["item"]
    if header["pages"] is None:
        return Raw(item, None)
    pages = []
    for length in header["pages"]:
        pages.append(rest[position : position + length])
        position += length
    return Raw(item, tuple(pages))


def decode(data: bytes) -> Any:
    """JSON as leniently as the bytes allow: a BOM and invalid UTF-8 are survived. Raises Unreadable."""
    try:
        return json.loads(data.decode("utf-8-sig", errors="replace"))
    except (ValueError, RecursionError) as error:
        raise Unreadable(str(error)[:200]) from error


def read(raw: Raw) -> tuple[dict[str, Any], list[dict[str, Any]] | None]:
    """The item and its messages as decoded JSON; messages are None while pending. Raises Unreadable."""
    item = decode(raw.item)
    if not isinstance(item, dict):
        raise Unreadable("the item is not an object")
    if raw.pages is None:
        return item, None
    messages: list[dict[str, Any]] = []
    for page in raw.pages:
        answer = decode(page)
        data = answer.get("data") if isinstance(answer, dict) else None
        messages += [entry for entry in data or [] if isinstance(entry, dict)]
    return item, messages
