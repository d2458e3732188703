"""Correcting an answer over HTTP: who may, what is refused, what two people who write at once are told."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils.html import escape

from completions import correcting
from completions.models import ReviewEvent, StoredCompletion
from portal.models import User
from tests import factories
from tests.portal.test_rendering import PAYLOADS

pytestmark = pytest.mark.django_db

SignIn = Callable[[User], Client]


@pytest.fixture
def made() -> StoredCompletion:
    return factories.make_completion(prompt="What is it?", answer="It returns teh sum.")


@pytest.fixture
def ada(client_of: SignIn, made: StoredCompletion) -> Client:
    return client_of(factories.user("ada", "reviewer", made.connection))


@pytest.fixture
def ben(client_of: SignIn, made: StoredCompletion) -> Client:
    return client_of(factories.user("ben", "reviewer", made.connection))


def editor(row: StoredCompletion, query: str = "") -> str:
    return f"/completions/correct/{row.pk}/{query}"


def part(client: Client, url: str, target: str = "m1", **post: str) -> Any:
    headers = {"HX-Request": "true", "HX-Target": target}
    return client.post(url, post, headers=headers) if post else client.get(url, headers=headers)


def text_of(answer: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", answer.content.decode()))


def calling(*arguments: str, content: str | None = None) -> StoredCompletion:
    calls = [
        {"id": f"call_{n}", "type": "function", "function": {"name": "weather", "arguments": each}}
        for n, each in enumerate(arguments)
    ]
    message = {"role": "assistant", "content": content, "tool_calls": calls}
    return factories.make_completion(
        item={"choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]}
    )


def held(row: StoredCompletion) -> Any:
    event = correcting.holding(row)
    return None if event is None else event.value


def test_a_reader_sees_no_editor_and_cannot_save(
    client_of: SignIn, reader: User, made: StoredCompletion
) -> None:
    client = client_of(reader)
    assert b"data-correct" not in client.get(made.get_absolute_url()).content
    assert client.get(editor(made)).status_code == 403
    assert client.post(editor(made), {"text": "x", "seen": ""}).status_code == 403
    assert held(made) is None


def test_what_one_may_not_read_is_not_there(client_of: SignIn, made: StoredCompletion) -> None:
    stranger = factories.user("stranger", "reviewer", factories.connection())
    assert client_of(stranger).get(editor(made)).status_code == 404
    assert client_of(stranger).post(editor(made), {"text": "x", "seen": ""}).status_code == 404


def test_without_script_it_is_a_page_that_leads_back(ada: Client, made: StoredCompletion) -> None:
    page = ada.get(editor(made, "?q=model%3Agpt-4o-2024-08-06"))
    assert "<html" in page.content.decode()
    assert "\nIt returns teh sum.</textarea>" in page.content.decode()
    answer = ada.post(
        editor(made, "?q=model%3Agpt-4o-2024-08-06"), {"text": "It returns the sum.", "seen": ""}
    )
    assert answer.status_code == 303
    assert answer["Location"] == f"{made.get_absolute_url()}?q=model%3Agpt-4o-2024-08-06#m1"
    opened = ada.get(answer["Location"])
    assert "The correction is saved." in text_of(opened)
    assert "It returns the sum." in text_of(opened)


def test_beside_the_table_it_is_the_message_alone(ada: Client, made: StoredCompletion) -> None:
    shown = part(ada, editor(made)).content.decode()
    assert shown.lstrip().startswith('<div class="msg assistant" id="m1">')
    answer = part(ada, editor(made), text="It returns the sum.", seen="")
    assert answer.status_code == 200
    assert answer.content.decode().startswith('<div class="msg assistant" id="m1">')
    assert "It returns the sum." in text_of(answer)
    told = json.loads(answer["HX-Trigger"])
    assert told["reviewed"] == {"id": made.pk}
    assert told["toast"]["text"] == "The correction is saved."


def test_an_answer_is_shown_as_given_as_corrected_and_as_what_changed(
    ada: Client, made: StoredCompletion
) -> None:
    part(ada, editor(made), text="It returns the sum.", seen="")
    address = made.get_absolute_url()
    assert "It returns the sum." in text_of(part(ada, f"{address}?full=m1"))
    assert "It returns teh sum." in text_of(part(ada, f"{address}?answer=original&full=m1"))
    diff = text_of(part(ada, f"{address}?answer=diff&full=m1"))
    assert "It returns [deleted: teh][added: the] sum." in diff
    whole = ada.get(f"{address}?answer=original").content.decode()
    assert 'id="answer-original"' in whole
    assert "teh" in whole


def test_a_reader_sees_the_correction_and_who_made_it(
    client_of: SignIn, reader: User, ada: Client, made: StoredCompletion
) -> None:
    part(ada, editor(made), text="It returns the sum.", seen="")
    text = text_of(part(client_of(reader), f"{made.get_absolute_url()}?answer=history&full=m1"))
    assert "ada wrote" in text
    assert "Start from" not in text


def test_copying_gives_what_is_shown(ada: Client, made: StoredCompletion) -> None:
    address = made.get_absolute_url()
    assert ada.get(f"{address}?copy=correction").status_code == 404
    part(ada, editor(made), text="It returns the sum.", seen="")
    assert ada.get(f"{address}?copy=correction").content == b"It returns the sum."
    assert ada.get(f"{address}?copy=answer").content == b"It returns teh sum."
    page = ada.get(address).content.decode()
    assert "Copy the correction" in page
    assert f'data-copy-url="{address}?copy=correction" aria-label="Copy the message of Assistant"' in page
    original = ada.get(f"{address}?answer=original").content.decode()
    assert "copy=m1" in original


def test_arguments_are_checked_and_what_was_typed_is_kept(client_of: SignIn) -> None:
    row = calling('{"city":"Oslo"}', '{"city":"Rome"}')
    ada = client_of(factories.user("ada", "reviewer"))
    sent = {
        "text": "",
        "arguments-0": '{"city": "Oslo",\r\n "days": }',
        "arguments-1": '{"city":"Rome"}',
        "seen": "",
    }
    answer = part(ada, editor(row), **sent)
    assert answer.status_code == 422
    assert "Line 2, column 10: a value is expected." in text_of(answer)
    assert escape('{"city": "Oslo",\n "days": }') in answer.content.decode()
    assert held(row) is None
    answer = part(ada, editor(row), **sent | {"arguments-0": '{"city": "Bergen"}'})
    assert answer.status_code == 200
    assert held(row) == {
        "text": None,
        "tool_calls": [
            {"name": "weather", "arguments": '{"city": "Bergen"}'},
            {"name": "weather", "arguments": '{"city":"Rome"}'},
        ],
    }
    diff = text_of(part(ada, f"{row.get_absolute_url()}?answer=diff&full=m1"))
    assert re.search(r"\[deleted: [^]]*Oslo\]\[added: [^]]*Bergen\]", diff)


def test_whoever_saves_second_is_told_and_loses_nothing(
    ada: Client, ben: Client, made: StoredCompletion
) -> None:
    part(ada, editor(made), text="It adds two numbers.", seen="")
    answer = part(ben, editor(made), text="It returns the sum of both.", seen="")
    assert answer.status_code == 422
    text = text_of(answer)
    assert "ada corrected it meanwhile" in text
    assert "It adds two numbers." in text
    assert "[added: " in text
    assert "\nIt returns the sum of both.</textarea>" in answer.content.decode()
    assert "Save over theirs" in text
    assert held(made)["text"] == "It adds two numbers."
    seen = re.search(r'name="seen" value="(\d+)"', answer.content.decode())
    assert seen is not None
    over = part(ben, editor(made), text="It returns the sum of both.", seen=seen[1])
    assert over.status_code == 200
    assert held(made)["text"] == "It returns the sum of both."
    history = text_of(part(ben, f"{made.get_absolute_url()}?answer=history&full=m1"))
    assert history.index("ben wrote") < history.index("ada wrote")
    assert "It adds two numbers." not in history  # it stands there as what changed
    assert "[added: adds two numbers]" in history


def test_without_script_the_second_is_told_on_a_page(
    ada: Client, ben: Client, made: StoredCompletion
) -> None:
    ada.post(editor(made), {"text": "It adds.", "seen": ""})
    page = ben.post(editor(made), {"text": "It sums.", "seen": ""})
    assert page.status_code == 422
    assert "<html" in page.content.decode()
    assert "ada corrected it meanwhile" in text_of(page)
    assert "\nIt sums.</textarea>" in page.content.decode()


def test_two_who_write_the_same_do_not_quarrel(ada: Client, ben: Client, made: StoredCompletion) -> None:
    part(ada, editor(made), text="It returns the sum.", seen="")
    assert part(ben, editor(made), text="It returns the sum.", seen="").status_code == 200
    assert ReviewEvent.objects.count() == 1


def test_a_correction_that_was_taken_back_meanwhile_is_told_of(
    ada: Client, ben: Client, made: StoredCompletion
) -> None:
    part(ada, editor(made), text="It adds.", seen="")
    first = correcting.holding(made)
    assert first is not None
    part(ada, editor(made), remove="1", seen=str(first.pk))
    answer = part(ben, editor(made), text="It adds two numbers.", seen=str(first.pk))
    assert answer.status_code == 422
    assert "The correction was taken back meanwhile" in text_of(answer)
    assert part(ben, editor(made), text="It adds two numbers.", seen="").status_code == 200


def test_a_flaw_and_another_correction_are_told_of_together(client_of: SignIn) -> None:
    row = calling('{"city":"Oslo"}')
    ada, ben = (client_of(factories.user(name, "reviewer")) for name in ("ada", "ben"))
    part(ada, editor(row), **{"text": "", "arguments-0": '{"city":"Rome"}', "seen": ""})
    answer = part(ben, editor(row), **{"text": "", "arguments-0": '{"city":}', "seen": ""})
    assert answer.status_code == 422
    assert "a value is expected" in text_of(answer)
    assert "ada corrected it meanwhile" in text_of(answer)


def test_the_original_holds_again_after_going_back_to_it(ada: Client, made: StoredCompletion) -> None:
    part(ada, editor(made), text="It adds.", seen="")
    event = correcting.holding(made)
    assert event is not None
    answer = part(ada, editor(made), remove="1", seen=str(event.pk))
    assert "It returns teh sum." in text_of(answer)
    assert held(made) is None
    history = text_of(part(ada, f"{made.get_absolute_url()}?answer=history&full=m1"))
    assert "went back to the original" in history


def test_one_begins_again_with_an_earlier_version(ada: Client, made: StoredCompletion) -> None:
    part(ada, editor(made), text="First.", seen="")
    first = correcting.holding(made)
    assert first is not None
    part(ada, editor(made), text="Second.", seen=str(first.pk))
    assert "\nFirst.</textarea>" in part(ada, editor(made, f"?version={first.pk}")).content.decode()
    assert "\nIt returns teh sum.</textarea>" in part(ada, editor(made, "?version=original")).content.decode()
    for nonsense in ("0", "x", "9" * 30, "-1"):
        assert "\nSecond.</textarea>" in part(ada, editor(made, f"?version={nonsense}")).content.decode()


def test_another_completion_lends_none_of_its_versions(ada: Client, made: StoredCompletion) -> None:
    other = factories.make_completion(made.connection, answer="secret")
    author = factories.user("x", "reviewer")
    first = {"text": "secret", "tool_calls": None}
    correcting.save(other, {"text": "Hidden words.", "tool_calls": None}, first, author, None)
    event = correcting.holding(other)
    assert event is not None
    assert "Hidden words." not in part(ada, editor(made, f"?version={event.pk}")).content.decode()


def test_saving_what_was_there_changes_nothing(ada: Client, made: StoredCompletion) -> None:
    answer = part(ada, editor(made), text="It returns teh sum.", seen="")
    assert json.loads(answer["HX-Trigger"])["toast"]["text"] == "Nothing was changed."
    assert not ReviewEvent.objects.exists()


def test_without_an_answer_the_page_says_so(client_of: SignIn) -> None:
    row = factories.make_completion(item={"choices": []})
    ada = client_of(factories.user("ada", "reviewer"))
    page = ada.get(editor(row))
    assert page.status_code == 404
    assert "There is no answer to correct" in text_of(page)
    assert b"data-correct" not in ada.get(row.get_absolute_url()).content


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_is_typed_is_never_markup(ada: Client, made: StoredCompletion, payload: str) -> None:
    part(ada, editor(made), text=f"x {payload}", seen="")
    address = made.get_absolute_url()
    before = set(re.findall(r"<(\w+)", part(ada, f"{address}?answer=original&full=m1").content.decode()))
    for way in ("diff", "history"):
        html = part(ada, f"{address}?answer={way}&full=m1").content.decode()
        assert set(re.findall(r"<(\w+)", html)) <= before | {"del", "ins", "wbr", "ol", "li", "time", "bdi"}
    shown = part(ada, editor(made)).content.decode()
    assert shown.count("</textarea>") == 1


def test_a_drawer_asks_no_more_where_nothing_was_said(
    ada: Client, made: StoredCompletion, django_assert_max_num_queries: Any
) -> None:
    ada.get(made.get_absolute_url())
    with django_assert_max_num_queries(100) as first:
        part(ada, f"{made.get_absolute_url()}?full=m0", "m0")
    with django_assert_max_num_queries(len(first.captured_queries)):
        part(ada, f"{made.get_absolute_url()}?full=m1")


def test_an_answer_with_characters_that_nobody_can_keep_is_corrected_like_any_other(
    client_of: SignIn, reader: User
) -> None:
    row = calling('{"a":"\ud800"}', content="half \ud800 and\r\nNUL \x00 and \u202e hidden")
    ada = client_of(factories.user("ada", "reviewer"))
    page = ada.get(editor(row)).content.decode()
    assert "1 hidden character in it" in page
    shown = re.search(r'name="text"[^>]*>\n([^<]*)</textarea>', page)
    assert shown is not None
    answer = part(ada, editor(row), **{"text": shown[1] + "!", "arguments-0": '{"a":"�"}', "seen": ""})
    assert answer.status_code == 200
    assert held(row)["text"] == "half � and\r\nNUL � and \u202e hidden!"
    for way in ("original", "corrected", "diff", "history"):
        assert ada.get(f"{row.get_absolute_url()}?answer={way}").status_code == 200
    other = factories.make_completion(row.connection)
    assert client_of(reader).get(f"/completions/compare/?a={row.pk}&b={other.pk}").status_code == 200
