"""The mirror's tables, and the frozen selections made from it."""

from completions.models.mirror import Body, MessagesState, Posting, StoredCompletion, Term
from completions.models.selection import FrozenSelection
from completions.models.sync import Quarantine, SyncPass, SyncState

__all__ = [
    "Body",
    "FrozenSelection",
    "MessagesState",
    "Posting",
    "Quarantine",
    "StoredCompletion",
    "SyncPass",
    "SyncState",
    "Term",
]
