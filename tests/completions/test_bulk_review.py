"""Saying the same of many: every row once, what cannot be is counted with its reason, all of it goes back."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from completions import bulk_review, reviewing
from completions.bulk_review import GONE, KIND, TAKEN_BACK, UNDO, Tally
from completions.bulk_saying import Saying, in_words, questions
from completions.columns import packing
from completions.forgetting import forget
from completions.models import FrozenSelection, Label, Mirror, ReviewEvent, ReviewState, StoredCompletion
from completions.reviewing import Refused, Said
from completions.selection import freeze
from portal import operations, steps
from portal.models import AuditEntry, Connection, Grant, Operation, User
from tests import factories
from tests.completions.mirroring import check_whole
from tests.workers import Worker

pytestmark = [pytest.mark.engines, pytest.mark.django_db(transaction=True)]
Kind = ReviewEvent.Kind
APPROVE = Saying("state", "approved")


@pytest.fixture
def source() -> Connection:
    return factories.connection("North")


@pytest.fixture
def builder(source: Connection) -> User:
    return factories.user("builder", "builder", source)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_review, "AT_ONCE", 3)


def rows_of(connection: Connection, count: int) -> list[StoredCompletion]:
    return [factories.make_completion(connection) for _ in range(count)]


def frozen_by(user: User, rows: Sequence[StoredCompletion]) -> FrozenSelection:
    return freeze(user, ids=[row.pk for row in rows])


def work_off(operation: Operation) -> Tally:
    """Let it run to its end here."""
    while Operation.objects.live().filter(pk=operation.pk).exists():
        assert steps.work_on(operation.pk)
    operation.refresh_from_db()
    return bulk_review.tally_of(operation)


def states() -> dict[int, str]:
    return {pk: state for pk, state in ReviewState.objects.values_list("pk", "state") if state}


def tone(connection: Connection, **fields: Any) -> Label:
    given = {"name": "tone", "kind": "choice", "options": ["formal", "casual"], **fields}
    made: Label = Label.objects.create(connection=connection, **given)
    return made


def test_every_row_is_said_it_of_once_and_what_held_already_is_left(
    source: Connection, builder: User, small_batches: None
) -> None:
    rows = rows_of(source, 10)
    reviewing.record(rows[4], [Said(Kind.STATE, "approved")], builder)
    operation = bulk_review.say(frozen_by(builder, rows), [APPROVE], builder)
    assert work_off(operation) == Tally(changed=9, same=1)
    assert states() == dict.fromkeys((row.pk for row in rows), "approved")
    assert ReviewEvent.objects.filter(operation=operation).count() == 9
    assert set(ReviewEvent.objects.values_list("author", flat=True)) == {builder.pk}
    assert (operation.state, operation.done, operation.total) == ("done", 10, 10)
    check_whole(source)


def test_several_things_are_said_together(source: Connection, builder: User, small_batches: None) -> None:
    rows = rows_of(source, 7)
    made = tone(source)
    sayings = [APPROVE, Saying("rating", "good"), Saying("label", ["formal"], "tone")]
    operation = bulk_review.say(frozen_by(builder, rows), sayings, builder)
    assert operation.title == "Approve, rate good and label tone: formal on 7 completions"
    assert work_off(operation) == Tally(changed=7)
    for state in ReviewState.objects.all():
        assert (state.state, state.rating, state.labels) == ("approved", "good", {str(made.pk): ["formal"]})
    back = bulk_review.undo(operation, builder)
    assert work_off(back) == Tally(changed=7)
    for state in ReviewState.objects.all():
        assert (state.state, state.rating, state.labels) == ("", "", {})
    check_whole(source)


def test_each_thing_can_be_taken_away_again(source: Connection, builder: User) -> None:
    rows = rows_of(source, 3)
    tone(source)
    said = [APPROVE, Saying("rating", "bad"), Saying("label", ["casual"], "tone")]
    work_off(bulk_review.say(frozen_by(builder, rows), said, builder))
    for clear in (Saying("state"), Saying("rating"), Saying("label", None, "tone")):
        assert work_off(bulk_review.say(frozen_by(builder, rows), [clear], builder)) == Tally(changed=3)
    for state in ReviewState.objects.all():
        assert (state.state, state.rating, state.labels) == ("", "", {})


def test_an_undo_takes_back_exactly_what_still_holds(
    source: Connection, builder: User, small_batches: None
) -> None:
    rows = rows_of(source, 10)
    other = factories.user("other", "reviewer", source)
    reviewing.record(rows[0], [Said(Kind.STATE, "rejected")], other)
    operation = bulk_review.say(frozen_by(builder, rows), [APPROVE], builder)
    work_off(operation)
    for row in rows[3:5]:
        reviewing.record(row, [Said(Kind.STATE, "needs_review")], other)
    reviewing.record(rows[6], [Said(Kind.RATING, "good")], other)  # about something else
    back = bulk_review.undo(operation, builder)
    assert work_off(back) == Tally(changed=8, stay=2)
    assert states() == {
        rows[0].pk: "rejected", rows[3].pk: "needs_review", rows[4].pk: "needs_review",
    }  # fmt: skip
    check_whole(source)


def test_nothing_is_undone_twice_nor_while_it_runs(source: Connection, builder: User) -> None:
    operation = bulk_review.say(frozen_by(builder, rows_of(source, 3)), [APPROVE], builder)
    with pytest.raises(Refused, match="not ended"):
        bulk_review.undo(operation, builder)
    work_off(operation)
    work_off(bulk_review.undo(operation, builder))
    with pytest.raises(Refused, match=TAKEN_BACK):
        bulk_review.undo(operation, builder)


def test_who_cancels_keeps_what_is_done_and_may_take_it_back(
    source: Connection, builder: User, small_batches: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(source, 10)
    operation = bulk_review.say(frozen_by(builder, rows), [APPROVE], builder)
    write = reviewing.write

    def cancelled_meanwhile(*given: Any, **more: Any) -> Any:
        operations.cancel(operation, builder)
        return write(*given, **more)

    monkeypatch.setattr(reviewing, "write", cancelled_meanwhile)
    assert work_off(operation) == Tally(changed=3)
    monkeypatch.setattr(reviewing, "write", write)
    assert operation.state == "cancelled"
    assert len(states()) == 3
    work_off(bulk_review.undo(operation, builder))
    assert states() == {}


def test_what_was_cancelled_goes_on_where_it_stopped(
    source: Connection, builder: User, small_batches: None, settings: Any
) -> None:
    rows = rows_of(source, 8)
    operation = bulk_review.say(frozen_by(builder, rows), [APPROVE], builder)
    settings.OPERATION_STEP_SECONDS = 0.001  # one batch at most
    while not Operation.objects.get(pk=operation.pk).done:
        settings.OPERATION_STEP_SECONDS *= 2
        steps.work_on(operation.pk)
    settings.OPERATION_STEP_SECONDS = 45
    operations.cancel(operation, builder)
    operation.refresh_from_db()
    first = bulk_review.tally_of(operation)
    again = operations.retry(operation, builder)
    second = work_off(again)
    assert first.changed + second.changed == 8
    assert len(states()) == 8
    assert ReviewEvent.objects.count() == 8


def test_rows_that_went_and_connections_that_may_not_be_changed_any_more_are_refused_with_the_reason(
    source: Connection, builder: User, small_batches: None
) -> None:
    south = factories.connection("South")
    factories.grant(builder, "builder", south)
    here, there = rows_of(source, 5), rows_of(south, 4)
    operation = bulk_review.say(frozen_by(builder, here + there), [APPROVE], builder)
    with transaction.atomic():
        forget(source.pk, [here[0].pk, here[1].pk])
    Grant.objects.filter(user=builder, connection=south).update(role="reviewer")
    assert work_off(operation) == Tally(
        changed=3, refused={GONE: 2, "you may no longer change reviews on South": 4}
    )
    assert set(states()) == {row.pk for row in here[2:]}
    check_whole(source)
    check_whole(south)


def test_a_label_counts_only_where_it_is_asked_for(source: Connection, builder: User) -> None:
    south = factories.connection("South")
    factories.grant(builder, "builder", south)
    tone(source)
    frozen = frozen_by(builder, rows_of(source, 2) + rows_of(south, 3))
    operation = bulk_review.say(frozen, [Saying("label", "formal", "tone")], builder)
    assert work_off(operation) == Tally(changed=2, refused={"South does not ask for the label “tone”.": 3})


@pytest.mark.parametrize(
    ("saying", "why"),
    [
        (Saying("label", ["warm"], "tone"), "is no answer"),
        (Saying("label", ["formal"], "gone"), "does not ask"),
        (Saying("state", "perfect"), "It can be"),
        (Saying("note", "Hm."), "cannot be said"),
    ],
)
def test_what_no_connection_takes_is_refused_before_anything_begins(
    source: Connection, builder: User, saying: Saying, why: str
) -> None:
    tone(source)
    with pytest.raises(Refused, match=why):
        bulk_review.say(frozen_by(builder, rows_of(source, 1)), [saying], builder)
    assert not Operation.objects.exists()


def test_a_reviewer_says_nothing_of_many(source: Connection) -> None:
    reviewer = factories.user("reviewer", "reviewer", source)
    with pytest.raises(Refused, match="role builder"):
        bulk_review.say(frozen_by(reviewer, rows_of(source, 2)), [APPROVE], reviewer)


def test_a_form_sent_twice_is_one_operation(source: Connection, builder: User) -> None:
    frozen = frozen_by(builder, rows_of(source, 2))
    first = bulk_review.say(frozen, [APPROVE], builder)
    assert bulk_review.say(frozen, [APPROVE], builder) == first
    work_off(first)
    assert bulk_review.say(frozen, [APPROVE], builder) == first
    assert bulk_review.say(frozen, [Saying("state", "rejected")], builder) != first


def test_what_was_done_stands_in_the_audit_trail(source: Connection, builder: User) -> None:
    operation = bulk_review.say(frozen_by(builder, rows_of(source, 2)), [APPROVE], builder)
    work_off(operation)
    back = bulk_review.undo(operation, builder)
    work_off(back)
    written = AuditEntry.objects.filter(verb__startswith="review.bulk").order_by("pk")
    assert [(entry.verb, entry.target_id) for entry in written] == [
        ("review.bulk_begun", str(operation.pk)),
        ("review.bulk_ended", str(operation.pk)),
        ("review.bulk_undone", str(back.pk)),
        ("review.bulk_ended", str(back.pk)),
    ]
    assert written[1].details == {"changed": 2, "same": 0, "stay": 0, "refused": 0}
    assert set(Operation.objects.values_list("kind", flat=True)) == {KIND, UNDO}


def test_labels_of_one_name_are_asked_for_once(source: Connection) -> None:
    south = factories.connection("South")
    tone(source)
    tone(south, options=["formal", "warm"])
    tone(south, name="score", kind="score", options=[1, 5])
    tone(source, name="score", kind="score", options=[0, 3])
    asked = {each.name: each.options for each in questions([source.pk, south.pk])}
    assert asked == {"tone": ("formal", "casual", "warm"), "score": (0, 5)}


def test_titles_read_like_a_sentence() -> None:
    assert in_words([APPROVE], 48_213) == "Approve 48,213 completions"
    assert in_words([Saying("label", None, "tone")], 1) == "Take the answers to tone from 1 completion"


@pytest.fixture
def workers(transactional_db: None, broker: str) -> Iterator[Worker]:
    """A real worker and a beat, ended when the test is over."""
    worker = Worker()
    yield worker
    worker.destroy()


@pytest.mark.slow
@pytest.mark.parametrize(
    "point", ["bulk_review.before_commit:2", "bulk_review.committed:2", "pack.before_commit:1"]
)
def test_a_worker_that_dies_in_the_middle_is_made_up_for_and_nothing_is_said_twice(
    source: Connection,
    builder: User,
    workers: Worker,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    point: str,
) -> None:
    rows = rows_of(source, 1_200)  # three batches
    if point.startswith("pack"):
        Mirror.objects.filter(pk=source.pk).update(unpacked=packing.PACK_AT)
    flag = tmp_path / "crashed"
    monkeypatch.setenv("PORTAL_CRASH", point)
    monkeypatch.setenv("PORTAL_CRASH_FLAG", str(flag))
    operation = bulk_review.say(frozen_by(builder, rows), [APPROVE], builder)
    workers.start()
    workers.wait_for(lambda: flag.exists() and not Operation.objects.live().exists(), 180)
    operation.refresh_from_db()
    assert (operation.state, bulk_review.tally_of(operation)) == ("done", Tally(changed=1_200))
    assert states() == dict.fromkeys((row.pk for row in rows), "approved")
    assert ReviewEvent.objects.filter(operation=operation).count() == 1_200
    assert ReviewEvent.objects.values("completion").distinct().count() == 1_200
    assert AuditEntry.objects.filter(verb="review.bulk_ended").count() == 1
    check_whole(source)
