"""Setting up a relabelling: whose prompts, which teacher, what it will cost; then its start."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import transaction

from completions import selection
from completions.models import FrozenSelection, ReviewState
from datasets.models import Relabel, RelabelCall
from datasets.purse import Purse, rates_of
from datasets.usage import used_by
from portal import audit, operations, spending
from portal.models import Connection, Operation

KIND = "relabel.run"
SUBJECT = Relabel._meta.label_lower
TEACHER = "teacher"
State = Relabel.State


class Refused(Exception):
    """It may not or cannot be started; the text says why."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is said before the start. `amount` is None where nobody entered a price."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    amount: Decimal | None
    as_of: date | None
    corrected: int

    def as_data(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "amount": None if self.amount is None else f"{self.amount:f}",
            "as_of": None if self.as_of is None else self.as_of.isoformat(),
        }


def draft_on(frozen: FrozenSelection, user: Any) -> Relabel | None:
    """What the person has begun on this selection and not started yet."""
    found: Relabel | None = (
        Relabel.objects.filter(frozen_selection=frozen, created_by=user, state=State.DRAFT)
        .select_related("connection")
        .first()
    )
    return found


def begin(
    frozen: FrozenSelection,
    user: Any,
    *,
    name: str,
    connection: Connection,
    model: str,
    params: Mapping[str, Any],
) -> Relabel:
    """Keep the choice of a teacher; a second click changes the first one's draft."""
    with transaction.atomic():
        FrozenSelection.objects.select_for_update().get(pk=frozen.pk)
        relabel = draft_on(frozen, user)
        if relabel is None:
            selection.confirm(frozen)
            relabel = Relabel(frozen_selection=frozen, created_by=user)
        relabel.name, relabel.connection, relabel.model = name, connection, model
        relabel.params = dict(params)
        relabel.save()
        relabel.connections.set({*frozen.connections.values_list("pk", flat=True), connection.pk})
        return relabel


def estimate(relabel: Relabel) -> Estimate:
    """Calls, tokens and price, from what the stored answers used."""
    frozen = relabel.frozen_selection
    used = used_by(frozen)
    share = frozen.count / used.looked if used.looked else 0
    prompt, completion = round(used.prompt_tokens * share), round(used.completion_tokens * share)
    rates = rates_of(relabel.connection, relabel.model)
    ids = selection.unpacked(frozen.ids).tolist()
    corrected = sum(
        ReviewState.objects.filter(pk__in=ids[at : at + 5000], correction__isnull=False).count()
        for at in range(0, len(ids), 5000)
    )
    return Estimate(frozen.count, prompt, completion, rates.of(prompt, completion), rates.as_of, corrected)


def purse(relabel: Relabel, user: Any) -> Purse:
    """Who pays, knowing what the answers so far did cost."""
    said, rates = relabel.estimate, rates_of(relabel.connection, relabel.model)
    whole = rates.of(said.get("prompt_tokens", 0), said.get("completion_tokens", 0))
    calls = said.get("calls", 0)
    made = Purse(
        connection=relabel.connection,
        subject_type=SUBJECT,
        subject_id=str(relabel.pk),
        what=f"Relabelling {relabel.name}",
        user=user,
        rates={TEACHER: rates},
        each={TEACHER: whole / calls if whole is not None and calls else None},
    )
    answered = relabel.calls.filter(state=RelabelCall.State.DONE).values_list("answer__usage", flat=True)
    made.remember(TEACHER, answered.iterator(), relabel.repeated_calls)
    return made


def start(relabel: Relabel, user: Any) -> Operation:
    """Begin, once: what it may cost is reserved and every call has its row before it is made.

    Raises Refused.
    """
    with transaction.atomic():
        relabel = _locked(relabel)
        if relabel.state != State.DRAFT and relabel.operation is not None:
            return relabel.operation
        relabel.estimate = estimate(relabel).as_data()
        _reserve(relabel, user, relabel.estimate["calls"])
        operation = _begin(relabel, user)
        audit.record(
            user,
            "relabel.started",
            relabel,
            connection=relabel.connection,
            model=relabel.model,
            completions=relabel.estimate["calls"],
        )
        return operation


def go_on(relabel: Relabel, user: Any) -> Operation:
    """Go on with one that was paused or has stopped; what was answered stays. Raises Refused."""
    with transaction.atomic():
        relabel = _locked(relabel)
        operation = relabel.operation
        if relabel.state == State.PAUSED and operation is not None and operation.is_live:
            Relabel.objects.filter(pk=relabel.pk).update(state=State.RUNNING)
            operations.hurry(operation)
            audit.record(user, "relabel.resumed", relabel, connection=relabel.connection)
            return operation
        if relabel.state not in (State.FAILED, State.CANCELLED):
            raise Refused("There is nothing to go on with.")
        return _again(relabel, user)


def retry_failed(relabel: Relabel, user: Any) -> int:
    """Ask again for the answers that failed, keep the others; returns how many those are. Raises Refused."""
    with transaction.atomic():
        relabel = _locked(relabel)
        if relabel.state in (State.DRAFT, State.RUNNING, State.PAUSED):
            raise Refused("It is still going on.")
        failed = relabel.calls.filter(state=RelabelCall.State.FAILED).exclude(error__kind="unsendable")
        again = int(failed.update(state=RelabelCall.State.PENDING, tries=0, error={}))
        if again:
            _again(relabel, user)
        return again


def pause(relabel: Relabel, user: Any) -> bool:
    """Let no more calls begin; those on their way are kept. False if it does not run."""
    with transaction.atomic():
        changed = Relabel.objects.filter(pk=relabel.pk, state=State.RUNNING).update(state=State.PAUSED)
        if changed:
            audit.record(user, "relabel.paused", relabel, connection=relabel.connection)
        return bool(changed)


def delete(relabel: Relabel, user: Any) -> None:
    """Forget it with the teacher's answers; corrections that were made from them stay. Raises Refused."""
    with transaction.atomic():
        relabel = _locked(relabel)
        if relabel.operation is not None and relabel.operation.is_live:
            raise Refused("It is still going on. Cancel it first.")
        audit.record(user, "relabel.deleted", relabel, connection=relabel.connection)
        RelabelCall.objects.filter(relabel=relabel).delete()
        relabel.delete()


def _locked(relabel: Relabel) -> Relabel:
    rows = Relabel.objects.select_for_update(of=("self",)).defer("connection__secret")
    found: Relabel = rows.select_related("connection", "operation", "frozen_selection").get(pk=relabel.pk)
    return found


def _again(relabel: Relabel, user: Any) -> Operation:
    ended = (RelabelCall.State.DONE, RelabelCall.State.FAILED)
    made = relabel.calls.count()
    left = relabel.calls.exclude(state__in=ended).count() if made else relabel.estimate.get("calls", 0)
    _reserve(relabel, user, left)
    operation = _begin(relabel, user)
    audit.record(user, "relabel.went_on", relabel, connection=relabel.connection, calls=left)
    return operation


def _reserve(relabel: Relabel, user: Any, calls: int) -> None:
    paying = purse(relabel, user)
    try:
        paying.keep(paying.cost_of({TEACHER: calls}))
    except spending.OverBudget as over:
        raise Refused(str(over)) from over


def _begin(relabel: Relabel, user: Any) -> Operation:
    sources = list(relabel.connections.values_list("pk", flat=True)[:2])
    operation = operations.begin(
        KIND,
        title=f"Relabel {relabel.name}"[:200],
        dedupe_key=f"relabel:{relabel.pk}",
        connection=relabel.connection if len(sources) == 1 else None,
        requested_by=user,
        subject=relabel,
        cursor={"stage": "rows", "at": 0},
    )
    relabel.operation, relabel.state, relabel.finished = operation, State.RUNNING, None
    relabel.save(update_fields=["operation", "state", "finished", "estimate"])
    return operation
