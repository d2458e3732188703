"""A run and its budget: reserved before it starts, settled by what was used, stopped before it exceeds."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from completions.models import StoredCompletion
from datasets.evaluate import paying
from datasets.evaluate import run as runs
from datasets.evaluate.targets import stored
from datasets.models import Call, Run
from datasets.purse import Purse
from portal import operations, prices, spending
from portal.models import Budget, Connection, Price, Spending, User
from portal.prices import Rates
from portal.sandbox import Sandbox
from tests.datasets import material, measured
from tests.datasets.measured import EQUAL, STUDENT, TEACHER, asked, fresh, ran

pytestmark = [pytest.mark.engines, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def source(builder: User, sandbox: Sandbox, connect_to: Callable[..., Connection]) -> Connection:
    return connect_to(sandbox, "openai", key="sandbox-openai-key", name="Source")


@pytest.fixture
def priced(db: None) -> None:
    for kind, amount in (("input", 1_000), ("output", 10_000)):
        Price.objects.create(model=TEACHER, kind=kind, amount=amount, as_of=date(2026, 11, 1))


def limit(connection: Connection, amount: str, **fields: bool) -> None:
    Budget.objects.create(connection=connection, amount=Decimal(amount), **fields)


def used(run: Run) -> Decimal:
    """What the answers did cost, by the usage that upstream reported."""
    total = Decimal(0)
    for answer in Call.objects.filter(run=run, state="done").values_list("answer", flat=True):
        cost = prices.cost(
            TEACHER, "", answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]
        )
        assert cost is not None
        total += cost
    return total


@pytest.mark.usefixtures("priced")
def test_a_run_is_reserved_when_it_starts_and_settled_by_what_was_used(
    builder: User, source: Connection
) -> None:
    limit(source, "1000000")
    run = runs.start(measured.evaluation(builder, measured.rows(source, 8)), [fresh(source)], builder)
    state = spending.state_of(source)
    assert (state.reserved, state.settled) == (8 * (15 * 1000 + 15 * 10_000) / prices.PER, Decimal(0))
    material.drain()
    run.refresh_from_db()
    assert run.state == Run.State.DONE
    assert (spending.state_of(source).reserved, spending.state_of(source).settled) == (Decimal(0), used(run))


@pytest.mark.usefixtures("priced")
def test_answers_that_do_not_say_what_they_used_are_settled_as_they_were_estimated(
    builder: User, source: Connection
) -> None:
    run = ran(measured.evaluation(builder, measured.rows(source, 4)), [fresh(source)], builder)
    Call.objects.filter(run=run).update(answer={})
    Spending.objects.update(state=Spending.State.RESERVED, settled=None)
    paying.settle(run)
    assert spending.state_of(source).settled == 4 * (15 * 1000 + 15 * 10_000) / prices.PER


@pytest.mark.usefixtures("priced")
def test_a_run_that_is_too_dear_is_refused_and_leaves_nothing(
    builder: User, source: Connection, sandbox: Sandbox
) -> None:
    limit(source, "0.5")
    made = measured.evaluation(builder, measured.rows(source, 8))
    with pytest.raises(runs.Refused, match="may spend"):
        runs.start(made, [fresh(source)], builder)
    assert not Run.objects.exists()
    assert not Spending.objects.exists()
    assert not asked(sandbox)


@pytest.mark.usefixtures("priced")
def test_row_55_a_budget_that_is_reached_on_the_way_stops_the_run_before_it_is_exceeded(
    builder: User, source: Connection
) -> None:
    limit(source, "1000000")
    made = measured.evaluation(builder, measured.rows(source, 30))
    whole = used(ran(made, [fresh(source)], builder))
    Budget.objects.update(amount=spending.state_of(source).settled + whole / 2)
    # The stored rows claim to have used next to nothing, so the estimate is far too low.
    StoredCompletion.objects.update(prompt_tokens=1, completion_tokens=1)
    run = runs.start(made, [fresh(source, TEACHER, "second")], builder)
    material.drain()
    run.refresh_from_db()
    operation = run.operation
    assert operation is not None
    assert (run.state, operation.error_code) == (Run.State.FAILED, "over_budget")
    assert "is left" in operation.error_text
    made_calls = Call.objects.filter(run=run, state="done").count()
    assert 0 < made_calls < 30
    assert not Call.objects.filter(run=run, state="sent").exists()
    state = spending.state_of(source)
    assert state.left is not None
    assert state.left >= 0
    assert state.reserved == 0

    Budget.objects.update(amount=1_000_000)
    runs.retry_failed(run, builder)
    material.drain()
    run.refresh_from_db()
    assert run.state == Run.State.DONE
    row = Spending.objects.get(subject_id=f"{run.pk}/{source.pk}")
    assert row.settled == used(run)


def test_row_55_what_was_reserved_can_be_used_by_every_step(builder: User, source: Connection) -> None:
    limit(source, "10")
    rates = Rates(Price(amount=Decimal(1_000_000)), Price(amount=Decimal(1_000_000)))

    def purse() -> Purse:
        made = Purse(source, "x", "1", "A run", builder, rates={"first": rates}, each={"first": Decimal(1)})
        for tokens in (1, 2, 2):  # five of ten are spent, and the dearest answer took two
            made.paid("first", {"prompt_tokens": tokens})
        return made

    purse().keep(Decimal(10))
    # The next step begins with another purse; nothing is left beside what is kept.
    later = purse()
    assert later.room("first", 10, flying=0) == 2
    assert later.room("first", 10, flying=1) == 1
    assert Spending.objects.get().reserved == 10
    assert spending.most_for(source, "x", "1") == 10
    assert spending.most_for(source, "x", "2") == 0

    # What was settled in an earlier month is no part of this month's budget.
    spending.settle("x", "1", Decimal(5))
    Spending.objects.update(month=date(2026, 1, 1))
    assert spending.most_for(source, "x", "1") == 15


def test_row_55_without_a_price_a_run_is_refused_where_unknown_prices_are(
    builder: User, source: Connection, sandbox: Sandbox
) -> None:
    limit(source, "1000")
    made = measured.evaluation(builder, measured.rows(source, 4))
    with pytest.raises(runs.Refused, match="Nobody has entered"):
        runs.start(made, [fresh(source)], builder)
    Budget.objects.update(allow_unknown=True)
    run = ran(made, [fresh(source)], builder)
    assert run.state == Run.State.DONE
    assert spending.state_of(source).unknown == 1
    assert sum(asked(sandbox).values()) == 4


def test_measuring_stored_answers_costs_nothing(builder: User, source: Connection) -> None:
    limit(source, "0")
    made = measured.evaluation(builder, measured.rows(source, 4), reference="meta:answer", graders=[EQUAL])
    assert ran(made, [stored()], builder).state == Run.State.DONE
    assert not Spending.objects.exists()


@pytest.mark.usefixtures("priced")
def test_a_run_that_was_cancelled_before_it_asked_costs_nothing(builder: User, source: Connection) -> None:
    run = runs.start(measured.evaluation(builder, measured.rows(source, 4)), [fresh(source)], builder)
    assert run.operation is not None
    operations.cancel(run.operation, builder)
    material.drain()
    # Nor does one of which nobody knows what it would have cost.
    unknown = runs.start(
        measured.evaluation(builder, measured.rows(source, 4)), [fresh(source, STUDENT)], builder
    )
    assert unknown.operation is not None
    operations.cancel(unknown.operation, builder)
    material.drain()
    assert {row.state for row in Spending.objects.all()} == {Spending.State.RELEASED}
    assert spending.state_of(source).unknown == 0


def test_other_targets_that_are_too_dear_are_refused_on_the_page_in_words(
    builder: User, source: Connection, client_of: Callable[[User], Client]
) -> None:
    made = measured.evaluation(builder, measured.rows(source, 4), reference="meta:answer", graders=[EQUAL])
    ran(made, [stored()], builder)
    limit(source, "1")
    values = {"first_connection": source.pk, "first_model": TEACHER, "told": f"{source.pk}:{TEACHER}"}
    answer = client_of(builder).post(reverse("datasets:run_new", args=[made.pk]), values)
    assert answer.status_code == 422
    assert "Nobody has entered what this costs" in answer.text
    assert made.runs.count() == 1
