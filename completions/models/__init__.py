"""The mirror's tables, and the frozen selections made from it."""

from completions.models.mirror import (
    Body,
    ColumnSegment,
    MessagesState,
    Mirror,
    Removed,
    StoredCompletion,
    Term,
)
from completions.models.selection import FrozenSelection
from completions.models.sync import Quarantine, SyncPass, SyncState

__all__ = [
    "Body",
    "ColumnSegment",
    "FrozenSelection",
    "MessagesState",
    "Mirror",
    "Quarantine",
    "Removed",
    "StoredCompletion",
    "SyncPass",
    "SyncState",
    "Term",
]
