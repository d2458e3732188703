"""Reviewing one completion over the web: what is said, who may say it, and what is shown to whom."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from completions import reviewing
from completions.models import Label, ReviewEvent, ReviewState, StoredCompletion
from completions.reviewing import Said
from portal.models import User
from tests import factories
from tests.portal.test_rendering import PAYLOADS

pytestmark = pytest.mark.django_db

SignIn = Callable[[User], Client]
HTMX = {"HX-Request": "true", "HX-Target": "review"}


@pytest.fixture
def row() -> StoredCompletion:
    return factories.make_completion(factories.connection(), prompt="How are you?", answer="Fine.")


def label(row: StoredCompletion, name: str = "tone", kind: str = "choice", options: Any = ()) -> Label:
    chosen = list(options) or ([] if kind == "text" else ["formal", "casual"])
    made: Label = Label.objects.create(connection=row.connection, name=name, kind=kind, options=chosen)
    return made


def say(client: Client, row: StoredCompletion, about: str, value: str, way: str = "value") -> Any:
    return client.post(f"/completions/review/{row.pk}/", {"about": about, way: value}, headers=HTMX)


def undo(client: Client, row: StoredCompletion, event: Any) -> Any:
    return client.post(f"/completions/review/{row.pk}/undo/", {"event": event}, headers=HTMX)


def now(row: StoredCompletion) -> ReviewState:
    found: ReviewState = ReviewState.objects.get(pk=row.pk)
    return found


def drawer(client: Client, row: StoredCompletion, query: str = "") -> str:
    url = f"/completions/{row.connection.slug}/{row.upstream_id}/{query}"
    return client.get(url, headers={"HX-Request": "true", "HX-Target": "drawer"}).content.decode()


def test_what_is_said_holds_and_is_shown(client_of: SignIn, reviewer: User, row: StoredCompletion) -> None:
    client, tone = client_of(reviewer), label(row)
    for about, value in (("state", "approved"), ("rating", "good"), ("note", "Well put.")):
        assert say(client, row, about, value).status_code == 200
    answer = say(client, row, f"label:{tone.pk}", "formal")
    assert answer.headers["HX-Trigger"] == f'{{"reviewed": {{"id": {row.pk}}}}}'
    held = now(row)
    assert (held.state, held.rating, held.labels, held.notes) == (
        "approved", "good", {str(tone.pk): ["formal"]}, 1,
    )  # fmt: skip
    text = answer.content.decode()
    assert text.count('aria-pressed="true"') == 3
    assert "1 note" in text


def test_a_button_that_holds_takes_it_away(client_of: SignIn, reviewer: User, row: StoredCompletion) -> None:
    client = client_of(reviewer)
    say(client, row, "state", "approved")
    assert 'id="review-approved" name="value" value=""' in drawer(client, row)
    say(client, row, "state", "")
    assert now(row).state == ""


@pytest.mark.engines
def test_several_answers_are_given_and_taken_one_by_one(
    client_of: SignIn, reviewer: User, row: StoredCompletion
) -> None:
    client, faults = client_of(reviewer), label(row, "faults", "multiple", ["slow", "wrong", "rude"])
    about = f"label:{faults.pk}"
    say(client, row, about, "rude", "add")
    say(client, row, about, "slow", "add")
    assert now(row).labels == {str(faults.pk): ["slow", "rude"]}
    say(client, row, about, "rude", "remove")
    say(client, row, about, "slow", "remove")
    assert now(row).labels == {}


def test_an_answer_that_is_offered_no_more_stays_beside_new_ones(
    client_of: SignIn, reviewer: User, row: StoredCompletion
) -> None:
    client, faults = client_of(reviewer), label(row, "faults", "multiple", ["slow", "wrong"])
    about = f"label:{faults.pk}"
    say(client, row, about, "slow", "add")
    faults.options = ["wrong"]
    faults.save()
    assert "Not offered any more" in drawer(client, row)
    say(client, row, about, "wrong", "add")
    assert now(row).labels == {str(faults.pk): ["wrong", "slow"]}
    assert say(client, row, about, "slow", "remove").status_code == 200
    assert say(client, row, about, "slow", "add").status_code == 422
    assert now(row).labels == {str(faults.pk): ["wrong"]}


@pytest.mark.parametrize(
    ("about", "value", "told"),
    [
        ("state", "perfect", "It can be needs_review, approved, rejected."),
        ("rating", "great", "It can be good, bad."),
        ("note", "   ", "Write a note first."),
        ("note", "x" * 20_001, "A note may have 20,000 characters."),
        ("correction", "x", "This cannot be said about a completion."),
        ("label:0", "formal", "This label is not asked any more."),
        ("label:x", "formal", "This cannot be said about a completion."),
        ("", "", "This cannot be said about a completion."),
    ],
)
def test_what_cannot_be_said_is_refused_in_words(
    client_of: SignIn, reviewer: User, row: StoredCompletion, about: str, value: str, told: str
) -> None:
    answer = say(client_of(reviewer), row, about, value)
    assert answer.status_code == 422
    assert told in answer.content.decode()
    assert not ReviewEvent.objects.exists()


def test_labels_refuse_what_they_do_not_offer(
    client_of: SignIn, reviewer: User, row: StoredCompletion
) -> None:
    client = client_of(reviewer)
    tone, score = label(row), label(row, "quality", "score", [1, 5])
    foreign = label(factories.make_completion(factories.connection()))
    for about, value in ((tone, "rude"), (score, "6"), (score, "good"), (foreign, "formal")):
        assert say(client, row, f"label:{about.pk}", value).status_code == 422
    assert not ReviewEvent.objects.exists()


def test_a_note_that_is_refused_is_still_in_its_field(
    client_of: SignIn, reviewer: User, row: StoredCompletion
) -> None:
    score = label(row, "quality", "score", [0, 100])
    answer = say(client_of(reviewer), row, f"label:{score.pk}", "101").content.decode()
    assert 'value="101"' in answer
    assert "goes from 0 to 100" in answer


def test_readers_see_what_was_said_and_no_controls(
    client_of: SignIn, reader: User, reviewer: User, row: StoredCompletion
) -> None:
    tone = label(row)
    said = [Said("state", "rejected"), Said("rating", "bad"), Said("label", "casual", tone)]
    reviewing.record(row, [*said, Said("note", "Too short.")], reviewer)
    client = client_of(reader)
    text = drawer(client, row, "?tab=review")
    assert all(word in text for word in ("Rejected", "Bad", "casual", "Too short.", "set the state to"))
    assert "data-say" not in text
    assert "Set up labels" not in text
    for address in ("", "undo/"):
        assert client.post(f"/completions/review/{row.pk}/{address}").status_code == 403
    assert client.get(f"/completions/review/{row.pk}/").status_code == 200


def test_nobody_reaches_the_review_of_what_they_may_not_read(
    client_of: SignIn, outsider: User, row: StoredCompletion
) -> None:
    near = factories.user("near", "reviewer", factories.connection())
    for person in (outsider, near):
        client = client_of(person)
        for address in ("", "panel/", "history/", "row/"):
            assert client.get(f"/completions/review/{row.pk}/{address}").status_code == 404
        assert say(client, row, "state", "approved").status_code == 404
        assert undo(client, row, 1).status_code == 404
    assert not ReviewEvent.objects.exists()


def test_builders_are_led_to_labels_where_there_are_none(
    client_of: SignIn, builder: User, reviewer: User, row: StoredCompletion
) -> None:
    link = f'href="/completions/{row.connection.slug}/labels/"'
    assert link in drawer(client_of(builder), row)
    assert link not in drawer(client_of(reviewer), row)
    label(row)
    assert link not in drawer(client_of(builder), row)


def test_ones_own_last_word_is_taken_back_step_by_step(
    client_of: SignIn, reviewer: User, builder: User, row: StoredCompletion
) -> None:
    client = client_of(reviewer)
    say(client, row, "state", "approved")
    say(client, row, "state", "rejected")
    say(client_of(builder), row, "rating", "bad")
    for expected in ("approved", ""):
        text = drawer(client, row)
        event = text.partition('name="event" value="')[2].partition('"')[0]
        assert undo(client, row, event).status_code == 200
        assert now(row).state == expected
    assert 'data-key="u"' not in drawer(client, row)
    assert now(row).rating == "bad"


def test_only_what_holds_can_be_taken_back_and_only_once(
    client_of: SignIn, reviewer: User, builder: User, row: StoredCompletion
) -> None:
    client = client_of(reviewer)
    say(client, row, "state", "approved")
    first = ReviewEvent.objects.latest("pk")
    say(client_of(builder), row, "state", "rejected")
    assert undo(client, row, first.pk).status_code == 422
    second = ReviewEvent.objects.latest("pk")
    assert undo(client, row, second.pk).status_code == 200
    assert undo(client, row, second.pk).status_code == 422
    other = factories.make_completion(row.connection)
    assert undo(client, other, first.pk).status_code == 422
    for event in ("", "x", "9" * 30):
        assert undo(client, row, event).status_code == 422
    assert now(row).state == "approved"


@pytest.mark.engines
def test_every_undo_that_is_offered_is_taken(
    client_of: SignIn, reviewer: User, builder: User, row: StoredCompletion
) -> None:
    tone, mine, theirs = label(row), client_of(reviewer), client_of(builder)
    for client, about, value in (
        (mine, "state", "approved"), (theirs, "state", "rejected"), (mine, "state", "approved"),
        (mine, f"label:{tone.pk}", "formal"), (theirs, "rating", "good"), (mine, "note", "One"),
        (theirs, f"label:{tone.pk}", "casual"), (mine, "note", "Two"), (mine, "rating", ""),
    ):  # fmt: skip
        say(client, row, about, value)
    for _ in range(20):
        text = drawer(mine, row, "?tab=review")
        events = [part.partition('"')[0] for part in text.split('name="event" value="')[1:]]
        if not events:
            break
        assert undo(mine, row, events[-1]).status_code == 200
    assert events == []
    held = now(row)
    assert (held.state, held.rating, held.labels, held.notes) == ("", "", {}, 0)


def test_a_note_is_taken_back_by_its_author_or_a_builder(
    client_of: SignIn, reviewer: User, builder: User, row: StoredCompletion
) -> None:
    peer = client_of(factories.user("peer", "reviewer"))
    for client, status in ((peer, 422), (client_of(reviewer), 200), (client_of(builder), 200)):
        reviewing.record(row, [Said("note", "Look again.")], reviewer)
        note = ReviewEvent.objects.filter(value__isnull=False).latest("pk")
        assert ("Undo note" in drawer(client, row, "?tab=review")) == (status == 200)
        assert undo(client, row, note.pk).status_code == status


def test_without_scripts_the_way_leads_back_to_the_completion(
    client_of: SignIn, reviewer: User, row: StoredCompletion
) -> None:
    client = client_of(reviewer)
    here = f"/completions/{row.connection.slug}/{row.upstream_id}/?q=model%3Aa"
    answer = client.post(
        f"/completions/review/{row.pk}/", {"about": "state", "value": "approved", "query": "q=model%3Aa"}
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, here)
    page = f"/completions/review/{row.pk}/"
    answer = client.post(page, {"about": "state", "value": "rejected", "query": "q=a", "on": "page"})
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{page}?q=a")
    answer = client.post(page, {"about": "note", "value": ""})
    assert answer.status_code == 422
    assert "<html" in answer.content.decode()
    assert "Write a note first." in answer.content.decode()


def test_the_page_goes_through_the_result_that_it_was_opened_from(
    client_of: SignIn, reviewer: User, row: StoredCompletion
) -> None:
    rows = [
        factories.make_completion(row.connection, created=n, metadata={"c": "x" if n % 2 else "y"})
        for n in range(5)
    ]
    text = client_of(reviewer).get(f"/completions/review/{rows[3].pk}/?q=meta.c:x").content.decode()
    assert f'href="/completions/review/{rows[1].pk}/?q=meta.c%3Ax" data-drawer-next' in text
    assert "data-drawer-previous" not in text
    assert "It returns the sum." in text
    assert "<html" in text


def test_the_row_behind_is_read_again(client_of: SignIn, reviewer: User, row: StoredCompletion) -> None:
    text = client_of(reviewer).get(f"/completions/review/{row.pk}/row/?columns=id").content.decode()
    assert text.startswith(f'<tr id="row-{row.pk}"')
    assert row.upstream_id in text
    assert "How are you?" not in text.partition("</td>")[2]


@pytest.mark.parametrize("payload", PAYLOADS[:12])
def test_what_people_write_is_never_markup(
    client_of: SignIn, builder: User, row: StoredCompletion, payload: str
) -> None:
    if "\n" in payload or not payload.strip():
        return
    made = label(row, payload[:60], "choice", [payload[:90], "other"])
    Label.objects.filter(pk=made.pk).update(guideline=payload)
    reviewing.record(row, [Said("note", payload), Said("label", payload[:90], made)], builder)
    client = client_of(builder)
    for text in (
        drawer(client, row, "?tab=review"),
        client.get(f"/completions/review/{row.pk}/").content.decode(),
        client.get(f"/completions/{row.connection.slug}/labels/").content.decode(),
    ):
        if "<" in payload:
            assert payload not in text
        assert "<script>alert" not in text
        assert "<img" not in text


def test_number_keys_stand_for_the_answers_of_the_next_open_label(
    client_of: SignIn, reviewer: User, row: StoredCompletion
) -> None:
    client, tone = client_of(reviewer), label(row)
    score = label(row, "quality", "score", [0, 3])
    active = f'data-question="{tone.pk}" data-active'
    assert active in drawer(client, row)
    text = say(client, row, f"label:{tone.pk}", "casual").content.decode()
    assert active not in text
    assert f'data-question="{score.pk}" data-active' in text
    assert 'value="0" aria-pressed="false" data-key="0"' in text
    assert 'value="3" aria-pressed="false" data-key="3"' in text


def test_a_retired_label_is_not_asked_but_its_answers_are_told(
    client_of: SignIn, reviewer: User, row: StoredCompletion
) -> None:
    tone = label(row)
    reviewing.record(row, [Said("label", "casual", tone)], reviewer)
    Label.objects.filter(pk=tone.pk).update(retired="2026-01-01T00:00:00Z")
    client = client_of(reviewer)
    text = drawer(client, row)
    assert "data-question" not in text
    assert "casual" in text
    assert say(client, row, f"label:{tone.pk}", "formal").status_code == 422
