"""One walk over upstream's list: pages are fetched ahead, messages side by side, and written batch by batch.

Each transaction holds a batch's rows together with the cursor behind them, so a walk that is killed at any
point goes on there, and repeats at most the requests of what was in flight: about one page.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError, transaction
from django.utils import timezone

from completions import absorbing, columns, missing
from completions.batches import Batch, Result, collect, plan, slices
from completions.fetching import OF_ONE_ROW, Fetcher
from completions.models import SyncState
from completions.readings import Reading, Unstorable
from completions.scope import Scope, is_behind
from completions.terms import Dictionary
from portal.crashpoints import crashpoint
from portal.models import Connection
from portal.operations import Working
from portal.upstream import Page, Upstream, UpstreamError

log = logging.getLogger(__name__)
PAGE = 100
# Rows per transaction, and fetches in flight: small enough that a kill repeats no more than a page, large
# enough that messages are being fetched while a batch is written.
BATCH = 34
IN_FLIGHT = 3 * BATCH
REMEMBERED = 50


@dataclass
class Walk:
    """What a pass wants of the list, and where it stands."""

    work: Working
    connection: Connection
    state: SyncState
    upstream: Upstream
    fetcher: Fetcher
    order: str
    scope: Scope
    until: int | None = None  # a descending walk ends behind this moment
    most: int | None = None  # or after this many rows
    generation: int = 0  # marks what a sweep has listed
    dictionary: Dictionary = field(init=False)
    total: int | None = None
    reached_end: bool = False  # the list itself has ended
    _rows_before: int = 0
    _asked: float = 0.0
    _cancelled: bool = False

    def __post_init__(self) -> None:
        self.dictionary = Dictionary(self.connection.pk)
        self.total = self.state.upstream_total
        self._rows_before = self.state.rows

    def run(self) -> bool:
        """Walk to the end or until the step is over; True at the end. UpstreamError comes with all saved."""
        with ThreadPoolExecutor(1, thread_name_prefix="list") as lister:
            ahead = _Ahead(lister, self._pages(), self._is_enough)
            pieces: deque[Any] = deque()
            batches: deque[Batch] = deque()
            trouble: UpstreamError | None = None
            cut = False
            while True:
                # What a page has already brought is worth finishing, unless no request can succeed now.
                going = (trouble is None or trouble.kind in OF_ONE_ROW) and self._may_go_on()
                while going and _room(batches):
                    if not pieces:
                        if trouble is not None:
                            break
                        try:
                            page = ahead.take(wait=not batches)
                        except UpstreamError as error:
                            trouble, going = error, error.kind in OF_ONE_ROW
                            break
                        if page is None:
                            break
                        self._note(page)
                        fetched_last = not batches or batches[-1].fetches
                        pieces += slices(page.items, BATCH if fetched_last else PAGE)
                        continue
                    batches.append(plan(self.connection.pk, pieces.popleft(), self.scope, self.fetcher))
                if not batches:
                    break
                if not going:
                    self.fetcher.halt()
                result = collect(batches.popleft())
                self._write(result)
                if result.error is not None or result.halted:
                    self.fetcher.halt()
                    trouble, cut = result.error or trouble, True
                    break
            if trouble is not None:
                raise trouble
            self.reached_end = ahead.exhausted
            return ahead.ended and not pieces and not cut

    def _may_go_on(self) -> bool:
        if not self._cancelled and monotonic() - self._asked > 1:
            self._asked = monotonic()
            self._cancelled = self.work.cancelled()
        return not self._cancelled and self.work.time_left()

    def _pages(self) -> Iterator[Page]:
        return self.upstream.stored_pages(
            after=self.state.cursor,
            order=self.order,
            limit=PAGE,
            model=self.scope.model,
            metadata=self.scope.metadata,
            fall_back=list(reversed(self.state.recent)),
        )

    def _note(self, page: Page) -> None:
        if page.total is not None:
            self.total = page.total

    def _is_enough(self, page: Page, pages_taken: int) -> bool:
        """Whether nothing behind this page is wanted."""
        if self.most is not None and self._rows_before + pages_taken * PAGE >= self.most:
            return True
        if self.until is None or self.order != "desc":
            return False
        return is_behind([item.value for item in page.items if item.value is not None], self.until)

    def _write(self, result: Result) -> None:
        if not result.rows:
            return
        try:
            self._commit(result)
        except (OperationalError, InterfaceError):
            raise  # the database is away or busy; the step is repeated
        except (DatabaseError, ValueError, OverflowError) as error:
            # A value that passed every check and that this database still refuses: find it and put it aside.
            log.warning("A batch of %s was refused (%s); storing it row by row.", self.connection, error)
            self._commit(self._sifted(result))
        crashpoint("sync.committed")

    def _commit(self, result: Result) -> None:
        state = self.state
        before = {
            name: getattr(state, name) for name in ("cursor", "recent", "rows", "counts", "upstream_total")
        }
        try:
            with transaction.atomic():
                absorbing.lock(self.connection.pk)
                tally = absorbing.absorb(
                    self.connection.pk, result.readings, self.dictionary, generation=self.generation
                )
                if result.here:
                    absorbing.touch(self.connection.pk, result.here, self.generation)
                aside = absorbing.aside(self.connection.pk, result.unstorable, result.stored)
                counts = dict(state.counts)
                for name, n in (
                    ("new", tally.new),
                    ("changed", tally.changed),
                    ("same", tally.same + len(result.here)),
                    ("doubled", tally.doubled + result.doubled),
                    ("outside", result.outside),
                    ("quarantined", aside),
                    ("pending", tally.pending),
                ):
                    if n:
                        counts[name] = counts.get(name, 0) + n
                if result.newest is not None:
                    newest = min(result.newest, int(timezone.now().timestamp()))
                    counts["top"] = max(newest, counts.get("top", newest))
                if result.ids:
                    state.cursor = result.ids[-1]
                    state.recent = (state.recent + result.ids)[-REMEMBERED:]
                state.rows += result.rows
                state.counts, state.upstream_total = counts, self.total
                state.save(update_fields=[*before])
                self.work.advance(done=state.rows, total=self._expected())
                if tally.pending:
                    missing.fill_later(self.connection)
                crashpoint("sync.before_commit")
        except BaseException:
            self.dictionary.forget()
            for name, value in before.items():
                setattr(state, name, value)
            raise
        self.dictionary.keep()
        columns.pack_if_due(self.connection.pk, tally.unpacked)

    def _expected(self) -> int | None:
        """Rows that this pass will have handled at its end, where upstream says how many there are."""
        if self.until is not None:
            return None
        if self.most is not None:
            return self.most if self.total is None else min(self.most, self.total)
        return self.total

    def _sifted(self, result: Result) -> Result:
        fit: list[Reading] = []
        for reading in result.readings:
            try:
                with transaction.atomic():
                    absorbing.absorb(self.connection.pk, [reading], Dictionary(self.connection.pk))
                    transaction.set_rollback(True)
                fit.append(reading)
            except (OperationalError, InterfaceError):
                raise
            except (DatabaseError, ValueError, OverflowError) as error:
                reason = f"the database refused it ({type(error).__name__})"
                result.unstorable.append(Unstorable(reading.upstream_id, reading.item, reason))
        result.readings = fit
        return result


def _room(batches: "deque[Batch]") -> bool:
    return len(batches) < 6 and sum(batch.fetches for batch in batches) <= IN_FLIGHT - BATCH


class _Ahead:
    """Fetches the next page while the present one is worked on."""

    def __init__(
        self, lister: ThreadPoolExecutor, pages: Iterator[Page], is_enough: Callable[[Page, int], bool]
    ) -> None:
        self._lister, self._pages, self._is_enough = lister, pages, is_enough
        self._coming: Future[Page | None] | None = lister.submit(next, pages, None)
        self._taken = 0
        self.exhausted = False

    @property
    def ended(self) -> bool:
        return self._coming is None

    def take(self, *, wait: bool) -> Page | None:
        """The next page; None at the end, and, unless told to wait, while it is still on its way."""
        if self._coming is None or not (wait or self._coming.done()):
            return None
        coming, self._coming = self._coming, None
        try:
            page = coming.result()
        except UpstreamError:
            self._coming = coming  # not the end
            raise
        if page is None:
            self.exhausted = True
            return None
        self._taken += 1
        if not self._is_enough(page, self._taken):
            self._coming = self._lister.submit(next, self._pages, None)
        return page
