"""The mirror's tables, what people say about its rows, frozen selections, and saved views."""

from completions.models.belonging import Fingerprint, PromptTemplate
from completions.models.mirror import (
    Body,
    ColumnSegment,
    MessagesState,
    Mirror,
    Removed,
    StoredCompletion,
    Term,
)
from completions.models.queues import QueueItem, QueueTask, ReviewQueue
from completions.models.review import Belonging, Label, ReviewEvent, ReviewState
from completions.models.selection import FrozenSelection
from completions.models.sync import Quarantine, SyncPass, SyncState
from completions.models.transfer import Export, Import, ImportProblem
from completions.models.upstream_changes import ChangeOrder, UpstreamChange
from completions.models.views import DefaultView, SavedView

__all__ = [
    "Belonging",
    "Body",
    "ChangeOrder",
    "ColumnSegment",
    "DefaultView",
    "Export",
    "Fingerprint",
    "FrozenSelection",
    "Import",
    "ImportProblem",
    "Label",
    "MessagesState",
    "Mirror",
    "PromptTemplate",
    "Quarantine",
    "QueueItem",
    "QueueTask",
    "Removed",
    "ReviewEvent",
    "ReviewQueue",
    "ReviewState",
    "SavedView",
    "StoredCompletion",
    "SyncPass",
    "SyncState",
    "Term",
    "UpstreamChange",
]
