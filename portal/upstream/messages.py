"""The input messages of one completion, over all their pages, with or without ids to page by."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from portal.upstream import cutting, pager
from portal.upstream.errors import UpstreamError
from portal.upstream.records import Messages, look

MOST_PAGES = 200


def all_messages(
    fetch: Callable[[Mapping[str, str]], tuple[bytes, dict[str, Any] | str]], completion_id: str
) -> Messages:
    """Every message in order; `fetch(query)` makes one request and reads its answer with `read_page`."""
    bodies: list[bytes] = []
    items: list[dict[str, Any]] = []
    after, limit, cursors = "", 100, set[str]()
    for _ in range(MOST_PAGES):
        query = {"limit": str(limit), "order": "asc"} | ({"after": after} if after else {})
        body, page = fetch(query)
        if isinstance(page, str):
            return Messages((*bodies, body), tuple(items), page)
        found = [item for item in page["data"] if isinstance(item, dict)]
        more, total = look(page, "has_more"), page.get("total")
        if not found and (bodies or not more):
            if more:
                raise pager.stalled()
            return Messages((*bodies, body) if not bodies else tuple(bodies), tuple(items))
        last = found[-1].get("id") if found else None
        if after and (last in cursors or last == after):
            if more is None:
                break
            raise pager.loop()
        bodies.append(body)
        items += found
        # Azure's dated API may give null, or the completion's own id, as the id of every message.
        walkable = isinstance(last, str) and last != completion_id
        if more is not None:
            complete = not more
        elif isinstance(total, int):
            complete = len(items) >= total
        else:
            complete = not walkable and len(found) < limit  # otherwise an empty page tells
        if complete:
            break
        if not isinstance(last, str) or not walkable:
            if limit > 100:
                return Messages(tuple(bodies), tuple(items), "the service does not let all messages be read")
            bodies, items, limit = [], [], 1000
            continue
        cursors.add(last)
        after = last
    else:
        return Messages(tuple(bodies), tuple(items), "it has more messages than are read")
    return Messages(tuple(bodies), tuple(items))


def read_page(body: bytes, content_type: str) -> tuple[bytes, dict[str, Any] | str]:
    """The bytes and their value; a text instead of it says why they cannot be read."""
    text = cutting.text_of(body, content_type)
    try:
        page = json.loads(text)
    except json.JSONDecodeError:
        raise cutting.not_json(text) from None
    except RecursionError:
        return body, "nested too deeply"
    except ValueError:
        return body, "holds a number that is too long"
    if not isinstance(page, dict) or not isinstance(page.get("data"), list):
        raise UpstreamError("unreadable", "The answer is not a list of messages.", code="no_data")
    if text.count("{") + text.count("[") > cutting.DEEPEST and cutting.too_deep(page):
        return body, "nested too deeply"
    return body, page
