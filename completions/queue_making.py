"""Making a review queue of a selection, or of a seeded sample of it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Max, Q, QuerySet

from completions import bulk, sampling, selection
from completions.models import FrozenSelection, Label, QueueItem, ReviewQueue, StoredCompletion
from completions.purposes import purpose
from completions.querysets import holding
from completions.reviewing import Refused
from portal import audit
from portal.models import Grant, User
from portal.querysets import roles_from

MOST_ITEMS = 50_000
MOST_OVERLAP = 10
MODEL = "model"  # to draw by; a metadata key is written "metadata.KEY"
METADATA = "metadata."

purpose("queue", "Queue for review", "users", url="completions:queue_new", order=40)


@dataclass(frozen=True, slots=True)
class Sample:
    """How many, by which seed; each group of `by` ("model", "metadata.KEY") has its share."""

    n: int
    seed: int = 0
    by: str = ""


def make(
    user: Any,
    frozen: FrozenSelection,
    *,
    name: str,
    guideline: str = "",
    asks: Sequence[str] = (),
    labels: Collection[Label] = (),
    overlap: int = 1,
    reviewers: Collection[User] = (),
    sample: Sample | None = None,
) -> ReviewQueue:
    """A queue of what is selected, or of a sample of it. Raises Refused."""
    if not asks and not labels:
        raise Refused("Choose at least one question to ask.")
    if reviewers and len(reviewers) < overlap:
        raise Refused(f"{overlap} people are to answer each, but only {len(reviewers)} are assigned.")
    with transaction.atomic():
        rows = StoredCompletion.objects.actionable_by(user).filter(
            holding(selection.unpacked(frozen.ids).tolist())
        )
        chosen, sources = _members(frozen, rows, sample)
        if not chosen:
            raise Refused(selection.NOTHING_LEFT)
        if len(chosen) > MOST_ITEMS:
            raise Refused(f"A queue holds at most {MOST_ITEMS:,} completions. Take a sample of them.")
        drawn = None
        if sample is not None:
            drawn = {"n": len(chosen), "of": frozen.count, "seed": sample.seed, "by": sample.by}
        queue: ReviewQueue = ReviewQueue.objects.create(
            name=name, guideline=guideline, selection=frozen, sample=drawn, asks=list(asks),
            overlap=overlap, created_by=user,
        )  # fmt: skip
        queue.connections.set(sources)
        queue.labels.set(label for label in labels if label.connection_id in sources)
        queue.reviewers.set(reviewers)
        _insert(queue, chosen)
        selection.confirm(frozen)
        audit.record(user, "review_queue.created", queue, completions=len(chosen), overlap=overlap)
    return queue


def add(user: Any, frozen: FrozenSelection, queue: ReviewQueue) -> int:
    """Put what is selected at the end of a queue; returns how many came to it. Raises Refused.

    What is in it already stays where it is. The queue's sources decide who may see it, so nothing comes from
    others.
    """
    with transaction.atomic():
        queue = ReviewQueue.objects.actionable_by(user).select_for_update(of=("self",)).get(pk=queue.pk)
        if queue.closed is not None:
            raise Refused(f"“{queue.name}” is closed. Open it again first.")
        rows = StoredCompletion.objects.actionable_by(user).filter(
            holding(selection.unpacked(frozen.ids).tolist())
        )
        chosen, sources = _members(frozen, rows, None)
        foreign = sources - set(queue.connections.values_list("pk", flat=True))
        if foreign:
            names = ", ".join(frozen.connections.filter(pk__in=foreign).values_list("name", flat=True))
            raise Refused(f"“{queue.name}” is not a queue for {names}. Make a new one.")
        there = set(queue.items.values_list("completion", flat=True))
        new = [(pk, connection) for pk, connection in chosen if pk not in there]
        if len(there) + len(new) > MOST_ITEMS:
            raise Refused(f"A queue holds at most {MOST_ITEMS:,} completions; this one has {len(there):,}.")
        last = queue.items.aggregate(last=Max("position"))["last"]
        _insert(queue, new, 0 if last is None else last + 1)
        selection.confirm(frozen)
        audit.record(user, "review_queue.extended", queue, completions=len(new))
    return len(new)


def _insert(queue: ReviewQueue, chosen: Sequence[tuple[int, int]], first: int = 0) -> None:
    """Rows of the queue for completions and their connections, from position `first` on."""
    bulk.insert(
        QueueItem,
        [
            {
                "queue": queue.pk, "completion": pk, "connection": connection, "position": position,
                "state": QueueItem.State.OPEN, "decision": None, "decided": None, "decided_by": None,
            }
            for position, (pk, connection) in enumerate(chosen, first)
        ],
    )  # fmt: skip


def _members(
    frozen: FrozenSelection, rows: QuerySet[Any], sample: Sample | None
) -> tuple[list[tuple[int, int]], set[int]]:
    """The completions in the order in which they are reviewed, with their connections, and these alone."""
    groups: dict[int, str] | None = None
    if sample is None or not sample.by:
        sources = dict(rows.values_list("pk", "connection_id"))
    elif sample.by == MODEL:
        sources, groups = {}, {}
        for pk, connection, model in rows.values_list("pk", "connection_id", "model"):
            sources[pk], groups[pk] = connection, model
    else:
        sources, groups, key = {}, {}, sample.by.removeprefix(METADATA)
        for pk, connection, metadata in rows.values_list("pk", "connection_id", "metadata").iterator():
            sources[pk], groups[pk] = connection, (metadata or {}).get(key, "")
    ids = [pk for pk in selection.ids_of(frozen) if pk in sources]
    if sample is not None:
        ids = sampling.draw(ids, sample.n, sample.seed, groups)
    return [(pk, sources[pk]) for pk in ids], {sources[pk] for pk in ids}


def people(connections: Collection[int]) -> QuerySet[User]:
    """Everybody who may review on all of these connections."""
    found = User.objects.filter(is_active=True)
    for each in connections:
        grants = Grant.objects.filter(
            Q(connection=each) | Q(connection=None), role__in=roles_from("reviewer")
        )
        found = found.filter(
            Q(is_superuser=True)
            | Q(pk__in=grants.exclude(user=None).values("user"))
            | Q(groups__in=grants.exclude(group=None).values("group"))
        )
    return found.distinct().order_by("username")
