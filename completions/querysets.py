"""Words on stored completions."""

import json
from collections.abc import Sequence
from typing import Any, Self

from django.apps import apps
from django.contrib.auth.models import AnonymousUser
from django.db import connection as database
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.expressions import RawSQL

from portal.querysets import FromConnectionsQuerySet, OnConnectionQuerySet


class StoredCompletionQuerySet(OnConnectionQuerySet):
    """Rows of the mirror, newest first."""

    def newest_first(self) -> Self:
        return self.order_by("-created", "-id")

    def at(self, connection_slug: str, upstream_id: str) -> Self:
        """The row of one public address."""
        return self.filter(connection__slug=connection_slug, upstream_id=upstream_id)


class FrozenSelectionQuerySet(FromConnectionsQuerySet):
    """Selections, also those that are still being frozen."""

    def ready(self) -> Self:
        """Those with all their ids."""
        return self.filter(Q(operation=None) | Q(frozen_at__isnull=False))


class SavedViewQuerySet(QuerySet[Any]):
    """Saved views.

    One's own are one's own. A shared one is seen by who may read a connection that its owner may read too,
    and every connection that its filter names: names and filters of views can tell of customers and projects,
    so they are no more public than the rows that they were made for. What it shows is another question:
    always only rows that the person who opens it may read.
    """

    def kept(self) -> Self:
        """Those that are not deleted."""
        return self.filter(deleted=None)

    def owned_by(self, user: Any) -> Self:
        if user is None or isinstance(user, AnonymousUser):
            return self.none()
        return self.filter(owner=user)

    def readable_by(self, user: Any) -> Self:
        if user is None or isinstance(user, AnonymousUser) or not user.is_active:
            return self.none()
        every = apps.get_model("portal", "Connection")._default_manager.all()
        mine = every.readable_by(user).order_by()
        grants = apps.get_model("portal", "Grant")._default_manager.filter(
            Q(user=OuterRef("owner")) | Q(group__user=OuterRef("owner"))
        )
        anywhere = Q(owner__is_superuser=True) | Q(Exists(grants.filter(connection=None)))
        together = (anywhere & Q(Exists(mine))) | Q(Exists(grants.filter(connection__in=mine.values("pk"))))
        named = self.model._default_manager.filter(connections__in=every.exclude(pk__in=mine.values("pk")))
        shared = Q(shared=True) & together & ~Q(pk__in=named.values("pk"))
        return self.kept().filter(Q(owner=user) | shared)

    def manageable_by(self, user: Any) -> Self:
        """Only one's own can be changed."""
        return self.kept().owned_by(user)


def holding(ids: Sequence[int]) -> Q:
    """A condition on the key with any number of values, in one parameter."""
    if database.vendor == "postgresql":
        return Q(pk__in=RawSQL("SELECT unnest(%s::bigint[])", (list(ids),)))
    return Q(pk__in=RawSQL("SELECT value FROM json_each(%s)", (json.dumps(list(ids)),)))
