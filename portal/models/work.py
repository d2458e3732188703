"""Background work a person can watch, and the intent of every paid call upstream.

The operation row is the truth; Celery only rings the bell.
"""

import uuid
from typing import Any

from django.db import models

from portal.querysets import OnConnectionQuerySet, OperationQuerySet


class Operation(models.Model):
    """One piece of background work, resumable from its cursor by whoever holds its lease."""

    class State(models.TextChoices):
        READY = "ready", "Waiting for a worker"
        RUNNING = "running", "Running"
        WAITING = "waiting", "Waiting"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    LIVE = (State.READY, State.RUNNING, State.WAITING)

    kind = models.CharField(max_length=40)
    queue = models.CharField(max_length=16)
    title = models.CharField(max_length=200)
    connection = models.ForeignKey(
        "portal.Connection", models.CASCADE, null=True, blank=True, related_name="operations"
    )
    # What it works on, as (label, key): "datasets.run", "17". No generic relation is needed to show a link.
    subject_type = models.CharField(max_length=60, blank=True)
    subject_id = models.CharField(max_length=60, blank=True)
    dedupe_key = models.CharField(max_length=200)

    state = models.CharField(max_length=16, choices=State.choices, default=State.READY)
    step = models.CharField(max_length=40, blank=True)
    cursor = models.JSONField(default=dict, blank=True)
    lease_owner = models.CharField(max_length=120, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    fence = models.BigIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0, help_text="Tries since the last progress.")
    next_run_at = models.DateTimeField(null=True, blank=True)
    cancel_requested = models.BooleanField(default=False)

    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(null=True, blank=True)
    note = models.CharField(max_length=300, blank=True)
    result = models.JSONField(default=dict, blank=True)
    error_code = models.CharField(max_length=60, blank=True)
    error_text = models.TextField(blank=True)

    requested_by = models.ForeignKey("portal.User", models.SET_NULL, null=True, blank=True, related_name="+")
    created = models.DateTimeField(auto_now_add=True)
    started = models.DateTimeField(null=True, blank=True)
    progressed = models.DateTimeField(null=True, blank=True)
    finished = models.DateTimeField(null=True, blank=True)

    objects: Any = OperationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="one_live_operation_per_key",
                fields=["kind", "dedupe_key"],
                condition=models.Q(state__in=["ready", "running", "waiting"]),
            ),
            models.CheckConstraint(
                name="operation_state_is_known",
                condition=models.Q(state__in=["ready", "running", "waiting", "done", "failed", "cancelled"]),
            ),
        ]
        indexes = [
            # The tick: due or expired operations.
            models.Index(fields=["state", "next_run_at"], name="operation_due"),
            # A connection's sync health, the operations page.
            models.Index(fields=["connection", "kind", "-id"], name="operation_by_connection"),
            models.Index(fields=["subject_type", "subject_id"], name="operation_by_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.title} ({self.state})"

    @property
    def is_live(self) -> bool:
        return self.state in self.LIVE


class OperationLine(models.Model):
    """One line of an operation's log, written for people."""

    operation = models.ForeignKey(Operation, models.CASCADE, related_name="lines")
    at = models.DateTimeField(auto_now_add=True)
    level = models.CharField(max_length=8, default="info")
    text = models.CharField(max_length=1000)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.text


class RemoteAction(models.Model):
    """The intent of one paid or irreversible call upstream, committed before the call is made.

    States: planned → sending → confirmed; or refused (a clear 4xx, safe to try again), unknown (nobody knows
    whether it happened: reconciled, never sent again by a machine), not_found (a person decides).
    """

    class State(models.TextChoices):
        PLANNED = "planned", "Planned"
        SENDING = "sending", "Sending"
        CONFIRMED = "confirmed", "Confirmed"
        REFUSED = "refused", "Refused"
        UNKNOWN = "unknown", "Outcome unknown"
        NOT_FOUND = "not_found", "Not found upstream"
        ABANDONED = "abandoned", "Abandoned"

    HOLDING = (State.PLANNED, State.SENDING, State.CONFIRMED, State.UNKNOWN, State.NOT_FOUND)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=30)  # upload, fine_tune, cancel, deploy
    connection = models.ForeignKey("portal.Connection", models.CASCADE, related_name="remote_actions")
    operation = models.ForeignKey(
        Operation, models.SET_NULL, null=True, blank=True, related_name="remote_actions"
    )
    dedupe_key = models.CharField(max_length=200)
    params = models.JSONField(default=dict)
    params_hash = models.CharField(max_length=64)
    state = models.CharField(max_length=16, choices=State.choices, default=State.PLANNED)
    fence = models.BigIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)
    remote_id = models.CharField(max_length=200, blank=True)
    answer = models.JSONField(default=dict, blank=True)
    error = models.JSONField(default=dict, blank=True)
    clean_listings = models.PositiveIntegerField(default=0)
    first_clean_listing = models.DateTimeField(null=True, blank=True)
    candidates = models.JSONField(default=list, blank=True)
    requested_by = models.ForeignKey("portal.User", models.SET_NULL, null=True, blank=True, related_name="+")
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    objects: Any = OnConnectionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="one_remote_action_per_key",
                fields=["connection", "kind", "dedupe_key"],
                condition=models.Q(state__in=["planned", "sending", "confirmed", "unknown", "not_found"]),
            ),
            models.UniqueConstraint(
                name="one_remote_action_per_remote_id",
                fields=["connection", "kind", "remote_id"],
                condition=~models.Q(remote_id="") & ~models.Q(kind="cancel"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id} ({self.state})"


class Heartbeat(models.Model):
    """When a named part last showed that it works: `worker` is written by a finished task."""

    name = models.CharField(primary_key=True, max_length=60)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} at {self.at}"
