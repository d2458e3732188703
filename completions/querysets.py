"""Words on stored completions."""

import json
from collections.abc import Collection, Sequence
from typing import Any, Self

from django.apps import apps
from django.contrib.auth.models import AnonymousUser
from django.db import connection as database
from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL

from portal.querysets import FromConnectionsQuerySet, OnConnectionQuerySet


class StoredCompletionQuerySet(OnConnectionQuerySet):
    """Rows of the mirror."""

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

    def readable_by(self, user: Any, connections: Collection[int] | None = None) -> Self:
        """Who has the ids of the `connections` that the person may read at hand gives them along."""
        if user is None or isinstance(user, AnonymousUser) or not user.is_active:
            return self.none()
        if connections is None:
            every = apps.get_model("portal", "Connection")._default_manager
            connections = set(every.readable_by(user).values_list("pk", flat=True))
        return self.kept().filter(Q(owner=user) | Q(pk__in=self._shared_with(user, set(connections))))

    def _shared_with(self, user: Any, connections: set[int]) -> list[int]:
        """The ids of what others share with a person who may read these connections.

        A few plain queries: one with all the conditions takes longer to write than these take together.
        """
        rows = self.model._default_manager.kept().filter(shared=True).exclude(owner=user).order_by()
        shared = list(rows.values_list("pk", "owner", "owner__is_superuser"))
        if not shared or not connections:
            return []
        near = {owner for _, owner, everywhere in shared if everywhere}
        owners = {owner for _, owner, _ in shared}
        grants = apps.get_model("portal", "Grant")._default_manager
        for way in ("user", "group__user"):
            held = grants.filter(**{f"{way}__in": owners})  # one of two names of ours
            for owner, connection in held.values_list(way, "connection"):
                if connection is None or connection in connections:
                    near.add(owner)
        naming = self.model.connections.through._default_manager.filter(savedview__shared=True)
        named = naming.values_list("savedview", "connection")
        hidden = {view for view, connection in named if connection not in connections}
        return [view for view, owner, _ in shared if owner in near and view not in hidden]

    def manageable_by(self, user: Any) -> Self:
        """Only one's own can be changed."""
        return self.kept().owned_by(user)


def holding(ids: Sequence[int]) -> Q:
    """A condition on the key with any number of values, in one parameter."""
    if database.vendor == "postgresql":
        return Q(pk__in=RawSQL("SELECT unnest(%s::bigint[])", (list(ids),)))
    return Q(pk__in=RawSQL("SELECT value FROM json_each(%s)", (json.dumps(list(ids)),)))


class ImportQuerySet(QuerySet[Any]):
    """Imports: one's own while they are a preview, later of who may act on the connection that they fill."""

    def readable_by(self, user: Any) -> Self:
        if user is None or isinstance(user, AnonymousUser) or not user.is_active:
            return self.none()
        every = apps.get_model("portal", "Connection")._default_manager
        mine = every.actionable_by(user).values("pk")
        return self.filter(Q(connection=None, owner=user) | Q(connection__in=mine))

    actionable_by = readable_by


class ExportQuerySet(FromConnectionsQuerySet):
    """Exports: data that has left its connections, so only for who may act on every one of them."""

    def readable_by(self, user: Any) -> Self:
        return self.actionable_by(user)
