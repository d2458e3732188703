"""Budgets: never more reserved than there is, each subject once, honest about what it did cost."""

import threading
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connections as databases

from portal import spending
from portal.models import AuditEntry, Budget, Connection, Spending, User
from portal.spending import OverBudget, reserve, settle, state_of
from tests import factories

pytestmark = [pytest.mark.engines, pytest.mark.django_db]
JOB = "datasets.finetune"


@pytest.fixture
def connection(db: None) -> Connection:
    return factories.connection("Shop")


def budget(connection: Connection, amount: str, month: date | None = None, **fields: Any) -> Budget:
    made: Budget = Budget.objects.create(connection=connection, amount=Decimal(amount), month=month, **fields)
    return made


def keep(connection: Connection, subject: object, amount: str | None, user: Any = None) -> Spending:
    wanted = None if amount is None else Decimal(amount)
    return reserve(connection, JOB, subject, f"Job {subject}", wanted, user)


def at(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    monkeypatch.setattr("portal.spending.timezone.now", lambda: moment)


def test_without_a_budget_everything_is_kept_and_nothing_refused(connection: Connection) -> None:
    keep(connection, 1, "12")
    keep(connection, 2, None)
    state = state_of(connection)
    assert (state.budget, state.left, state.reserved, state.unknown) == (None, None, Decimal(12), 1)


def test_more_than_is_left_is_refused_with_both_amounts(connection: Connection) -> None:
    budget(connection, "10")
    keep(connection, 1, "7.50")
    with pytest.raises(OverBudget, match=r"may cost 3\.00 USD.*10\.00 USD that Shop.*2\.50 USD is left"):
        keep(connection, 2, "3")
    keep(connection, 3, "2.50")
    assert state_of(connection).left == 0


def test_the_same_subject_counts_once_and_may_grow(connection: Connection) -> None:
    budget(connection, "10")
    first = keep(connection, 1, "4")
    assert keep(connection, 1, "4").pk == keep(connection, 1, "3").pk == first.pk
    assert state_of(connection).reserved == 4
    assert keep(connection, 1, "10").reserved == 10
    with pytest.raises(OverBudget):
        keep(connection, 1, "10.01")
    assert state_of(connection).reserved == 10


def test_what_it_did_cost_stands_even_above_what_was_reserved(connection: Connection) -> None:
    budget(connection, "10")
    keep(connection, 1, "4")
    row = settle(JOB, 1, Decimal("11.25"))
    assert row is not None
    assert (row.state, row.reserved, row.settled) == ("settled", Decimal(4), Decimal("11.25"))
    state = state_of(connection)
    assert (state.left, state.is_over) == (Decimal("-1.25"), True)
    settle(JOB, 1, Decimal("11.25"))
    assert state_of(connection).settled == Decimal("11.25")
    with pytest.raises(OverBudget, match="nothing is left"):
        keep(connection, 2, "0.01")


def test_what_cost_less_and_what_never_ran_is_there_again(connection: Connection) -> None:
    budget(connection, "10")
    keep(connection, 1, "6")
    keep(connection, 2, "4")
    settle(JOB, 1, Decimal(1))
    spending.release(JOB, 2)
    assert state_of(connection).left == 9
    keep(connection, 2, "9")
    assert state_of(connection).left == 0


def test_another_try_counts_what_the_first_did_cost(connection: Connection) -> None:
    budget(connection, "10")
    keep(connection, 1, "5")
    settle(JOB, 1, Decimal(4))
    keep(connection, 1, "6")
    assert (state_of(connection).reserved, state_of(connection).left) == (Decimal(6), Decimal(4))
    spending.release(JOB, 1)
    assert (state_of(connection).settled, state_of(connection).reserved) == (Decimal(4), Decimal(0))


def test_a_price_that_nobody_entered_is_refused_unless_it_is_allowed(connection: Connection) -> None:
    limit = budget(connection, "10")
    with pytest.raises(OverBudget, match="Nobody has entered what this costs"):
        keep(connection, 1, None)
    Budget.objects.filter(pk=limit.pk).update(allow_unknown=True)
    assert keep(connection, 1, None).reserved is None
    settle(JOB, 1, None)
    assert (state_of(connection).unknown, state_of(connection).left) == (1, Decimal(10))


def test_a_month_has_its_own_budget_else_the_standing_one(connection: Connection) -> None:
    budget(connection, "10")
    budget(connection, "50", date(2026, 12, 1))
    november, december = state_of(connection, date(2026, 11, 17)), state_of(connection, date(2026, 12, 31))
    assert november.budget is not None
    assert december.budget is not None
    assert (november.budget.amount, december.budget.amount) == (Decimal(10), Decimal(50))


@pytest.mark.parametrize(
    ("moment", "month"),
    [
        (datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC), date(2026, 11, 1)),
        (datetime(2026, 12, 1, 0, 0, 0, tzinfo=UTC), date(2026, 12, 1)),
        (datetime.fromisoformat("2026-12-01T08:00:00+09:00"), date(2026, 11, 1)),
    ],
)
def test_months_begin_at_midnight_in_utc(
    moment: datetime, month: date, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, moment)
    assert keep(connection, 1, "1").month == month


def test_what_goes_on_in_a_later_month_is_counted_where_it_was_spent(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    november, december = date(2026, 11, 1), date(2026, 12, 1)
    budget(connection, "10")
    at(monkeypatch, datetime(2026, 11, 30, tzinfo=UTC))
    keep(connection, 1, "8")
    settle(JOB, 1, Decimal(7))
    at(monkeypatch, datetime(2026, 12, 2, tzinfo=UTC))
    keep(connection, 1, "9")
    assert state_of(connection, december).reserved == 2
    settle(JOB, 1, Decimal("8.50"))
    assert state_of(connection, november).settled == 7
    assert state_of(connection, december).settled == Decimal("1.50")


def test_a_reservation_stays_in_the_month_that_it_was_made_in(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, datetime(2026, 11, 30, tzinfo=UTC))
    keep(connection, 1, "8")
    at(monkeypatch, datetime(2026, 12, 2, tzinfo=UTC))
    settle(JOB, 1, Decimal(3))
    assert (state_of(connection).used, state_of(connection, date(2026, 11, 1)).settled) == (
        Decimal(0),
        Decimal(3),
    )


def test_nothing_is_settled_that_was_never_reserved(connection: Connection) -> None:
    assert settle(JOB, 99, Decimal(1)) is None
    assert spending.release(JOB, 99) is None


def test_a_budget_is_set_and_taken_away_with_an_entry_in_the_audit_trail(
    connection: Connection, manager: User
) -> None:
    spending.change_budget(connection, manager, None, Decimal(20), allow_unknown=True)
    spending.change_budget(connection, manager, None, Decimal(30), allow_unknown=False)
    spending.change_budget(connection, manager, None, None, allow_unknown=False)
    assert not Budget.objects.exists()
    entries = AuditEntry.objects.filter(verb__startswith="budget.").order_by("id")
    assert [(entry.verb, entry.details["before"], entry.details["amount"]) for entry in entries] == [
        ("budget.changed", None, "20"),
        ("budget.changed", "20", "30"),
        ("budget.removed", "30", None),
    ]


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_only_as_many_are_let_through_as_there_is_money_for(
    transactional_db: None,
) -> None:
    connection = factories.connection()
    budget(connection, "10")
    together = threading.Barrier(4)
    outcomes: list[str] = []

    def ask(number: int) -> None:
        together.wait()
        try:
            keep(connection, number, "4")
            outcomes.append("kept")
        except OverBudget:
            outcomes.append("refused")
        finally:
            databases.close_all()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["kept", "kept", "refused", "refused"]
    assert state_of(connection).reserved == 8


@pytest.mark.django_db(transaction=True)
def test_one_subject_asked_for_twice_at_once_is_one_row(transactional_db: None) -> None:
    connection = factories.connection()
    budget(connection, "5")
    together = threading.Barrier(2)
    errors: list[Exception] = []

    def ask() -> None:
        together.wait()
        try:
            keep(connection, 7, "5")
        except Exception as error:
            errors.append(error)
        finally:
            databases.close_all()

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (errors, Spending.objects.count()) == ([], 1)
