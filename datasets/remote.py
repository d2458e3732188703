"""Do something paid or irreversible upstream once, whatever happens to the process that does it.

The intent is a row, committed as `sending` before the one request is made. What came of it is written
after. Where nobody knows (the process died, the line was cut, the answer was a 5xx) the row is `unknown`:
the machine then only looks, it never sends again. It adopts what it finds by its marks; if nothing is found
for long enough, a person decides.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any, Protocol

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from portal import audit, operations
from portal.crashpoints import crashpoint
from portal.models import Connection, RemoteAction
from portal.upstream import Upstream, UpstreamError

# Where a process may die on the way of an action, in order; a test kills it at every one of them.
POINTS = ("planned", "sending", "answered", "confirmed")
log = logging.getLogger(__name__)
State = RemoteAction.State
MARK = "portal_action"  # the key in a job's metadata whose value is the action's id
EARLIER = timedelta(minutes=15)  # how far upstream's clock may be behind ours
# Answers that say for certain that nothing was done.
_REFUSALS = frozenset({400, 401, 402, 403, 404, 405, 413, 415, 422, 429})
# Failures from before the request left this machine.
_NOT_SENT = frozenset({"blocked", "credentials", "dns", "tls"})


@dataclass(frozen=True)
class Found:
    """Something upstream that may be what an action made. `marked`: it carries the action's own mark.

    `contested`: another action whose outcome is open may as well have made it.
    """

    remote_id: str
    created: float | None = None
    marked: bool = False
    contested: bool = False
    answer: dict[str, Any] = field(default_factory=dict)


class Errand(Protocol):
    """One kind of action: how it is sent, and how what it made is found again."""

    kind: str

    def post(self, upstream: Upstream, action: RemoteAction) -> Found:
        """Make exactly one request."""

    def look(self, upstream: Upstream, action: RemoteAction, since: float) -> Sequence[Found]:
        """List completely what may have come of it, made at or after `since` (unix seconds)."""


class Outcome(Enum):
    """How one step of an action ended."""

    CONFIRMED = "confirmed"
    REFUSED = "refused"
    WAIT = "wait"
    ASK = "ask"


@dataclass(frozen=True)
class Result:
    """`duplicates` are remote ids that carry the action's own mark although another was kept."""

    outcome: Outcome
    wait: float = 0.0
    note: str = ""
    error: UpstreamError | None = None
    duplicates: tuple[str, ...] = ()


def plan(
    kind: str,
    *,
    connection: Connection,
    dedupe_key: str,
    params: dict[str, Any],
    user: Any,
    operation: Any = None,
) -> RemoteAction:
    """The action that holds this key, made now if there is none. Call it in the transaction of its cause."""
    holding = RemoteAction.objects.filter(
        connection=connection, kind=kind, dedupe_key=dedupe_key, state__in=RemoteAction.HOLDING
    )
    text = json.dumps(params, sort_keys=True, separators=(",", ":"))
    for _ in range(3):
        existing: RemoteAction | None = holding.first()
        if existing is not None:
            return existing
        try:
            with transaction.atomic():
                action: RemoteAction = RemoteAction.objects.create(
                    kind=kind,
                    connection=connection,
                    operation=operation,
                    dedupe_key=dedupe_key,
                    params=params,
                    params_hash=hashlib.sha256(text.encode()).hexdigest(),
                    requested_by=user,
                )
                audit.record(user, "remote_action.planned", action, connection=connection, kind=kind)
                return action
        except IntegrityError:
            continue  # planned by somebody else between our look and our insert
    raise RuntimeError(f"remote action {kind} {dedupe_key} comes and goes faster than it can be seen")


def carry_out(action: RemoteAction, errand: Errand, upstream: Upstream, work: operations.Working) -> Result:
    """Bring the action one step further: send it if it was never sent, else find out what came of it."""
    action.refresh_from_db()
    busy = _busy_elsewhere(action, work)
    if busy is not None:
        return busy
    if action.state == State.PLANNED:
        return _send(action, errand, upstream, work)
    if action.state == State.SENDING:
        # Whoever sent it is gone: it held this operation, and we hold it now.
        _move(action, (State.SENDING,), state=State.UNKNOWN)
        work.log(
            "The worker stopped while the request was under way; looking upstream for what came of it.",
            "warn",
        )
    if action.state == State.UNKNOWN:
        return reconcile(action, errand, upstream)
    if action.state == State.CONFIRMED:
        return Result(Outcome.CONFIRMED)
    return Result(Outcome.REFUSED if action.state == State.REFUSED else Outcome.ASK)


def _busy_elsewhere(action: RemoteAction, work: operations.Working) -> Result | None:
    """Wait for another live operation that works on the same action; take over from one that has ended."""
    if action.operation_id == work.operation.pk or action.state == State.CONFIRMED:
        return None
    other = action.operation
    if other is not None and other.is_live:
        return Result(Outcome.WAIT, 2.0, "Another operation is doing the same.")
    taken = RemoteAction.objects.filter(pk=action.pk, operation=other).update(operation=work.operation)
    if not taken:
        return Result(Outcome.WAIT, 2.0, "Another operation is doing the same.")
    action.operation = work.operation
    return None


def _send(action: RemoteAction, errand: Errand, upstream: Upstream, work: operations.Working) -> Result:
    if work.cancelled():
        raise operations.Cancelled
    crashpoint(f"{action.kind}.planned")
    with transaction.atomic(durable=True):
        work.advance(note="Sending")
        sent = RemoteAction.objects.filter(pk=action.pk, state=State.PLANNED).update(
            state=State.SENDING, sent_at=timezone.now(), fence=work.operation.fence, updated=timezone.now()
        )
        if sent != 1:
            raise operations.LeaseLost
    crashpoint(f"{action.kind}.sending")
    # Paused since the commit, another worker may hold the operation by now: it looks, so we must not send.
    work.advance(note="Waiting for the answer")
    try:
        found = errand.post(upstream, action)
    except UpstreamError as error:
        return _not_confirmed(action, error, getattr(errand, "refusals", frozenset()))
    crashpoint(f"{action.kind}.answered")
    confirm(action, found)
    crashpoint(f"{action.kind}.confirmed")
    return Result(Outcome.CONFIRMED)


def _not_confirmed(action: RemoteAction, error: UpstreamError, refusals: frozenset[int]) -> Result:
    """`refusals`: statuses that say for certain, beside those of every action, that nothing was done."""
    if is_refusal(error) or error.http_status in refusals:
        _move(action, (State.SENDING,), state=State.REFUSED, error=error.as_dict())
        return Result(Outcome.REFUSED, error=error)
    _move(action, (State.SENDING,), state=State.UNKNOWN, error=error.as_dict())
    return Result(
        Outcome.WAIT, settings.RECONCILE_EVERY_SECONDS, "Nobody knows yet whether it was done; looking."
    )


def is_refusal(error: UpstreamError) -> bool:
    """Whether the error says for certain that nothing was done."""
    if error.outcome_unknown:
        return False
    return error.http_status in _REFUSALS if error.http_status is not None else error.kind in _NOT_SENT


def confirm(action: RemoteAction, found: Found) -> None:
    """Write down what the action made; an answer that comes late is true and changes later states too."""
    _move(
        action,
        (State.SENDING, State.UNKNOWN, State.NOT_FOUND),
        state=State.CONFIRMED,
        remote_id=found.remote_id,
        answer=found.answer,
        error={},
        candidates=[],
    )


def reconcile(action: RemoteAction, errand: Errand, upstream: Upstream) -> Result:
    """Look for what an action of unknown outcome made; never sends."""
    assert action.sent_at is not None
    since = (action.sent_at - EARLIER).timestamp()
    held = set(
        RemoteAction.objects.filter(connection=action.connection, kind=action.kind)
        .exclude(pk=action.pk)
        .exclude(remote_id="")
        .values_list("remote_id", flat=True)
    )
    found = [
        each
        for each in errand.look(upstream, action, since)
        if each.remote_id not in held and (each.created is None or each.created >= since)
    ]
    marked = sorted(
        (each for each in found if each.marked), key=lambda each: (each.created or 0, each.remote_id)
    )
    alone = len(found) == 1 and not found[0].contested
    adopted = marked[0] if marked else found[0] if alone else None
    if adopted is not None:
        try:
            with transaction.atomic():
                confirm(action, adopted)
                audit.record(
                    action.requested_by,
                    "remote_action.adopted",
                    action,
                    connection=action.connection,
                    remote_id=adopted.remote_id,
                    by="mark" if adopted.marked else "content",
                )
        except IntegrityError:
            return Result(Outcome.WAIT, settings.RECONCILE_EVERY_SECONDS, "Looking again.")
        return Result(Outcome.CONFIRMED, duplicates=tuple(each.remote_id for each in marked[1:]))
    if found:
        _move(action, (State.UNKNOWN,), candidates=[each.remote_id for each in found])
        return Result(
            Outcome.ASK,
            note="Several could be it." if len(found) > 1 else "It could be that of another launch.",
        )
    return _nothing_found(action)


def _nothing_found(action: RemoteAction) -> Result:
    now = timezone.now()
    first = action.first_clean_listing or now
    looked = action.clean_listings + 1
    long_enough = now - first >= timedelta(seconds=settings.RECONCILE_SECONDS)
    enough = long_enough and looked >= settings.RECONCILE_LISTINGS
    _move(
        action,
        (State.UNKNOWN,),
        state=State.NOT_FOUND if enough else State.UNKNOWN,
        clean_listings=looked,
        first_clean_listing=first,
    )
    if enough:
        return Result(Outcome.ASK, note="It was not found upstream.")
    return Result(
        Outcome.WAIT, settings.RECONCILE_EVERY_SECONDS, f"Not found upstream yet (looked {looked} times)."
    )


def look_again(action: RemoteAction) -> None:
    """Start looking anew, as a person asked for."""
    _move(
        action,
        (State.NOT_FOUND, State.UNKNOWN),
        state=State.UNKNOWN,
        clean_listings=0,
        first_clean_listing=None,
        candidates=[],
    )


def abandon(action: RemoteAction, user: Any, why: str) -> bool:
    """Give the action up, so that its key is free again. One that may be under way is not given up."""
    with transaction.atomic():
        gone = _move(
            action,
            (State.PLANNED, State.REFUSED, State.UNKNOWN, State.NOT_FOUND, State.CONFIRMED),
            state=State.ABANDONED,
        )
        if gone:
            audit.record(user, "remote_action.abandoned", action, connection=action.connection, why=why)
        return gone


def _move(action: RemoteAction, states: Sequence[str], **fields: Any) -> bool:
    """Change the row if it is still in one of `states`; the instance follows."""
    changed = RemoteAction.objects.filter(pk=action.pk, state__in=states).update(
        updated=timezone.now(), **fields
    )
    if changed == 1:
        for name, value in fields.items():
            setattr(action, name, value)
    else:
        action.refresh_from_db()
    return bool(changed == 1)
