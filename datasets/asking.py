"""Ask models for fresh answers: every call has its row before it is made; its answer is committed at once.

Rows move from pending to sent to done or failed. Threads only talk to upstream; the step's own thread writes.
Only what was `sent` when a worker died is asked again, and is counted. Which rows, what is asked and what it
may cost is said by a Ledger and its Purses (datasets.purse).
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import Any, Protocol

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet

from datasets.evaluate.pace import MOST, START, Pace, Shared
from datasets.evaluate.report import UNSENDABLE
from datasets.evaluate.storable import storable
from datasets.keeping import keep
from datasets.lanes import Asked, Landed, Lane, Ready, Sent
from datasets.purse import Purse
from portal import operations
from portal.crashpoints import crashpoint
from portal.models import Connection, Operation
from portal.upstream import ChatAnswer, Upstream, UpstreamError, connect

__all__ = ["CALL_SECONDS", "MAX_TRIES", "Asked", "Asking", "Ledger", "Unsendable", "in_words", "recover"]
PENDING, SENT, DONE, FAILED = "pending", "sent", "done", "failed"
CALL_SECONDS = 60.0
MAX_TRIES = 4  # of one call that errs while others are answered
SHORT_WAIT = 3.0  # longer pauses give the worker back
LINGER = 0.025  # answers that come so soon after each other are written together
TOGETHER = 16
REFUSED = "The deployment asks to wait."
LOW = 4  # so few ready calls last for as long as a commit takes: claim more
READ = 32  # pending rows read at once
ITEM_ERRORS = frozenset(
    {"bad_request", "conflict"}
)  # of this item; what else is permanent concerns all of them


class Unsendable(Exception):
    """The item's conversation cannot be sent to a model again."""


class Ledger(Protocol):
    """The rows of one piece of work. Each has state, tries, answer, latency_ms, error and a text."""

    @property
    def name(self) -> str:
        """Of its crash points."""

    @property
    def text(self) -> str:
        """The field that holds an answer's text."""

    def owner(self) -> "QuerySet[Any]":
        """The one row that counts `repeated_calls`."""

    def calls(self) -> "QuerySet[Any]":
        """Every call of it."""

    def pending(self, key: str, most: int) -> Sequence[Any]:
        """The next calls that are still to be asked of one deployment, in order."""

    def waiting(self) -> set[str]:
        """The deployments of which something is still to be asked."""

    def item(self, call: Any) -> Any:
        """What a call asks, of those that `pending` gave last; read in the step's own thread."""

    def ask(self, upstream: Upstream, asked: Asked, item: Any) -> ChatAnswer:
        """Make the call, in a thread of its own. Raises UpstreamError or Unsendable."""

    def halted(self) -> Exception | None:
        """Why no more calls may begin, besides a cancellation; raised once those on their way are kept."""


def recover(work: operations.Working, ledger: Ledger) -> int:
    """Put back what was on its way when an earlier worker died; returns how many calls that were."""
    with transaction.atomic():
        hold(work)
        lost = int(ledger.calls().filter(state=SENT).update(state=PENDING))
        if lost:
            ledger.owner().update(repeated_calls=F("repeated_calls") + lost)
    if lost:
        work.log(f"A worker stopped with {lost} calls on their way; they are made again.", "warn")
    return lost


def hold(work: operations.Working) -> None:
    """Raise LeaseLost unless this step still owns the work; locks it for the transaction. Not progress."""
    mine = Operation.objects.select_for_update().filter(
        pk=work.operation.pk, fence=work.operation.fence, state=Operation.State.RUNNING
    )
    if not mine.exists():
        raise operations.LeaseLost


class Asking:
    """One step's worth of calls."""

    def __init__(
        self,
        work: operations.Working,
        ledger: Ledger,
        asked: Sequence[Asked],
        purses: Mapping[int, Purse],
    ) -> None:
        self.work, self.ledger, self.asked, self.purses = work, ledger, asked, purses
        self.lanes: list[Lane] = []
        self.landed: deque[Landed] = deque()
        self.arrived: SimpleQueue[Landed] = SimpleQueue()
        self.flying = 0
        self.stop: Exception | None = None
        self.refused = False  # since the last answer
        self._looked = 0.0
        calls = ledger.calls()
        self.total = calls.count()
        self.failed = calls.filter(state=FAILED).count()
        self.done = calls.filter(state=DONE).count() + self.failed

    def go(self) -> operations.Again | operations.Wait | None:
        """Make calls until the time is up (Again), upstream wants a pause (Wait) or none is left (None).

        Raises operations.Failed or UpstreamError when going on is no use, operations.Cancelled when asked to
        stop; in each case what was on its way has been waited for and kept.
        """
        with ExitStack() as stack:
            for asked in self.asked:
                connection: Connection = Connection.objects.filter(pk__in=[asked.connection]).get()
                pace = Pace(limit=float(self._saved_paces().get(asked.key, START)), most=MOST)
                shared = Shared.of(connection.pk, asked.model)
                shared.learn(pace)
                upstream = stack.enter_context(connect(connection))
                purse = self.purses[connection.pk]
                self.lanes.append(Lane(asked, upstream, connection.name, purse, pace, shared))
            pool = stack.enter_context(ThreadPoolExecutor(int(MOST) * len(self.lanes)))
            try:
                return self._fly(pool)
            except BaseException:
                for lane in self.lanes:
                    lane.closed = True
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _fly(self, pool: ThreadPoolExecutor) -> operations.Again | operations.Wait | None:
        while True:
            claimed = self._commit()
            crashpoint(f"{self.ledger.name}.calls.claimed")
            for call, lane in claimed:
                lane.ready.append(Ready(call, self.ledger.item(call)))
            self._launch(pool)
            if self.flying:
                self._gather()
                crashpoint(f"{self.ledger.name}.calls.answered")
                continue
            if self.landed:
                continue
            resting = [lane.pace.resume_at for lane in self.lanes if lane.ready]
            if resting:
                sleep(min(0.25, max(0.01, min(resting) - monotonic())))
                continue
            if self.stop is not None:
                raise self.stop
            waiting = self.ledger.waiting()
            if not waiting:
                return None
            if not self._may_start():
                return operations.Again()
            pause = min(lane.pace.resume_at for lane in self.lanes if lane.asked.key in waiting) - monotonic()
            if pause > SHORT_WAIT:
                return operations.Wait(pause, REFUSED)
            sleep(max(0.01, pause))

    def _launch(self, pool: ThreadPoolExecutor) -> None:
        for lane in self.lanes:
            while lane.pace.room(monotonic()) and (ready := lane.take()) is not None:
                lane.pace.flying += 1
                self.flying += 1
                pool.submit(self._ask, lane, ready)

    def _ask(self, lane: Lane, ready: Ready | None) -> None:
        """One call, in a thread of the pool; while it is answered, the next one."""
        while ready is not None:
            sent = Sent(ready.call, lane, monotonic())
            outcome: ChatAnswer | Exception
            try:
                outcome = self.ledger.ask(lane.upstream, lane.asked, ready.item)
            except Exception as error:  # whatever it is, it belongs to this call and is written onto its row
                outcome = error
            seconds = monotonic() - sent.at
            ready = lane.follow() if isinstance(outcome, ChatAnswer) else None
            self.arrived.put(Landed(sent, outcome, seconds, followed=ready is not None))

    def _gather(self) -> None:
        """Wait for one call to come back, and take those that come with it."""
        try:
            self.landed.append(self.arrived.get(timeout=1.0))
            until = monotonic() + LINGER
            while True:
                busy = any(len(lane.ready) > LOW for lane in self.lanes) and len(self.landed) < TOGETHER
                pause = until - monotonic() if busy else 0.0
                self.landed.append(self.arrived.get(pause > 0, pause or None))
        except Empty:
            pass
        for entry in self.landed:
            lane = entry.sent.lane
            lane.out -= 1
            if not entry.followed:
                lane.pace.flying -= 1
                self.flying -= 1

    def _may_start(self) -> bool:
        """Whether new calls may begin: there is time for a slow one, and nobody asked to stop."""
        now = monotonic()
        if self.stop is None and now - self._looked > 0.5:
            self._looked = now
            for lane in self.lanes:
                lane.shared.learn(lane.pace)
            self.stop = operations.Cancelled() if self.work.cancelled() else self.ledger.halted()
        margin = min(20.0, settings.OPERATION_STEP_SECONDS / 3)
        return self.stop is None and self.work.time_left(margin)

    def _commit(self) -> list[tuple[Any, Lane]]:
        """Keep what has landed and claim what may start, in one transaction under the fence."""
        landed = list(self.landed)
        settled = [self._settle(entry) for entry in landed]
        go_on = self._may_start()
        rooms = {lane.asked.key: lane.wanted for lane in self.lanes} if go_on else {}
        put_back = [ready.call.pk for lane in self.lanes for ready in self._unready(lane, go_on=go_on)]
        with transaction.atomic():
            if any(call.state == DONE for call in settled):
                self.work.advance(
                    cursor={**self.work.operation.cursor, "pace": self._paces()},
                    done=self.done,
                    total=self.total,
                    note=f"{self.failed:,} calls failed" if self.failed else "",
                )
            elif settled or put_back or any(rooms.values()):
                hold(self.work)
                if self.refused:
                    # It is no progress, but whoever looks on sees why there is none.
                    Operation.objects.filter(pk=self.work.operation.pk).update(note=REFUSED)
            if put_back:
                self.ledger.calls().filter(pk__in=put_back).update(state=PENDING)
            keep(settled, ["state", "tries", self.ledger.text, "answer", "latency_ms", "error"])
            claimed: list[tuple[Any, Lane]] = []
            for lane in self.lanes:
                claimed += self._claim(lane, rooms.get(lane.asked.key, 0))
        self.landed.clear()
        if settled:
            crashpoint(f"{self.ledger.name}.calls.committed")
        return claimed

    def _unready(self, lane: Lane, *, go_on: bool) -> Iterator[Ready]:
        """Calls that were claimed and will not be made now: nothing more begins, or the deployment rests."""
        if go_on and not (lane.pace.resume_at - monotonic() > SHORT_WAIT and not lane.pace.flying):
            return
        while (ready := lane.take()) is not None:
            lane.out -= 1
            yield ready

    def _claim(self, lane: Lane, room: int) -> list[tuple[Any, Lane]]:
        """Calls that may be made next."""
        if room <= 0 or self.stop is not None:
            return []
        if not lane.pending:
            lane.pending.extend(self.ledger.pending(lane.asked.key, READ))
        calls = list(islice(lane.pending, room))
        on_their_way = sum(each.out for each in self.lanes if each.purse is lane.purse)
        affordable = lane.purse.room(lane.asked.key, len(calls), on_their_way) if calls else 0
        if calls and not affordable and not on_their_way:
            self.stop = operations.Failed("over_budget", lane.purse.refusal)
        calls = [lane.pending.popleft() for _ in range(affordable)]
        if not calls:
            return []
        mine = self.ledger.calls().filter(pk__in=[call.pk for call in calls])
        if mine.filter(state=PENDING).update(state=SENT) != len(calls):
            still = set(mine.filter(state=SENT).values_list("pk", flat=True))  # some are gone since the read
            calls = [call for call in calls if call.pk in still]
        lane.out += len(calls)
        return [(call, lane) for call in calls]

    def _settle(self, landed: Landed) -> Any:
        """Write onto the row what became of its call, and let pace and purse learn from it."""
        call, lane, outcome = landed.sent.call, landed.sent.lane, landed.outcome
        if isinstance(outcome, ChatAnswer):
            self.refused = False
            lane.pace.answered()
            lane.purse.paid(lane.asked.key, outcome.usage)
            call.state, call.tries = DONE, call.tries + 1
            setattr(call, self.ledger.text, storable(outcome.text))
            call.latency_ms = round(landed.seconds * 1000)
            call.error = {}
            call.answer = storable(
                {
                    "message": outcome.message,
                    "finish_reason": outcome.finish_reason,
                    "model": outcome.model,
                    "usage": outcome.usage,
                    "id": outcome.id,
                }
            )
        elif isinstance(outcome, Unsendable):
            self._fail(call, UNSENDABLE, str(outcome))
        elif isinstance(outcome, UpstreamError):
            self._err(call, lane, outcome, landed.sent.at)
        else:
            self._fail(call, "unexpected", f"Reading the answer failed ({type(outcome).__name__}).")
        self.done += call.state in (DONE, FAILED)
        self.failed += call.state == FAILED
        return call

    def _err(self, call: Any, lane: Lane, error: UpstreamError, sent_at: float) -> None:
        now = monotonic()
        call.state = PENDING
        if error.kind == "throttled":
            self.refused = True
            lane.pace.throttled(now, sent_at, error.retry_after)
            lane.shared.tell(lane.pace)
        elif error.kind in ITEM_ERRORS:
            lane.pace.errors = 0
            self._fail(call, error.code if error.code == "content_filter" else error.kind, in_words(error))
        elif error.permanent:
            self.stop = self.stop or operations.Failed(
                error.kind, f"“{lane.asked.model}” on {lane.place} gives no answers. {in_words(error)}"
            )
        else:
            lane.pace.erred(now)
            if lane.pace.is_down:
                self.stop = self.stop or error
            elif call.tries + 1 >= MAX_TRIES:
                self._fail(call, error.kind, in_words(error))
            else:
                call.tries += 1

    def _fail(self, call: Any, kind: str, text: str) -> None:
        call.state, call.tries = FAILED, call.tries + 1
        call.error = storable({"kind": kind, "text": text[:600]})

    def _paces(self) -> dict[str, float]:
        return {lane.asked.key: round(lane.pace.limit, 2) for lane in self.lanes}

    def _saved_paces(self) -> dict[str, Any]:
        saved = self.work.operation.cursor.get("pace")
        return saved if isinstance(saved, dict) else {}


def in_words(error: UpstreamError) -> str:
    """What upstream said, and what to do."""
    return " ".join(part for part in (error.message, error.hint) if part) or error.kind
