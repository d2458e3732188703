"""The frame of a step that carries out an order upstream: plan it, then go from connection to connection."""

from collections.abc import Callable
from typing import Any

from completions import ledger, receipts
from completions.models import ChangeOrder
from completions.sending import Sender
from portal.models import Connection
from portal.operations import Again, Cancelled, Done, Outcome, Working
from portal.upstream import UpstreamError, connect

# How one connection's rows are sent: None once none is left there, else how the step ends.
Round = Callable[[Working, ChangeOrder, Connection, Sender], Outcome | None]


def step(work: Working, carry_out: Callable[[Working, ChangeOrder], Outcome | None]) -> Outcome:
    """One step of an order: planned as a whole first, its receipt written at the end."""
    made = ledger.of(work)
    if made is None:
        return Done()
    ledger.check_rights(made)
    if not ledger.plan_all(work, made):
        return Again()
    ledger.take_over(work, made)
    ended = carry_out(work, made)
    if ended is not None:
        return ended
    receipts.write(made)
    return Done(receipts.results(made))


def go_round(work: Working, made: ChangeOrder, send: Round, **how: Any) -> Outcome | None:
    """Send what is left on each connection; one that cannot be called refuses its rows. `how`: to connect."""
    while rows := ledger.next_rows(made, 1):
        connection = Connection.objects.get(pk=rows[0].connection_id)
        try:
            with (
                connect(connection, **how) as upstream,
                Sender(upstream, lambda: not work.time_left()) as sender,
            ):
                ended = send(work, made, connection, sender)
        except UpstreamError as error:  # it lacks its credentials, or may not be called
            ledger.refuse_rest(work, made, connection.pk, error)
            continue
        if ended is not None:
            return ended
    return None


def may_go_on(work: Working) -> bool:
    """Whether there is time for another batch. Raises Cancelled if somebody asked for that."""
    if work.cancelled():
        raise Cancelled
    return work.time_left()
