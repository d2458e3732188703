"""Ask models for fresh answers: every call has its row before it is made; its answer is committed at once.

Rows move from pending to sent to done or failed. Threads only talk to upstream; the step's own thread writes.
Only what was `sent` when a worker died is asked again, and is counted.
"""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F

from datasets.evaluate.items import Items
from datasets.evaluate.pace import MOST, Pace
from datasets.evaluate.report import UNSENDABLE
from datasets.evaluate.storable import storable
from datasets.evaluate.targets import Target
from datasets.models import Call, Run
from portal import operations
from portal.crashpoints import crashpoint
from portal.models import Connection, Operation
from portal.upstream import ChatAnswer, Upstream, UpstreamError, connect

State = Call.State
CALL_SECONDS = 60.0
MAX_TRIES = 4  # of one call that errs while others are answered
SHORT_WAIT = 3.0  # longer pauses give the worker back
ITEM_ERRORS = frozenset(
    {"bad_request", "conflict"}
)  # of this item; what else is permanent concerns all of them


@dataclass
class Lane:
    """One fresh target: its endpoint and its pace."""

    target: Target
    upstream: Upstream
    place: str
    pace: Pace = field(default_factory=Pace)


@dataclass(frozen=True)
class Sent:
    """A call on its way."""

    call: Call
    lane: Lane
    at: float


@dataclass(frozen=True)
class Landed:
    """What became of it."""

    sent: Sent
    outcome: ChatAnswer | Exception
    seconds: float


def recover(work: operations.Working, run: Run) -> int:
    """Put back what was on its way when an earlier worker died; returns how many calls that were."""
    with transaction.atomic():
        hold(work)
        lost = int(Call.objects.filter(run=run, state=State.SENT).update(state=State.PENDING))
        if lost:
            Run.objects.filter(pk=run.pk).update(repeated_calls=F("repeated_calls") + lost)
    if lost:
        work.log(f"A worker stopped with {lost} calls on their way; they are made again.", "warn")
    return lost


def hold(work: operations.Working) -> None:
    """Raise LeaseLost unless this step still owns the run; locks it for the transaction. Not progress."""
    mine = Operation.objects.select_for_update().filter(
        pk=work.operation.pk, fence=work.operation.fence, state=Operation.State.RUNNING
    )
    if not mine.exists():
        raise operations.LeaseLost


class Asking:
    """One step's worth of calls."""

    def __init__(self, work: operations.Working, run: Run, targets: Sequence[Target]) -> None:
        self.work, self.run, self.targets = work, run, targets
        self.lanes: list[Lane] = []
        self.landed: deque[Landed] = deque()
        self.flying: dict[Future[tuple[ChatAnswer | Exception, float]], Sent] = {}
        self.stop: Exception | None = None
        self._looked = 0.0
        calls = Call.objects.filter(run=run, grader="")
        self.total = calls.count()
        self.failed = calls.filter(state=State.FAILED).count()
        self.done = calls.filter(state=State.DONE).count() + self.failed

    def go(self) -> operations.Again | operations.Wait | None:
        """Make calls until the time is up (Again), upstream wants a pause (Wait) or none is left (None).

        Raises operations.Failed or UpstreamError when going on is no use, operations.Cancelled when asked to
        stop; in each case what was on its way has been waited for and kept.
        """
        with ExitStack() as stack:
            items = stack.enter_context(Items(self.run.evaluation.version))
            for target in self.targets:
                connection: Connection = Connection.objects.filter(pk__in=[target.connection]).get()
                pace = Pace(limit=float(self._saved_paces().get(target.key, Pace().limit)))
                upstream = stack.enter_context(connect(connection))
                self.lanes.append(Lane(target, upstream, connection.name, pace))
            pool = stack.enter_context(ThreadPoolExecutor(int(MOST) * len(self.lanes)))
            try:
                return self._fly(pool, items)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _fly(self, pool: ThreadPoolExecutor, items: Items) -> operations.Again | operations.Wait | None:
        while True:
            claimed = self._commit()
            crashpoint("run.calls.claimed")
            for call, lane in claimed:
                item = items.of(call.example)
                lane.pace.flying += 1
                sent = Sent(call, lane, monotonic())
                self.flying[pool.submit(_ask, lane, item)] = sent
            if self.flying:
                self._gather()
                crashpoint("run.calls.answered")
                continue
            if self.landed:
                continue
            if self.stop is not None:
                raise self.stop
            pending = Call.objects.filter(run=self.run, grader="", state=State.PENDING)
            waiting = set(pending.order_by().values_list("target", flat=True).distinct())
            if not waiting:
                return None
            if not self._may_start():
                return operations.Again()
            pause = (
                min(lane.pace.resume_at for lane in self.lanes if lane.target.key in waiting) - monotonic()
            )
            if pause > SHORT_WAIT:
                return operations.Wait(pause, "The deployment asks to wait.")
            sleep(max(0.01, pause))

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
            if self.work.cancelled():
                self.stop = operations.Cancelled()
        margin = min(20.0, settings.OPERATION_STEP_SECONDS / 3)
        return self.stop is None and self.work.time_left(margin)

    def _commit(self) -> list[tuple[Call, Lane]]:
        """Keep what has landed and claim what may start, in one transaction under the fence."""
        landed = list(self.landed)
        settled = [self._settle(entry) for entry in landed]
        rooms = (
            {lane.target.key: lane.pace.room(monotonic()) for lane in self.lanes} if self._may_start() else {}
        )
        with transaction.atomic():
            if any(call.state == State.DONE for call in settled):
                self.work.advance(
                    cursor={**self.work.operation.cursor, "pace": self._paces()},
                    done=self.done,
                    total=self.total,
                    note=f"{self.failed:,} calls failed" if self.failed else "",
                )
            elif settled or any(rooms.values()):
                hold(self.work)
            Call.objects.bulk_update(
                settled, ["state", "tries", "output_text", "answer", "latency_ms", "error"]
            )
            claimed = [
                pair for lane in self.lanes for pair in self._claim(lane, rooms.get(lane.target.key, 0))
            ]
        self.landed.clear()
        if settled:
            crashpoint("run.calls.committed")
        return claimed

    def _claim(self, lane: Lane, room: int) -> list[tuple[Call, Lane]]:
        if room <= 0:
            return []
        pending = Call.objects.filter(run=self.run, state=State.PENDING, target=lane.target.key, grader="")
        calls = list(pending.select_related("example").order_by("id")[:room])
        Call.objects.filter(pk__in=[call.pk for call in calls]).update(state=State.SENT)
        return [(call, lane) for call in calls]

    def _settle(self, landed: Landed) -> Call:
        """Write onto the row what became of its call, and let the pace learn from it."""
        call, lane, outcome = landed.sent.call, landed.sent.lane, landed.outcome
        if isinstance(outcome, ChatAnswer):
            lane.pace.answered()
            call.state, call.tries = State.DONE, call.tries + 1
            call.output_text = storable(outcome.text)
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
        self.done += call.state in (State.DONE, State.FAILED)
        self.failed += call.state == State.FAILED
        return call

    def _err(self, call: Call, lane: Lane, error: UpstreamError, sent_at: float) -> None:
        now = monotonic()
        call.state = State.PENDING
        if error.kind == "throttled":
            lane.pace.throttled(now, sent_at, error.retry_after)
        elif error.kind in ITEM_ERRORS:
            lane.pace.errors = 0
            self._fail(call, error.code if error.code == "content_filter" else error.kind, _in_words(error))
        elif error.permanent:
            self.stop = self.stop or operations.Failed(
                error.kind, f"“{lane.target.model}” on {lane.place} gives no answers. {_in_words(error)}"
            )
        else:
            lane.pace.erred(now)
            if lane.pace.is_down:
                self.stop = self.stop or error
            elif call.tries + 1 >= MAX_TRIES:
                self._fail(call, error.kind, _in_words(error))
            else:
                call.tries += 1

    def _fail(self, call: Call, kind: str, text: str) -> None:
        call.state, call.tries = State.FAILED, call.tries + 1
        call.error = storable({"kind": kind, "text": text[:600]})

    def _paces(self) -> dict[str, float]:
        return {lane.target.key: round(lane.pace.limit, 2) for lane in self.lanes}

    def _saved_paces(self) -> dict[str, Any]:
        saved = self.work.operation.cursor.get("pace")
        return saved if isinstance(saved, dict) else {}


class Unsendable(Exception):
    """The item's conversation cannot be sent to a model again."""


def _ask(lane: Lane, item: dict[str, Any]) -> tuple[ChatAnswer | Exception, float]:
    """One call, in a thread of the pool. Never stored upstream: it would turn up among what is measured."""
    began = monotonic()
    try:
        return ask(lane.upstream, lane.target, item, CALL_SECONDS), monotonic() - began
    except Exception as error:  # whatever it is, it belongs to this call and is written onto its row
        return error, monotonic() - began


def ask(upstream: Upstream, target: Target, item: dict[str, Any], timeout: float) -> ChatAnswer:
    """A fresh answer to an item. Raises UpstreamError or Unsendable."""
    if reason := item.get("unsendable"):
        raise Unsendable(f"This conversation cannot be sent again. {reason}.")
    params: dict[str, Any] = dict(target.params)
    for name in ("tools", "response_format"):
        if item.get(name):
            params[name] = item[name]
    return upstream.chat(target.model, item["input"], store=False, timeout=timeout, **params)


def _in_words(error: UpstreamError) -> str:
    return " ".join(part for part in (error.message, error.hint) if part) or error.kind
