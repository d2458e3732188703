"""The mirror's tables, the frozen selections made from it, and saved views of it."""

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
from completions.models.views import DefaultView, SavedView

__all__ = [
    "Body",
    "ColumnSegment",
    "DefaultView",
    "FrozenSelection",
    "MessagesState",
    "Mirror",
    "Quarantine",
    "Removed",
    "SavedView",
    "StoredCompletion",
    "SyncPass",
    "SyncState",
    "Term",
]
