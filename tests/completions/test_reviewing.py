"""What people say about completions: events, what holds now, and the terms that filters and facets count."""

from typing import Any

import pytest
from django.db import transaction

from completions import columns, reviewing
from completions.forgetting import forget
from completions.models import Label, ReviewEvent, ReviewState, StoredCompletion
from completions.reviewing import Overtaken, Refused, Said
from portal.models import Connection, User
from tests import factories
from tests.completions.mirroring import check_whole

pytestmark = [pytest.mark.engines, pytest.mark.django_db(transaction=True)]
Kind, State, Rating = ReviewEvent.Kind, ReviewState.State, ReviewState.Rating


@pytest.fixture
def row() -> StoredCompletion:
    return factories.make_completion(factories.connection())


@pytest.fixture
def one(row: StoredCompletion) -> User:
    return factories.user("one", "reviewer", row.connection)


@pytest.fixture
def other(row: StoredCompletion) -> User:
    return factories.user("other", "reviewer", row.connection)


def label(connection: Connection, name: str = "tone", kind: str = "choice", options: Any = ()) -> Label:
    made: Label = Label.objects.create(
        connection=connection, name=name, kind=kind, options=list(options) or ["formal", "casual"]
    )
    return made


def state(row: StoredCompletion) -> ReviewState:
    found: ReviewState = ReviewState.objects.get(pk=row.pk)
    return found


def test_what_is_said_holds_until_something_else_is_said(row: StoredCompletion, one: User) -> None:
    tone = label(row.connection)
    reviewing.record(row, [Said(Kind.STATE, "approved"), Said(Kind.RATING, "good")], one)
    reviewing.record(row, [Said(Kind.LABEL, "formal", tone), Said(Kind.NOTE, " Well put. ")], one)
    reviewing.record(row, [Said(Kind.STATE, "rejected")], one)
    now = state(row)
    assert (now.state, now.rating, now.labels, now.notes) == (
        "rejected", "good", {str(tone.pk): ["formal"]}, 1,
    )  # fmt: skip
    assert now.reviewers == ["one"]
    assert not now.disputed
    events = list(ReviewEvent.objects.order_by("pk").values_list("kind", "value", "before"))
    assert events == [
        ("state", "approved", None),
        ("rating", "good", None),
        ("label", ["formal"], None),
        ("note", "Well put.", None),
        ("state", "rejected", "approved"),
    ]
    assert now.version == ReviewEvent.objects.latest("pk").pk
    check_whole(row.connection)


def test_what_holds_already_makes_no_event(row: StoredCompletion, one: User) -> None:
    reviewing.record(row, [Said(Kind.STATE, "approved")], one)
    written = reviewing.record(row, [Said(Kind.STATE, "approved"), Said(Kind.RATING)], one)
    assert (written.changed, written.same, written.events) == (0, 1, [])
    assert ReviewEvent.objects.count() == 1


def test_people_who_say_different_things_disagree_until_they_do_not(
    row: StoredCompletion, one: User, other: User
) -> None:
    reviewing.record(row, [Said(Kind.RATING, "good")], one)
    reviewing.record(row, [Said(Kind.RATING, "bad")], other)
    assert state(row).disputed
    assert state(row).reviewers == ["one", "other"]
    reviewing.record(row, [Said(Kind.RATING, "good")], other)
    assert not state(row).disputed


def test_what_is_taken_back_leaves_the_words_before_it(row: StoredCompletion, one: User, other: User) -> None:
    reviewing.record(row, [Said(Kind.RATING, "good")], one)
    reviewing.record(row, [Said(Kind.RATING, "bad")], other)
    (again,) = reviewing.record(row, [Said(Kind.RATING, "good")], other).events
    assert not state(row).disputed
    reviewing.undo(ReviewEvent.objects.get(pk=again), one)  # by somebody else than who said it
    assert state(row).disputed
    assert state(row).said == {"rating": {str(one.pk): "good", str(other.pk): "bad"}}
    reviewing.undo(ReviewEvent.objects.get(author=other, value="bad"), other)
    assert not state(row).disputed
    assert state(row).rating == "good"
    check_whole(row.connection)


def test_every_kind_can_be_taken_back(row: StoredCompletion, one: User) -> None:
    tone = label(row.connection)
    corrected = {"text": "It returns the product."}
    said = [
        Said(Kind.STATE, "approved"),
        Said(Kind.RATING, "bad"),
        Said(Kind.LABEL, ["casual"], tone),
        Said(Kind.NOTE, "Hm."),
        Said(Kind.CORRECTION, corrected),
    ]
    for pk in reversed(reviewing.record(row, said, one).events):
        reviewing.undo(ReviewEvent.objects.get(pk=pk), one)
    now = state(row)
    assert (now.state, now.rating, now.labels, now.notes, now.correction_id) == ("", "", {}, 0, None)
    assert ReviewEvent.objects.count() == 10
    check_whole(row.connection)


def test_what_was_said_since_is_not_taken_back(row: StoredCompletion, one: User, other: User) -> None:
    (first,) = reviewing.record(row, [Said(Kind.STATE, "approved")], one).events
    reviewing.record(row, [Said(Kind.STATE, "rejected")], other)
    with pytest.raises(Refused, match="changed again"):
        reviewing.undo(ReviewEvent.objects.get(pk=first), one)
    assert state(row).state == "rejected"


def test_nothing_is_taken_back_twice(row: StoredCompletion, one: User) -> None:
    (event,) = reviewing.record(row, [Said(Kind.NOTE, "Hm.")], one).events
    reviewing.undo(ReviewEvent.objects.get(pk=event), one)
    with pytest.raises(Refused):
        reviewing.undo(ReviewEvent.objects.get(pk=event), one)
    assert state(row).notes == 0


def test_who_corrects_what_has_been_corrected_meanwhile_is_told(
    row: StoredCompletion, one: User, other: User
) -> None:
    (first,) = reviewing.record(row, [Said(Kind.CORRECTION, {"text": "A"})], one, seen=None).events
    with pytest.raises(Overtaken) as overtaken:
        reviewing.record(row, [Said(Kind.CORRECTION, {"text": "B"})], other, seen=None)
    assert overtaken.value.event is not None
    assert overtaken.value.event.pk == first
    (second,) = reviewing.record(row, [Said(Kind.CORRECTION, {"text": "B"})], other, seen=first).events
    assert state(row).correction_id == second
    assert ReviewEvent.objects.get(pk=second).before == {"text": "A"}


@pytest.mark.parametrize(
    ("kind", "options", "value"),
    [
        ("choice", ["a", "b"], "c"),
        ("choice", ["a", "b"], ["a", "b"]),
        ("multiple", ["a", "b"], ["a", "x"]),
        ("score", [1, 5], "6"),
        ("score", [1, 5], "²"),
        ("score", [1, 5], "-"),
        ("text", [], "x" * 1001),
    ],
)
def test_answers_that_a_label_does_not_take_are_refused(
    row: StoredCompletion, one: User, kind: str, options: list[Any], value: Any
) -> None:
    with pytest.raises(Refused):
        reviewing.record(row, [Said(Kind.LABEL, value, label(row.connection, "x", kind, options))], one)
    assert not ReviewEvent.objects.exists()


def test_answers_of_a_label_stand_in_its_own_order(row: StoredCompletion, one: User) -> None:
    several = label(row.connection, "topics", "multiple", ["a", "b", "c"])
    reviewing.record(row, [Said(Kind.LABEL, ["c", "a", "c"], several)], one)
    assert state(row).labels == {str(several.pk): ["a", "c"]}
    score = label(row.connection, "quality", "score", [1, 5])
    reviewing.record(row, [Said(Kind.LABEL, 4, score)], one)
    assert state(row).labels[str(score.pk)] == ["4"]
    check_whole(row.connection)


def test_many_are_written_in_one_go_and_nobody_else_is_touched(one: User, row: StoredCompletion) -> None:
    rows = [row, *(factories.make_completion(row.connection) for _ in range(4))]
    reviewing.record(rows[1], [Said(Kind.STATE, "approved")], one)
    with transaction.atomic():
        said = {each.pk: [Said(Kind.STATE, "approved")] for each in rows[:4]}
        written = reviewing.write(row.connection_id, said, one)
    assert (written.changed, written.same) == (3, 1)
    assert set(ReviewState.objects.values_list("pk", flat=True)) == {each.pk for each in rows[:4]}
    check_whole(row.connection)


def test_columns_know_what_is_said_also_after_packing(one: User, row: StoredCompletion) -> None:
    store = columns.Store()
    store.current([row.connection_id])
    said = [Said(Kind.NOTE, "Hm."), Said(Kind.CORRECTION, {"text": "B"}), Said(Kind.STATE, "approved")]
    reviewing.record(row, said, one)
    for each in (store, columns.Store()):
        held = each.current([row.connection_id])[row.connection_id]
        assert held.marked("note") == held.marked("correction") == 1
    columns.pack(row.connection_id)
    held = columns.Store().current([row.connection_id])[row.connection_id]
    assert held.marked("note") == 1
    assert int(held.parts[0].segment.numbers["reviewed"][0]) == state(row).reviewed


def test_what_is_forgotten_takes_what_was_said_with_it(one: User, row: StoredCompletion) -> None:
    kept = factories.make_completion(row.connection)
    for each in (row, kept):
        reviewing.record(each, [Said(Kind.STATE, "approved")], one)
    with transaction.atomic():
        assert forget(row.connection_id, [row.pk]) == 1
    assert list(ReviewState.objects.values_list("pk", flat=True)) == [kept.pk]
    check_whole(row.connection)
