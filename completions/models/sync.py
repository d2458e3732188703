"""How far each pass over a connection has come, and the rows that could not be stored."""

from typing import Any

from django.db import models

from portal.querysets import OnConnectionQuerySet


class SyncPass(models.TextChoices):
    NEWEST = "newest", "Newest rows first"
    BACKFILL = "backfill", "Everything, oldest first"
    INCREMENTAL = "incremental", "What is new"
    SWEEP = "sweep", "Compare everything"


class SyncState(models.Model):
    """One pass over one connection. `cursor` is the upstream id after which the next page starts."""

    connection = models.ForeignKey("portal.Connection", models.CASCADE, related_name="sync_states")
    sync_pass = models.CharField(max_length=12, choices=SyncPass.choices)
    cursor = models.CharField(max_length=200, blank=True)
    recent = models.JSONField(
        default=list, help_text="The last 50 ids met, to step back to when the cursor vanishes."
    )
    watermark = models.BigIntegerField(
        null=True, help_text="Newest created (unix seconds) that this pass has stored."
    )
    generation = models.IntegerField(default=0, help_text="Sweep only: the generation being listed.")
    complete = models.BooleanField(default=False)
    rows = models.BigIntegerField(default=0)
    upstream_total = models.BigIntegerField(
        null=True, help_text="What the pages' `total` said last, where sent."
    )
    counts = models.JSONField(
        default=dict, help_text="What the present pass met: new, changed, same, quarantined, …"
    )
    started = models.DateTimeField(null=True)
    finished = models.DateTimeField(null=True)

    objects: Any = OnConnectionQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(name="one_state_per_pass", fields=["connection", "sync_pass"])]

    def __str__(self) -> str:
        return f"{self.sync_pass} of {self.connection_id}"


class Quarantine(models.Model):
    """An item of a page that could not be stored: seen in sync health, never in the pane.

    One row however often it is met; removed when an item with the same upstream id later stores.
    """

    connection = models.ForeignKey("portal.Connection", models.CASCADE, related_name="quarantine")
    upstream_id = models.CharField(max_length=200, null=True)
    digest = models.CharField(max_length=64)
    raw = models.BinaryField(help_text="zlib of the bytes as received, at most the first 1 MB of them.")
    reason = models.CharField(max_length=300)
    seen = models.PositiveIntegerField(default=1)
    first_seen = models.DateTimeField(auto_now_add=True)
    last_seen = models.DateTimeField(auto_now=True)

    objects: Any = OnConnectionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="one_quarantine_per_digest", fields=["connection", "digest"])
        ]

    def __str__(self) -> str:
        return self.reason
