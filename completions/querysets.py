"""Words on stored completions."""

import json
from collections.abc import Sequence
from typing import Self

from django.db import connection as database
from django.db.models import Q
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


def holding(ids: Sequence[int]) -> Q:
    """A condition on the key with any number of values, in one parameter."""
    if database.vendor == "postgresql":
        return Q(pk__in=RawSQL("SELECT unnest(%s::bigint[])", (list(ids),)))
    return Q(pk__in=RawSQL("SELECT value FROM json_each(%s)", (json.dumps(list(ids)),)))
