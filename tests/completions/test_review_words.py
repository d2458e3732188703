"""Words of notes and corrections are found while they stand, and nowhere after they are taken back."""

from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection as database
from django.db import transaction

from completions import reviewing
from completions.filters import Filter
from completions.forgetting import forget
from completions.listing import Listing
from completions.models import ReviewEvent, StoredCompletion
from completions.reviewing import Said
from completions.search.tokens import PHRASE_WORDS
from portal.models import User
from tests import factories

pytestmark = [pytest.mark.engines, pytest.mark.django_db(transaction=True)]
Kind = ReviewEvent.Kind


@pytest.fixture
def row() -> StoredCompletion:
    return factories.make_completion(factories.connection())


@pytest.fixture
def one(row: StoredCompletion) -> User:
    return factories.user("one", "reviewer", row.connection)


def say(row: StoredCompletion, author: User, kind: str, value: Any) -> ReviewEvent:
    (pk,) = reviewing.record(row, [Said(kind, value)], author).events
    found: ReviewEvent = ReviewEvent.objects.get(pk=pk)
    return found


def found(user: User, q: str) -> list[int]:
    wanted = Filter.parse(q)
    assert not wanted.broken, q
    return [key.id for key in Listing(user, wanted).page(50)]


def indexed() -> int:
    with database.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM completions_reviewindex")
        return int(cursor.fetchone()[0])


def test_the_words_of_a_note_are_found(row: StoredCompletion, one: User) -> None:
    other = factories.make_completion(row.connection, answer="naïve")
    say(row, one, Kind.NOTE, "Naïve answer, the tone is WRONG.")
    say(row, one, Kind.NOTE, "see the invoice")
    for q in ("note:naive", "note:wron*", 'note:"tone is"', "note:invoice", "note:wrong note:see"):
        assert found(one, q) == [row.pk], q
    # Nothing reaches from one note into the next, and a note is no answer.
    for q in ('note:"wrong see"', 'note:"the wrong"', "note:wron", "correction:wrong", "answer:invoice"):
        assert found(one, q) == [], q
    assert found(one, "-note:naive") == [other.pk]
    assert found(one, "(note:nothing OR note:naive)") == [row.pk]


def test_the_words_of_a_correction_are_found_while_it_holds(row: StoredCompletion, one: User) -> None:
    call = {"name": "get_weather", "arguments": '{"city": "Göteborg"}'}
    say(row, one, Kind.CORRECTION, {"text": "At your service.", "tool_calls": [call]})
    for q in ('correction:"at your service"', "correction:goteborg", 'correction:"get weather"'):
        assert found(one, q) == [row.pk], q
    assert found(one, 'correction:"service get"') == []
    assert found(one, "note:service") == []
    later = say(row, one, Kind.CORRECTION, {"text": "Gladly.", "tool_calls": None})
    assert (found(one, "correction:service"), found(one, "correction:gladly")) == ([], [row.pk])
    reviewing.undo(later, one)
    assert (found(one, "correction:service"), found(one, "correction:gladly")) == ([row.pk], [])
    say(row, one, Kind.CORRECTION, None)
    assert found(one, "correction:service") == []
    assert indexed() == 0


def test_a_note_that_is_taken_back_is_found_no_more(row: StoredCompletion, one: User) -> None:
    first, _ = say(row, one, Kind.NOTE, "wrong tone"), say(row, one, Kind.NOTE, "right tone")
    reviewing.undo(first, one)
    assert (found(one, "note:wrong"), found(one, "note:right")) == ([], [row.pk])


def test_what_people_wrote_leaves_with_the_row(row: StoredCompletion, one: User) -> None:
    other = factories.make_completion(row.connection)
    for each in (row, other):
        say(each, one, Kind.NOTE, "wrong tone")
    with transaction.atomic():
        forget(row.connection_id, [row.pk])
    assert found(one, "note:wrong") == [other.pk]
    assert indexed() == 1


def test_nothing_is_left_after_a_flush(row: StoredCompletion, one: User) -> None:
    say(row, one, Kind.NOTE, "wrong tone")
    call_command("flush", interactive=False)
    assert indexed() == 0


def test_only_the_rows_one_may_read_are_found(row: StoredCompletion, one: User) -> None:
    hidden = factories.make_completion(factories.connection(name="hidden", slug="hidden"))
    say(hidden, factories.user("two", "reviewer", hidden.connection), Kind.NOTE, "wrong tone")
    say(row, one, Kind.NOTE, "wrong tone")
    assert found(one, "note:wrong") == [row.pk]


def test_notes_without_end_do_not_fail(row: StoredCompletion, one: User) -> None:
    say(row, one, Kind.CORRECTION, {"text": "again " * PHRASE_WORDS + "last", "tool_calls": None})
    say(row, one, Kind.NOTE, "x\x00y " * 3000)
    assert found(one, "correction:last") == [row.pk]
    assert found(one, "correction:again") == [row.pk]
    assert found(one, "note:xy") == [row.pk]
