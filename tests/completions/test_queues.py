"""Review queues: frozen membership, claims that nobody else gets, blind answers, and what is decided."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from completions import queue_making, queues, sampling
from completions.forgetting import forget
from completions.models import Label, QueueItem, QueueTask, ReviewEvent, ReviewQueue, ReviewState
from completions.queue_making import Sample
from completions.reviewing import Refused
from completions.selection import freeze
from portal.models import Connection, User
from tests import factories
from tests.completions.mirroring import check_whole

pytestmark = [pytest.mark.engines, pytest.mark.django_db(transaction=True)]
Item, Task = QueueItem.State, QueueTask.State


@pytest.fixture
def source(db: None) -> Connection:
    return factories.connection()


@pytest.fixture
def boss(source: Connection) -> User:
    return factories.user("boss", "builder")


@pytest.fixture
def one(source: Connection) -> User:
    return factories.user("one", "reviewer", source)


@pytest.fixture
def other(source: Connection) -> User:
    return factories.user("other", "reviewer", source)


def make(boss: User, source: Connection, rows: int = 3, **values: Any) -> ReviewQueue:
    for number in range(rows):
        factories.make_completion(source, prompt=f"question {number}")
    frozen = freeze(boss, everything=True)
    return queue_making.make(boss, frozen, **{"name": "First look", "asks": ["rating"]} | values)


def tone(source: Connection, **values: Any) -> Label:
    made: Label = Label.objects.create(
        connection=source, **{"name": "tone", "kind": "choice", "options": ["formal", "casual"]} | values
    )
    return made


def claimed(queue: ReviewQueue, person: User, item: int | None = None) -> QueueTask:
    task = queues.claim(queue, person, item)
    assert task is not None
    return task


def answer(queue: ReviewQueue, person: User, rating: str, note: str = "") -> QueueItem:
    return queues.submit(claimed(queue, person), person, {"rating": [rating]}, note)


# Membership.


def test_a_queue_keeps_what_was_selected_when_it_was_made(boss: User, source: Connection) -> None:
    queue = make(boss, source)
    factories.make_completion(source)
    assert list(queue.items.order_by("position").values_list("position", flat=True)) == [0, 1, 2]
    assert queue.selection is not None
    assert queue.selection.confirmed_at is not None
    assert list(queue.connections.all()) == [source]


def test_a_queue_without_a_question_is_refused(boss: User, source: Connection) -> None:
    with pytest.raises(Refused, match="question"):
        make(boss, source, asks=[])
    assert not ReviewQueue.objects.exists()


def test_more_answers_than_assigned_people_are_refused(boss: User, one: User, source: Connection) -> None:
    with pytest.raises(Refused, match="only 1"):
        make(boss, source, overlap=2, reviewers=[one])


def test_a_sample_has_each_model_in_proportion_and_is_the_same_for_the_same_seed(
    boss: User, source: Connection
) -> None:
    for model, rows in (("a", 60), ("b", 30), ("c", 10)):
        for _ in range(rows):
            factories.make_completion(source, model=model)

    def drawn(seed: int) -> list[int]:
        queue = make(boss, source, rows=0, sample=Sample(20, seed, "model"))
        models = queue.items.values_list("completion__model", flat=True)
        assert Counter(models) == {"a": 12, "b": 6, "c": 2}
        return list(queue.items.order_by("position").values_list("completion", flat=True))

    assert drawn(7) == drawn(7) != drawn(8)


def test_a_sample_can_be_drawn_by_a_metadata_key_of_any_name(boss: User, source: Connection) -> None:
    for team in ("x", "x", "x", "y"):
        factories.make_completion(source, metadata={"0": team})
    queue = make(boss, source, rows=4, sample=Sample(4, 1, "metadata.0"))
    found = Counter(item.completion.metadata.get("0", "") for item in queue.items.all())
    assert found == {"": 2, "x": 2} or found == {"": 2, "x": 1, "y": 1}
    assert sum(found.values()) == 4
    assert queue.sample == {"n": 4, "of": 8, "seed": 1, "by": "metadata.0"}


def test_remainders_are_given_to_the_largest() -> None:
    assert sampling.shares({"a": 5, "b": 3, "c": 2}, 3) == {"a": 1, "b": 1, "c": 1}
    assert sampling.shares({"a": 7, "b": 3}, 5) == {"a": 4, "b": 1}
    assert sampling.shares({"a": 1, "b": 1}, 1) == {"a": 1, "b": 0}
    assert sampling.shares({"a": 2}, 9) == {"a": 2}
    assert sampling.shares({}, 9) == {}


# Claims.


@pytest.mark.parametrize("overlap", [1, 2])
def test_many_at_once_never_get_more_places_than_there_are(
    boss: User, source: Connection, overlap: int
) -> None:
    queue = make(boss, source, rows=4, overlap=overlap)
    crowd = [factories.user(f"person {number}", "reviewer", source) for number in range(5)]
    start = Barrier(len(crowd))

    def work(person: User) -> list[int]:
        got = []
        try:
            start.wait(timeout=30)
            for _ in range(2):
                task = queues.claim(queue, person)
                if task is None:
                    break
                got.append(task.item_id)
                if len(got) == 1:
                    queues.submit(task, person, {"rating": ["good"]})
        finally:
            database.close()
        return got

    with ThreadPoolExecutor(len(crowd)) as pool:
        given = list(pool.map(work, crowd))
    places = Counter(item for items in given for item in items)
    assert max(places.values()) <= overlap
    assert set(places) == set(queue.items.values_list("pk", flat=True))
    assert QueueTask.objects.count() == places.total()
    answered = QueueTask.objects.filter(state=Task.SUBMITTED).count()
    assert answered == sum(bool(items) for items in given)
    check_whole(source)


def test_what_somebody_has_at_hand_is_not_given_to_others_until_the_claim_ends(
    boss: User, one: User, other: User, source: Connection
) -> None:
    queue = make(boss, source, rows=1)
    task = claimed(queue, one)
    assert claimed(queue, one).pk == task.pk
    assert queues.claim(queue, other) is None
    QueueTask.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    assert claimed(queue, other).item_id == task.item_id
    with pytest.raises(Refused, match="half hour"):
        queues.submit(task, one, {"rating": ["good"]})
    assert not ReviewEvent.objects.exists()


def test_who_is_late_may_still_answer_if_nobody_else_took_it(
    boss: User, one: User, source: Connection
) -> None:
    queue = make(boss, source, rows=1)
    task = claimed(queue, one)
    QueueTask.objects.update(claimed_until=timezone.now() - timedelta(hours=5))
    assert queues.submit(task, one, {"rating": ["good"]}).state == Item.DONE


def test_an_assigned_queue_is_for_those_who_are_assigned(
    boss: User, one: User, other: User, source: Connection
) -> None:
    queue = make(boss, source, reviewers=[one])
    claimed(queue, one)
    with pytest.raises(Refused, match="assigned"):
        queues.claim(queue, other)
    assert queues.left_for(one, [queue]) == {queue.pk: 3}


def test_people_who_may_review_every_source_can_be_assigned(
    boss: User, one: User, source: Connection
) -> None:
    factories.user("reader", "reader", source)
    elsewhere = factories.connection()
    assert list(queue_making.people([source.pk])) == [boss, one]
    assert list(queue_making.people([source.pk, elsewhere.pk])) == [boss]


# Answers.


def test_with_one_reviewer_each_the_answer_holds_at_once(boss: User, one: User, source: Connection) -> None:
    label = tone(source)
    queue = make(boss, source, labels=[label])
    task = claimed(queue, one)
    sent = {"rating": ["good"], f"label:{label.pk}": ["casual"]}
    item = queues.submit(task, one, sent, "Well put.")
    now = ReviewState.objects.get(pk=item.completion_id)
    assert (item.state, now.rating, now.labels, now.notes) == (
        Item.DONE,
        "good",
        {str(label.pk): ["casual"]},
        1,
    )
    assert set(ReviewEvent.objects.values_list("author", flat=True)) == {one.pk}
    queues.submit(task, one, sent)
    assert ReviewEvent.objects.count() == 3
    check_whole(source)


def test_every_question_wants_an_answer_that_there_is(boss: User, one: User, source: Connection) -> None:
    queue = make(boss, source)
    task = claimed(queue, one)
    for sent in ({}, {"rating": [" "]}, {"rating": ["best"]}):
        with pytest.raises(Refused):
            queues.submit(task, one, sent)
    assert queues.at_hand(queue, one) == task


def test_answers_are_nowhere_until_all_are_in_and_agree(
    boss: User, one: User, other: User, source: Connection
) -> None:
    queue = make(boss, source, overlap=2)
    first = answer(queue, one, "good", "I think so.")
    assert first.state == Item.OPEN
    assert not ReviewEvent.objects.exists()
    assert not ReviewState.objects.exists()
    second = answer(queue, other, "good")
    assert (second.pk, second.state) == (first.pk, Item.DONE)
    assert set(ReviewEvent.objects.values_list("kind", "author")) == {("rating", other.pk), ("note", one.pk)}
    check_whole(source)


def test_who_disagrees_waits_for_somebody_to_decide(
    boss: User, one: User, other: User, source: Connection
) -> None:
    queue = make(boss, source, overlap=2)
    answer(queue, one, "good")
    item = answer(queue, other, "bad")
    assert item.state == Item.DISPUTED
    assert not ReviewEvent.objects.exists()
    assert claimed(queue, one).item_id != item.pk
    queues.adjudicate(item, boss, {"rating": ["bad"]}, "It is wrong.")
    item.refresh_from_db()
    assert (item.state, item.decision, item.decided_by) == (Item.DONE, {"rating": "bad"}, boss)
    assert ReviewState.objects.get(pk=item.completion_id).rating == "bad"
    assert not ReviewState.objects.get(pk=item.completion_id).disputed
    assert set(ReviewEvent.objects.values_list("author", flat=True)) == {boss.pk}
    with pytest.raises(Refused, match="already"):
        queues.adjudicate(item, boss, {"rating": ["good"]})
    check_whole(source)


def test_free_texts_may_differ(boss: User, one: User, other: User, source: Connection) -> None:
    label = tone(source, name="why", kind="text", options=[])
    queue = make(boss, source, overlap=2, labels=[label], rows=1)
    for person, text in ((one, "short"), (other, "long")):
        task = claimed(queue, person)
        item = queues.submit(task, person, {"rating": ["good"], f"label:{label.pk}": [text]})
    assert item.state == Item.DONE
    assert ReviewState.objects.get().labels == {str(label.pk): ["long"]}


# Leaving and coming back.


def test_what_one_skips_is_others_and_comes_back_only_when_asked_for(
    boss: User, one: User, other: User, source: Connection
) -> None:
    queue = make(boss, source, rows=1)
    task = claimed(queue, one)
    with pytest.raises(Refused, match="why"):
        queues.skip(task, one, "  ")
    queues.skip(task, one, "Not my language.")
    assert queues.claim(queue, one) is None
    assert queues.left_for(one, [queue]) == {}
    assert queues.left_for(other, [queue]) == {queue.pk: 1}
    assert claimed(queue, one, task.item_id).pk == task.pk


def test_what_one_puts_back_comes_last(boss: User, one: User, source: Connection) -> None:
    queue = make(boss, source, rows=2)
    first = claimed(queue, one)
    queues.put_back(first, one)
    second = claimed(queue, one)
    assert second.item_id != first.item_id
    queues.submit(second, one, {"rating": ["good"]})
    assert claimed(queue, one).pk == first.pk


def test_who_is_asked_to_look_again_gets_it_first_and_nobody_else_does(
    boss: User, one: User, other: User, source: Connection
) -> None:
    queue = make(boss, source, rows=2, overlap=2)
    answer(queue, one, "good")
    item = answer(queue, other, "bad")
    task = QueueTask.objects.get(item=item, reviewer=one)
    third = factories.user("third", "reviewer", source)
    queues.send_back(task, boss, "Read the last line.")
    assert claimed(queue, third).item_id != item.pk
    again = claimed(queue, one)
    assert (again.item_id, again.reason) == (item.pk, "Read the last line.")
    assert queues.submit(again, one, {"rating": ["bad"]}).state == Item.DONE


def test_a_closed_queue_takes_no_answer_until_it_is_opened_again(
    boss: User, one: User, source: Connection
) -> None:
    queue = make(boss, source)
    task = claimed(queue, one)
    queues.close(queue, boss, closed=True)
    queue.refresh_from_db()
    with pytest.raises(Refused, match="closed"):
        queues.submit(task, one, {"rating": ["good"]})
    with pytest.raises(Refused, match="closed"):
        queues.claim(queue, one)
    assert queues.left_for(one, [queue]) == {}
    queues.close(queue, boss, closed=False)
    assert queues.submit(task, one, {"rating": ["good"]}).state == Item.DONE


def test_what_is_decided_meanwhile_is_not_answered_any_more(
    boss: User, one: User, source: Connection
) -> None:
    queue = make(boss, source)
    task = claimed(queue, one)
    queues.adjudicate(task.item, boss, {"rating": ["bad"]})
    with pytest.raises(Refused, match="decided meanwhile"):
        queues.submit(task, one, {"rating": ["good"]})
    assert ReviewState.objects.get().rating == "bad"


def test_a_forgotten_completion_leaves_the_queue_in_order(boss: User, one: User, source: Connection) -> None:
    queue = make(boss, source)
    task = claimed(queue, one)
    with transaction.atomic():
        forget(source.pk, [task.item.completion_id])
    assert queue.items.count() == 2
    with pytest.raises(Refused, match="deleted"):
        queues.submit(task, one, {"rating": ["good"]})
    assert {answer(queue, one, "good").state for _ in range(2)} == {Item.DONE}
    assert queues.claim(queue, one) is None
    check_whole(source)


def test_rows_are_forgotten_while_people_work_and_nobody_is_in_the_way(
    boss: User, source: Connection
) -> None:
    queue = make(boss, source, rows=16)
    crowd = [factories.user(f"person {number}", "reviewer", source) for number in range(3)]
    rows = list(queue.items.order_by("position").values_list("completion", flat=True))
    start = Barrier(len(crowd) + 1)
    refusals: list[str] = []

    def work(person: User) -> int:
        done = 0
        try:
            start.wait(timeout=30)
            while (task := queues.claim(queue, person)) is not None:
                try:
                    queues.submit(task, person, {"rating": ["good"]}, "Seen.")
                    done += 1
                except Refused as refused:
                    refusals.append(str(refused))
        finally:
            database.close()
        return done

    def clear() -> None:
        try:
            start.wait(timeout=30)
            for pk in rows[::2]:
                with transaction.atomic():
                    forget(source.pk, [pk])
        finally:
            database.close()

    with ThreadPoolExecutor(len(crowd) + 1) as pool:
        clearing = pool.submit(clear)
        done = sum(pool.map(work, crowd))
        clearing.result()
    assert len(rows[1::2]) <= done <= len(rows)
    assert set(refusals) <= {"This completion has been deleted. Take the next."}
    assert set(queue.items.values_list("completion", "state")) == {(pk, Item.DONE) for pk in rows[1::2]}
    assert ReviewState.objects.count() == len(rows[1::2])
    check_whole(source)
