"""Walking a list to its real end; each way in which a service may stall, repeat or forget has a rule."""

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from time import sleep

from portal.upstream.errors import UpstreamError
from portal.upstream.records import Page

STALLED_TRIES = 3
REMEMBERED_PAGES = 20
REMEMBERED_IDS = 50
MOST_STEPS_BACK = 50


def pages_of(
    fetch: Callable[[str, int], Page], *, after: str = "", limit: int = 100, fall_back: Sequence[str] = ()
) -> Iterator[Page]:
    """Every page behind `after`, each with something new.

    `fetch(after, limit)` makes one request. An empty page that promises more is asked for again three times,
    then UpstreamError("stalled"); a page without a new id raises "loop"; where the service does not say
    whether more follows, an empty page is the end. If the cursor has vanished, the ids seen last and then
    `fall_back` (newest first) take its place; if none is known: kind "not_found" with code "cursor_gone".
    """
    cursors: set[str] = set()
    recent: deque[frozenset[str]] = deque(maxlen=REMEMBERED_PAGES)
    own: deque[str] = deque(maxlen=REMEMBERED_IDS)
    steps_back = 0
    while True:
        try:
            page, limit = _fetch(fetch, after, limit)
        except UpstreamError as error:
            if not _cursor_refused(error, after) or steps_back >= MOST_STEPS_BACK:
                raise
            steps_back += 1
            candidates = [known for known in (*reversed(own), *fall_back) if known and known != after]
            after, page, limit = _step_back(fetch, candidates, limit, error)
            cursors.clear()
            recent.clear()
            own.clear()
        ids = [item.id for item in page.items if item.id]
        if not page.items:
            if page.has_more:
                raise stalled()
            return
        last = ids[-1] if ids else page.last_id or ""
        is_new = any(not any(known in seen for seen in recent) for known in ids) if ids else bool(last)
        if last in cursors or last == after or not is_new:
            if page.has_more is None and not is_new:
                return  # a list that knows neither cursor nor end, such as Azure's files
            if not last and page.has_more is not True:
                yield page  # rows without any id, and no more of them
                return
            raise loop()
        yield page
        if page.has_more is False:
            return
        cursors.add(last)
        recent.append(frozenset(ids))
        own.extend(ids)
        after = last


def _fetch(fetch: Callable[[str, int], Page], after: str, limit: int) -> tuple[Page, int]:
    """One page that is not empty unless it is the last; smaller pages where one would be too large."""
    for tried in range(STALLED_TRIES + 1):
        while True:
            try:
                page = fetch(after, limit)
                break
            except UpstreamError as error:
                if error.code != "too_large" or limit == 1:
                    raise
                limit = max(1, limit // 4)
        if page.items or not page.has_more:
            return page, limit
        if tried < STALLED_TRIES:
            sleep(0.2 * (tried + 1) * (0.5 + random.random()))
    raise stalled()


def _step_back(
    fetch: Callable[[str, int], Page], candidates: Sequence[str], limit: int, refused: UpstreamError
) -> tuple[str, Page, int]:
    """The first candidate that the service still knows as a cursor, and the page behind it."""
    fetch("", 1)  # if the list itself is refused, that error says more than a missing cursor
    for candidate in candidates[:MOST_STEPS_BACK]:
        try:
            page, limit = _fetch(fetch, candidate, limit)
        except UpstreamError as error:
            if not _cursor_refused(error, candidate):
                raise
            continue
        return candidate, page, limit
    raise UpstreamError(
        "not_found",
        "The place where the last reading stopped has been deleted upstream.",
        http_status=refused.http_status,
        code="cursor_gone",
        request_id=refused.request_id,
        hint="The list is read again from an earlier time.",
        permanent=False,
    ) from refused


def _cursor_refused(error: UpstreamError, after: str) -> bool:
    return bool(after) and error.kind in ("not_found", "bad_request")


def stalled() -> UpstreamError:
    return UpstreamError(
        "stalled",
        "The service says that there is more but sends an empty page.",
        code="stalled",
        hint="Nothing is lost: the reading goes on from the same place later.",
    )


def loop() -> UpstreamError:
    return UpstreamError(
        "loop",
        "The service sends the same page again and again.",
        code="loop",
        hint="It ignores the cursor. Rows behind this page cannot be read until that is repaired.",
    )
