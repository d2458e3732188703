"""Ask models for fresh answers: every call has its row before it is made; its answer is committed at once.

Rows move from pending to sent to done or failed. Threads only talk to upstream; the step's own thread writes.
Only what was `sent` when a worker died is asked again, and is counted. Which rows, what is asked and what it
may cost is said by a Ledger and its Purses (datasets.purse).
"""

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any, Protocol

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet

from datasets.evaluate.pace import MOST, Pace
from datasets.evaluate.report import UNSENDABLE
from datasets.evaluate.storable import storable
from datasets.purse import Purse
from portal import operations
from portal.crashpoints import crashpoint
from portal.models import Connection, Operation
from portal.upstream import ChatAnswer, Upstream, UpstreamError, connect

PENDING, SENT, DONE, FAILED = "pending", "sent", "done", "failed"
CALL_SECONDS = 60.0
MAX_TRIES = 4  # of one call that errs while others are answered
SHORT_WAIT = 3.0  # longer pauses give the worker back
ITEM_ERRORS = frozenset(
    {"bad_request", "conflict"}
)  # of this item; what else is permanent concerns all of them


class Unsendable(Exception):
    """The item's conversation cannot be sent to a model again."""


@dataclass(frozen=True)
class Asked:
    """One deployment that is asked: `key` tells its calls from those of another."""

    key: str
    connection: int
    model: str


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

    def pending(self, key: str) -> "QuerySet[Any]":
        """What is still to be asked of one deployment, in order."""

    def waiting(self) -> set[str]:
        """The deployments of which something is still to be asked."""

    def item(self, call: Any) -> Any:
        """What a call asks; read in the step's own thread."""

    def ask(self, upstream: Upstream, asked: Asked, item: Any) -> ChatAnswer:
        """Make the call, in a thread of its own. Raises UpstreamError or Unsendable."""

    def halted(self) -> Exception | None:
        """Why no more calls may begin, besides a cancellation; raised once those on their way are kept."""


@dataclass
class Lane:
    """One deployment: its endpoint, its pace and who pays."""

    asked: Asked
    upstream: Upstream
    place: str
    purse: Purse
    pace: Pace = field(default_factory=Pace)


@dataclass(frozen=True)
class Sent:
    """A call on its way."""

    call: Any
    lane: Lane
    at: float


@dataclass(frozen=True)
class Landed:
    """What became of it."""

    sent: Sent
    outcome: ChatAnswer | Exception
    seconds: float


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
        self.flying: dict[Future[tuple[ChatAnswer | Exception, float]], Sent] = {}
        self.stop: Exception | None = None
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
                pace = Pace(limit=float(self._saved_paces().get(asked.key, Pace().limit)))
                upstream = stack.enter_context(connect(connection))
                self.lanes.append(Lane(asked, upstream, connection.name, self.purses[connection.pk], pace))
            pool = stack.enter_context(ThreadPoolExecutor(int(MOST) * len(self.lanes)))
            try:
                return self._fly(pool)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _fly(self, pool: ThreadPoolExecutor) -> operations.Again | operations.Wait | None:
        while True:
            claimed = self._commit()
            crashpoint(f"{self.ledger.name}.calls.claimed")
            for call, lane in claimed:
                item = self.ledger.item(call)
                lane.pace.flying += 1
                sent = Sent(call, lane, monotonic())
                self.flying[pool.submit(self._ask, lane, item)] = sent
            if self.flying:
                self._gather()
                crashpoint(f"{self.ledger.name}.calls.answered")
                continue
            if self.landed:
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
                return operations.Wait(pause, "The deployment asks to wait.")
            sleep(max(0.01, pause))

    def _ask(self, lane: Lane, item: Any) -> tuple[ChatAnswer | Exception, float]:
        """One call, in a thread of the pool."""
        began = monotonic()
        try:
            return self.ledger.ask(lane.upstream, lane.asked, item), monotonic() - began
        except Exception as error:  # whatever it is, it belongs to this call and is written onto its row
            return error, monotonic() - began

    def _gather(self) -> None:
        done, _ = wait(self.flying, timeout=1.0, return_when=FIRST_COMPLETED)
        for future in done:
            sent = self.flying.pop(future)
            sent.lane.pace.flying -= 1
            outcome, seconds = future.result()
            self.landed.append(Landed(sent, outcome, seconds))

    def _may_start(self) -> bool:
        """Whether new calls may begin: there is time for a slow one, and nobody asked to stop."""
        now = monotonic()
        if self.stop is None and now - self._looked > 0.5:
            self._looked = now
            self.stop = operations.Cancelled() if self.work.cancelled() else self.ledger.halted()
        margin = min(20.0, settings.OPERATION_STEP_SECONDS / 3)
        return self.stop is None and self.work.time_left(margin)

    def _commit(self) -> list[tuple[Any, Lane]]:
        """Keep what has landed and claim what may start, in one transaction under the fence."""
        landed = list(self.landed)
        settled = [self._settle(entry) for entry in landed]
        rooms = (
            {lane.asked.key: lane.pace.room(monotonic()) for lane in self.lanes} if self._may_start() else {}
        )
        with transaction.atomic():
            if any(call.state == DONE for call in settled):
                self.work.advance(
                    cursor={**self.work.operation.cursor, "pace": self._paces()},
                    done=self.done,
                    total=self.total,
                    note=f"{self.failed:,} calls failed" if self.failed else "",
                )
            elif settled or any(rooms.values()):
                hold(self.work)
            self.ledger.calls().bulk_update(
                settled, ["state", "tries", self.ledger.text, "answer", "latency_ms", "error"]
            )
            claimed: list[tuple[Any, Lane]] = []
            for lane in self.lanes:
                beside = sum(other.purse is lane.purse for _, other in claimed)
                claimed += self._claim(lane, rooms.get(lane.asked.key, 0), beside)
        self.landed.clear()
        if settled:
            crashpoint(f"{self.ledger.name}.calls.committed")
        return claimed

    def _claim(self, lane: Lane, room: int, beside: int) -> list[tuple[Any, Lane]]:
        """Calls that may start now; `beside` others that the same purse pays are about to."""
        if room <= 0 or self.stop is not None:
            return []
        calls = list(self.ledger.pending(lane.asked.key)[:room])
        on_their_way = beside + sum(each.pace.flying for each in self.lanes if each.purse is lane.purse)
        affordable = lane.purse.room(lane.asked.key, len(calls), on_their_way) if calls else 0
        if calls and not affordable and not on_their_way:
            self.stop = operations.Failed("over_budget", lane.purse.refusal)
        calls = calls[:affordable]
        self.ledger.calls().filter(pk__in=[call.pk for call in calls]).update(state=SENT)
        return [(call, lane) for call in calls]

    def _settle(self, landed: Landed) -> Any:
        """Write onto the row what became of its call, and let pace and purse learn from it."""
        call, lane, outcome = landed.sent.call, landed.sent.lane, landed.outcome
        if isinstance(outcome, ChatAnswer):
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
            lane.pace.throttled(now, sent_at, error.retry_after)
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
