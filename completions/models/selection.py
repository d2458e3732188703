"""A selection as it was when its confirmation opened: what was counted is what is acted on."""

import uuid
from typing import Any

from django.db import models

from completions.querysets import FrozenSelectionQuerySet


class FrozenSelection(models.Model):
    """Completion ids under the owner's rights at one moment, delta-coded, compressed (completions.selection).

    Unconfirmed ones expire after a day. One whose filter reads texts is frozen by an operation; until that
    has ended it is not `ready`.
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
    operation = models.ForeignKey("portal.Operation", models.SET_NULL, null=True, related_name="+")
    frozen_at = models.DateTimeField(null=True, help_text="When an operation has found the last id.")

    objects: Any = FrozenSelectionQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.count} completions"

    @property
    def ready(self) -> bool:
        """Whether every id is here."""
        return self.operation_id is None or self.frozen_at is not None
