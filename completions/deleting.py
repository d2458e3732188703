"""Deleting completions: here, upstream, or both, one order at a time, whatever happens to the worker.

Upstream comes first: a row leaves the mirror once the provider says that it is gone there.
"""

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from completions import absorbing, dependents, ledger, receipts, rounds
from completions.forgetting import forget
from completions.models import ChangeOrder, FrozenSelection, StoredCompletion, UpstreamChange
from completions.purposes import purpose
from completions.sending import Answered, Sender
from portal import operations
from portal.crashpoints import crashpoint
from portal.models import Connection
from portal.operations import Again, Outcome, Working
from portal.upstream import Upstream

KIND, PURPOSE = "completions.delete", "delete"
TYPED_ABOVE = 1000  # more than this many is confirmed by typing the number
FORGOTTEN_AT_ONCE = 500
Mode = ChangeOrder.Mode
State = UpstreamChange.State
DELETED, NOT_FOUND = 200, 404

purpose(PURPOSE, "Delete…", "trash-2", url="completions:delete", needs="builder", order=90, danger=True)


def order(user: Any, frozen: FrozenSelection, mode: Mode, typed: str = "") -> ChangeOrder:
    """Delete a selection. Raises ledger.Refused if the number is not typed, or if something forbids it."""
    if mode != Mode.HERE:
        ledger.check_askable(frozen.connections.defer("secret"))
    if frozen.count > TYPED_ABOVE and typed.strip().replace(",", "") != str(frozen.count):
        raise ledger.Refused(f"Type the number {frozen.count:,} to delete that many.")
    if blocked := dependents.blocking(list(ledger.ids_of(frozen))):
        raise ledger.Refused(f"{blocked} The operator of this portal has set that this forbids a deletion.")
    return ledger.order(
        ledger.Asked(ChangeOrder.Kind.DELETE, KIND, title_of(mode, frozen.count), mode), user, frozen
    )


def title_of(mode: str, count: int) -> str:
    where = {Mode.HERE: "here", Mode.UPSTREAM: "upstream", Mode.BOTH: "upstream and here"}[Mode(mode)]
    return f"Delete {count:,} completion{'' if count == 1 else 's'} {where}"


def try_again(made: ChangeOrder, user: Any) -> int:
    """Begin anew with just those that failed; returns how many."""
    left = made.changes.filter(state__in=UpstreamChange.LEFT).count()
    return ledger.try_again(made, KIND, title_of(made.mode, left), user)


@operations.handler(KIND, queue="remote", ended=receipts.write_later)
def run(work: Working) -> Outcome:
    """One step: plan, then one batch after the other."""
    return rounds.step(work, _carry_out)


def _carry_out(work: Working, made: ChangeOrder) -> Outcome | None:
    ended = _here(work, made) if made.mode == Mode.HERE else rounds.go_round(work, made, _on)
    if ended is not None:
        return ended
    return None if _once_more(work, made) else Again()


def _here(work: Working, made: ChangeOrder) -> Outcome | None:
    absorbing.keep_small()
    while rows := ledger.next_rows(made, FORGOTTEN_AT_ONCE):
        if not rounds.may_go_on(work):
            return Again()
        with transaction.atomic():
            absorbing.lock(rows[0].connection_id)
            for row in rows:
                ledger.settle(row, State.DONE)
            _leave(rows)
            ledger.record(work, rows)
            crashpoint("change.before_commit")
        crashpoint("change.recorded")
    return None


def _on(work: Working, made: ChangeOrder, connection: Connection, sender: Sender) -> Outcome | None:
    """Batches of one connection, until none is left there."""
    while rows := ledger.next_rows(made, ledger.SENT_AT_ONCE):
        if rows[0].connection_id != connection.pk:
            return None
        if not rounds.may_go_on(work):
            return Again()
        ledger.claim(work, rows)
        answers = sender.send(rows, _delete)
        crashpoint("change.answered")
        with transaction.atomic():
            absorbing.lock(connection.pk)
            for answered in answers:
                _settle(answered)
            _leave([row for row in rows if row.state == State.DONE])
            ended = ledger.record(work, rows)
            crashpoint("change.before_commit")
        crashpoint("change.recorded")
        error = sender.stopped
        if error is not None and error.permanent:
            ledger.refuse_rest(work, made, connection.pk, error)
            return None
        if wait := ledger.pause(rows, error, ended):
            return wait
    return None


def _delete(upstream: Upstream, row: UpstreamChange) -> None:
    upstream.delete_completion(row.upstream_id)


def _settle(answered: Answered[UpstreamChange, None]) -> None:
    row, error = answered.row, answered.error
    if error is None and not answered.unsent:
        ledger.settle(row, State.DONE, status=DELETED, error="", note="")
    elif error is not None and error.kind == "not_found":
        note = "Gone after an unrecorded answer." if row.unsure else "It was gone upstream already."
        ledger.settle(row, State.DONE, status=error.http_status or NOT_FOUND, error="", note=note)
    else:
        ledger.settle_failed(answered)


def _once_more(work: Working, made: ChangeOrder) -> bool:
    """Let those go again that a synchronisation, which had read them before, has stored since.

    False if the time of this step was too short for it.
    """
    if made.mode == Mode.HERE:
        return True
    for connection_id in made.connections.values_list("pk", flat=True):
        deleted = made.changes.filter(connection_id=connection_id, state=State.DONE)
        here = _of(connection_id, deleted.values("upstream_id"), made.mode)
        while rows := list(here.values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE]):
            if not work.time_left():
                return False
            with transaction.atomic():
                absorbing.lock(connection_id)
                _let_go(connection_id, rows, made.mode)
                work.advance()
    return True


def _leave(rows: Sequence[UpstreamChange]) -> None:
    """What the mirror does with rows that are deleted: of one order and one connection."""
    if rows:
        connection_id, mode = rows[0].connection_id, rows[0].order.mode
        here = _of(connection_id, [row.upstream_id for row in rows], mode)
        _let_go(connection_id, list(here.values_list("pk", flat=True)), mode)


def _of(connection_id: int, names: Any, mode: str) -> Any:
    """The rows here with these ids upstream; where they stay, those that are not marked yet."""
    here = StoredCompletion.objects.filter(connection_id=connection_id, upstream_id__in=names)
    return here.filter(gone_at=None) if mode == Mode.UPSTREAM else here


def _let_go(connection_id: int, rows: Sequence[int], mode: str) -> None:
    if mode == Mode.UPSTREAM:
        absorbing.mark(connection_id, rows, gone_at=timezone.now())
    else:
        forget(connection_id, rows)
