"""Words on stored completions."""

from typing import Self

from portal.querysets import OnConnectionQuerySet


class StoredCompletionQuerySet(OnConnectionQuerySet):
    """Rows of the mirror, newest first."""

    def newest_first(self) -> Self:
        return self.order_by("-created", "-id")

    def at(self, connection_slug: str, upstream_id: str) -> Self:
        """The row of one public address."""
        return self.filter(connection__slug=connection_slug, upstream_id=upstream_id)
