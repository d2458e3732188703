"""Messages of many completions at once: as many requests in flight as upstream bears, and no more.

Threads fetch and read; nothing in here touches the database.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Condition
from time import monotonic
from typing import Any

from completions import raw
from completions.readings import MessagesHere, Reading, Unstorable, read
from portal.upstream import Item, Upstream, UpstreamError

SHORT_PAUSE_SECONDS = 2.0  # a longer one is waited for without a worker
TRIES_WHEN_THROTTLED = 6
# Only these concern the one completion that was asked for; all others concern every request on the
# connection.
OF_ONE_ROW = frozenset(
    ("not_found", "server", "timeout", "network", "unreadable", "stalled", "loop", "bad_request")
)


class Limiter:
    """Additive increase, multiplicative decrease: halves on 429, grows by one after a round without any."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = most
        self.throttled = 0
        self._active = 0
        self._calm = 0
        self._paused_until = 0.0
        self._changed = Condition()

    def __enter__(self) -> "Limiter":
        with self._changed:
            while True:
                pause = self._paused_until - monotonic()
                if pause <= 0 and self._active < self.limit:
                    self._active += 1
                    return self
                self._changed.wait(max(pause, 0.0) or None)

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        with self._changed:
            self._active -= 1
            if isinstance(error, UpstreamError) and error.kind == "throttled":
                self._slow_down(error.retry_after)
            elif self.limit < self.most:
                self._calm += 1
                if self._calm >= self.limit:
                    self.limit, self._calm = self.limit + 1, 0
            self._changed.notify()

    def _slow_down(self, retry_after: float | None) -> None:
        self.throttled += 1
        now = monotonic()
        if now >= self._paused_until:  # several answers of one burst halve it once
            self.limit = max(1, self.limit // 2)
        self._calm = 0
        self._paused_until = max(self._paused_until, now + min(retry_after or 1.0, SHORT_PAUSE_SECONDS))


@dataclass(frozen=True, slots=True)
class Local:
    """Messages that are here already, for an item whose other fields changed."""

    state: MessagesHere
    pages: tuple[bytes, ...] | None
    items: Sequence[dict[str, Any]] | None


class Halted(Exception):
    """The step is over; this request was never sent."""


class Fetcher:
    """A pool of threads that turns items into readings; close it, or use it in a `with` statement."""

    def __init__(self, upstream: Upstream, concurrency: int) -> None:
        self._upstream = upstream
        self.limiter = Limiter(concurrency)
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="messages")
        self._stopped: UpstreamError | None = None
        self._halted = False

    def __enter__(self) -> "Fetcher":
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, item: Item) -> "Future[Reading | Unstorable]":
        """Fetch the messages of this item and read both. The future raises what concerns the whole
        connection.
        """
        return self._pool.submit(self._fetch, item)

    def halt(self) -> None:
        """Send no further request; what is in flight comes to its end."""
        self._halted = True

    def _fetch(self, item: Item) -> Reading | Unstorable:
        if self._halted:
            raise Halted
        if self._stopped is not None:
            raise self._stopped
        try:
            return self._with_messages(item)
        except UpstreamError as error:
            if error.kind not in OF_ONE_ROW:
                self._stopped = error  # no further request is sent: it would fail the same way
            raise

    def _with_messages(self, item: Item) -> Reading | Unstorable:
        for tried in range(1, TRIES_WHEN_THROTTLED + 1):
            try:
                with self.limiter:
                    if self._stopped is not None:
                        raise self._stopped
                    found = self._upstream.messages(item.id, naps=False)
                break
            except UpstreamError as error:
                if error is self._stopped or error.kind != "throttled":
                    raise
                if tried == TRIES_WHEN_THROTTLED or (error.retry_after or 0) > SHORT_PAUSE_SECONDS:
                    raise
        state: MessagesHere = "failed" if found.problem else "ok"
        return read_item(item, Local(state, found.pages, found.items))


def read_item(item: Item, local: Local) -> Reading | Unstorable:
    """Read an item with the messages that are at hand."""
    return read(
        item.raw,
        item.value,
        pages=local.pages,
        messages=local.items,
        state=local.state,
        problem=item.problem,
    )


def without_messages(
    item: Item, error: UpstreamError | None = None, *, for_good: bool = False
) -> Reading | Unstorable:
    """Read an item whose messages did not come: pending, gone where upstream has none, or failed for good."""
    state: MessagesHere = "failed" if for_good else "pending"
    if error is not None and error.kind == "not_found":
        state = "gone"
    return read_item(item, Local(state, None, None))


def from_mirror(item: Item, state: str, blob: bytes) -> Reading | Unstorable:
    """Read an item together with the messages that were mirrored with it earlier."""
    unpacked = raw.unpack(blob)
    kept: MessagesHere = "ok" if state == "ok" else "failed" if state == "failed" else "gone"
    messages: list[dict[str, Any]] | None = None
    if unpacked.pages is not None:
        try:
            _, messages = raw.read(raw.Raw(b"{}", unpacked.pages))
        except raw.Unreadable:
            messages = []
    return read_item(item, Local(kept, unpacked.pages, messages))
