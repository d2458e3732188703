"""Rows whose messages did not come with them: asked for again, until they are here or cannot be had."""

from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F

from completions import absorbing
from completions.batches import collect, refetch
from completions.fetching import Fetcher
from completions.models import Body, MessagesState, StoredCompletion
from completions.terms import Dictionary
from portal import operations
from portal.crashpoints import crashpoint
from portal.models import Connection, Operation
from portal.operations import Again, Done, Outcome, Wait, Working
from portal.upstream import Upstream

KIND = "sync.messages"
AT_ONCE = 50
MOST_TRIES = 6


def pending(connection_id: int) -> Any:
    """Rows of a connection whose messages are missing."""
    return StoredCompletion.objects.filter(
        connection_id=connection_id, messages_state=MessagesState.PENDING, gone_at__isnull=True
    )


def fill_later(connection: Connection, delay: float | None = None) -> Operation:
    """Begin the operation that fills them, if it is not under way."""
    return operations.begin(
        KIND,
        title=f"Missing messages of {connection.name}",
        dedupe_key=str(connection.pk),
        connection=connection,
        delay=settings.OPERATION_BACKOFF_SECONDS if delay is None else delay,
    )


def fill(work: Working, connection: Connection, upstream: Upstream, fetcher: Fetcher) -> Outcome:
    """One step: each row that is missing its messages is asked for once in a round, the least tried first."""
    dictionary = Dictionary(connection.pk)
    done = work.operation.done
    while work.time_left() and not work.cancelled():
        rows = list(pending(connection.pk).order_by("messages_tries", "id")[:AT_ONCE])
        if not rows:
            return Done({"rows": done})
        tries = rows[0].messages_tries
        if work.operation.cursor.get("tries", tries) < tries:
            # A round is over and some are still missing.
            with transaction.atomic():
                work.advance(cursor={"tries": tries})
            return Wait(_pause(tries), f"{len(rows)} or more are still missing; asking again later.")
        rows = [row for row in rows if row.messages_tries == tries]
        blobs = dict(Body.objects.filter(pk__in=[row.pk for row in rows]).values_list("pk", "raw"))
        batch = refetch([bytes(blobs[row.pk]) for row in rows], fetcher)
        result = collect(batch, last_try=tries + 1 >= MOST_TRIES)
        here = [reading for reading in result.readings if reading.fetched]
        done += len(here)
        try:
            with transaction.atomic():
                absorbing.lock(connection.pk)
                absorbing.absorb(connection.pk, here, dictionary)
                StoredCompletion.objects.filter(
                    pk__in=[row.pk for row in rows[: result.rows]], messages_state=MessagesState.PENDING
                ).update(messages_tries=F("messages_tries") + 1)
                work.advance(cursor={"tries": tries}, done=done, total=done + pending(connection.pk).count())
                crashpoint("sync.messages_before_commit")
        except BaseException:
            dictionary.forget()
            raise
        dictionary.keep()
        crashpoint("sync.messages_committed")
        if result.error is not None:
            raise result.error
    return Again()


def _pause(tries: int) -> float:
    return float(min(settings.OPERATION_BACKOFF_SECONDS * 2.0**tries, 900))
