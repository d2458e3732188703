"""Read rows again from the bytes that upstream once sent, when what is derived from them has become more.

Nothing is asked of upstream. Until it is done, the rows can be filtered by what older versions knew of them.
"""

import zlib
from typing import Any

from django.db import transaction
from django.db.models import Max

from completions import absorbing, bulk, columns, raw, search
from completions.conversation import Texts
from completions.fetching import from_mirror, without_messages
from completions.models import Body, MessagesState, Mirror, StoredCompletion
from completions.readings import Reading
from completions.terms import NAMED, Dictionary, counted, names_of
from portal import operations
from portal.crashpoints import crashpoint
from portal.models import Connection, Operation
from portal.operations import Again, Cancelled, Done, Outcome, Working
from portal.upstream import Item

KIND = "completions.derive"
AT_ONCE = 200


def begin(connection: Connection, user: object = None) -> Operation:
    """Begin to read a connection's rows again, unless that is under way."""
    return operations.begin(
        KIND,
        title=f"Read the rows of {connection.name} again",
        dedupe_key=str(connection.pk),
        connection=connection,
        requested_by=user,
    )


@operations.handler(KIND, queue="house")
def derive(work: Working) -> Outcome:
    """One step: a batch after the other, in the order of arrival, up to what was there at the beginning."""
    connection = work.operation.connection
    if connection is None:
        return Done()  # it was deleted
    absorbing.keep_small()
    rows = StoredCompletion.objects.filter(connection=connection)
    cursor = work.operation.cursor
    if "until" not in cursor:
        cursor = {"id": 0, "until": rows.aggregate(last=Max("pk"))["last"] or 0}
        with transaction.atomic():
            work.advance(cursor=cursor, done=0, total=rows.count())
    dictionary = Dictionary(connection.pk)
    done = work.operation.done
    while work.time_left() and not work.cancelled():
        try:
            with transaction.atomic():
                absorbing.lock(connection.pk)
                some = rows.filter(pk__gt=cursor["id"], pk__lte=cursor["until"]).order_by("pk")
                batch = list(some.values("pk", "messages_state", "terms", *NAMED)[:AT_ONCE])
                if not batch:
                    Mirror.objects.filter(pk=connection.pk).update(derived=columns.DERIVED)
                    work.advance(done=done, total=done)
                    return Done({"rows": done})
                unpacked = _read_again(connection.pk, batch, dictionary)
                cursor, done = {**cursor, "id": batch[-1]["pk"]}, done + len(batch)
                work.advance(cursor=cursor, done=done)
                crashpoint("derive.before_commit")
        except BaseException:
            dictionary.forget()
            raise
        dictionary.keep()
        columns.pack_if_due(connection.pk, unpacked)
    if work.cancelled():
        raise Cancelled
    return Again()


def _read_again(connection_id: int, rows: list[dict[str, Any]], dictionary: Dictionary) -> int:
    """Write what these rows' bytes say today; returns how many changes are unpacked."""
    bodies = {body.pk: body for body in Body.objects.filter(pk__in=[row["pk"] for row in rows])}
    readings = {row["pk"]: _reading(bodies[row["pk"]], row["messages_state"]) for row in rows}
    change, unpacked = columns.next_change(connection_id, len(rows))
    now = [dict(row) if (found := readings[row["pk"]]) is None else found.columns for row in rows]
    terms = dictionary.apply(
        [counted(row, names_of(written)) for row, written in zip(rows, now, strict=True)]
    )
    fresh, kept, texts, indexed = [], [], [], []
    for row, held in zip(rows, terms, strict=True):
        pk, reading = row["pk"], readings[row["pk"]]
        if reading is None:
            kept.append((pk, {"terms": held, "change": change}))
            continue
        fresh.append((pk, {**reading.columns, "terms": held, "change": change}))
        body = bodies[pk]
        before = Texts(body.system_text, body.prompt_text, body.answer_text)
        if before != reading.texts:
            texts.append((pk, absorbing.texts_of(reading)))
        if row["messages_state"] != MessagesState.PENDING:
            indexed.append((pk, before, reading.texts))
    bulk.update(StoredCompletion, fresh)
    bulk.update(StoredCompletion, kept)
    bulk.update(Body, texts)
    # Taken out and put in, so that words are kept in today's form even where the text is the same.
    search.remove([(pk, before) for pk, before, _ in indexed])
    search.put([(pk, None, after) for pk, _, after in indexed])
    return unpacked


def _reading(body: Body, state: str) -> Reading | None:
    """The row as its bytes read today; None for one that no row would be made of."""
    blob = bytes(body.raw)
    try:
        data = raw.unpack(blob).item
        value = raw.decode(data)
    except (raw.Unreadable, zlib.error, ValueError, KeyError):
        return None
    item = Item(data, value if isinstance(value, dict) else None, "")
    read = without_messages(item) if state == MessagesState.PENDING else from_mirror(item, state, blob)
    return read if isinstance(read, Reading) else None
