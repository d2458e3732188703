"""What of the mirror goes when a connection is deleted; importing registers it."""

from django.db.models import Count

from completions.forgetting import forget
from completions.models import (
    ColumnSegment,
    FrozenSelection,
    Mirror,
    Quarantine,
    QueueItem,
    Removed,
    ReviewQueue,
    StoredCompletion,
    SyncState,
    Term,
)
from portal.deletion import Part, before_connection_delete
from portal.models import Connection

BATCH = 500
TERMS = 5000
SEGMENTS = 8


def _take_completions(connection: Connection) -> int:
    """A batch of rows with all that hangs on them: a deletion stopped half-way leaves a mirror in order."""
    rows = StoredCompletion.objects.filter(connection=connection).order_by("-created", "-id")
    return forget(connection.pk, list(rows.values_list("pk", flat=True)[:BATCH]))


def _take_terms(connection: Connection) -> int:
    """Some values, when nothing holds them any more."""
    ids = list(Term.objects.filter(connection=connection).order_by("pk").values_list("pk", flat=True)[:TERMS])
    Term.objects.filter(pk__in=ids).delete()
    return len(ids)


def _take_columns(connection: Connection) -> int:
    """What was packed of the rows, and the mirror's own row last."""
    segments = ColumnSegment.objects.filter(connection=connection).order_by("pk")
    some = list(segments.values_list("pk", flat=True)[:SEGMENTS])
    if some:
        ColumnSegment.objects.filter(pk__in=some).delete()
        return len(some)
    Removed.objects.filter(connection=connection).delete()
    Mirror.objects.filter(connection=connection).delete()
    return 0


def _take_selections(connection: Connection) -> int:
    """Selections made from it; without their source nobody could tell any more who may read them."""
    ids = list(FrozenSelection.objects.filter(connections=connection).values_list("pk", flat=True)[:BATCH])
    FrozenSelection.objects.filter(pk__in=ids).delete()
    return len(ids)


def _take_queues(connection: Connection) -> int:
    """Its completions in review queues, and queues that have no others."""
    ids = list(QueueItem.objects.filter(connection=connection).values_list("pk", flat=True)[:BATCH])
    if ids:
        QueueItem.objects.filter(pk__in=ids).delete()
        return len(ids)
    others = ReviewQueue.objects.filter(connections=connection).annotate(n=Count("items"))
    empty = [queue.pk for queue in others if not queue.n]
    ReviewQueue.objects.filter(pk__in=empty).delete()
    return len(empty)


def _take_marks(connection: Connection) -> int:
    """Where its passes stood, and what could not be stored."""
    SyncState.objects.filter(connection=connection).delete()
    ids = list(Quarantine.objects.filter(connection=connection).values_list("pk", flat=True)[:BATCH])
    Quarantine.objects.filter(pk__in=ids).delete()
    return len(ids)


before_connection_delete(
    Part("quarantined items", lambda c: Quarantine.objects.filter(connection=c).count(), _take_marks)
)
before_connection_delete(
    Part(
        "completions in review queues", lambda c: QueueItem.objects.filter(connection=c).count(), _take_queues
    )
)
before_connection_delete(
    Part("selections", lambda c: FrozenSelection.objects.filter(connections=c).count(), _take_selections)
)
before_connection_delete(
    Part(
        "stored completions",
        lambda c: StoredCompletion.objects.filter(connection=c).count(),
        _take_completions,
    )
)
before_connection_delete(
    Part("metadata values", lambda c: Term.objects.filter(connection=c).count(), _take_terms)
)
# Nobody knows of these, so nobody is told how many they are.
before_connection_delete(Part("packed columns", lambda _: 0, _take_columns))
