"""What belongs together on the pages: its own page, the drawer's line, and the dialog for one of each."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from completions import belonging, one_of_each, reviewing, selection
from completions.addresses import drawer_address
from completions.forgetting import forget
from completions.models import FrozenSelection, ReviewEvent, StoredCompletion
from completions.reviewing import Said
from portal.models import AuditEntry, Connection, Operation, User
from tests import factories
from tests.completions.mirroring import drain, hurry

pytestmark = [pytest.mark.engines, pytest.mark.django_db(transaction=True)]
SignIn = Callable[[User], Client]
Kind = ReviewEvent.Kind
FRAGMENT = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def nobody_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


@pytest.fixture
def connection() -> Connection:
    return factories.connection("Production")


def compare(connection: Connection) -> None:
    belonging.begin(connection)
    drain(connection)


def say(row: StoredCompletion, person: User, kind: str, value: Any) -> None:
    reviewing.record(row, [Said(kind, value)], person)


def same(connection: Connection, count: int, text: str = "same") -> list[StoredCompletion]:
    return [factories.make_completion(connection, prompt=text, answer=text) for _ in range(count)]


def test_the_page_tells_groups_and_templates_and_links_to_them(
    client_of: SignIn, reader: User, connection: Connection
) -> None:
    same(connection, 2)
    for name in ("<b>Ann</b>", "Bo"):
        factories.make_completion(connection, system=f"You always help {name} with care.", prompt=name)
    compare(connection)
    page = client_of(reader).get(reverse("completions:alike")).content.decode()
    assert f"?q=same%3A%2A+connection%3A{connection.slug}" in page
    assert "You always help " in page
    assert "&lt;b&gt;Ann&lt;/b&gt;" in page
    assert "<b>Ann" not in page
    assert "2 completions" in page
    with transaction.atomic():
        forget(connection.pk, [StoredCompletion.objects.get(prompt_preview="Bo").pk])
    assert "You always help " not in client_of(reader).get(reverse("completions:alike")).content.decode()


def test_only_builders_begin_it_and_it_is_written_down(
    client_of: SignIn, reader: User, builder: User, connection: Connection
) -> None:
    address = reverse("completions:alike_compare", args=[connection.slug])
    page = reverse("completions:alike")
    assert address not in client_of(reader).get(page).content.decode()
    assert client_of(reader).post(address).status_code == 403
    assert not Operation.objects.exists()
    assert address in client_of(builder).get(page).content.decode()
    assert client_of(builder).post(address).status_code == 303
    assert Operation.objects.get().kind == belonging.KIND
    assert AuditEntry.objects.filter(verb="belonging.requested", actor=builder).count() == 1


def test_nobody_learns_of_connections_that_they_may_not_read(
    client_of: SignIn, outsider: User, connection: Connection
) -> None:
    same(connection, 2)
    compare(connection)
    page = client_of(outsider).get(reverse("completions:alike")).content.decode()
    assert connection.name not in page
    assert client_of(outsider).post(
        reverse("completions:alike_compare", args=[connection.slug])
    ).status_code in (403, 404)


def test_the_drawer_counts_the_others_and_lists_the_turns(
    client_of: SignIn, reader: User, connection: Connection
) -> None:
    row, *_ = same(connection, 3)
    first = factories.make_completion(connection, prompt="Hi", answer="Hello")
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Second question"},
    ]
    second = factories.make_completion(connection, messages=messages, answer="b")
    compare(connection)

    def drawn(made: StoredCompletion) -> str:
        where = drawer_address(connection.slug, made.upstream_id, made.pk)
        return client_of(reader).get(where, headers=FRAGMENT | {"HX-Target": "drawer"}).content.decode()

    assert "2 exact duplicates" in drawn(row)
    assert f"?q=same%3A{row.belonging.same}" in drawn(row)
    text = drawn(second)
    assert "Part 2 of a conversation in 2 completions" in text
    assert drawer_address(connection.slug, first.upstream_id, first.pk) in text
    assert "Part 1 of a conversation in 2 completions" in drawn(first)
    assert "alike-line" not in drawn(factories.make_completion(connection))


def test_the_best_is_approved_then_good_then_corrected_then_the_newest(
    connection: Connection, reviewer: User
) -> None:
    groups = [same(connection, 4, text) for text in ("a", "b", "c", "d", "e")]
    say(groups[0][0], reviewer, Kind.STATE, "approved")
    say(groups[0][1], reviewer, Kind.RATING, "good")
    say(groups[1][1], reviewer, Kind.RATING, "good")
    say(groups[1][2], reviewer, Kind.CORRECTION, {"text": "better", "tool_calls": None})
    say(groups[2][2], reviewer, Kind.CORRECTION, {"text": "better", "tool_calls": None})
    say(groups[4][3], reviewer, Kind.STATE, "rejected")
    alone = factories.make_completion(connection)
    compare(connection)
    best = {groups[0][0].pk, groups[1][1].pk, groups[2][2].pk, groups[3][3].pk, groups[4][2].pk}
    every = {row.pk for group in groups for row in group}
    frozen = selection.freeze(reviewer, everything=True)
    assert [(each.kind, each.groups, each.rows) for each in one_of_each.repeated(frozen) if each.groups] == [
        ("same", 5, 20),
        ("near", 5, 20),
    ]
    others = one_of_each.select(frozen, "same", "others")
    assert set(selection.ids_of(others)) == every - best
    kept = one_of_each.select(frozen, "same", "best")
    assert set(selection.ids_of(kept)) == best | {alone.pk}
    assert list(selection.ids_of(kept)) == [pk for pk in selection.ids_of(frozen) if pk in best | {alone.pk}]


def test_only_what_is_selected_counts(connection: Connection, reviewer: User) -> None:
    rows = same(connection, 3)
    compare(connection)
    frozen = selection.freeze(reviewer, ids=[rows[0].pk, rows[1].pk])
    assert list(selection.ids_of(one_of_each.select(frozen, "same", "others"))) == [rows[0].pk]
    alone = selection.freeze(reviewer, ids=[rows[0].pk])
    assert not any(each.groups for each in one_of_each.repeated(alone))
    with pytest.raises(selection.Refused, match="twice"):
        one_of_each.select(alone, "same", "others")


def test_from_the_bulk_bar_to_another_deed_with_what_is_left(
    client_of: SignIn, builder: User, connection: Connection
) -> None:
    rows = same(connection, 3)
    compare(connection)
    client = client_of(builder)
    asked = client.post(reverse("completions:freeze"), {"mode": "all", "for": "one_of_each"}, follow=True)
    text = asked.content.decode()
    assert "3 in 1 group, 2 beside the best" in text
    frozen = FrozenSelection.objects.get()
    address = reverse("completions:one_of_each", args=[frozen.pk])
    assert client.post(address, {"kind": "same"}).status_code == 422
    answered = client.post(address, {"kind": "same", "keep": "others"}, headers=FRAGMENT).content.decode()
    left = FrozenSelection.objects.exclude(pk=frozen.pk).get()
    assert set(selection.ids_of(left)) == {rows[0].pk, rows[1].pk}
    reject = f"{reverse('completions:frozen', args=[left.pk])}?for=reject"
    assert reject in answered.replace("&amp;", "&")
    assert "2 completions" in client.get(reject, headers=FRAGMENT, follow=True).content.decode()
    stranger = factories.user("stranger", "builder", connection)
    assert client_of(stranger).get(address).status_code == 404
