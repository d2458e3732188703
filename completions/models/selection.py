"""A selection as it was when its confirmation opened: what was counted is what is acted on."""

import uuid
from typing import Any

from django.db import models

from portal.querysets import FromConnectionsQuerySet


class FrozenSelection(models.Model):
    """Completion ids under the owner's rights at one moment, delta-coded, compressed (completions.selection).

    Unconfirmed ones expire after a day.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey("portal.User", models.CASCADE, related_name="selections")
    q = models.TextField(blank=True, help_text="The filter in the typed language; empty for a list of ids.")
    everything = models.BooleanField(
        default=False, help_text="All that matched q, rather than a list of ids."
    )
    excluded = models.JSONField(default=list)
    count = models.IntegerField(default=0)
    ids = models.BinaryField()
    connections = models.ManyToManyField("portal.Connection", related_name="selections")
    created = models.DateTimeField(auto_now_add=True)
    confirmed_at = models.DateTimeField(null=True)

    objects: Any = FromConnectionsQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.count} completions"
