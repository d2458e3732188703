"""Graders that a connection's people share: every change is a further version, none is altered."""

from typing import Any

from django.db import models

from datasets.models.evaluation import Grader
from datasets.models.grader_params import GraderParamsField
from portal.querysets import OnConnectionQuerySet


class LibraryGrader(models.Model):
    """A name in the library of a connection; its newest version is what is taken."""

    connection = models.ForeignKey("portal.Connection", models.CASCADE, related_name="library_graders")
    name = models.CharField(max_length=80)
    archived = models.BooleanField(default=False)
    created_by = models.ForeignKey("portal.User", models.SET_NULL, null=True, related_name="+")
    created = models.DateTimeField(auto_now_add=True)

    objects: Any = OnConnectionQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(name="one_library_grader_per_name", fields=["connection", "name"])
        ]

    def __str__(self) -> str:
        return self.name


class LibraryGraderVersion(models.Model):
    """What a grader of the library was from one change to the next; `params` as in Grader."""

    grader = models.ForeignKey(LibraryGrader, models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=20, choices=Grader.Kind.choices)
    params = GraderParamsField(default=dict)
    note = models.CharField(max_length=200, blank=True)
    created_by = models.ForeignKey("portal.User", models.SET_NULL, null=True, related_name="+")
    created = models.DateTimeField(auto_now_add=True)

    objects: Any = models.Manager()

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(name="one_library_version_per_number", fields=["grader", "number"])
        ]

    def __str__(self) -> str:
        return f"{self.grader} v{self.number}"
