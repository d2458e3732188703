"""Selections: what is counted when the question is asked is what is acted on."""

from collections.abc import Callable
from datetime import timedelta
from functools import partialmethod

import pytest
from django.http import QueryDict
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from completions import reviewing
from completions.listing import Listing
from completions.models import FrozenSelection
from completions.reviewing import Said
from completions.selection import (
    MOST_EXCLUDED,
    Refused,
    Selection,
    confirm,
    expire_unconfirmed,
    freeze,
    ids_of,
    pack,
    unpack,
)
from portal import operations, steps
from portal.models import Operation, User
from tests import factories
from tests.factories import make_completion


def posted(**fields: str) -> Selection:
    data = QueryDict(mutable=True)
    data.update(fields)
    return Selection.from_post(data)


@given(st.lists(st.integers(0, 2**62)))
def test_ids_are_unpacked_as_they_were_packed(ids: list[int]) -> None:
    assert list(unpack(pack(ids))) == ids


def test_a_hundred_thousand_ids_take_little_room() -> None:
    assert len(pack(range(100_000, 0, -1))) < 1_000


@pytest.mark.engines
@pytest.mark.django_db
def test_what_people_said_chooses_what_is_frozen(reader: User) -> None:
    first, second, third = (make_completion(created=at) for at in (10, 30, 20))
    author = factories.user("alex", "reviewer")
    for row in (first, second):
        reviewing.record(row, [Said("state", "rejected"), Said("note", "wrong tone")], author)
    frozen = freeze(reader, q="review:rejected note:wrong*", everything=True)
    assert list(ids_of(frozen)) == [second.pk, first.pk]
    assert list(ids_of(freeze(reader, q="-has:note", everything=True))) == [third.pk]


@pytest.mark.engines
@pytest.mark.django_db
def test_all_that_match_are_frozen_newest_first(reader: User) -> None:
    old, new, middle = (make_completion(created=at, metadata={"c": "x"}) for at in (10, 30, 20))
    make_completion(metadata={"c": "y"})
    frozen = freeze(reader, q="meta.c:x", everything=True)
    assert list(ids_of(frozen)) == [new.pk, middle.pk, old.pk]
    assert (frozen.count, frozen.q, frozen.everything, frozen.owner) == (3, "meta.c:x", True, reader)


@pytest.mark.engines
@pytest.mark.django_db
def test_rows_that_come_after_the_question_are_not_acted_on(reader: User) -> None:
    before = {make_completion().pk for _ in range(3)}
    frozen = freeze(reader, everything=True)
    make_completion()
    frozen.refresh_from_db()
    confirm(frozen)
    assert frozen.count == 3
    assert set(ids_of(frozen)) == before


@pytest.mark.engines
@pytest.mark.django_db
def test_exceptions_are_left_out(reader: User) -> None:
    rows = [make_completion(prompt="find me").pk for _ in range(5)]
    frozen = freeze(reader, q="find", everything=True, excluded=[rows[1], rows[3]])
    assert sorted(ids_of(frozen)) == [rows[0], rows[2], rows[4]]
    assert frozen.excluded == [rows[1], rows[3]]


@pytest.mark.django_db
def test_ids_that_the_person_may_not_read_are_left_out() -> None:
    mine, foreign = factories.connection(), factories.connection()
    own, hidden = make_completion(mine), make_completion(foreign)
    person = factories.user(role="reader", connection=mine)
    frozen = freeze(person, ids=[own.pk, hidden.pk, 10**12])
    assert list(ids_of(frozen)) == [own.pk]
    assert list(frozen.connections.all()) == [mine]
    with pytest.raises(Refused):
        freeze(person, ids=[hidden.pk])


@pytest.mark.django_db
def test_everything_ends_at_what_the_person_may_read() -> None:
    mine, foreign = factories.connection(), factories.connection()
    own = make_completion(mine)
    make_completion(foreign)
    person = factories.user(role="reader", connection=mine)
    frozen = freeze(person, everything=True)
    assert list(ids_of(frozen)) == [own.pk]
    assert list(frozen.connections.all()) == [mine]


@pytest.mark.django_db
def test_a_broken_filter_selects_nothing(reader: User) -> None:
    make_completion()
    with pytest.raises(Refused, match="cannot be read"):
        freeze(reader, q="modle:x", everything=True)
    assert not FrozenSelection.objects.exists()


@pytest.mark.django_db
def test_more_exceptions_than_a_page_can_carry_are_refused(reader: User) -> None:
    make_completion()
    with pytest.raises(Refused, match="Narrow the filter"):
        freeze(reader, everything=True, excluded=range(MOST_EXCLUDED + 1))


def test_the_form_says_either_these_or_all_but_these() -> None:
    assert posted(mode="ids", ids="3,1,", excluded="9", q="x") == Selection(q="x", ids=(3, 1))
    assert posted(mode="all", ids="3", excluded="9,8", q="x") == Selection(
        q="x", everything=True, excluded=(9, 8)
    )
    for nonsense in ("1,x", "1;2", "-1", "9" * 30):
        with pytest.raises(Refused):
            posted(mode="ids", ids=nonsense)


@pytest.mark.django_db
def test_questions_that_nobody_answered_expire(reader: User) -> None:
    make_completion()
    kept, fresh, stale = (freeze(reader, everything=True) for _ in range(3))
    confirm(kept)
    long_ago = timezone.now() - timedelta(days=2)
    FrozenSelection.objects.filter(pk__in=[kept.pk, stale.pk]).update(created=long_ago)
    assert expire_unconfirmed() == 1
    assert set(FrozenSelection.objects.values_list("pk", flat=True)) == {kept.pk, fresh.pk}


@pytest.mark.engines
@pytest.mark.django_db(transaction=True)
def test_what_only_texts_can_tell_is_frozen_by_an_operation_and_counts_what_was_there(
    reader: User, client_of: Callable[[User], Client]
) -> None:
    hits = [make_completion(created=at, answer=f"order no. {at}-x").pk for at in range(5)]
    make_completion(answer="nothing of the kind")
    frozen = freeze(reader, q=r"/no\. \d+-x/", everything=True, excluded=[hits[2]])
    assert (frozen.frozen_at, frozen.count) == (None, 0)
    make_completion(created=2_000_000_000, answer="order no. 9-x")
    address = reverse("completions:frozen", args=[frozen.pk])
    assert "Reading texts" in client_of(reader).get(address).content.decode()
    assert frozen.operation is not None
    steps.work_on(frozen.operation.pk)
    frozen.refresh_from_db()
    assert frozen.ready
    assert list(ids_of(frozen)) == [hits[4], hits[3], hits[1], hits[0]]
    assert frozen.count == 4
    assert "4 completions?" in client_of(reader).get(address).content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_search_through_texts_goes_on_where_it_stopped(
    reader: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    hits = [make_completion(created=at, answer=f"no. {at}").pk for at in range(7)]
    monkeypatch.setattr(Listing, "scanned", partialmethod(Listing.scanned, size=2))
    frozen = freeze(reader, q="/no\\. /", everything=True)
    assert frozen.operation is not None
    rounds = 0
    monkeypatch.setattr(operations.Working, "time_left", lambda self, margin=0.0: False)
    while frozen.operation.is_live:
        rounds += 1
        Operation.objects.filter(pk=frozen.operation.pk).update(next_run_at=timezone.now(), state="ready")
        steps.work_on(frozen.operation.pk)
        frozen.operation.refresh_from_db()
    frozen.refresh_from_db()
    assert rounds > 3
    assert list(ids_of(frozen)) == hits[::-1]
