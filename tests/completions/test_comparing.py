"""Two completions side by side: who may, what is told to differ, and what is the same."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from completions import correcting
from completions.comparing import Comparison, Pair, Shared
from completions.models import StoredCompletion
from portal.models import User
from portal.wording import NOTHING
from tests import factories
from tests.factories import make_completion
from tests.portal.test_rendering import PAYLOADS

pytestmark = pytest.mark.django_db

SignIn = Callable[[User], Client]


def address(first: StoredCompletion, second: StoredCompletion) -> str:
    return f"/completions/compare/?a={first.pk}&b={second.pk}"


def text(html: object) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", str(html))).strip()


def turn(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def shape(compared: Comparison) -> list[Any]:
    """Each part of the prompts: how many messages are shared, or both sides as text."""
    made: list[Any] = []
    for part in compared.prompts:
        if isinstance(part, Shared):
            made.append(part.count)
        else:
            assert isinstance(part, Pair)
            made.append(tuple(None if side is None else text(side) for _, side in part.sides))
    return made


def test_prompts_and_answers_are_told_apart_word_by_word(client_of: SignIn, reader: User) -> None:
    first = make_completion(system="Be brief.", prompt="Why is it slow?", answer="No index.")
    second = make_completion(system="Be brief.", prompt="Why is it fast?", answer="An index.")
    page = text(client_of(reader).get(address(first, second)).content.decode())
    assert "1 message is the same" in page
    assert "Why is it [deleted: slow]?" in page
    assert "Why is it [added: fast]?" in page
    assert "[deleted: No] index." in page
    assert "[added: An] index." in page


def test_swapped_it_is_the_other_way_round(client_of: SignIn, reader: User) -> None:
    first, second = make_completion(answer="one"), make_completion(answer="two")
    client = client_of(reader)
    assert f'href="/completions/compare/?a={second.pk}&amp;b={first.pk}"' in (
        client.get(address(first, second)).content.decode()
    )
    assert "[deleted: two]" in text(client.get(address(second, first)).content.decode())


def test_it_takes_the_right_to_read_both(client_of: SignIn) -> None:
    mine, foreign = factories.connection(), factories.connection()
    near, also, hidden = make_completion(mine), make_completion(mine), make_completion(foreign)
    client = client_of(factories.user("near", "reader", mine))
    assert client.get(address(near, also)).status_code == 200
    assert client.get(address(near, hidden)).status_code == 404
    assert client.get(address(hidden, near)).status_code == 404


@pytest.mark.parametrize(
    "query", ["", "?a=1", "?a=x&b=y", "?a=&b=", "?a=-1&b=2", f"?a=1&b={'9' * 40}", "?a=²&b=1"]
)
def test_what_names_no_completion_is_not_there(client_of: SignIn, reader: User, query: str) -> None:
    make_completion()
    assert client_of(reader).get(f"/completions/compare/{query}").status_code == 404


def test_only_what_differs_beside_the_texts_is_listed() -> None:
    first = make_completion(metadata={"team": "data", "env": "prod"}, model="gpt-4o")
    second = make_completion(
        first.connection, metadata={"team": "web", "env": "prod", "run": "7"}, model="gpt-4o"
    )
    assert Comparison(first, second).facts == [
        ("Metadata team", "data", "web"),
        ("Metadata run", NOTHING, "7"),
    ]
    assert Comparison(first, first).facts == []


def test_a_message_that_only_one_has_stands_alone() -> None:
    talk = [turn("user", "first"), turn("assistant", "yes"), turn("user", "second")]
    first = make_completion(messages=talk)
    second = make_completion(messages=[talk[0], talk[2]])
    assert shape(Comparison(first, second)) == [1, ("yes", None), 1]
    assert shape(Comparison(second, first)) == [1, (None, "yes"), 1]


def test_messages_of_one_role_stand_beside_each_other() -> None:
    first = make_completion(messages=[turn("system", "Be kind."), turn("user", "How big?")])
    second = make_completion(messages=[turn("user", "How small?")])
    assert shape(Comparison(first, second)) == [
        ("Be kind.", None),
        ("How [deleted: big]?", "How [added: small]?"),
    ]


def test_a_conversation_without_end_is_cut_and_it_is_said(client_of: SignIn, reader: User) -> None:
    talks = [
        [turn(("user", "system")[n % 2], f"{side} {n} {'word ' * 40}") for n in range(1_000)] for side in "ab"
    ]
    same = [turn("user", f"same {n}") for n in range(120)]
    first, second = (make_completion(messages=same + each) for each in talks)
    page = text(client_of(reader).get(address(first, second)).content.decode())
    assert "120 messages are the same" in page
    assert "70 more are not shown here." in page
    assert "same 49" in page
    assert "same 50" not in page
    assert "More messages than these are not compared here." in page


def test_pictures_that_differ_under_the_same_text_are_told_of() -> None:
    def picture(name: str) -> list[dict[str, Any]]:
        part = {"type": "image_url", "image_url": {"url": f"https://example.org/{name}.png"}}
        return [turn("user", [{"type": "text", "text": "What is this?"}, part])]

    (pair,) = Comparison(
        make_completion(messages=picture("a")), make_completion(messages=picture("b"))
    ).prompts
    assert isinstance(pair, Pair)
    assert pair.note == "Pictures, sound or files differ"


def test_what_holds_is_compared_too_where_an_answer_was_corrected() -> None:
    first, second = make_completion(answer="teh sum"), make_completion(answer="the sum")
    assert Comparison(first, second).corrections is None
    value = {"text": "the sum", "tool_calls": None}
    author = factories.user("ada", "reviewer")
    correcting.save(first, value, {"text": "teh sum", "tool_calls": None}, author, None)
    compared = Comparison(first, second)
    assert text(compared.answers.left) == "[deleted: teh] sum"
    held = compared.corrections
    assert held is not None
    assert (held.note, text(held.left), text(held.right)) == ("A corrected", "the sum", "the sum")


def test_without_an_answer_its_place_is_empty(client_of: SignIn, reader: User) -> None:
    first, second = make_completion(item={"choices": []}), make_completion(answer="something")
    page = text(client_of(reader).get(address(first, second)).content.decode())
    assert "Nothing in this place." in page
    assert "something" in page


@pytest.mark.parametrize("payload", PAYLOADS)
def test_text_is_never_markup(client_of: SignIn, reader: User, payload: str) -> None:
    tags = [
        set(re.findall(r"<(\w+)", client_of(reader).get(address(one, other)).content.decode()))
        for one, other in (
            (
                make_completion(prompt=before, answer=before, metadata={"key": before.replace("\0", "")}),
                make_completion(prompt="x", answer="x"),
            )
            for before in ("plain", payload)
        )
    ]
    assert tags[1] - tags[0] <= {"span", "wbr", "bdi"}
