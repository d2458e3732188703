"""The label vocabulary of a connection: who may change it, what it refuses, what stays."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from completions import labels, reviewing
from completions.models import Label, ReviewState, StoredCompletion
from completions.reviewing import Said
from portal.models import AuditEntry, User
from tests import factories

pytestmark = pytest.mark.django_db

SignIn = Callable[[User], Client]
TONE = {"name": "tone", "kind": "choice", "options": "formal\r\ncasual\r\n", "guideline": "Look at *how*."}


@pytest.fixture
def row() -> StoredCompletion:
    return factories.make_completion(factories.connection())


def root(row: StoredCompletion) -> str:
    return f"/completions/{row.connection.slug}/labels/"


def verbs() -> list[str]:
    return list(AuditEntry.objects.order_by("pk").values_list("verb", flat=True))


def names(row: StoredCompletion) -> list[str]:
    return [label.name for label in labels.of(row.connection) if label.retired is None]


def test_builders_write_the_vocabulary(client_of: SignIn, builder: User, row: StoredCompletion) -> None:
    client = client_of(builder)
    assert client.post(f"{root(row)}new/", TONE).status_code == 303
    made = Label.objects.get()
    assert (made.connection, made.kind, made.options) == (row.connection, "choice", ["formal", "casual"])
    changed = TONE | {"name": "manner", "kind": "multiple", "options": "warm"}
    assert client.post(f"{root(row)}{made.pk}/", changed).status_code == 303
    made.refresh_from_db()
    assert (made.name, made.kind, made.options) == ("manner", "multiple", ["warm"])
    assert verbs() == ["label.created", "label.changed"]
    text = client.get(root(row)).content.decode()
    assert "Look at <em>how</em>." in text


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({"kind": "choice", "options": " a \n\nb\nb\n a  c "}, ["a", "b", "a c"]),
        ({"kind": "score", "low": "-2", "high": "2", "options": "ignored"}, [-2, 2]),
        ({"kind": "text", "options": "ignored"}, []),
    ],
)
def test_each_kind_keeps_what_it_offers(
    client_of: SignIn, builder: User, row: StoredCompletion, given: dict[str, Any], options: Any
) -> None:
    assert client_of(builder).post(f"{root(row)}new/", {"name": "x", **given}).status_code == 303
    assert Label.objects.get().options == options


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"name": "  "}, "This field is required."),
        ({"name": "TONE"}, "Another label of this connection has this name."),
        ({"kind": "mood"}, "Select a valid choice."),
        ({"options": "one"}, "Offer two answers at least."),
        ({"kind": "multiple", "options": "\n"}, "This field is required."),
        ({"options": "\n".join(map(str, range(51)))}, "A label can offer 50 answers."),
        ({"options": "a\n" + "b" * 101}, "is longer than 100 characters."),
        ({"kind": "score", "low": "1"}, "This field is required."),
        ({"kind": "score", "low": "5", "high": "5"}, "A score ends above where it begins."),
        ({"kind": "score", "low": "1", "high": "1001"}, "less than or equal to 1000"),
        ({"guideline": "x" * 10_001}, "at most 10000 characters"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(
    client_of: SignIn, builder: User, row: StoredCompletion, given: dict[str, str], told: str
) -> None:
    Label.objects.create(connection=row.connection, name="Tone", options=["a", "b"])
    answer = client_of(builder).post(f"{root(row)}new/", TONE | {"name": "other"} | given)
    assert answer.status_code == 422
    assert told in answer.content.decode()
    assert Label.objects.count() == 1


def test_another_connection_may_ask_the_same(client_of: SignIn, builder: User, row: StoredCompletion) -> None:
    Label.objects.create(connection=factories.connection(), name="tone", options=["a", "b"])
    assert client_of(builder).post(f"{root(row)}new/", TONE).status_code == 303


@pytest.mark.engines
def test_what_was_answered_keeps_its_name_and_every_answer(
    client_of: SignIn, builder: User, row: StoredCompletion
) -> None:
    made = Label.objects.create(connection=row.connection, name="tone", options=["formal", "casual"])
    reviewing.record(row, [Said("label", "formal", made)], builder)
    client = client_of(builder)
    changed = TONE | {"name": "manner", "kind": "text", "options": "casual\nfriendly"}
    assert client.post(f"{root(row)}{made.pk}/", changed).status_code == 303
    made.refresh_from_db()
    assert (made.name, made.kind, made.options) == ("tone", "choice", ["casual", "friendly"])
    assert ReviewState.objects.get(pk=row.pk).labels == {str(made.pk): ["formal"]}
    assert "its name and its kind stay" in client.get(f"{root(row)}{made.pk}/").content.decode()
    made.name = "manner"
    with pytest.raises(reviewing.Refused):
        labels.save(made, builder)


def test_labels_are_put_in_order(client_of: SignIn, builder: User, row: StoredCompletion) -> None:
    client = client_of(builder)
    for name in ("a", "b", "c"):
        client.post(f"{root(row)}new/", TONE | {"name": name})
    last = Label.objects.get(name="c")
    for to, expected in (("up", "acb"), ("up", "cab"), ("up", "cab"), ("down", "acb")):
        assert client.post(f"{root(row)}{last.pk}/move/", {"to": to}).status_code == 303
        assert names(row) == list(expected)


def test_a_retired_label_comes_back_at_the_end(
    client_of: SignIn, builder: User, row: StoredCompletion
) -> None:
    client = client_of(builder)
    for name in ("a", "b"):
        client.post(f"{root(row)}new/", TONE | {"name": name})
    first = Label.objects.get(name="a")
    for _ in range(2):
        client.post(f"{root(row)}{first.pk}/retire/")
    assert names(row) == ["b"]
    assert "Retired" in client.get(root(row)).content.decode()
    for _ in range(2):
        client.post(f"{root(row)}{first.pk}/restore/")
    assert names(row) == ["b", "a"]
    assert verbs()[2:] == ["label.retired", "label.restored"]


def test_a_connection_asks_so_many_labels(client_of: SignIn, builder: User, row: StoredCompletion) -> None:
    where = row.connection
    Label.objects.bulk_create(
        Label(connection=where, name=f"l{n}", options=["a", "b"]) for n in range(labels.MOST)
    )
    client, first = client_of(builder), Label.objects.get(name="l0")
    assert client.post(f"{root(row)}new/", TONE).status_code == 422
    client.post(f"{root(row)}{first.pk}/retire/")
    assert client.post(f"{root(row)}new/", TONE).status_code == 303
    client.post(f"{root(row)}{first.pk}/restore/")
    assert "l0" not in names(row)


def test_others_see_the_vocabulary_and_change_nothing(
    client_of: SignIn, reader: User, reviewer: User, outsider: User, row: StoredCompletion
) -> None:
    made = Label.objects.create(connection=row.connection, name="tone", options=["a", "b"])
    posts = [f"{made.pk}/{act}" for act in ("", "move/", "retire/", "restore/")]
    for person in (reader, reviewer):
        client = client_of(person)
        text = client.get(root(row)).content.decode()
        assert "tone" in text
        assert "New label" not in text
        assert "Retire" not in text
        assert client.get(f"{root(row)}new/").status_code == 403
        assert client.get(f"{root(row)}{made.pk}/").status_code == 403
        for path in ("new/", *posts):
            assert client.post(root(row) + path, TONE).status_code == 403
    near = factories.user("near", "builder", factories.connection())
    for person in (outsider, near):
        client = client_of(person)
        assert client.get(root(row)).status_code == 404
        for path in ("new/", *posts):
            assert client.post(root(row) + path, TONE).status_code == 404
    assert Label.objects.get().name == "tone"


def test_a_label_is_reached_through_its_own_connection_only(
    client_of: SignIn, builder: User, row: StoredCompletion
) -> None:
    foreign = Label.objects.create(connection=factories.connection(), name="tone", options=["a", "b"])
    assert client_of(builder).post(f"{root(row)}{foreign.pk}/retire/").status_code == 404


def test_the_connection_leads_to_its_labels(client_of: SignIn, reader: User, row: StoredCompletion) -> None:
    page = client_of(reader).get(f"/connections/{row.connection.slug}/").content.decode()
    assert f'href="{root(row)}"' in page


def test_a_completion_called_labels_can_still_be_opened(client_of: SignIn, reader: User) -> None:
    made = factories.make_completion(factories.connection(), upstream_id="labels", prompt="hard to reach")
    address = made.get_absolute_url()
    assert address.endswith(f"/by-number/{made.pk}/")
    assert "hard to reach" in client_of(reader).get(address).content.decode()
