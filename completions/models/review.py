"""What people say about stored completions: every word of it as an event, and what holds now beside it."""

from typing import Any

from django.conf import settings
from django.db import models

from portal.querysets import OnConnectionQuerySet


class Label(models.Model):
    """One question that reviewers answer about a completion of a connection, and the answers there are.

    `name` is what is written in a filter (`label.tone:formal`). One that is retired is asked no more; what
    was answered stays.
    """

    class Kind(models.TextChoices):
        CHOICE = "choice", "One of several"
        MULTIPLE = "multiple", "Any of several"
        SCORE = "score", "A score"
        TEXT = "text", "Free text"

    connection = models.ForeignKey("portal.Connection", models.CASCADE, related_name="labels")
    name = models.CharField(max_length=60)
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.CHOICE)
    guideline = models.TextField(blank=True, max_length=10_000)
    options = models.JSONField(
        default=list, help_text="The answers in their order; of a score, low and high."
    )
    position = models.IntegerField(default=0)
    retired = models.DateTimeField(null=True)

    objects: Any = OnConnectionQuerySet.as_manager()

    class Meta:
        ordering = ("position", "pk")
        constraints = [
            models.UniqueConstraint(name="one_label_per_name", fields=["connection", "name"]),
        ]

    def __str__(self) -> str:
        return self.name


class ReviewEvent(models.Model):
    """One thing that somebody said about one completion; never altered.

    `value` is what holds from then on, `before` what held until then: a state, a rating, the list of a
    label's answers, a note's text, a correction ({"text": …, "tool_calls": […]}) or null. A note has no
    `before`.
    """

    class Kind(models.TextChoices):
        STATE = "state", "State"
        RATING = "rating", "Rating"
        LABEL = "label", "Label"
        NOTE = "note", "Note"
        CORRECTION = "correction", "Correction"

    completion = models.ForeignKey(
        "completions.StoredCompletion", models.CASCADE, related_name="review_events", db_index=False
    )
    connection = models.ForeignKey("portal.Connection", models.CASCADE, related_name="+", db_index=False)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    label = models.ForeignKey(Label, models.PROTECT, null=True, related_name="+", db_index=False)
    value = models.JSONField(null=True)
    before = models.JSONField(null=True)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField()
    undoes = models.BigIntegerField(null=True, help_text="The event that this one takes back.")
    operation = models.ForeignKey(
        "portal.Operation", models.SET_NULL, null=True, related_name="+", db_index=False
    )

    objects: Any = OnConnectionQuerySet.as_manager()

    class Meta:
        indexes = [
            # The history of one completion.
            models.Index(fields=["completion", "id"], name="re_history"),
            # What one bulk action did, to show it and to take it back.
            models.Index(
                fields=["operation", "id"], name="re_operation", condition=models.Q(operation__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.completion_id}"


class ReviewState(models.Model):
    """What holds of one completion now, made from its events by completions.reviewing and by nothing else."""

    class State(models.TextChoices):
        NEEDS_REVIEW = "needs_review", "Needs review"
        APPROVED = "approved", "Approved"
        REJECTED = "rejected", "Rejected"

    class Rating(models.TextChoices):
        GOOD = "good", "Good"
        BAD = "bad", "Bad"

    completion = models.OneToOneField(
        "completions.StoredCompletion", models.CASCADE, primary_key=True, related_name="review"
    )
    connection = models.ForeignKey("portal.Connection", models.CASCADE, related_name="+")
    state = models.CharField(
        max_length=12, choices=State.choices, blank=True, help_text="Unreviewed if empty."
    )
    rating = models.CharField(max_length=4, choices=Rating.choices, blank=True)
    labels = models.JSONField(default=dict, help_text="Answers by the label's key, as text.")
    correction = models.ForeignKey(ReviewEvent, models.SET_NULL, null=True, related_name="+", db_index=False)
    notes = models.IntegerField(default=0)
    disputed = models.BooleanField(default=False, help_text="Two people said different things last.")
    said = models.JSONField(
        default=dict, help_text="What each person said last, by what it is about and the person's key."
    )
    reviewers = models.JSONField(default=list, help_text="User names of everybody who said something.")
    reviewed = models.BigIntegerField(null=True, help_text="When somebody last did, in unix seconds.")
    version = models.BigIntegerField(default=0, help_text="The last event that it was made from.")
    terms = models.BinaryField(null=True, help_text="As StoredCompletion.terms, of what is said here.")

    objects: Any = OnConnectionQuerySet.as_manager()

    def __str__(self) -> str:
        return f"review of {self.completion_id}"


class Belonging(models.Model):
    """Which groups of completions that are alike one belongs to: keys that the members of a group share.

    Written by completions.belonging; empty where nothing else is like it.
    """

    completion = models.OneToOneField(
        "completions.StoredCompletion", models.CASCADE, primary_key=True, related_name="belonging"
    )
    connection = models.ForeignKey("portal.Connection", models.CASCADE, related_name="+")
    same = models.CharField(max_length=16, blank=True, help_text="Exact duplicates.")
    near = models.CharField(max_length=16, blank=True, help_text="Near-duplicates.")
    alike = models.CharField(max_length=16, blank=True, help_text="The same system prompt, as a template.")
    thread = models.CharField(max_length=16, blank=True, help_text="One conversation that goes on.")
    terms = models.BinaryField(null=True, help_text="As StoredCompletion.terms, of these keys.")

    objects: Any = OnConnectionQuerySet.as_manager()

    def __str__(self) -> str:
        return f"what {self.completion_id} belongs to"
