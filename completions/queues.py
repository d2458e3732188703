"""Review queues: who gets which completion next, and what becomes of the answers.

Whoever changes a task holds the queue's row first, so that two people are never given the last place of the
same completion and the last of several answers is known to be the last. Answers are no events until an item
is decided: by its only reviewer, by reviewers who agree, or by an adjudicator.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from completions import columns, reviewing
from completions.models import (
    QueueItem,
    QueueTask,
    ReviewEvent,
    ReviewQueue,
)
from completions.questions import agreed, questions_of, read_answers, said_of
from completions.reviewing import Refused, Said
from portal import audit

CLAIM = timedelta(minutes=30)
MOST_COUNTED = 1000

State, Task = QueueItem.State, QueueTask.State


# Who may do what, and what is there to do.


def workable_by(user: Any) -> QuerySet[ReviewQueue]:
    """The queues in which a person may answer, also closed ones."""
    mine: QuerySet[ReviewQueue] = ReviewQueue.objects.reviewable_by(user).filter(
        Q(reviewers=None) | Q(reviewers=user.pk)
    )
    return mine.distinct()


def left_for(user: Any, queues: Collection[ReviewQueue]) -> dict[int, int]:
    """How many completions of these queues the person can take now, by queue; without those of none."""
    keys = [queue.pk for queue in queues if queue.closed is None]
    found = _takeable(user).filter(queue__in=keys).order_by().values("queue").annotate(n=Count("pk"))
    return dict(found.values_list("queue", "n"))


def left_in(user: Any, queue: ReviewQueue) -> tuple[int, bool]:
    """How many of one queue, counted up to MOST_COUNTED, and whether there are more."""
    if queue.closed is not None or not workable_by(user).filter(pk=queue.pk).exists():
        return 0, False
    n = len(_takeable(user).filter(queue=queue.pk).values_list("pk", flat=True)[: MOST_COUNTED + 1])
    return min(n, MOST_COUNTED), n > MOST_COUNTED


def _takeable(user: Any) -> QuerySet[QueueItem]:
    done = QueueTask.objects.filter(
        item=OuterRef("pk"), reviewer=user.pk, state__in=(Task.SUBMITTED, Task.SKIPPED)
    )
    return _with_a_place(user, timezone.now()).filter(~Exists(done))


def holds_a_place(now: datetime) -> Q:
    """Condition on QueueTask: nobody else can have the place that it takes."""
    asked_again = Q(state=Task.RETURNED, returned_by__isnull=False) & ~Q(returned_by=F("reviewer"))
    return Q(state=Task.SUBMITTED) | Q(state=Task.CLAIMED, claimed_until__gt=now) | asked_again


def _with_a_place(user: Any, now: datetime) -> QuerySet[QueueItem]:
    """Open items of which others hold fewer places than there are."""
    others = (
        QueueTask.objects.filter(holds_a_place(now), item=OuterRef("pk"))
        .exclude(reviewer=user.pk)
        .order_by()
        .values("item")
        .annotate(n=Count("pk"))
        .values("n")
    )
    found: QuerySet[QueueItem] = QueueItem.objects.filter(state=State.OPEN)
    return found.alias(others=Coalesce(Subquery(others), 0)).filter(others__lt=F("queue__overlap"))


def _hold(pk: int) -> ReviewQueue:
    """The queue's row, held until the transaction ends."""
    queue: ReviewQueue = ReviewQueue.objects.select_for_update().get(pk=pk)
    return queue


def _open(queue: ReviewQueue, user: Any) -> None:
    if queue.closed is not None:
        raise Refused("This queue is closed. What was answered stays.")
    if not workable_by(user).filter(pk=queue.pk).exists():
        raise Refused("This queue is assigned to other people.")


# Claiming.


def claim(queue: ReviewQueue, user: Any, item: int | None = None) -> QueueTask | None:
    """Give the person the next completion for half an hour, or the one asked for; None if none is left.

    First what they have at hand, then what they were asked to look at again, then fresh ones in their order,
    and at last what they put back themselves. Raises Refused.
    """
    with transaction.atomic():
        _open(_hold(queue.pk), user)
        now = timezone.now()
        free = _with_a_place(user, now).filter(queue=queue.pk)
        if item is not None:
            wanted = free.filter(pk=item)
            found = _taken(wanted, user, now)
            if found is None:
                raise Refused("This completion is decided, or others are at it.")
            return found
        begun = QueueTask.objects.filter(item__queue=queue.pk, item__state=State.OPEN, reviewer=user.pk)
        held = list(
            begun.filter(state__in=(Task.CLAIMED, Task.RETURNED)).values_list("item", "state", "returned_by")
        )
        at_hand = [item for item, state, _ in held if state == Task.CLAIMED]
        put_back = [item for item, state, by in held if state == Task.RETURNED and by == user.pk]
        asked_again = [item for item, *_ in held if item not in at_hand and item not in put_back]
        mine = QueueTask.objects.filter(item=OuterRef("pk"), reviewer=user.pk)
        for some in (
            free.filter(pk__in=at_hand),
            free.filter(pk__in=asked_again),
            free.filter(~Exists(mine)),
            free.filter(pk__in=put_back),
        ):
            found = _taken(some, user, now)
            if found is not None:
                return found
    return None


def _taken(some: QuerySet[QueueItem], user: Any, now: datetime) -> QueueTask | None:
    """The first of these items, claimed."""
    for pk in some.order_by("position", "pk").values_list("pk", flat=True)[:3]:
        # Held, so that it is not deleted before the claim stands.
        item = QueueItem.objects.select_for_update(of=("self",), no_key=True).filter(pk=pk).first()
        if item is None:
            continue
        task: QueueTask = QueueTask.objects.update_or_create(
            item=item, reviewer=user, defaults={"state": Task.CLAIMED, "claimed_until": now + CLAIM}
        )[0]
        return task
    return None


def at_hand(queue: ReviewQueue, user: Any) -> QueueTask | None:
    """What the person has claimed, also if the time is up."""
    found: QueueTask | None = (
        QueueTask.objects.filter(
            item__queue=queue.pk, item__state=State.OPEN, reviewer=user.pk, state=Task.CLAIMED
        )
        .select_related("item")
        .order_by("-claimed_until")
        .first()
    )
    return found


# Answering.


def submit(task: QueueTask, user: Any, sent: Mapping[str, Sequence[str]], note: str = "") -> QueueItem:
    """Take a person's answers; with the last that are needed the item is decided, or disputed.

    Raises Refused, and writes nothing then.
    """
    with transaction.atomic():
        queue, item, mine = _mine(task, user)
        if mine.state == Task.SUBMITTED:  # a key pressed twice
            return item
        if not _with_a_place(user, timezone.now()).filter(pk=item.pk).exists():
            raise Refused(
                "Your half hour was up, and others have answered this one meanwhile. Take the next."
            )
        questions = questions_of(queue, item.connection_id)
        mine.answers = read_answers(questions, sent)
        mine.note = reviewing.checked(Said(ReviewEvent.Kind.NOTE, note)).value if note.strip() else ""
        mine.state, mine.submitted, mine.claimed_until = Task.SUBMITTED, timezone.now(), None
        mine.reason, mine.returned_by = "", None
        mine.save()
        unpacked = 0
        every = list(_answered(item))
        if len(every) >= queue.overlap:
            if agreed(questions, [each.answers for each in every]):
                unpacked = _decide(queue, item, mine.answers, user, every)
            else:
                item.state = State.DISPUTED
                item.save(update_fields=["state"])
    columns.pack_if_due(item.connection_id, unpacked)
    return item


def _mine(task: QueueTask, user: Any) -> tuple[ReviewQueue, QueueItem, QueueTask]:
    """The queue, the mirror, the item and the task as they stand, all held, in this order everywhere."""
    queue = _hold(task.item.queue_id)
    _open(queue, user)
    columns.next_change(task.item.connection_id, 0)
    item = QueueItem.objects.select_for_update(of=("self",)).filter(pk=task.item_id).first()
    mine = QueueTask.objects.filter(pk=task.pk, reviewer=user.pk).first()
    if item is None or mine is None:
        raise Refused("This completion has been deleted. Take the next.")
    if mine.state != Task.SUBMITTED and item.state != State.OPEN:
        raise Refused("This completion has been decided meanwhile. Take the next.")
    return queue, item, mine


def _answered(item: QueueItem) -> QuerySet[QueueTask]:
    found: QuerySet[QueueTask] = item.tasks.filter(state=Task.SUBMITTED)
    return found.select_related("reviewer").order_by("submitted", "pk")


def _decide(
    queue: ReviewQueue, item: QueueItem, answers: Mapping[str, Any], author: Any, every: Sequence[QueueTask]
) -> int:
    """Write what holds: the answers as the author's, and everybody's notes as their own."""
    written = reviewing.Written()
    for each in every:
        if each.note:
            note = Said(ReviewEvent.Kind.NOTE, each.note)
            written = reviewing.write(item.connection_id, {item.completion_id: [note]}, each.reviewer)
    said = said_of(questions_of(queue, item.connection_id), answers)
    if said:
        written = reviewing.write(item.connection_id, {item.completion_id: said}, author)
    item.state, item.decision, item.decided = State.DONE, dict(answers), timezone.now()
    item.save(update_fields=["state", "decision", "decided", "decided_by"])
    return written.unpacked


def skip(task: QueueTask, user: Any, reason: str) -> None:
    """Leave this one to others, and say why. Raises Refused."""
    reason = reason.replace("\x00", "").strip()[:500]
    if not reason:
        raise Refused("Say in a few words why you skip it.")
    _leave(task, user, Task.SKIPPED, reason, by=None)


def put_back(task: QueueTask, user: Any) -> None:
    """Return this one to the pool; it comes again when nothing else is left. Raises Refused."""
    _leave(task, user, Task.RETURNED, "", by=user)


def _leave(task: QueueTask, user: Any, state: str, reason: str, by: Any) -> None:
    with transaction.atomic():
        _, _, mine = _mine(task, user)
        if mine.state == Task.SUBMITTED:
            raise Refused("You have answered this one already.")
        mine.state, mine.reason, mine.returned_by, mine.claimed_until = state, reason, by, None
        mine.save()


# Deciding.


def adjudicate(item: QueueItem, user: Any, sent: Mapping[str, Sequence[str]], note: str = "") -> QueueItem:
    """Decide what holds of one completion, whatever the reviewers said. Raises Refused."""
    with transaction.atomic():
        queue, item = _undecided(item)
        answers = read_answers(questions_of(queue, item.connection_id), sent)
        said = reviewing.checked(Said(ReviewEvent.Kind.NOTE, note)) if note.strip() else None
        item.decided_by = user
        unpacked = _decide(queue, item, answers, user, list(_answered(item)))
        if said is not None:
            written = reviewing.write(item.connection_id, {item.completion_id: [said]}, user)
            unpacked = max(unpacked, written.unpacked)
        audit.record(user, "review_queue.adjudicated", queue, completion=item.completion_id)
    columns.pack_if_due(item.connection_id, unpacked)
    return item


def send_back(task: QueueTask, user: Any, reason: str) -> None:
    """Ask somebody to look again at what they answered. Raises Refused."""
    reason = reason.replace("\x00", "").strip()[:500]
    if not reason:
        raise Refused("Say what should be looked at again.")
    with transaction.atomic():
        queue, item = _undecided(task.item)
        changed = QueueTask.objects.filter(pk=task.pk, state=Task.SUBMITTED, reviewer__isnull=False).update(
            state=Task.RETURNED, reason=reason, returned_by=user, submitted=None
        )
        if not changed:
            raise Refused("There is no answer of theirs to be sent back.")
        item.state = State.OPEN
        item.save(update_fields=["state"])
        audit.record(user, "review_queue.sent_back", queue, completion=item.completion_id)


def _undecided(item: QueueItem) -> tuple[ReviewQueue, QueueItem]:
    queue = _hold(item.queue_id)
    columns.next_change(item.connection_id, 0)
    held = QueueItem.objects.select_for_update(of=("self",)).filter(pk=item.pk).first()
    if held is None:
        raise Refused("This completion has been deleted.")
    if held.state == State.DONE:
        raise Refused("This completion is decided already.")
    return queue, held


def close(queue: ReviewQueue, user: Any, *, closed: bool) -> None:
    """End a queue, or open it again; nothing that was answered is lost."""
    with transaction.atomic():
        held = _hold(queue.pk)
        if (held.closed is not None) != closed:
            held.closed = timezone.now() if closed else None
            held.save(update_fields=["closed"])
            audit.record(user, "review_queue.closed" if closed else "review_queue.reopened", held)
