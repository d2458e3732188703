"""Orders to change or delete completions, and the ledger of their ids: planned, sent, and how each ended.

Every id of an order is a row before anything is done with it, and `sent` is committed before its request is
made. So whoever takes over from a worker that died knows what may have happened.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count
from django.utils import timezone

from completions import selection
from completions.filters import Filter
from completions.models import ChangeOrder, FrozenSelection, StoredCompletion, UpstreamChange
from completions.querysets import holding
from completions.sending import Answered
from portal import audit, operations
from portal.crashpoints import crashpoint
from portal.deletion import Part, before_connection_delete
from portal.models import Connection
from portal.operations import Cancelled, Failed, Wait, Working
from portal.upstream import UpstreamError

PLANNED_AT_ONCE = 500
SENT_AT_ONCE = 32
MOST_TRIES = 5
LONGEST_PAUSE = 300.0
State = UpstreamChange.State
LOST = "The answer to an earlier request was lost; this one met its effect."


class Refused(ValueError):
    """The order cannot be given; the text says why and what to do."""


@dataclass(frozen=True)
class Asked:
    """What somebody wants done: with a frozen selection, or with one row."""

    kind: ChangeOrder.Kind
    operation: str
    title: str
    mode: ChangeOrder.Mode = ChangeOrder.Mode.UPSTREAM
    wanted: dict[str, Any] | None = None


def order(asked: Asked, user: Any, frozen: FrozenSelection) -> ChangeOrder:
    """Give an order for a frozen selection, once however often the form is sent; its operation begins."""
    with transaction.atomic():
        list(FrozenSelection.objects.select_for_update().filter(pk=frozen.pk).values_list("pk"))
        given: ChangeOrder | None = ChangeOrder.objects.filter(frozen=frozen, kind=asked.kind).first()
        if given is not None:
            return given
        selection.confirm(frozen)
        return _given(
            asked,
            user,
            list(frozen.connections.defer("secret")),
            frozen=frozen,
            q=frozen.q,
            described=in_words(frozen),
            count=frozen.count,
        )


def order_for_row(
    asked: Asked, user: Any, row: StoredCompletion, before: dict[str, str] | None = None
) -> ChangeOrder:
    """Give an order for one row; `before` is the metadata that the person saw."""
    with transaction.atomic():
        given = _given(asked, user, [row.connection], described="One completion", count=1)
        _plan(given, [row], before)
        return given


def check_askable(sources: Iterable[Connection]) -> None:
    """Rows of files alone have no provider that could be asked. Raises Refused."""
    if not any(source.has_endpoint for source in sources):
        raise Refused("These completions were imported from files: there is no provider to ask.")


def ids_of(frozen: FrozenSelection) -> list[int]:
    """The ids of a frozen selection, to be asked about."""
    return [int(pk) for pk in selection.unpacked(frozen.ids)]


def in_words(frozen: FrozenSelection) -> str:
    """A selection as a sentence of a receipt."""
    if not frozen.everything:
        return "Chosen one by one"
    words = Filter.parse(frozen.q).describe() if frozen.q else f"All completions that {frozen.owner} may read"
    return f"{words}, except {len(frozen.excluded):,}" if frozen.excluded else words


def _given(asked: Asked, user: Any, sources: Sequence[Connection], **fields: Any) -> ChangeOrder:
    made: ChangeOrder = ChangeOrder.objects.create(
        kind=asked.kind,
        mode=asked.mode,
        wanted=asked.wanted or {},
        requested_by=user,
        requested_by_name=str(user)[:150],
        **fields,
    )
    made.connections.set(sources)
    _begin(made, asked.operation, asked.title, user, at=0)
    audit.record(
        user,
        "deletion.started" if made.deletes else "metadata.change_started",
        made,
        connection=sources[0] if len(sources) == 1 else None,
        mode=made.mode,
        rows=made.count,
    )
    return made


def _begin(made: ChangeOrder, kind: str, title: str, user: Any, **cursor: Any) -> None:
    sources = list(made.connections.defer("secret")[:2])
    made.operation = operations.begin(
        kind,
        title=title,
        dedupe_key=str(made.pk),
        connection=sources[0] if len(sources) == 1 else None,
        requested_by=user,
        subject=made,
        cursor={"order": made.pk, **cursor},
    )
    made.save(update_fields=["operation"])


def try_again(made: ChangeOrder, kind: str, title: str, user: Any, *, overwrite: bool = False) -> int:
    """Begin anew with just those that failed, or overwrite just those in conflict; returns how many."""
    with transaction.atomic():
        list(ChangeOrder.objects.select_for_update().filter(pk=made.pk).values_list("pk"))
        states = [State.CONFLICT] if overwrite else UpstreamChange.LEFT
        if made.operation is not None and made.operation.is_live:
            return 0
        again = made.changes.filter(state__in=states)
        fields = {"force": True} if overwrite else {}
        count = again.update(state=State.PLANNED, tries=0, error="", status=None, note="", **fields)
        if count:
            _begin(made, kind, title, user)
            audit.record(user, "change.tried_again", made, rows=count, overwrite=overwrite)
        return int(count)


def of(work: Working) -> ChangeOrder | None:
    """The order of an operation; None if it is gone with its connection."""
    made: ChangeOrder | None = ChangeOrder.objects.filter(pk=work.operation.cursor.get("order")).first()
    return made


def check_rights(made: ChangeOrder) -> None:
    """Whoever gave the order must still be allowed to: rights may be withdrawn while it runs."""
    mine = Connection.objects.actionable_by(made.requested_by)
    missing = list(made.connections.exclude(pk__in=mine.values("pk")).values_list("name", flat=True))
    if missing or made.requested_by is None:
        names = ", ".join(missing) or "its connections"
        raise Failed(
            "rights", f"{made.requested_by_name} may no longer act on {names}. Nothing more is done."
        )


# Planning.


def plan_all(work: Working, made: ChangeOrder) -> bool:
    """Write a row for every id of the order; False if the time of this step was too short for it."""
    cursor = work.operation.cursor
    if "at" not in cursor:
        return True
    ids = selection.unpacked(made.frozen.ids) if made.frozen is not None else ()
    at = int(cursor["at"])
    while at < len(ids):
        if work.cancelled():
            raise Cancelled
        if not work.time_left():
            return False
        some = [int(pk) for pk in ids[at : at + PLANNED_AT_ONCE]]
        with transaction.atomic():
            rows = {row.pk: row for row in _rows_of(made, some)}
            _plan(made, [rows[pk] for pk in some if pk in rows])
            at += len(some)
            work.advance(cursor={**cursor, "at": at}, step="planning", total=len(ids), note="Planning")
        crashpoint("change.planned")
    return True


def take_over(work: Working, made: ChangeOrder) -> None:
    """What an earlier worker had sent is to be done again, knowing that it may have been done."""
    with transaction.atomic():
        ChangeOrder.objects.filter(pk=made.pk).update(operation=work.operation)
        made.changes.filter(state=State.SENT).update(state=State.PLANNED, unsure=True)
        left = made.changes.filter(state=State.PLANNED).count()
        cursor = {name: value for name, value in work.operation.cursor.items() if name != "at"}
        work.advance(cursor=cursor, step="working", total=work.operation.done + left, note="")


def _rows_of(made: ChangeOrder, ids: Sequence[int]) -> Any:
    rows = StoredCompletion.objects.filter(holding(ids), connection__in=made.connections.values("pk"))
    return rows.only("pk", "connection_id", "upstream_id", "metadata")


def _plan(made: ChangeOrder, rows: Iterable[StoredCompletion], before: dict[str, str] | None = None) -> None:
    UpstreamChange.objects.bulk_create(
        UpstreamChange(
            order=made,
            completion_id=row.pk,
            connection_id=row.connection_id,
            upstream_id=row.upstream_id,
            before=None if made.deletes else row.metadata if before is None else before,
        )
        for row in rows
    )


# One batch.


def next_rows(made: ChangeOrder, most: int) -> list[UpstreamChange]:
    """Rows to be done of one connection, the least tried first."""
    found = list(made.changes.filter(state=State.PLANNED).order_by("connection_id", "tries", "id")[:most])
    return [row for row in found if row.connection_id == found[0].connection_id]


def claim(work: Working, rows: Sequence[UpstreamChange]) -> None:
    """Commit that these are sent, before the first request."""
    with transaction.atomic(durable=True):
        work.advance()
        UpstreamChange.objects.filter(pk__in=[row.pk for row in rows]).update(state=State.SENT)
    crashpoint("change.claimed")


def settle(row: UpstreamChange, state: State, **fields: Any) -> None:
    """Say how a row ended; `record` writes it."""
    row.state, row.at = state, timezone.now()
    for name, value in fields.items():
        setattr(row, name, value)


def settle_failed(answered: Answered[UpstreamChange, Any]) -> None:
    """What an error means for its row: again later, failed, or nobody knows."""
    row, error = answered.row, answered.error
    if answered.unsent or error is None:
        row.state = State.PLANNED
        return
    row.tries += 1
    row.unsure = row.unsure or error.outcome_unknown
    row.status = error.http_status
    row.error = told(error)
    if not error.permanent and row.tries < MOST_TRIES:
        row.state = State.PLANNED
    else:
        settle(row, State.UNKNOWN if row.unsure else State.FAILED)


def told(error: UpstreamError) -> str:
    """An error in words, for the list of failures."""
    return " ".join(part for part in (error.message, error.hint) if part)[:500]


def record(work: Working, rows: Sequence[UpstreamChange]) -> int:
    """Write how these rows stand now, in the caller's transaction; returns how many have ended."""
    UpstreamChange.objects.bulk_update(
        rows, ["state", "status", "error", "note", "tries", "unsure", "found", "at"]
    )
    ended = sum(row.state not in UpstreamChange.OPEN for row in rows)
    work.advance(done=work.operation.done + ended)
    return ended


def refuse_rest(work: Working, made: ChangeOrder, connection_id: int, error: UpstreamError) -> None:
    """A connection that answers none of the requests any more: its other rows fail for the same reason."""
    with transaction.atomic():
        rest = made.changes.filter(connection_id=connection_id, state=State.PLANNED)
        sure = rest.filter(unsure=False).update(
            state=State.FAILED, status=error.http_status, error=told(error), at=timezone.now()
        )
        unsure = rest.update(
            state=State.UNKNOWN, status=error.http_status, error=told(error), at=timezone.now()
        )
        work.advance(done=work.operation.done + sure + unsure)
    work.log(told(error), "error")


def pause(rows: Sequence[UpstreamChange], error: UpstreamError | None, ended: int) -> Wait | None:
    """How long to wait before the next batch, if this one says so."""
    if error is not None and error.kind == "throttled":
        wait = 2.0 if error.retry_after is None else error.retry_after
        return Wait(wait, "The provider asked for a pause.")
    failed = [row.tries for row in rows if row.state == State.PLANNED and row.error]
    if failed and not ended:
        seconds = settings.OPERATION_BACKOFF_SECONDS * 2.0 ** (min(failed) - 1)
        return Wait(min(seconds, LONGEST_PAUSE), "The provider does not answer; trying again.")
    return None


def _take_changes(connection: Connection) -> int:
    """Some rows of a connection that is deleted; the orders and their receipts stay."""
    rows = UpstreamChange.objects.filter(connection=connection).order_by("pk")
    some = list(rows.values_list("pk", flat=True)[:PLANNED_AT_ONCE])
    UpstreamChange.objects.filter(pk__in=some).delete()
    return len(some)


before_connection_delete(
    Part("changes upstream", lambda c: UpstreamChange.objects.filter(connection=c).count(), _take_changes)
)


def counts(made: ChangeOrder) -> dict[str, int]:
    """Rows by state."""
    found = made.changes.order_by().values_list("state").annotate(n=Count("pk"))
    return dict(found)
