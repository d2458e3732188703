"""Relabelling: prompts of a selection answered by a teacher, each answer to be accepted as a correction."""

from typing import Any

from django.db import models
from django.urls import reverse

from portal.querysets import FromConnectionsQuerySet


class Relabel(models.Model):
    """One pass of a teacher over a frozen selection. `connections`: the sources, and where the teacher is."""

    class State(models.TextChoices):
        DRAFT = "draft", "Being set up"
        RUNNING = "running", "Running"
        PAUSED = "paused", "Paused"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    name = models.CharField(max_length=120)
    frozen_selection = models.ForeignKey(
        "completions.FrozenSelection", models.PROTECT, related_name="relabels"
    )
    connections = models.ManyToManyField("portal.Connection", related_name="relabels")
    connection = models.ForeignKey("portal.Connection", models.CASCADE, related_name="taught")
    model = models.CharField(max_length=300, help_text="The teacher, as calls name it.")
    params = models.JSONField(default=dict, help_text="Sampling parameters of the calls.")
    state = models.CharField(max_length=12, choices=State.choices, default=State.DRAFT)
    operation = models.ForeignKey("portal.Operation", models.SET_NULL, null=True, related_name="+")
    estimate = models.JSONField(default=dict, help_text="Calls, tokens and price as said before the start.")
    repeated_calls = models.PositiveIntegerField(default=0, help_text="Calls made again after a worker died.")
    created_by = models.ForeignKey("portal.User", models.SET_NULL, null=True, related_name="+")
    created = models.DateTimeField(auto_now_add=True)
    finished = models.DateTimeField(null=True)

    objects: Any = FromConnectionsQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("datasets:relabel", args=[self.pk])


class RelabelCall(models.Model):
    """The teacher's answer to one completion's prompt."""

    class State(models.TextChoices):
        PENDING = "pending", "To be made"
        SENT = "sent", "In flight"
        DONE = "done", "Answered"
        FAILED = "failed", "Failed"

    class Verdict(models.TextChoices):
        ACCEPTED = "accepted", "Accepted as a correction"
        DISMISSED = "dismissed", "Dismissed"

    relabel = models.ForeignKey(Relabel, models.CASCADE, related_name="calls")
    completion = models.ForeignKey("completions.StoredCompletion", models.CASCADE, related_name="+")
    position = models.IntegerField(help_text="Order within the selection, from 0.")
    state = models.CharField(max_length=8, choices=State.choices, default=State.PENDING)
    tries = models.PositiveSmallIntegerField(default=0)
    text = models.TextField(blank=True)
    answer = models.JSONField(default=dict, help_text="The choice's message, finish reason and usage.")
    latency_ms = models.IntegerField(null=True)
    error = models.JSONField(default=dict)
    verdict = models.CharField(max_length=10, choices=Verdict.choices, blank=True)
    judged_by = models.ForeignKey("portal.User", models.SET_NULL, null=True, related_name="+")
    judged = models.DateTimeField(null=True)

    objects: Any = models.Manager()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(name="one_relabel_per_completion", fields=["relabel", "completion"])
        ]
        indexes = [
            # What is still to be asked; what is still to be judged.
            models.Index(fields=["relabel", "state", "position"], name="relabel_to_make"),
            models.Index(fields=["relabel", "verdict", "position"], name="relabel_to_judge"),
        ]

    def __str__(self) -> str:
        return f"relabel {self.relabel_id} of completion {self.completion_id}"
