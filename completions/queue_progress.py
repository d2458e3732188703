"""How far review queues are, who has done how much, and how far the reviewers agree."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Q
from django.utils import timezone

from completions import agreement
from completions.agreement import Answer, Figures
from completions.models import QueueItem, QueueTask, ReviewQueue
from completions.questions import Question, questions_of

State, Task = QueueItem.State, QueueTask.State


@dataclass(slots=True)
class Progress:
    """How many completions are in each state, and how many answers there are of those that are needed."""

    total: int = 0
    done: int = 0
    disputed: int = 0
    answers: int = 0
    needed: int = 0

    @property
    def left(self) -> int:
        return self.total - self.done

    @property
    def percent(self) -> int:
        """Of the answers, since an item of three reviewers with two answers is not nothing."""
        return 100 * min(self.answers, self.needed) // self.needed if self.needed else 100


def progress_of(queues: Collection[ReviewQueue]) -> dict[int, Progress]:
    """Of each of these queues, by two queries."""
    made = {queue.pk: Progress() for queue in queues}
    overlaps = {queue.pk: queue.overlap for queue in queues}
    items = QueueItem.objects.filter(queue__in=made).order_by()
    for pk, state, n in items.values_list("queue", "state").annotate(n=Count("pk")):
        one = made[pk]
        one.total += n
        one.needed += n * overlaps[pk]
        if state == State.DONE:
            one.done = n
            one.answers += n * overlaps[pk]  # also where somebody decided before all were in
        elif state == State.DISPUTED:
            one.disputed = n
    answers = QueueTask.objects.filter(state=Task.SUBMITTED, item__queue__in=made).exclude(
        item__state=State.DONE
    )
    for pk, n in answers.order_by().values_list("item__queue").annotate(n=Count("pk")):
        made[pk].answers += n
    return made


@dataclass(frozen=True, slots=True)
class Person:
    """What one person has done in a queue."""

    name: str
    submitted: int = 0
    skipped: int = 0
    returned: int = 0
    at_hand: int = 0
    last: datetime | None = None


def people_at(queue: ReviewQueue, user: Any = None) -> list[Person]:
    """Everybody who is assigned or has begun, the most diligent first; or one person alone."""
    tasks = QueueTask.objects.filter(item__queue=queue.pk)
    assigned = queue.reviewers.all()
    if user is not None:
        tasks, assigned = tasks.filter(reviewer=user.pk), assigned.none()
    live = Q(state=Task.CLAIMED, item__state=State.OPEN, claimed_until__gt=timezone.now())
    found = (
        tasks.order_by()
        .values_list("reviewer__username")
        .annotate(
            n_submitted=Count("pk", Q(state=Task.SUBMITTED)),
            n_skipped=Count("pk", Q(state=Task.SKIPPED)),
            n_returned=Count("pk", Q(state=Task.RETURNED)),
            n_at_hand=Count("pk", live),
            last=Max("submitted"),
        )
    )
    made = [Person(name or "somebody who has left", *rest) for name, *rest in found]
    begun = {each.name for each in made}
    made += [Person(name) for name in assigned.values_list("username", flat=True) if name not in begun]
    return sorted(made, key=lambda each: (-each.submitted, each.name))


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far people agree on one question, and which items they answered differently."""

    question: Question
    figures: Figures
    differing: tuple[int, ...]

    @property
    def percent(self) -> int | None:
        share = self.figures.percent
        return None if share is None else round(100 * share)


@dataclass(slots=True)
class _Given:
    """What was said about one item, by person."""

    connection: int
    answers: dict[int, dict[str, Any]] = field(default_factory=dict)


def agreement_of(queue: ReviewQueue) -> list[Agreement]:
    """Of every question that people can answer alike, from what is submitted."""
    given: dict[int, _Given] = {}
    tasks = QueueTask.objects.filter(item__queue=queue.pk, state=Task.SUBMITTED).order_by(
        "item__position", "pk"
    )
    for item, connection, pk, reviewer, answers in tasks.values_list(
        "item", "item__connection", "pk", "reviewer", "answers"
    ):
        # Somebody who has left is still one person.
        given.setdefault(item, _Given(connection)).answers[reviewer or -pk] = answers
    made = []
    for question in questions_of(queue):
        if not question.compared:
            continue
        ratings: dict[int, dict[int, Answer]] = defaultdict(dict)
        for item, one in given.items():
            if question.label is not None and question.label.connection_id != one.connection:
                continue
            for reviewer, answers in one.answers.items():
                value = question.comparable(answers)
                if value is not None:
                    ratings[item][reviewer] = value
        keys, items = list(ratings), list(ratings.values())
        differing = tuple(keys[place] for place in agreement.differing(items))
        made.append(Agreement(question, agreement.figures(items, interval=question.interval), differing))
    return made
