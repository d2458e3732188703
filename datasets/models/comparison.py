"""Several measurements beside each other, kept under an address."""

from typing import Any

from django.db import models

from portal.querysets import FromConnectionsQuerySet


class Comparison(models.Model):
    """`columns` lists {run, target}: a run and the key of one of its targets. The first is the baseline."""

    name = models.CharField(max_length=120)
    columns = models.JSONField(default=list)
    connections = models.ManyToManyField("portal.Connection", related_name="comparisons")
    owner = models.ForeignKey("portal.User", models.SET_NULL, null=True, related_name="+")
    created = models.DateTimeField(auto_now_add=True)

    objects: Any = FromConnectionsQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name
