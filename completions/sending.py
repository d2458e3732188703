"""Requests that change something upstream: a few at a time, fewer while the provider says 429, none twice.

Threads send; nothing in here touches the database.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from completions.fetching import OF_ONE_ROW, SHORT_PAUSE_SECONDS, TRIES_WHEN_THROTTLED, Limiter
from portal.upstream import Upstream, UpstreamError

CONCURRENCY = 4
_ROWS_OWN = OF_ONE_ROW | {"conflict"}

Asked = TypeVar("Asked")
Told = TypeVar("Told")


@dataclass(frozen=True)
class Answered(Generic[Asked, Told]):
    """What came of one row: what its errand returned, or why not."""

    row: Asked
    told: Told | None = None
    error: UpstreamError | None = None
    unsent: bool = False


class Sender:
    """A pool for one connection; use it in a `with` statement.

    `halted` is asked before each request: once it says yes, rows come back unsent.
    """

    def __init__(self, upstream: Upstream, halted: Callable[[], bool]) -> None:
        self._upstream = upstream
        self._halted = halted
        self._pool = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="changes")
        self.limiter = Limiter(CONCURRENCY)
        self.stopped: UpstreamError | None = None

    def __enter__(self) -> "Sender":
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def send(
        self, rows: Sequence[Asked], errand: Callable[[Upstream, Asked], Told]
    ) -> list[Answered[Asked, Told]]:
        """Do the errand of each row, a few at a time; `stopped` then says whether to go on at all."""
        return list(self._pool.map(lambda row: self._one(row, errand), rows))

    def _one(self, row: Asked, errand: Callable[[Upstream, Asked], Told]) -> Answered[Asked, Told]:
        for tried in range(1, TRIES_WHEN_THROTTLED + 1):
            try:
                with self.limiter:
                    if self.stopped is not None or self._halted():
                        return Answered(row, unsent=True)
                    return Answered(row, errand(self._upstream, row))
            except UpstreamError as error:
                if error.kind == "throttled":
                    if tried < TRIES_WHEN_THROTTLED and (error.retry_after or 0) <= SHORT_PAUSE_SECONDS:
                        continue
                    self.stopped = error
                    return Answered(row, error=error, unsent=True)
                if error.kind not in _ROWS_OWN:
                    self.stopped = error  # the next request would fail the same way
                return Answered(row, error=error)
        raise AssertionError("the last try returns")
