"""Stored completions leave the mirror here, with everything that hangs on them."""

from collections.abc import Sequence

from completions import columns, search
from completions.models import Belonging, Body, QueueItem, ReviewState, StoredCompletion
from completions.search import reviews
from completions.terms import NAMED, Change, Dictionary, counted


def forget(connection_id: int, ids: Sequence[int]) -> int:
    """Delete some rows of one connection, what people said about them too; returns how many there were.

    Call it in a transaction, with no more rows than one should hold.
    """
    rows = list(
        StoredCompletion.objects.filter(connection_id=connection_id, pk__in=ids).values("pk", "terms", *NAMED)
    )
    if not rows:
        return 0
    here = [row["pk"] for row in rows]
    columns.note_removed(connection_id, here)
    beside = [
        Change(frozenset(), bytes(terms))
        for model in (ReviewState, Belonging)
        for terms in model.objects.filter(pk__in=here).values_list("terms", flat=True)
        if terms
    ]
    Dictionary(connection_id).apply([*(counted(row) for row in rows), *beside])
    search.forget(Body.objects.filter(pk__in=here))
    reviews.remove(here)
    # Nobody can be given one of them in a review queue from here on, so all that hangs on them is found.
    list(QueueItem.objects.select_for_update().filter(completion__in=here).values_list("pk", flat=True))
    StoredCompletion.objects.filter(pk__in=here).delete()
    return len(here)
