"""Relabelling as an operation: a row for every call, the calls, and which answers are the same."""

from itertools import islice
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from completions import selection
from completions.models import StoredCompletion
from datasets.asking import CALL_SECONDS, Asked, Asking, Unsendable, recover
from datasets.evaluate import obstacles
from datasets.models import Relabel, RelabelCall
from datasets.prompts import Prompt
from datasets.relabel.answers import CannotAsk, conversation_of, prompt_of, taught
from datasets.relabel.setup import KIND, TEACHER, purse
from portal import audit, operations
from portal.crashpoints import crashpoint
from portal.models import Connection, Operation
from portal.progress import name_results
from portal.upstream import ChatAnswer, Upstream

ROWS_AT_ONCE = 1000
COMPARED_AT_ONCE = 100
PAUSED_SECONDS = 3600.0  # looked at now and then; going on wakes it at once
State = Relabel.State
Made = RelabelCall.State

name_results({"answered": "Answers", "same": "Say the same", "failed": "Failed calls"})


class Paused(Exception):
    """Somebody asked for a pause."""


class Calls:
    """The ledger of a relabelling."""

    name = "relabel"
    text = "text"

    def __init__(self, relabel: Relabel) -> None:
        self.relabel = relabel

    @property
    def asked(self) -> list[Asked]:
        """Whom it asks."""
        return [Asked(TEACHER, self.relabel.connection_id, self.relabel.model)]

    def owner(self) -> "QuerySet[Relabel]":
        found: QuerySet[Relabel] = Relabel.objects.filter(pk=self.relabel.pk)
        return found

    def calls(self) -> "QuerySet[RelabelCall]":
        found: QuerySet[RelabelCall] = RelabelCall.objects.filter(relabel=self.relabel)
        return found

    def pending(self, key: str, most: int) -> list[RelabelCall]:
        waiting = self.calls().filter(state=Made.PENDING)
        return list(waiting.select_related("completion__body").order_by("position")[:most])

    def waiting(self) -> set[str]:
        return {TEACHER} if self.calls().filter(state=Made.PENDING).exists() else set()

    def item(self, call: RelabelCall) -> Prompt | str:
        """The prompt, or why there is none."""
        try:
            return prompt_of(call.completion)
        except CannotAsk as problem:
            return str(problem)

    def ask(self, upstream: Upstream, asked: Asked, item: Prompt | str) -> ChatAnswer:
        """Never stored upstream: it would come back as one more completion of the mirror."""
        if isinstance(item, str):
            raise Unsendable(item)
        params = {**self.relabel.params, **item.extras}
        return upstream.chat(asked.model, item.messages, store=False, timeout=CALL_SECONDS, **params)

    def halted(self) -> Exception | None:
        return Paused() if _is_paused(self.relabel) else None


def _is_paused(relabel: Relabel) -> bool:
    return bool(Relabel.objects.filter(pk=relabel.pk, state=State.PAUSED).exists())


def _ended(operation: Operation) -> None:
    """The operation failed or was cancelled; what was answered is kept, and paid."""
    state = State.CANCELLED if operation.state == Operation.State.CANCELLED else State.FAILED
    relabel = Relabel.objects.select_related("connection").filter(pk=operation.subject_id).first()
    if relabel is not None and relabel.state != State.DONE:
        Relabel.objects.filter(pk=relabel.pk).update(state=state, finished=timezone.now())
        purse(relabel, None).settle()


@operations.handler(KIND, queue="eval", ended=_ended)
def run(work: operations.Working) -> operations.Outcome:
    """One step."""
    relabel = _relabel_of(work)
    if relabel.state == State.DONE:
        return operations.Done(work.operation.result)
    _check_rights(work, relabel)
    if relabel.state == State.PAUSED:
        return operations.Wait(PAUSED_SECONDS, "Paused.")
    stage = work.operation.cursor.get("stage", "rows")
    if stage == "rows":
        if not _make_rows(work, relabel):
            return operations.Again()
        stage = _enter(work, "calls", step="answering", done=0, total=relabel.calls.count())
    if stage == "calls":
        if (pause := _ask(work, relabel)) is not None:
            return pause
        answered = relabel.calls.filter(state=Made.DONE).count()
        stage = _enter(work, "compare", step="comparing", done=0, total=answered, note="")
    if not _compare(work, relabel):
        return operations.Again()
    return _finish(work, relabel)


def _relabel_of(work: operations.Working) -> Relabel:
    found = Relabel.objects.select_related("connection", "frozen_selection").defer("connection__secret")
    relabel: Relabel | None = found.filter(pk=work.operation.subject_id).first()
    if relabel is None:
        raise operations.Failed("gone", "The relabelling was deleted.")
    if relabel.state == State.DONE:
        return relabel  # a worker died before it could end its operation, or an old operation was tried again
    paused = relabel.state == State.PAUSED and relabel.operation_id == work.operation.pk
    if not paused and (relabel.state != State.RUNNING or relabel.operation_id != work.operation.pk):
        relabel.state, relabel.operation, relabel.finished = State.RUNNING, work.operation, None
        relabel.save(update_fields=["state", "operation", "finished"])
    return relabel


def _check_rights(work: operations.Working, relabel: Relabel) -> None:
    """Whoever started it must still be allowed to, on every source and on the teacher's connection."""
    if closed := obstacles.disconnected([relabel.connection_id]):
        raise operations.Failed("disconnected", closed)
    user = work.operation.requested_by
    teachers = Connection.objects.actionable_by(user).filter(pk=relabel.connection_id)
    if Relabel.objects.actionable_by(user).filter(pk=relabel.pk).exists() and teachers.exists():
        return
    audit.record(user, "relabel.refused", relabel, reason="the right was withdrawn")
    raise operations.Failed(
        "forbidden", "Whoever started this may no longer act on every connection that it uses."
    )


def _enter(work: operations.Working, stage: str, **fields: Any) -> str:
    with transaction.atomic():
        work.advance(cursor={**work.operation.cursor, "stage": stage, "at": 0}, **fields)
    crashpoint(f"relabel.{stage}")
    return stage


def _make_rows(work: operations.Working, relabel: Relabel) -> bool:
    """One row for every call that is to be made; False when the step's time is up first."""
    cursor = dict(work.operation.cursor)
    ids = islice(selection.ids_of(relabel.frozen_selection), cursor.get("at", 0), None)
    while some := list(islice(ids, ROWS_AT_ONCE)):
        if work.cancelled():
            raise operations.Cancelled
        if not work.time_left():
            return False
        at = cursor.get("at", 0)
        rows = StoredCompletion.objects.filter(pk__in=some)
        there = set(rows.filter(connection__in=relabel.connections.all()).values_list("pk", flat=True))
        calls = [
            RelabelCall(relabel=relabel, completion_id=pk, position=at + place)
            for place, pk in enumerate(some)
            if pk in there
        ]
        cursor["at"] = at + len(some)
        with transaction.atomic():
            work.advance(cursor=cursor, step="preparing")
            RelabelCall.objects.bulk_create(calls, ignore_conflicts=True)
        crashpoint("relabel.rows.made")
    return True


def _ask(work: operations.Working, relabel: Relabel) -> operations.Again | operations.Wait | None:
    ledger = Calls(relabel)
    if recover(work, ledger):
        relabel.refresh_from_db(fields=["repeated_calls"])
    purses = {relabel.connection_id: purse(relabel, work.operation.requested_by)}
    try:
        return Asking(work, ledger, ledger.asked, purses).go()
    except Paused:
        return operations.Wait(PAUSED_SECONDS, "Paused.")


def _compare(work: operations.Working, relabel: Relabel) -> bool:
    """Mark the answers that say what the original says; False when the step's time is up first."""
    cursor = dict(work.operation.cursor)
    answered = relabel.calls.filter(state=Made.DONE).select_related("completion__body").order_by("position")
    rest = answered.filter(position__gte=cursor.get("at", 0))
    while some := list(rest[:COMPARED_AT_ONCE]):
        if work.cancelled():
            raise operations.Cancelled
        if not work.time_left():
            return False
        for call in some:
            call.answer = {**call.answer, "same": _is_same(call)}
        cursor["at"] = some[-1].position + 1
        with transaction.atomic():
            work.advance(cursor=cursor, done=work.operation.done + len(some))
            RelabelCall.objects.bulk_update(some, ["answer"])
        crashpoint("relabel.compared")
        rest = answered.filter(position__gte=cursor["at"])
    return True


def _is_same(call: RelabelCall) -> bool:
    try:
        return taught(conversation_of(call.completion), call.answer).is_same
    except CannotAsk:
        return False


def _finish(work: operations.Working, relabel: Relabel) -> operations.Done:
    calls = relabel.calls.all()
    answered = calls.filter(state=Made.DONE)
    told = {
        "answered": answered.count(),
        "same": answered.filter(answer__same=True).count(),
        "failed": calls.filter(state=Made.FAILED).count(),
    }
    with transaction.atomic():
        work.advance(step="done", note="")
        relabel.refresh_from_db(fields=["repeated_calls"])
        Relabel.objects.filter(pk=relabel.pk).update(state=State.DONE, finished=timezone.now())
        purse(relabel, work.operation.requested_by).settle()
        audit.record(
            work.operation.requested_by, "relabel.finished", relabel, connection=relabel.connection, **told
        )
    return operations.Done({**told, "repeated_calls": relabel.repeated_calls})
