"""What people had changed or deleted of stored completions: the order, and one row for each id."""

from typing import Any

from django.db import models
from django.db.models import Q
from django.urls import reverse

from portal.querysets import FromConnectionsQuerySet, OnConnectionQuerySet


class ChangeOrder(models.Model):
    """One deletion or one change of metadata, of a selection or a single row, as somebody confirmed it.

    It outlives the rows, the selection and the operation that carries it out: its receipt is the proof.
    """

    class Kind(models.TextChoices):
        DELETE = "delete", "Deletion"
        METADATA = "metadata", "Change of metadata"

    class Mode(models.TextChoices):
        HERE = "here", "Here"
        UPSTREAM = "upstream", "Upstream"
        BOTH = "both", "Upstream and here"

    kind = models.CharField(max_length=8, choices=Kind.choices)
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.UPSTREAM)
    wanted = models.JSONField(default=dict, help_text="Of metadata: {set: {key: value}, remove: [key]}.")
    frozen = models.ForeignKey("completions.FrozenSelection", models.SET_NULL, null=True, related_name="+")
    q = models.TextField(blank=True, help_text="The filter in the typed language; empty for a list of ids.")
    described = models.TextField(blank=True, help_text="The selection in words.")
    count = models.IntegerField(default=0, help_text="Completions that were selected.")
    connections = models.ManyToManyField("portal.Connection", related_name="change_orders")
    does = models.JSONField(default=dict, help_text="merge or replace, by connection, as its answers showed.")
    requested_by = models.ForeignKey("portal.User", models.SET_NULL, null=True, related_name="+")
    requested_by_name = models.CharField(max_length=150, blank=True)
    created = models.DateTimeField(auto_now_add=True)
    operation = models.ForeignKey("portal.Operation", models.SET_NULL, null=True, related_name="+")
    receipt = models.CharField(max_length=200, blank=True, help_text="Name in the artifacts storage.")
    receipt_sha256 = models.CharField(max_length=64, blank=True)
    receipt_size = models.BigIntegerField(default=0, help_text="Bytes.")
    receipt_at = models.DateTimeField(null=True)

    objects: Any = FromConnectionsQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("completions:change", args=[self.pk])

    @property
    def deletes(self) -> bool:
        return self.kind == self.Kind.DELETE


class UpstreamChange(models.Model):
    """What became of one id of an order. `sent` is committed before its request is made.

    `unsure`: a request was made of which nobody wrote down the answer, so the next one may meet its effect.
    """

    class State(models.TextChoices):
        PLANNED = "planned", "To be done"
        SENT = "sent", "Sent"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        CONFLICT = "conflict", "Changed by somebody else"
        UNKNOWN = "unknown", "Nobody knows"

    OPEN = (State.PLANNED, State.SENT)
    LEFT = (State.FAILED, State.UNKNOWN)

    order = models.ForeignKey(ChangeOrder, models.CASCADE, related_name="changes")
    completion = models.ForeignKey(
        "completions.StoredCompletion", models.SET_NULL, null=True, related_name="upstream_changes"
    )
    connection = models.ForeignKey("portal.Connection", models.CASCADE, related_name="+")
    upstream_id = models.CharField(max_length=200)
    before = models.JSONField(null=True, help_text="Metadata as it stood here when the change was ordered.")
    found = models.JSONField(null=True, help_text="Metadata as the provider said last.")
    state = models.CharField(max_length=8, choices=State.choices, default=State.PLANNED)
    status = models.SmallIntegerField(null=True, help_text="HTTP status of the answer that ended it.")
    error = models.CharField(max_length=500, blank=True)
    note = models.CharField(max_length=200, blank=True)
    tries = models.PositiveSmallIntegerField(default=0)
    unsure = models.BooleanField(default=False)
    force = models.BooleanField(default=False, help_text="Whatever somebody else wrote may be overwritten.")
    at = models.DateTimeField(null=True)

    objects: Any = OnConnectionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="one_change_per_id", fields=["order", "connection", "upstream_id"]),
            models.CheckConstraint(
                name="change_state_is_known",
                condition=Q(state__in=["planned", "sent", "done", "failed", "conflict", "unknown"]),
            ),
        ]
        indexes = [
            # What is next, one connection after the other; counts by state.
            models.Index(fields=["order", "state", "connection", "tries", "id"], name="change_to_make"),
        ]

    def __str__(self) -> str:
        return f"{self.upstream_id} ({self.state})"
