"""Relabelling against the sandbox: every prompt asked once, within the budget, accepted as corrections."""

import json
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from completions import bulk_review, correcting, dependents
from completions.models import ReviewEvent, ReviewState, StoredCompletion
from completions.reviewing import Overtaken, Refused
from datasets.build import files
from datasets.models import Relabel, RelabelCall
from datasets.recipe import Recipe
from datasets.relabel import judging, setup
from portal import deletion, operations, prices, spending
from portal.models import AuditEntry, Budget, Connection, Operation, Price, Spending, User
from portal.sandbox import Sandbox
from tests import factories
from tests.datasets import material, measured
from tests.datasets.measured import TEACHER, answered, asked, asked_again, stored_upstream
from tests.datasets.provider import crash_at
from tests.portal.sandbox_client import faults

pytestmark = pytest.mark.django_db(transaction=True)
CHAT = "*/chat/completions"
Made = RelabelCall.State


@pytest.fixture
def source(builder: User, sandbox: Sandbox, connect_to: Callable[..., Connection]) -> Connection:
    return connect_to(sandbox, "openai", key="sandbox-openai-key", name="Source")


def begun(
    user: User,
    connection: Connection,
    chosen: Sequence[StoredCompletion],
    model: str = TEACHER,
    **params: Any,
) -> Relabel:
    """A relabelling as its first page leaves it."""
    frozen = material.frozen(user, chosen)
    return setup.begin(
        frozen, user, name="Better answers", connection=connection, model=TEACHER, params=params
    )


def ran(relabel: Relabel, user: User) -> Relabel:
    setup.start(relabel, user)
    material.drain()
    relabel.refresh_from_db()
    return relabel


def bad_rows(connection: Connection, count: int) -> list[StoredCompletion]:
    """Questions whose stored answers a teacher will better."""
    return [measured.row(connection, number, answer="I do not know.") for number in range(count)]


def corrections() -> dict[int, str]:
    held = ReviewState.objects.filter(correction__isnull=False).values_list("pk", "correction__value")
    return {pk: value["text"] for pk, value in held}


@pytest.mark.engines
def test_every_prompt_is_asked_once_and_nothing_is_stored_upstream(
    builder: User, source: Connection, sandbox: Sandbox
) -> None:
    relabel = ran(begun(builder, source, bad_rows(source, 12), temperature=0), builder)
    assert relabel.state == Relabel.State.DONE
    assert relabel.calls.filter(state=Made.DONE).count() == 12
    assert (sum(asked(sandbox).values()), asked_again(sandbox), stored_upstream(sandbox)) == (12, 0, 0)
    call = relabel.calls.first()
    assert call is not None
    assert call.text
    assert call.answer["usage"]["completion_tokens"] > 0
    verbs = AuditEntry.objects.filter(verb__startswith="relabel.").values_list("verb", flat=True)
    assert set(verbs) == {"relabel.started", "relabel.finished"}


def test_one_that_is_done_stays_so_whatever_becomes_of_its_operation(
    builder: User, source: Connection
) -> None:
    relabel = ran(begun(builder, source, bad_rows(source, 2)), builder)
    operation, finished = Operation.objects.filter(kind=setup.KIND).latest("id"), relabel.finished
    for stop in (False, True):
        Operation.objects.filter(pk=operation.pk).update(state=Operation.State.READY, finished=None)
        assert stop is bool(stop and operations.cancel(operation, builder))
        material.drain()
        relabel.refresh_from_db()
        assert (relabel.state, relabel.finished) == (Relabel.State.DONE, finished)


@pytest.mark.engines
@pytest.mark.parametrize(
    ("point", "lost"),
    [
        ("relabel.rows.made", 0),
        ("relabel.calls.claimed:2", 48),
        ("relabel.calls.committed:3", 48),
    ],
)
def test_a_killed_worker_repeats_only_the_calls_that_were_on_their_way(
    point: str, lost: int, builder: User, source: Connection, sandbox: Sandbox
) -> None:
    relabel = begun(builder, source, bad_rows(source, 60))
    setup.start(relabel, builder)
    crash_at(point)
    flying = RelabelCall.objects.filter(relabel=relabel, state=Made.SENT).count()
    assert flying <= lost
    material.drain()
    relabel.refresh_from_db()
    assert relabel.state == Relabel.State.DONE
    assert relabel.calls.filter(state=Made.DONE).count() == 60
    assert relabel.repeated_calls == flying
    assert asked_again(sandbox) <= flying
    assert len(answered(sandbox)) == 60


@pytest.mark.engines
def test_a_budget_that_is_reached_on_the_way_stops_before_it_is_exceeded(
    builder: User, source: Connection
) -> None:
    for kind, amount in (("input", 1_000), ("output", 10_000)):
        Price.objects.create(model=TEACHER, kind=kind, amount=amount, as_of=date(2026, 11, 1))
    rows = bad_rows(source, 40)
    StoredCompletion.objects.update(prompt_tokens=1, completion_tokens=1)  # the estimate is far too low
    Budget.objects.create(connection=source, amount=Decimal("6"))
    relabel = ran(begun(builder, source, rows), builder)
    operation = relabel.operation
    assert operation is not None
    assert (relabel.state, operation.error_code) == (Relabel.State.FAILED, "over_budget")
    made = relabel.calls.filter(state=Made.DONE).count()
    assert 0 < made < 40
    assert not relabel.calls.filter(state=Made.SENT).exists()
    standing = spending.state_of(source)
    assert standing.left is not None
    assert standing.left >= 0
    assert standing.settled == cost(relabel)

    with pytest.raises(setup.Refused, match="is left"):
        setup.go_on(relabel, builder)
    Budget.objects.update(amount=1_000)
    setup.go_on(relabel, builder)
    material.drain()
    relabel.refresh_from_db()
    assert relabel.state == Relabel.State.DONE
    assert Spending.objects.get().settled == cost(relabel)


def cost(relabel: Relabel) -> Decimal:
    total = Decimal(0)
    for answer in relabel.calls.filter(state=Made.DONE).values_list("answer", flat=True):
        usage = answer["usage"]
        total += prices.cost(TEACHER, "", usage["prompt_tokens"], usage["completion_tokens"]) or Decimal(0)
    return total


def test_a_start_that_is_too_dear_is_refused_and_asks_nothing(
    builder: User, source: Connection, sandbox: Sandbox
) -> None:
    Budget.objects.create(connection=source, amount=Decimal(1))
    relabel = begun(builder, source, bad_rows(source, 3))
    with pytest.raises(setup.Refused, match="Nobody has entered"):
        setup.start(relabel, builder)
    relabel.refresh_from_db()
    assert (relabel.state, relabel.operation, relabel.calls.count()) == (Relabel.State.DRAFT, None, 0)
    assert not asked(sandbox)


@pytest.mark.engines
def test_starting_twice_is_one_operation(builder: User, source: Connection, sandbox: Sandbox) -> None:
    relabel = begun(builder, source, bad_rows(source, 3))
    assert setup.start(relabel, builder).pk == setup.start(relabel, builder).pk
    material.drain()
    assert setup.start(relabel, builder).state == Operation.State.DONE
    assert sum(asked(sandbox).values()) == 3


@pytest.mark.engines
def test_a_pause_holds_it_and_going_on_asks_only_the_rest(
    builder: User, source: Connection, sandbox: Sandbox
) -> None:
    relabel = begun(builder, source, bad_rows(source, 6))
    operation = setup.start(relabel, builder)
    assert setup.pause(relabel, builder)
    assert material.step(setup.KIND).note == "Paused."
    assert not asked(sandbox)
    setup.go_on(relabel, builder)
    material.drain()
    relabel.refresh_from_db()
    assert (relabel.state, relabel.operation_id) == (Relabel.State.DONE, operation.pk)
    assert sum(asked(sandbox).values()) == 6
    assert not setup.pause(relabel, builder)


@pytest.mark.engines
def test_what_fails_says_why_and_is_asked_again_alone(
    builder: User, source: Connection, sandbox: Sandbox
) -> None:
    rows = bad_rows(source, 8)
    refuse = {"kind": "status", "status": 400, "code": "invalid_value", "path": CHAT, "method": "POST"}
    faults(sandbox, {**refuse, "times": 3})
    relabel = ran(begun(builder, source, rows), builder)
    assert relabel.state == Relabel.State.DONE
    failed = relabel.calls.filter(state=Made.FAILED)
    assert failed.count() == 3
    assert all(call.error["text"] for call in failed)
    faults(sandbox)
    assert setup.retry_failed(relabel, builder) == 3
    material.drain()
    assert relabel.calls.filter(state=Made.DONE).count() == 8
    assert sum(answered(sandbox).values()) == 8


def test_a_prompt_that_cannot_be_sent_fails_by_itself(builder: User, source: Connection) -> None:
    odd = measured.row(source, 1, messages=[{"role": "tool", "content": "42", "tool_call_id": "lost"}])
    mute = measured.row(source, 2, item={"choices": []})
    relabel = ran(begun(builder, source, [odd, mute, *bad_rows(source, 2)]), builder)
    assert relabel.state == Relabel.State.DONE
    assert relabel.calls.filter(state=Made.DONE).count() >= 2
    said = relabel.calls.get(completion=mute).error["text"]
    assert "has no answer that could be corrected" in said


@pytest.mark.engines
def test_a_cancelled_one_keeps_its_answers_and_gives_the_rest_back(
    builder: User, source: Connection, sandbox: Sandbox
) -> None:
    relabel = begun(builder, source, bad_rows(source, 4))
    operation = setup.start(relabel, builder)
    operations.cancel(operation, builder)
    relabel.refresh_from_db()
    assert relabel.state == Relabel.State.CANCELLED
    assert Spending.objects.get().state in (Spending.State.RELEASED, Spending.State.SETTLED)
    setup.go_on(relabel, builder)
    material.drain()
    relabel.refresh_from_db()
    assert relabel.state == Relabel.State.DONE
    assert sum(asked(sandbox).values()) == 4


@pytest.mark.engines
def test_a_right_that_is_taken_away_ends_it(builder: User, source: Connection, sandbox: Sandbox) -> None:
    relabel = begun(builder, source, bad_rows(source, 2))
    setup.start(relabel, builder)
    builder.grants.all().delete()
    material.drain()
    relabel.refresh_from_db()
    assert relabel.operation is not None
    assert (relabel.state, relabel.operation.error_code) == (Relabel.State.FAILED, "forbidden")
    assert not asked(sandbox)


def test_a_connection_that_is_disconnected_meanwhile_is_asked_nothing(
    builder: User, source: Connection, sandbox: Sandbox
) -> None:
    relabel = begun(builder, source, bad_rows(source, 2))
    setup.start(relabel, builder)
    Connection.objects.update(state=Connection.State.DISCONNECTED)
    material.drain()
    relabel.refresh_from_db()
    assert relabel.operation is not None
    assert (relabel.state, relabel.operation.error_code) == (Relabel.State.FAILED, "disconnected")
    assert not asked(sandbox)


# What becomes of the answers.


@pytest.fixture
def taught(builder: User, source: Connection) -> Relabel:
    return ran(begun(builder, source, bad_rows(source, 5)), builder)


@pytest.mark.engines
def test_an_accepted_answer_is_the_correction_and_can_be_taken_back(taught: Relabel, builder: User) -> None:
    call = taught.calls.select_related("completion__body")[0]
    judging.accept(call, builder, None)
    assert corrections() == {call.completion_id: call.text}
    call.refresh_from_db()
    assert (call.verdict, call.judged_by) == ("accepted", builder)
    with pytest.raises(Refused, match="judged already"):
        judging.accept(call, builder, None)
    judging.undo(call, builder)
    call.refresh_from_db()
    assert (call.verdict, call.judged, corrections()) == ("", None, {})
    judging.dismiss(call, builder)
    call.refresh_from_db()
    assert (call.verdict, corrections()) == ("dismissed", {})


@pytest.mark.engines
def test_a_correction_that_was_made_meanwhile_is_not_overwritten_unseen(
    taught: Relabel, builder: User
) -> None:
    call = taught.calls.select_related("completion__body")[0]
    row = call.completion
    first = {"text": "I do not know.", "tool_calls": None}
    correcting.save(row, {"text": "By hand.", "tool_calls": None}, first, builder, None)
    with pytest.raises(Overtaken):
        judging.accept(call, builder, None)
    assert corrections() == {row.pk: "By hand."}
    event = correcting.holding(row)
    assert event is not None
    judging.accept(call, builder, event.pk)
    assert corrections() == {row.pk: call.text}
    judging.undo(RelabelCall.objects.select_related("completion").get(pk=call.pk), builder)
    assert corrections() == {row.pk: "By hand."}


@pytest.mark.engines
def test_all_are_accepted_at_once_but_those_that_have_a_correction_and_taken_back_at_once(
    taught: Relabel, builder: User
) -> None:
    first, second, *_ = taught.calls.select_related("completion")
    original = {"text": "I do not know.", "tool_calls": None}
    correcting.save(first.completion, {"text": "By hand.", "tool_calls": None}, original, builder, None)
    judging.dismiss(second, builder)
    operation = judging.accept_all(taught, builder)
    material.drain()
    operation.refresh_from_db()
    assert operation.state == Operation.State.DONE
    tally = bulk_review.tally_of(operation)
    assert (tally.changed, tally.refused) == (3, {judging.CORRECTED: 1})
    held = corrections()
    assert held.pop(first.completion_id) == "By hand."
    assert held == {call.completion_id: call.text for call in taught.calls.filter(verdict="accepted")}
    assert len(held) == 3
    assert judging.can_undo(operation)
    judging.accept_all(taught, builder)  # the one that has a correction is refused again
    material.drain()
    assert judging.last_accepted(taught) == operation
    judging.undo_all(operation, builder)
    material.drain()
    assert corrections() == {first.completion_id: "By hand."}
    assert not taught.calls.filter(verdict="accepted").exists()
    assert not judging.can_undo(operation)


@pytest.mark.engines
def test_accepting_many_goes_on_after_a_kill_and_says_nothing_twice(taught: Relabel, builder: User) -> None:
    judging.accept_all(taught, builder)
    crash_at("relabel.accepted")
    material.drain()
    assert taught.calls.filter(verdict="accepted").count() == 5
    assert ReviewEvent.objects.filter(kind="correction").count() == 5


def test_a_dataset_with_corrections_trains_on_the_teachers_words(builder: User, source: Connection) -> None:
    rows = bad_rows(source, 12)
    relabel = ran(begun(builder, source, rows), builder)
    judging.accept_all(relabel, builder)
    material.drain()
    version = material.built(builder, rows, Recipe(use_corrections=True))
    assert version.state == version.State.READY
    with files.open_file(version) as file:
        trained = [json.loads(line)["messages"][-1]["content"] for line in file]
    assert sorted(trained) == sorted(relabel.calls.values_list("text", flat=True))
    assert len(trained) == 12


def test_the_same_answer_is_marked_and_never_accepted(builder: User, source: Connection) -> None:
    rows = bad_rows(source, 2)
    first = ran(begun(builder, source, rows, temperature=0, seed=1), builder)
    again = measured.row(source, 0, answer=first.calls.get(completion=rows[0]).text)
    second = ran(begun(builder, source, [again], temperature=0, seed=1), builder)
    call = second.calls.get()
    assert call.answer["same"] is (call.text == first.calls.get(completion=rows[0]).text)
    assert not first.calls.filter(answer__same=True).exists()


def test_two_people_cannot_see_each_others_connections(taught: Relabel) -> None:
    other = factories.user("elsewhere", "builder", factories.connection("Elsewhere"))
    assert not Relabel.objects.readable_by(other).exists()


def test_it_stands_in_the_way_of_its_connection_and_goes_when_it_is_deleted(
    taught: Relabel, source: Connection, builder: User
) -> None:
    ids = list(taught.calls.values_list("completion", flat=True)[:2])
    (found,) = [each for each in dependents.of(ids) if each.name == "relabelling"]
    assert (found.count, found.rows, found.blocks) == (1, 2, False)
    assert any("relabelling" in sentence for sentence in deletion.obstacles(source))
    setup.delete(taught, builder)
    assert not RelabelCall.objects.exists()
    assert not any("relabelling" in sentence for sentence in deletion.obstacles(source))
