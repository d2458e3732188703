"""Who did what: append-only, each entry sealed by the hash of the one before."""

from typing import Any

from django.db import models


class AuditEntry(models.Model):
    """One deed. Never holds a secret or the text of a completion."""

    at = models.DateTimeField()
    actor = models.ForeignKey("portal.User", models.SET_NULL, null=True, blank=True, related_name="+")
    actor_name = models.CharField(max_length=150)
    verb = models.CharField(max_length=60)
    connection = models.ForeignKey(
        "portal.Connection", models.SET_NULL, null=True, blank=True, related_name="+"
    )
    target_type = models.CharField(max_length=60, blank=True)
    target_id = models.CharField(max_length=80, blank=True)
    target_name = models.CharField(max_length=200, blank=True)
    details = models.JSONField(default=dict, blank=True)
    previous = models.CharField(max_length=64)
    digest = models.CharField(max_length=64, unique=True)

    objects: Any = models.Manager()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "audit entries"

    def __str__(self) -> str:
        return f"{self.actor_name} {self.verb} {self.target_name}"


class AuditHead(models.Model):
    """The newest digest of the chain; its one row is the lock that puts entries in order."""

    digest = models.CharField(max_length=64)

    def __str__(self) -> str:
        return self.digest
