"""Saved views: a filter and how its list is shown, under a name."""

from typing import Any

from django.db import models
from django.db.models import Q

from completions.querysets import SavedViewQuerySet


class SavedView(models.Model):
    """What one person keeps of the pane's address. It holds no rows: these are always the opener's own.

    `connections` are those that the filter names, so that nobody learns the name of one from it. A deleted
    view stays for a while, so that it can be brought back.
    """

    owner = models.ForeignKey("portal.User", models.CASCADE, related_name="saved_views")
    name = models.CharField(max_length=80)
    query = models.TextField(blank=True, help_text="The filter and the display, as in an address.")
    shared = models.BooleanField(default=False)
    position = models.IntegerField(default=0)
    connections = models.ManyToManyField("portal.Connection", related_name="+", blank=True)
    created = models.DateTimeField(auto_now_add=True)
    changed = models.DateTimeField(auto_now=True)
    deleted = models.DateTimeField(null=True)

    objects: Any = SavedViewQuerySet.as_manager()

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "name"], condition=Q(deleted=None), name="saved_view_names_differ"
            ),
        ]
        indexes = [models.Index(fields=["shared"], condition=Q(shared=True), name="saved_view_shared")]

    def __str__(self) -> str:
        return self.name


class DefaultView(models.Model):
    """The view that opens for a person who asks for nothing but the pane; perhaps somebody else's."""

    person = models.OneToOneField(
        "portal.User", models.CASCADE, primary_key=True, related_name="default_view"
    )
    view = models.ForeignKey(SavedView, models.CASCADE, related_name="defaults")

    objects: Any = models.Manager()

    def __str__(self) -> str:
        return f"{self.view_id} of {self.person_id}"
