"""What a connection's mirror takes. Upstream is asked for it, and every row is checked again here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from completions.readings import moment
from portal.models import Connection

# Rows of one page that must lie behind the limit before a descending walk believes that it has passed it: a
# single row with a wrong clock must not end it.
ENOUGH_BEHIND = 10


@dataclass(frozen=True, slots=True)
class Scope:
    since: int | None
    model: str
    metadata: Mapping[str, str]

    @classmethod
    def of(cls, connection: Connection) -> "Scope":
        found = connection.scope_metadata
        pairs = {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
        since = connection.scope_since
        return cls(int(since.timestamp()) if since else None, connection.scope_model, pairs)

    def holds(self, value: Mapping[str, Any]) -> bool:
        """Whether a row belongs to the mirror. A deployment's or family's name also covers its dated
        versions.
        """
        created = moment(value)
        if self.since is not None and created is not None and created < self.since:
            return False
        model = value.get("model")
        if self.model and model != self.model and not str(model).startswith(f"{self.model}-"):
            return False
        metadata = value.get("metadata")
        pairs = metadata if isinstance(metadata, dict) else {}
        return all(pairs.get(key) == wanted for key, wanted in self.metadata.items())


def is_behind(values: list[Mapping[str, Any]], limit: int) -> bool:
    """Whether a page of a descending list has passed `limit` (unix seconds)."""
    moments = [created for value in values if (created := moment(value)) is not None]
    return bool(moments) and all(created < limit for created in moments[-ENOUGH_BEHIND:])
