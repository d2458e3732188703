"""Judging a teacher's answers: accept one or many as corrections, dismiss, and take it back."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from completions import bulk_review, columns, reviewing
from completions.bulk_review import Tally
from completions.models import ReviewEvent, ReviewState, StoredCompletion
from completions.reviewing import Overtaken, Refused, Said, Written
from datasets.models import Relabel, RelabelCall
from datasets.relabel.answers import CannotAsk, Taught, conversation_of, taught
from portal import audit, operations
from portal.crashpoints import crashpoint
from portal.models import Connection, Operation
from portal.progress import Told, tells

KIND = "relabel.accept"
AT_ONCE = 100
CORRECTED = "they have a correction already"
NOT_TAKEN = "the teacher gave no answer that could be taken"
NOT_ALLOWED = "you may no longer change reviews there"
Verdict = RelabelCall.Verdict
bulk_review.REVERSIBLE.add(KIND)


def taught_by(call: RelabelCall) -> Taught:
    """A call's answer beside its original. Raises CannotAsk where that cannot be read any more."""
    return taught(conversation_of(call.completion), call.answer)


def accept(call: RelabelCall, user: Any, seen: int | None) -> None:
    """Make the answer the correction of its completion.

    `seen` is the correction that the person saw, None for the original. Raises Refused, or Overtaken where
    somebody has corrected it meanwhile.
    """
    row: StoredCompletion = call.completion
    try:
        answer = taught_by(call)
    except CannotAsk as problem:
        raise Refused(str(problem)) from problem
    if answer.problem:
        raise Refused(answer.problem)
    with transaction.atomic():
        columns.next_change(row.connection_id, 0)  # nobody else writes from here on
        fresh = RelabelCall.objects.select_for_update(of=("self",)).get(pk=call.pk)
        if fresh.verdict:
            raise Refused("This answer has been judged already.")
        now = ReviewState.objects.filter(pk=row.pk).values_list("correction_id", flat=True).first()
        if now != seen:
            raise Overtaken(ReviewEvent.objects.select_related("author").filter(pk=now).first())
        written = reviewing.write(row.connection_id, {row.pk: [_said(answer)]}, user)
        _judge(fresh, Verdict.ACCEPTED, user, event=written.events[0] if written.events else None)
    columns.pack_if_due(row.connection_id, written.unpacked)


def _said(answer: Taught) -> Said:
    return Said(ReviewEvent.Kind.CORRECTION, None if answer.is_same else answer.value)


def dismiss(call: RelabelCall, user: Any) -> None:
    """Leave the original as it is. Raises Refused if it was judged."""
    with transaction.atomic():
        fresh = RelabelCall.objects.select_for_update(of=("self",)).get(pk=call.pk)
        if fresh.verdict:
            raise Refused("This answer has been judged already.")
        _judge(fresh, Verdict.DISMISSED, user)


def undo(call: RelabelCall, user: Any) -> None:
    """Take a verdict back, and its correction where that still holds. Raises Refused where it does not."""
    row = call.completion
    written = Written()
    with transaction.atomic():
        columns.next_change(row.connection_id, 0)
        fresh = RelabelCall.objects.select_for_update(of=("self",)).get(pk=call.pk)
        event = ReviewEvent.objects.filter(pk=fresh.answer.get("event")).first()
        if event is not None and not ReviewEvent.objects.filter(undoes=event.pk).exists():
            said, undoes = reviewing.undoing([event])
            if not said:
                raise Refused("The answer was corrected again since. Change that correction instead.")
            written = reviewing.write(row.connection_id, said, user, undoes=undoes)
        _judge(fresh, "", None)
    columns.pack_if_due(row.connection_id, written.unpacked)


def _judge(call: RelabelCall, verdict: str, user: Any, event: int | None = None) -> None:
    answer = {name: value for name, value in call.answer.items() if name not in ("event", "operation")}
    call.answer = answer | ({"event": event} if event is not None else {})
    call.verdict, call.judged_by = verdict, user
    call.judged = timezone.now() if verdict else None
    call.save(update_fields=["answer", "verdict", "judged_by", "judged"])


# Many at once.


def to_accept(relabel: Relabel) -> "QuerySet[RelabelCall]":
    """The answers that nobody has judged and that say something else than the original."""
    calls: QuerySet[RelabelCall] = relabel.calls.filter(state=RelabelCall.State.DONE, verdict="")
    return calls.exclude(answer__same=True)


def accept_all(relabel: Relabel, user: Any) -> Operation:
    """Begin to accept every answer that is left to be judged; corrections that are there stay.

    Raises Refused where none is left.
    """
    with transaction.atomic():
        relabel = Relabel.objects.select_for_update().get(pk=relabel.pk)
        if not to_accept(relabel).exists():
            raise Refused("No answer is left to be accepted.")
        before = _accepted_by(relabel).count()
        operation = operations.begin(
            KIND,
            title=f"Accept the answers of {relabel.name}"[:200],
            dedupe_key=f"{relabel.pk}:{before}",
            connection=None,
            requested_by=user,
            subject=relabel,
        )
        audit.record(user, "relabel.accept_begun", relabel, answers=to_accept(relabel).count())
        return operation


def _accepted_by(relabel: Relabel) -> "QuerySet[Operation]":
    found: QuerySet[Operation] = Operation.objects.filter(
        kind=KIND, subject_type=Relabel._meta.label_lower, subject_id=str(relabel.pk)
    )
    return found.exclude(state__in=("ready", "running", "waiting"))


def last_accepted(relabel: Relabel) -> Operation | None:
    """The newest operation that accepted many of its answers; one that changed nothing hides none before."""
    found: list[Operation] = list(
        Operation.objects.filter(
            kind=KIND, subject_type=Relabel._meta.label_lower, subject_id=str(relabel.pk)
        ).order_by("-pk")[:20]
    )
    telling = (each for each in found if each.is_live or can_undo(each))
    return next(telling, found[0] if found else None)


def undo_all(operation: Operation, user: Any) -> Operation:
    """Begin to take back what one of these accepted. Raises Refused while it runs, or if it was."""
    with transaction.atomic():
        back = bulk_review.undo(operation, user)
        RelabelCall.objects.filter(
            relabel=operation.subject_id, verdict=Verdict.ACCEPTED, answer__operation=operation.pk
        ).update(verdict="", judged=None, judged_by=None)
        return back


def can_undo(operation: Operation) -> bool:
    """Whether it has ended, changed something and was not taken back."""
    changed = bulk_review.tally_of(operation).changed
    return bool(changed) and not operation.is_live and bulk_review.undone_by(operation) is None


@operations.handler(KIND, queue="dataset")
def run(work: operations.Working) -> operations.Outcome:
    """One step: batches in the order of the selection."""
    operation = work.operation
    relabel = Relabel.objects.filter(pk=operation.subject_id).first()
    if relabel is None:
        raise operations.Failed("gone", "The relabelling was deleted.")
    if operation.requested_by is None:
        raise operations.Failed(
            "nobody", "The account in whose name this is done is gone, so it cannot go on."
        )
    cursor = dict(operation.cursor)
    tally = Tally(**cursor.get("tally", asdict(Tally())))
    total = operation.total or to_accept(relabel).count()
    left = to_accept(relabel).select_related("completion__body").order_by("position")
    while some := list(left.filter(position__gte=cursor.get("at", 0))[:AT_ONCE]):
        if work.cancelled():
            raise operations.Cancelled
        if not work.time_left():
            return operations.Again()
        cursor["at"] = some[-1].position + 1
        with transaction.atomic():
            unpacked = _accept_some(some, operation, tally)
            cursor["tally"] = asdict(tally)
            work.advance(cursor=cursor, done=operation.done + len(some), total=total)
        crashpoint("relabel.accepted")
        for connection, count in unpacked.items():
            columns.pack_if_due(connection, count)
    with transaction.atomic():
        work.advance(step="done")
        audit.record(operation.requested_by, "relabel.accepted", relabel, changed=tally.changed)
    return operations.Done(asdict(tally))


def _accept_some(calls: Sequence[RelabelCall], operation: Operation, tally: Tally) -> dict[int, int]:
    """Accept these; returns how many changes are unpacked, by connection."""
    connections = sorted({call.completion.connection_id for call in calls})
    for connection in connections:
        columns.next_change(connection, 0)
    allowed = set(
        Connection.objects.reviewable_by(operation.requested_by)
        .filter(pk__in=connections)
        .values_list("pk", flat=True)
    )
    fresh = RelabelCall.objects.select_for_update(of=("self",)).in_bulk([call.pk for call in calls])
    corrected = set(
        ReviewState.objects.filter(
            pk__in=[call.completion_id for call in calls], correction__isnull=False
        ).values_list("pk", flat=True)
    )
    said: dict[int, dict[int, list[Said]]] = {}
    taken: dict[int, RelabelCall] = {}
    for call in calls:
        now = fresh.get(call.pk)
        if now is None or now.verdict:
            continue
        why, answer = _why_not(call, allowed, corrected)
        if answer is None:
            tally.refuse(why, 1)
            continue
        said.setdefault(call.completion.connection_id, {})[call.completion_id] = [_said(answer)]
        taken[call.completion_id] = now
    unpacked = {}
    for connection, things in said.items():
        written = reviewing.write(connection, things, operation.requested_by, operation=operation)
        tally.changed += written.changed
        tally.same += written.same
        unpacked[connection] = written.unpacked
        events = ReviewEvent.objects.filter(pk__in=written.events).values_list("completion", "pk")
        for completion, event in events:
            taken[completion].answer = {
                **taken[completion].answer, "event": event, "operation": operation.pk,
            }  # fmt: skip
    for call in taken.values():
        call.verdict, call.judged_by, call.judged = Verdict.ACCEPTED, operation.requested_by, timezone.now()
    RelabelCall.objects.bulk_update(taken.values(), ["answer", "verdict", "judged_by", "judged"])
    return unpacked


def _why_not(call: RelabelCall, allowed: set[int], corrected: set[int]) -> tuple[str, Taught | None]:
    if call.completion.connection_id not in allowed:
        return NOT_ALLOWED, None
    if call.completion_id in corrected:
        return CORRECTED, None
    try:
        answer = taught_by(call)
    except CannotAsk:
        return NOT_TAKEN, None
    return (NOT_TAKEN, None) if answer.problem else ("", answer)


@tells(KIND)
def told(operation: Operation, user: Any) -> Told | None:
    """What came of it, on the operation's page."""
    tally = bulk_review.tally_of(operation)
    return Told(bulk_review.in_words_of(operation), list(tally.refused.items()))
