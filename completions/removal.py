"""What of the mirror goes when a connection is deleted; importing registers it."""

from django.db import connection as database

from completions import search
from completions.models import Body, FrozenSelection, Posting, Quarantine, StoredCompletion, SyncState, Term
from completions.terms import Change, Dictionary, names_of
from portal.deletion import Part, before_connection_delete
from portal.models import Connection

BATCH = 500
TERMS = 100
POSTINGS = 20_000

# By whole keys, as the table has no index on its completions.
_TAKE = (
    "DELETE FROM completions_posting WHERE (term_id, created, completion_id) IN"
    " (SELECT term_id, created, completion_id FROM completions_posting WHERE term_id IN ({}) LIMIT {})"
)


def _take_completions(connection: Connection) -> int:
    """A batch of rows with all that hangs on them: a deletion stopped half-way leaves a mirror in order."""
    rows = StoredCompletion.objects.filter(connection=connection).order_by("-created", "-id")
    batch = list(rows.only("pk", "created", "metadata", "model", "flags")[:BATCH])
    if not batch:
        return 0
    ids = [row.pk for row in batch]
    held = [
        Change(row.pk, row.created, frozenset(), row.created, names_of(row.metadata, row.model, row.flags))
        for row in batch
    ]
    Dictionary(connection.pk).apply(held)
    search.forget(Body.objects.filter(pk__in=ids))
    StoredCompletion.objects.filter(pk__in=ids).delete()
    return len(ids)


def _take_terms(connection: Connection) -> int:
    """Some values, with whatever postings they still have; counts the values."""
    rows = Term.objects.filter(connection=connection).order_by("pk")
    ids = list(rows.values_list("pk", flat=True)[:TERMS])
    if not ids:
        return 0
    places = ", ".join(["%s"] * len(ids))
    with database.cursor() as cursor:
        cursor.execute(_TAKE.format(places, POSTINGS), ids)
    kept = set(Posting.objects.filter(term_id__in=ids).values_list("term_id", flat=True).distinct())
    Term.objects.filter(pk__in=set(ids) - kept).delete()
    return len(ids) - len(kept) or 1


def _take_selections(connection: Connection) -> int:
    """Selections made from it; without their source nobody could tell any more who may read them."""
    ids = list(FrozenSelection.objects.filter(connections=connection).values_list("pk", flat=True)[:BATCH])
    FrozenSelection.objects.filter(pk__in=ids).delete()
    return len(ids)


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
