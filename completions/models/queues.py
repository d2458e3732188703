"""Completions that several people review together: who was given which, and what each of them answered."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from portal.querysets import FromConnectionsQuerySet, OnConnectionQuerySet


class ReviewQueue(models.Model):
    """Completions to be reviewed under one guideline; which ones was settled when it was made.

    What is asked is `asks` ("state", "rating") and `labels`. Without assigned `reviewers` it is open to
    everybody who may review on every source. Whoever changes a task holds the queue's row
    (completions.queues).
    """

    name = models.CharField(max_length=120)
    guideline = models.TextField(blank=True, max_length=20_000)
    selection = models.ForeignKey(
        "completions.FrozenSelection", models.SET_NULL, null=True, related_name="queues"
    )
    connections = models.ManyToManyField("portal.Connection", related_name="review_queues")
    sample = models.JSONField(null=True, help_text="Of how many it was drawn and how; null if it is all.")
    asks = models.JSONField(default=list, help_text="What is asked beside the labels: state, rating.")
    labels = models.ManyToManyField("completions.Label", related_name="+")
    overlap = models.IntegerField(default=1, help_text="How many people answer each completion.")
    reviewers = models.ManyToManyField(
        settings.AUTH_USER_MODEL, related_name="assigned_queues", help_text="Everybody if none."
    )
    closed = models.DateTimeField(null=True)
    created = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")

    objects: Any = FromConnectionsQuerySet.as_manager()

    class Meta:
        ordering = ("-created", "-pk")

    def __str__(self) -> str:
        return self.name


class QueueItem(models.Model):
    """One completion of a queue; open until as many people as needed have answered and agree."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        DONE = "done", "Decided"
        DISPUTED = "needs_adjudication", "Needs a decision"

    queue = models.ForeignKey(ReviewQueue, models.CASCADE, related_name="items", db_index=False)
    completion = models.ForeignKey("completions.StoredCompletion", models.CASCADE, related_name="queue_items")
    connection = models.ForeignKey("portal.Connection", models.CASCADE, related_name="+")
    position = models.IntegerField()
    state = models.CharField(max_length=20, choices=State.choices, default=State.OPEN)
    decision = models.JSONField(null=True, help_text="The answers that hold, once it is decided.")
    decided = models.DateTimeField(null=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+",
        help_text="Who adjudicated; nobody where the reviewers agreed.",
    )  # fmt: skip

    objects: Any = OnConnectionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="once_in_a_queue", fields=["queue", "completion"]),
        ]
        indexes = [models.Index(fields=["queue", "state", "position"], name="qi_next")]

    def __str__(self) -> str:
        return f"{self.completion_id} in {self.queue_id}"


class QueueTask(models.Model):
    """One person at one completion of a queue.

    The answers are no events yet, and nobody but who may decide sees them before the item is decided. One
    that is `returned` waits: with the person who put it back, or for the person whom `returned_by` asks to
    look again.
    """

    class State(models.TextChoices):
        CLAIMED = "claimed", "In work"
        SUBMITTED = "submitted", "Submitted"
        SKIPPED = "skipped", "Skipped"
        RETURNED = "returned", "Returned"

    item = models.ForeignKey(QueueItem, models.CASCADE, related_name="tasks", db_index=False)
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    state = models.CharField(max_length=9, choices=State.choices, default=State.CLAIMED)
    reason = models.CharField(max_length=500, blank=True, help_text="Why it was skipped or returned.")
    answers = models.JSONField(default=dict, help_text="What was said, by what it is about.")
    note = models.TextField(blank=True)
    claimed_until = models.DateTimeField(null=True)
    submitted = models.DateTimeField(null=True)
    returned_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")

    objects: Any = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="one_task_each", fields=["item", "reviewer"]),
            models.CheckConstraint(
                name="claims_end", condition=~Q(state="claimed") | Q(claimed_until__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reviewer_id} at {self.item_id}"
