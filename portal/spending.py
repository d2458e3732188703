"""Budgets of connections: what paid work may cost is reserved before it begins, and settled when it is over.

A subject (a fine-tune, a run, a relabelling) holds one row of the month in which it began. `amount` is always
all that the subject may cost or did cost, so that asking twice counts once. Whoever reserves holds the
connection's row, so two at once never spend the same money. Months begin at midnight UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date
from decimal import ROUND_UP, Decimal
from typing import Any, Final

from django.db import transaction
from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from portal import audit
from portal.models import Budget, Connection, Spending
from portal.prices import money

State = Spending.State
NOTHING: Final = Decimal(0)
CENT: Final = Decimal("0.01")
SMALLEST: Final = Decimal("0.000001")  # what the columns hold
ASIDE: Final = "@"  # between a subject and the month that it was put aside with


class OverBudget(Exception):
    """The work may not begin or go on; the text tells a person why and what to do."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a month's budget holds, and what of it is gone. `unknown` counts work whose price nobody knows."""

    month: date
    budget: Budget | None
    reserved: Decimal
    settled: Decimal
    unknown: int = 0

    @property
    def used(self) -> Decimal:
        return self.reserved + self.settled

    @property
    def left(self) -> Decimal | None:
        """What may still be reserved; None where there is no budget. Below zero if it cost more than said."""
        return None if self.budget is None else self.budget.amount - self.used

    @property
    def share(self) -> float:
        """How much of the budget is gone, from 0 to 1; 1 where there is none."""
        if self.budget is None or not self.budget.amount:
            return 1.0
        return min(float(self.used / self.budget.amount), 1.0)

    @property
    def is_over(self) -> bool:
        left = self.left
        return left is not None and left < 0


def this_month() -> date:
    """The first day of the month that it is now, in UTC."""
    return timezone.now().astimezone(UTC).date().replace(day=1)


def reserve(
    connection: Connection,
    subject_type: str,
    subject_id: object,
    what: str,
    amount: Decimal | None,
    user: Any,
) -> Spending:
    """Keep money for a piece of work; `amount` is None where nobody entered a price.

    Asked again it keeps what is more, and nothing where as much is kept already. Call it in the transaction
    that begins the work. Raises OverBudget; what was reserved before stays as it was.
    """
    key = {"subject_type": subject_type, "subject_id": str(subject_id)}
    with transaction.atomic():
        _lock(connection.pk)
        row: Spending | None = Spending.objects.filter(**key).first()
        wanted = None if amount is None else _kept(amount)
        if row is not None and row.state == State.SETTLED and row.month != this_month():
            _put_aside(row)
            row = None
        if wanted is not None:
            wanted = max(wanted - _before(key), NOTHING)
        if row is not None and row.state == State.RESERVED:
            if wanted is None or (row.reserved is not None and wanted <= row.reserved):
                return row
        else:
            row = row or Spending(connection=connection, **key)
            row.month, row.requested_by = this_month(), user if getattr(user, "pk", None) else None
            row.reserved = None
        if row.settled is not None and wanted is not None:
            wanted = max(wanted, row.settled)
        _check(connection, row, wanted)
        row.what, row.state, row.reserved = what[:200], State.RESERVED, wanted
        row.save()
        return row


def settle(subject_type: str, subject_id: object, amount: Decimal | None) -> Spending | None:
    """Write down what the work did cost, also where that is more than was reserved; None is not known.

    None where nothing was ever reserved for it.
    """
    with transaction.atomic():
        row = _held(subject_type, subject_id)
        if row is None:
            return None
        key = {"subject_type": subject_type, "subject_id": str(subject_id)}
        row.settled = None if amount is None else max(_kept(amount) - _before(key), NOTHING)
        row.state = State.SETTLED
        row.save(update_fields=["settled", "state", "changed"])
        return row


def release(subject_type: str, subject_id: object) -> Spending | None:
    """Give back what was kept for work that did not happen; what an earlier try did cost stays settled."""
    with transaction.atomic():
        row = _held(subject_type, subject_id)
        if row is not None and row.state == State.RESERVED:
            row.state = State.RELEASED if row.settled is None else State.SETTLED
            row.save(update_fields=["state", "changed"])
        return row


def state_of(connection: Connection, month: date | None = None) -> Standing:
    """A month's budget and what of it is gone; this month unless another one is named."""
    month = (month or this_month()).replace(day=1)
    return _standing(connection, month, Spending.objects.filter(connection=connection, month=month))


def most_for(connection: Connection, subject_type: str, subject_id: object) -> Decimal | None:
    """All that a subject may cost, what it did cost with it: what others leave of the budget.

    None where there is no budget.
    """
    key = {"subject_type": subject_type, "subject_id": str(subject_id)}
    row: Spending | None = Spending.objects.filter(**key).first()
    before = _before(key)
    if row is not None and row.state != State.RESERVED and row.month != this_month():
        before, row = before + (row.settled or NOTHING), None  # it will be put aside
    month = row.month if row is not None else this_month()
    budget = budget_of(connection, month)
    if budget is None:
        return None
    others = Spending.objects.filter(connection=connection, month=month)
    if row is not None:
        others = others.exclude(pk=row.pk)
    return before + budget.amount - _standing(connection, month, others).used


def budget_of(connection: Connection, month: date) -> Budget | None:
    """The month's own budget, else the standing one."""
    found = list(Budget.objects.filter(Q(month=month) | Q(month=None), connection=connection))
    return next((each for each in found if each.month), found[0] if found else None)


def change_budget(
    connection: Connection, user: Any, month: date | None, amount: Decimal | None, *, allow_unknown: bool
) -> None:
    """Set the budget of a month, or the standing one; an amount of None takes it away."""
    with transaction.atomic():
        _lock(connection.pk)
        budget = Budget.objects.filter(connection=connection, month=month).first()
        before = None if budget is None else _plain(budget.amount)
        if amount is None:
            if budget is None:
                return
            budget.delete()
        else:
            budget = budget or Budget(connection=connection, month=month)
            budget.amount, budget.allow_unknown = amount, allow_unknown
            budget.changed_by = user
            budget.save()
        audit.record(
            user,
            "budget.removed" if amount is None else "budget.changed",
            connection,
            connection=connection,
            month=f"{month:%Y-%m}" if month else "every month",
            amount=None if amount is None else _plain(amount),
            before=before,
            allow_unknown=allow_unknown,
        )


def _lock(connection: int) -> None:
    """Nobody else reserves on it until the transaction ends; rows that point at it may still be written."""
    Connection.objects.select_for_update(no_key=True).filter(pk=connection).values_list("pk").get()


def _held(subject_type: str, subject_id: object) -> Spending | None:
    """The subject's row, locked together with its connection's budget."""
    found = Spending.objects.filter(subject_type=subject_type, subject_id=str(subject_id))
    connection = found.values_list("connection", flat=True).first()
    if connection is None:
        return None
    _lock(connection)
    row: Spending | None = found.first()
    return row


def _kept(amount: Decimal) -> Decimal:
    """As the column holds it; what is smaller counts as its smallest step."""
    return amount.quantize(SMALLEST, rounding=ROUND_UP)


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def _check(connection: Connection, row: Spending, wanted: Decimal | None) -> None:
    budget = budget_of(connection, row.month)
    if budget is None:
        return
    month = f"{row.month:%B %Y}"
    if wanted is None:
        if not budget.allow_unknown:
            raise OverBudget(
                f"Nobody has entered what this costs, and the budget of {connection} allows no unknown"
                " prices. Enter the price, or ask a manager of the connection to allow them."
            )
        return
    others = Spending.objects.filter(connection=connection, month=row.month).exclude(pk=row.pk)
    left = budget.amount - _standing(connection, row.month, others).used
    if wanted > left:
        left_in_words = money(left) if left > 0 else "nothing"
        raise OverBudget(
            f"This may cost {money(wanted)}, and of the {money(budget.amount)} that {connection} may spend in"
            f" {month} {left_in_words} is left. Take less, or ask a manager of the connection for more."
        )


def _standing(connection: Connection, month: date, rows: QuerySet[Spending]) -> Standing:
    reserved = settled = NOTHING
    unknown = 0
    for row in rows.exclude(state=State.RELEASED).only("state", "reserved", "settled"):
        if row.state == State.RESERVED:
            reserved += max(row.reserved or NOTHING, row.settled or NOTHING)
            unknown += row.reserved is None
        else:
            settled += row.settled or NOTHING
            unknown += row.settled is None
    return Standing(month, budget_of(connection, month), reserved, settled, unknown)


# A subject that goes on in a later month: what it did cost stays in the month in which it was spent.


def _put_aside(row: Spending) -> None:
    """Leave an earlier month's share of the subject under a name of its own."""
    row.subject_id = f"{row.subject_id}{ASIDE}{row.month:%Y-%m}"
    row.save(update_fields=["subject_id"])


def _before(key: Mapping[str, str]) -> Decimal:
    """What the subject did cost in months that are over."""
    aside = Spending.objects.filter(
        subject_type=key["subject_type"], subject_id__startswith=f"{key['subject_id']}{ASIDE}"
    )
    total: Decimal | None = aside.aggregate(total=Sum("settled"))["total"]
    return total or NOTHING
