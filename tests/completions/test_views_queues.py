"""Pages of review queues: who may open which, what they say, and what nobody sees too early."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from completions import queue_making, queues
from completions.models import Label, QueueItem, QueueTask, ReviewQueue, ReviewState
from completions.selection import freeze
from portal.models import AuditEntry, User
from tests import factories

pytestmark = pytest.mark.django_db

SignIn = Callable[[User], Client]


def queue_by(boss: User, rows: int = 2, **values: Any) -> ReviewQueue:
    source = factories.connection("Support")
    for number in range(rows):
        factories.make_completion(source, prompt=f"question {number}", answer=f"answer {number}")
    frozen = freeze(boss, everything=True)
    return queue_making.make(boss, frozen, **{"name": "Tone check", "asks": ["rating"]} | values)


def address(queue: ReviewQueue, tail: str = "") -> str:
    return f"/completions/queues/{queue.pk}/{tail}"


def text_of(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return str(response.content.decode())


def begin(client: Client, queue: ReviewQueue) -> QueueTask:
    assert client.post(address(queue, "next/")).status_code == 302
    mine = QueueTask.objects.filter(reviewer=client.session["_auth_user_id"])
    found: QueueTask = mine.get(state=QueueTask.State.CLAIMED)
    return found


def answer(client: Client, queue: ReviewQueue, rating: str, note: str = "") -> QueueItem:
    task = begin(client, queue)
    sent = {"rating": rating, "note": note}
    assert client.post(address(queue, f"tasks/{task.pk}/"), sent).status_code == 302
    return task.item


# Making one.


def test_an_empty_list_says_how_to_make_one(client_of: SignIn, reader: User) -> None:
    assert "Queue for review" in text_of(client_of(reader), "/completions/queues/")


def test_the_bulk_bar_leads_to_the_form(client_of: SignIn, builder: User) -> None:
    factories.make_completion()
    client = client_of(builder)
    headers = {"HX-Request": "true", "HX-Target": "dialog"}
    sent = {"mode": "all", "q": "", "for": "queue"}
    response = client.post("/completions/select/", sent, headers=headers, follow=True)
    where = response.headers["HX-Redirect"]
    assert where.startswith("/completions/queues/new/")
    assert "1 completion of" in text_of(client, where)


def test_a_builder_makes_a_queue_of_a_sample(client_of: SignIn, builder: User, reviewer: User) -> None:
    source = factories.connection()
    tone = Label.objects.create(connection=source, name="tone", options=["formal", "casual"])
    for number in range(10):
        factories.make_completion(source, metadata={"team": "a" if number < 5 else "b"})
    frozen = freeze(builder, everything=True)
    sent = {
        "name": "Half", "guideline": "**Be fair.**", "asks": ["state"], "labels": [tone.pk], "size": "4",
        "by": "metadata.team", "seed": "3", "overlap": "1", "reviewers": [reviewer.pk],
    }  # fmt: skip
    client = client_of(builder)
    response = client.post(f"/completions/queues/new/{frozen.pk}/", sent)
    queue = ReviewQueue.objects.get()
    assert response.status_code == 302
    assert response["Location"] == address(queue)
    assert (queue.items.count(), list(queue.labels.all()), list(queue.reviewers.all())) == (
        4,
        [tone],
        [reviewer],
    )
    assert queue.sample == {"n": 4, "of": 10, "seed": 3, "by": "metadata.team"}
    text = text_of(client, address(queue))
    assert "<strong>Be fair.</strong>" in text
    assert "4 of 10, by " in text
    assert "metadata.team" in text
    assert ", seed 3" in text
    assert AuditEntry.objects.filter(verb="review_queue.created").exists()


def test_what_cannot_be_made_is_said_in_the_form(client_of: SignIn, builder: User) -> None:
    factories.make_completion()
    frozen = freeze(builder, everything=True)
    where = f"/completions/queues/new/{frozen.pk}/"
    response = client_of(builder).post(where, {"name": "Nothing asked", "overlap": "1"})
    assert response.status_code == 422
    assert "Choose at least one question" in response.content.decode()
    assert not ReviewQueue.objects.exists()


def test_what_is_selected_can_be_added_to_a_queue_that_is_there(client_of: SignIn, builder: User) -> None:
    queue, client = queue_by(builder), client_of(builder)
    source = queue.connections.get()
    for number in range(3):
        factories.make_completion(source, prompt=f"later {number}")
    frozen = freeze(builder, everything=True)
    assert "Tone check" in text_of(client, f"/completions/queues/new/{frozen.pk}/")
    response = client.post(f"/completions/queues/add/{frozen.pk}/", {"queue": queue.pk})
    assert (response.status_code, response["Location"]) == (302, address(queue))
    assert list(queue.items.order_by("position").values_list("position", flat=True)) == [0, 1, 2, 3, 4]
    assert queue.items.values("completion").distinct().count() == 5
    client.post(f"/completions/queues/add/{frozen.pk}/", {"queue": queue.pk})
    assert queue.items.count() == 5
    assert AuditEntry.objects.filter(verb="review_queue.extended").count() == 2


def test_a_queue_takes_nothing_from_other_sources_and_nothing_once_it_is_closed(
    client_of: SignIn, builder: User
) -> None:
    queue, client = queue_by(builder), client_of(builder)
    other = factories.connection("Sales")
    factories.make_completion(other)
    everything = freeze(builder, everything=True)
    where = f"/completions/queues/add/{everything.pk}/"
    assert "Tone check" not in text_of(client, f"/completions/queues/new/{everything.pk}/")
    assert "is not a queue for Sales" in client.post(where, {"queue": queue.pk}, follow=True).content.decode()
    client.post(address(queue, "close/"))
    mine = freeze(builder, everything=True, q=f"connection:{queue.connections.get().slug}")
    where = f"/completions/queues/add/{mine.pk}/"
    assert "is closed" in client.post(where, {"queue": queue.pk}, follow=True).content.decode()
    assert queue.items.count() == 2


def test_who_may_not_act_on_a_queue_adds_nothing(client_of: SignIn, builder: User, reviewer: User) -> None:
    queue = queue_by(builder)
    frozen = freeze(reviewer, everything=True)
    where = f"/completions/queues/add/{frozen.pk}/"
    assert client_of(reviewer).post(where, {"queue": queue.pk}).status_code == 403
    assert queue.items.count() == 2


def test_who_may_not_act_makes_none(client_of: SignIn, reviewer: User) -> None:
    factories.make_completion()
    frozen = freeze(reviewer, everything=True)
    client = client_of(reviewer)
    assert client.get(f"/completions/queues/new/{frozen.pk}/").status_code == 403
    assert client.post(f"/completions/queues/new/{frozen.pk}/", {"name": "x"}).status_code == 403


# Rights.


def test_rights_on_every_address(
    client_of: SignIn, builder: User, reviewer: User, reader: User, outsider: User
) -> None:
    queue = queue_by(builder)
    item = queue.items.first()
    task = queues.claim(queue, builder)
    assert item is not None
    assert task is not None
    gets = {"": 200, "work/": 403, f"items/{item.pk}/": 403}
    posts = {
        "next/": 403, "close/": 403, f"tasks/{task.pk}/": 403, f"tasks/{task.pk}/leave/": 403,
        f"items/{item.pk}/": 403, f"items/{item.pk}/send-back/": 403,
    }  # fmt: skip
    for tail, status in gets.items():
        assert client_of(reader).get(address(queue, tail)).status_code == status, tail
        assert client_of(outsider).get(address(queue, tail)).status_code == 404, tail
    for tail, status in posts.items():
        assert client_of(reader).post(address(queue, tail)).status_code == status, tail
        assert client_of(outsider).post(address(queue, tail)).status_code == 404, tail
    mine = client_of(reviewer)
    assert mine.get(address(queue, "work/")).status_code == 200
    assert mine.get(address(queue, f"items/{item.pk}/")).status_code == 403
    assert mine.post(address(queue, "close/")).status_code == 403
    for tail in (f"tasks/{task.pk}/", f"tasks/{task.pk}/leave/"):
        assert mine.post(address(queue, tail), {"rating": "good"}).status_code == 404
    assert queue.name not in text_of(client_of(outsider), "/completions/queues/")


def test_a_queue_of_two_connections_is_for_those_who_may_both(client_of: SignIn, builder: User) -> None:
    factories.make_completion(factories.connection())
    queue = queue_by(builder, name="Both")
    half = factories.user("half", "builder", queue.connections.first())
    assert client_of(half).get(address(queue)).status_code == 404
    assert "Both" not in text_of(client_of(half), "/completions/queues/")


# Working.


def test_a_reviewer_answers_one_after_the_other(client_of: SignIn, builder: User, reviewer: User) -> None:
    queue = queue_by(builder, guideline="Mind the *tone*.")
    client = client_of(reviewer)
    assert "2 completions left for you" in text_of(client, address(queue, "work/"))
    begin(client, queue)
    page = text_of(client, address(queue, "work/"))
    assert "Mind the <em>tone</em>." in page
    assert "answer 1" in page
    answer(client, queue, "good")
    assert "answer 0" in text_of(client, address(queue, "work/"))
    answer(client, queue, "bad")
    page = text_of(client, address(queue, "work/"))
    assert "Thank you, that was all" in page
    assert "You answered 2 completions" in page
    assert set(ReviewState.objects.values_list("rating", flat=True)) == {"good", "bad"}


def test_a_missing_answer_is_asked_for_and_nothing_typed_is_lost(
    client_of: SignIn, builder: User, reviewer: User
) -> None:
    queue = queue_by(builder, asks=["rating", "state"])
    client = client_of(reviewer)
    task = begin(client, queue)
    response = client.post(address(queue, f"tasks/{task.pk}/"), {"rating": "good", "note": "<b>bold</b>"})
    page = response.content.decode()
    assert response.status_code == 422
    assert "Answer “State” first." in page
    assert 'name="rating" value="good" checked' in page
    assert "&lt;b&gt;bold&lt;/b&gt;</textarea>" in page


def test_skipping_says_why_and_what_was_left_can_be_taken_up(
    client_of: SignIn, builder: User, reviewer: User
) -> None:
    queue = queue_by(builder)
    client = client_of(reviewer)
    first = begin(client, queue)
    client.post(address(queue, f"tasks/{first.pk}/leave/"), {"reason": "Not my <language>"})
    second = begin(client, queue)
    assert second.item_id != first.item_id
    client.post(address(queue, f"tasks/{second.pk}/leave/"), {"to": "pool"})
    third = begin(client, queue)
    assert third.pk == second.pk
    answer(client, queue, "good")
    page = text_of(client, address(queue, "work/"))
    assert "Not my &lt;language&gt;" in page
    assert "<language>" not in page
    client.post(address(queue, "next/"), {"item": first.item_id})
    assert queues.at_hand(queue, reviewer) == first
    client.post(address(queue, f"tasks/{first.pk}/leave/"), {"reason": "Still not"})
    assert "Still not" in text_of(client_of(builder), address(queue) + "?show=skipped")


def test_who_is_not_assigned_is_told(client_of: SignIn, builder: User, reviewer: User) -> None:
    queue = queue_by(builder, reviewers=[builder])
    client = client_of(reviewer)
    assert "Not assigned to you" in text_of(client, "/completions/queues/")
    assert "assigned to other people" in text_of(client, address(queue, "work/"))
    client.post(address(queue, "next/"))
    assert not QueueTask.objects.exists()


def test_a_closed_queue_can_be_opened_again(client_of: SignIn, builder: User, reviewer: User) -> None:
    queue = queue_by(builder)
    task = begin(client_of(reviewer), queue)
    client_of(builder).post(address(queue, "close/"), {"to": "closed"})
    refused = client_of(reviewer).post(address(queue, f"tasks/{task.pk}/"), {"rating": "good"})
    assert refused.status_code == 422
    assert "This queue is closed" in text_of(client_of(reviewer), address(queue, "work/"))
    client_of(builder).post(address(queue, "close/"), {"to": "open"})
    assert begin(client_of(reviewer), queue).item.queue_id == queue.pk


def test_the_list_takes_as_many_queries_for_many_queues_as_for_one(
    client_of: SignIn, builder: User, django_assert_num_queries: Any
) -> None:
    queue_by(builder)
    client = client_of(builder)
    client.get("/completions/queues/")
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as one:
        client.get("/completions/queues/")
    for _ in range(4):
        queue_making.make(builder, freeze(builder, everything=True), name="More", asks=["state"])
    with django_assert_num_queries(len(one)):
        client.get("/completions/queues/")


# Blindness.


UNANSWERED = ("rating:bad", "rating:*", "has:disagreement", "has:note", "reviewer:one", "note:words")


def seen_by(client: Client, queue: ReviewQueue, item: QueueItem) -> str:
    """Everything that any page tells a person about an item and its completion."""
    row = item.completion
    slug, upstream = row.connection.slug, row.upstream_id
    pages = [
        "/completions/queues/",
        *(address(queue, tail) for tail in ("", "?show=differing", "?show=skipped", "work/")),
        *(f"/completions/{slug}/{upstream}/{tail}" for tail in ("", "?tab=review", "?tab=details")),
        *(f"/completions/review/{row.pk}/{tail}" for tail in ("", "panel/", "history/")),
        "/completions/facets/",
        "/completions/",
    ]
    return "".join(text_of(client, page) for page in pages)


def test_nobody_but_who_decides_sees_answers_before_the_decision(
    client_of: SignIn, builder: User, reviewer: User, reader: User
) -> None:
    queue = queue_by(builder, rows=1, overlap=3)
    one = factories.user("one", "reviewer")
    item = answer(client_of(one), queue, "bad", "sesquipedalian words")
    task = QueueTask.objects.get(item=item, reviewer=one)
    client = client_of(reviewer)
    begin(client, queue)
    pages = seen_by(client, queue, item) + text_of(client_of(reader), address(queue))
    assert "sesquipedalian" not in pages
    assert ">one<" not in pages
    for person in (client, client_of(reader), client_of(builder)):
        for q in UNANSWERED:
            assert "question 0" not in text_of(person, f"/completions/?q={q}"), q
    assert not ReviewState.objects.exists()
    # Numbers tell nothing either: whose answer was the last would learn whether the others' are the same.
    answer(client, queue, "good")
    answer(client_of(factories.user("third", "reviewer")), queue, "good")
    assert queue.items.get().state == QueueItem.State.DISPUTED
    for tail in ("", "work/"):
        assert (
            "decided" not in text_of(client, address(queue, tail)).replace("before it is decided", "").lower()
        )
    assert 'data-label="To decide"><a' not in text_of(client, "/completions/queues/")
    assert 'data-label="To decide"><a' in text_of(client_of(builder), "/completions/queues/")
    assert client.get(address(queue, f"tasks/{task.pk}/")).status_code == 405
    assert client.post(address(queue, f"tasks/{task.pk}/"), {"rating": "good"}).status_code == 404
    seen = text_of(client_of(builder), address(queue, f"items/{item.pk}/"))
    assert "sesquipedalian" in seen
    assert ">one<" in seen


# Deciding.


def test_an_adjudicator_sees_all_and_decides(client_of: SignIn, builder: User) -> None:
    queue = queue_by(builder, overlap=2)
    people = [client_of(factories.user(name, "reviewer")) for name in ("one", "other")]
    item = answer(people[0], queue, "good", "Fine by me.")
    assert answer(people[1], queue, "bad").pk == item.pk
    for client in people:
        answer(client, queue, "good")
    boss = client_of(builder)
    page = text_of(boss, address(queue))
    assert "To be decided" in page
    assert f'href="{address(queue)}items/{item.pk}/"' in page
    assert '<a href="?show=differing&amp;about=rating#items">1</a>' in page
    assert "50 %" in page
    assert f"items/{item.pk}/" in text_of(boss, address(queue, "?show=differing&about=rating"))
    page = text_of(boss, address(queue, f"items/{item.pk}/"))
    for words in ("Good", "Bad", "Fine by me.", ">one<", ">other<"):
        assert words in page
    response = boss.post(address(queue, f"items/{item.pk}/"), {})
    assert response.status_code == 422
    response = boss.post(address(queue, f"items/{item.pk}/"), {"rating": "bad"})
    assert response["Location"] == address(queue)
    assert ReviewState.objects.get(pk=item.completion_id).rating == "bad"
    page = text_of(boss, address(queue, f"items/{item.pk}/"))
    assert "Decided" in page
    assert "data-submit" not in page


def test_a_reviewer_is_asked_to_look_again(client_of: SignIn, builder: User) -> None:
    queue = queue_by(builder, rows=1, overlap=2)
    people = [factories.user(name, "reviewer") for name in ("one", "other")]
    answer(client_of(people[0]), queue, "good")
    item = answer(client_of(people[1]), queue, "bad")
    task = QueueTask.objects.get(item=item, reviewer=people[0])
    where = address(queue, f"items/{item.pk}/send-back/")
    client_of(builder).post(where, {"task": task.pk, "reason": "Read the end."})
    begin(client_of(people[0]), queue)
    page = text_of(client_of(people[0]), address(queue, "work/"))
    assert "asks you to look again" in page
    assert "Read the end." in page
    assert 'value="good" checked' in page
    answer(client_of(people[0]), queue, "bad")
    item.refresh_from_db()
    assert item.state == QueueItem.State.DONE
