"""One completion in full: its own address, its conversation, its bytes, the rows around it."""

import json
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client
from django.utils.html import escape

from completions.models import Body
from completions.raw import pack
from completions.talk import Talk
from portal.models import User
from tests import factories
from tests.factories import make_completion
from tests.portal.test_rendering import PAYLOADS

pytestmark = pytest.mark.django_db

SignIn = Callable[[User], Client]
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAf"
    "FcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def address(made: Any, query: str = "") -> str:
    return f"/completions/{made.connection.slug}/{made.upstream_id}/{query}"


def fragment(client: Client, url: str) -> str:
    return client.get(url, headers={"HX-Request": "true", "HX-Target": "drawer"}).content.decode()


def test_opened_by_itself_it_is_a_page_with_the_table_behind_it(client_of: SignIn, reader: User) -> None:
    made = make_completion(prompt="a question", answer="an answer")
    text = client_of(reader).get(address(made)).content.decode()
    assert "<html" in text
    assert 'class="drawer"' in text
    assert f'id="row-{made.pk}"' in text


def test_beside_the_table_it_is_a_fragment(client_of: SignIn, reader: User) -> None:
    made = make_completion(prompt="a question")
    text = fragment(client_of(reader), address(made))
    assert text.lstrip().startswith('<aside class="drawer"')
    assert f'data-key="{made.connection.slug}/{made.upstream_id}"' in text


def test_an_id_from_upstream_may_hold_nearly_anything(client_of: SignIn, reader: User) -> None:
    where = factories.connection()
    for upstream_id in ("chatcmpl-a/b", "with space", "50%", "ünï?x#y", "<b>", "select"):
        made = make_completion(where, upstream_id=upstream_id)
        client = client_of(reader)
        page = client.get("/completions/")
        assert page.status_code == 200
        from completions.addresses import drawer_address

        assert client.get(drawer_address(where.slug, made.upstream_id, made.pk)).status_code == 200


@pytest.mark.parametrize(
    "upstream_id", [".", "..", "a/b", "/", "../..", "health", "health/sync", "a\\b", "a\nb"]
)
def test_an_id_that_a_path_cannot_hold_is_opened_by_number(
    client_of: SignIn, reader: User, upstream_id: str
) -> None:
    where = factories.connection()
    made = make_completion(where, created=20, upstream_id=upstream_id, prompt="hard to reach")
    plain = make_completion(where, created=10)
    client, by_number = client_of(reader), f"/completions/{where.slug}/by-number/{made.pk}/"
    assert made.get_absolute_url() == by_number
    assert plain.get_absolute_url() == f"/completions/{where.slug}/{plain.upstream_id}/"
    assert f'href="{by_number}"' in client.get("/completions/").content.decode()
    assert f'href="{by_number}" data-drawer-previous' in fragment(client, address(plain))
    text = fragment(client, by_number)
    assert "hard to reach" in text
    assert f'"{by_number}?tab=json"' in text
    assert f'href="/completions/{where.slug}/{plain.upstream_id}/" data-drawer-next' in text


def test_a_number_opens_nothing_that_the_person_may_not_read(client_of: SignIn) -> None:
    mine, foreign = factories.connection(), factories.connection()
    hidden = make_completion(foreign, upstream_id="..")
    client = client_of(factories.user("near", role="reader", connection=mine))
    for slug in (mine.slug, foreign.slug):
        assert client.get(f"/completions/{slug}/by-number/{hidden.pk}/").status_code == 404


def test_previous_and_next_stay_within_the_result(client_of: SignIn, reader: User) -> None:
    where = factories.connection()
    rows = [make_completion(where, created=at, metadata={"c": "x" if at % 2 else "y"}) for at in range(5)]
    text = fragment(client_of(reader), address(rows[3], "?q=meta.c:x"))
    assert f'href="/completions/{where.slug}/{rows[1].upstream_id}/?q=meta.c%3Ax" data-drawer-next' in text
    assert "data-drawer-previous" not in text
    text = fragment(client_of(reader), address(rows[3]))
    assert f'href="/completions/{where.slug}/{rows[4].upstream_id}/" data-drawer-previous' in text
    assert f'href="/completions/{where.slug}/{rows[2].upstream_id}/" data-drawer-next' in text


def test_closing_leads_back_to_the_same_page(client_of: SignIn, reader: User) -> None:
    made = make_completion()
    text = fragment(client_of(reader), address(made, "?q=model%3Aa&after=5.6"))
    assert 'href="/completions/?q=model%3Aa&amp;after=5.6" data-drawer-close' in text


def tool_messages() -> list[dict[str, Any]]:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
    }
    return [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Rain?"},
                {"type": "image_url", "image_url": {"url": PIXEL}},
            ],
        },
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "12 degrees"},
        {"role": "tool", "tool_call_id": "call_9", "content": "lost"},
        {"role": "narrator", "content": [{"type": "hologram", "beam": "blue"}]},
    ]


def test_a_conversation_is_shown_with_calls_and_their_results(client_of: SignIn, reader: User) -> None:
    made = make_completion(messages=tool_messages(), answer="No **rain**.")
    speeches = list(Talk(made, Body.objects.get(pk=made.pk)).speeches())
    assert [speech.role for speech in speeches] == [
        "developer",
        "user",
        "assistant",
        "tool",
        "unknown",
        "assistant",
    ]
    (call,) = speeches[2].calls
    assert (call.name, call.readable, call.answers[0].text) == ("weather", True, "12 degrees")
    assert "call_9" in speeches[3].note
    text = fragment(client_of(reader), address(made))
    assert f'<img class="picture" src="{PIXEL}"' in text.replace("&#x3D;", "=")
    assert "hologram" in text
    assert "<strong>rain</strong>" in text


def test_a_remote_picture_is_a_link_that_names_its_host(client_of: SignIn, reader: User) -> None:
    url = "https://pictures.example.com/a.png"
    made = make_completion(
        messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
    )
    text = fragment(client_of(reader), address(made))
    assert "<img" not in text
    assert "Image on" in text
    assert "pictures.example.com" in text


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,<b>x",
        "data:image/svg+xml;base64,AAAA",
        "//x",
        "http://[",
        "file:///x",
    ],
)
def test_no_other_address_becomes_a_picture_or_a_link(client_of: SignIn, reader: User, url: str) -> None:
    made = make_completion(
        messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
    )
    text = fragment(client_of(reader), address(made))
    assert "<img" not in text
    assert f'href="{url}"' not in text
    assert "Image that cannot be shown" in text


def test_a_refusal_is_shown_as_one(client_of: SignIn, reader: User) -> None:
    item = {
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": None, "refusal": "I will not."},
            }
        ]
    }
    made = make_completion(item=item)
    text = fragment(client_of(reader), address(made))
    assert "bubble refusal" in text
    assert "I will not." in text


@pytest.mark.parametrize(("answer", "said"), [("", "Nothing was said."), (" \n\t", "Only spaces were said.")])
def test_an_answer_of_nothing_says_so(client_of: SignIn, reader: User, answer: str, said: str) -> None:
    assert said in fragment(client_of(reader), address(make_completion(answer=answer)))


def test_words_of_the_filter_are_handed_to_the_page(client_of: SignIn, reader: User) -> None:
    made = make_completion(prompt="An Apple, a pineapple", answer="<apple>")
    client = client_of(reader)
    assert "data-words" not in fragment(client, address(made))
    words = fragment(client, address(made, "?q=apple"))
    assert f'data-words="{escape(json.dumps([["apple", True, True]]))}"' in words
    part = fragment(client, address(made, '?q=~"appl"'))
    assert f'data-words="{escape(json.dumps([["appl", False, False]]))}"' in part


def test_raw_text_is_remembered(client_of: SignIn, reader: User) -> None:
    made = make_completion(answer="**bold**")
    client = client_of(reader)
    assert "<strong>bold</strong>" in fragment(client, address(made))
    assert "**bold**" in fragment(client, address(made, "?text=raw"))
    again = fragment(client, address(made))
    assert "<strong>bold</strong>" not in again.split("copy-m1", 1)[-1]
    assert "<strong>" not in again
    assert "<strong>bold</strong>" in fragment(client, address(made, "?text=rich"))


def test_details_and_json_hold_what_upstream_sent(client_of: SignIn, reader: User) -> None:
    made = make_completion(
        metadata={"category": "docs"},
        item={"temperature": 0.25, "usage": {"prompt_tokens": 7, "details": {"cached": 3}}},
    )
    client = client_of(reader)
    details = fragment(client, address(made, "?tab=details"))
    for part in ("category", "0.25", "details cached", made.upstream_id, made.connection.name):
        assert part in details
    shown = fragment(client, address(made, "?tab=json"))
    for part in ("temperature", "Messages", "role"):
        assert part in shown


def test_a_body_that_cannot_be_read_says_so(client_of: SignIn, reader: User) -> None:
    made = make_completion()
    for blob in (b"", b"no zlib", __import__("zlib").compress(b'{"item": 3, "pages": null}\n[1]')):
        Body.objects.filter(pk=made.pk).update(raw=blob)
        for tab in ("conversation", "details", "json"):
            assert "Its bytes cannot be read" in fragment(client_of(reader), address(made, f"?tab={tab}"))
    Body.objects.all().delete()
    assert "Its text is not here" in fragment(client_of(reader), address(made))


def test_messages_that_are_not_here_yet_are_announced(client_of: SignIn, reader: User) -> None:
    made = make_completion(answer="early answer", messages_state="pending")
    item = {
        "id": made.upstream_id,
        "choices": [{"message": {"role": "assistant", "content": "early answer"}}],
    }
    Body.objects.filter(pk=made.pk).update(raw=pack(json.dumps(item).encode(), None))
    text = fragment(client_of(reader), address(made))
    assert "The messages are not here yet" in text
    assert "early answer" in text


def test_two_hundred_messages_take_as_many_queries_as_two(client_of: SignIn, reader: User) -> None:
    from django.db import connection as database
    from django.test.utils import CaptureQueriesContext

    where = factories.connection()
    client = client_of(reader)
    counts = []
    make_completion(where)
    for times in (2, 200):
        talk = [{"role": ("user", "assistant")[n % 2], "content": f"turn {n}"} for n in range(times)]
        made = make_completion(where, messages=talk)
        make_completion(where)
        with CaptureQueriesContext(database) as captured:
            assert f"turn {times - 1}" in fragment(client, address(made))
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_half_characters_do_not_break_the_page(client_of: SignIn, reader: User) -> None:
    made = make_completion()
    said = [
        {"role": "user", "content": "a\ud800b"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.test/\ud800"}}]},
    ]
    item = {"id": made.upstream_id, "choices": [{"message": {"role": "assistant", "content": "c\udfffd"}}]}
    pages = [json.dumps({"data": said}).encode()]
    Body.objects.filter(pk=made.pk).update(raw=pack(json.dumps(item).encode(), pages))
    for query in ("", "?text=raw", "?tab=details", "?tab=json"):
        assert "drawer" in fragment(client_of(reader), address(made, query))


def test_a_long_conversation_is_folded_in_the_middle(client_of: SignIn, reader: User) -> None:
    talk = [{"role": ("user", "assistant")[n % 2], "content": f"turn {n}."} for n in range(200)]
    made = make_completion(messages=talk, answer="the last word")
    client = client_of(reader)
    text = fragment(client, address(made))
    for shown in ("turn 0.", "turn 19.", "turn 170.", "turn 199.", "the last word"):
        assert shown in text
    assert "turn 20." not in text
    assert "150 messages between are folded" in text
    whole = client.get(address(made, "?full=all"), headers={"HX-Request": "true", "HX-Target": "talk"})
    text = whole.content.decode()
    assert text.lstrip().startswith('<div class="msgs" id="talk"')
    assert all(f"turn {n}." in text for n in range(200))
    assert "folded" not in text


def test_a_conversation_without_end_is_shown_from_both_ends(client_of: SignIn, reader: User) -> None:
    talk = [{"role": ("user", "assistant")[n % 2], "content": f"turn {n}."} for n in range(3_000)]
    made = make_completion(messages=talk, answer="the last word")
    text = fragment(client_of(reader), address(made, "?full=all"))
    for shown in ("turn 0.", "turn 1499.", "turn 2500.", "turn 2999.", "the last word"):
        assert shown in text
    assert "turn 1500." not in text
    assert "1,000 messages between are not shown" in text


def test_a_long_message_is_folded_and_comes_when_asked_for(client_of: SignIn, reader: User) -> None:
    long = "\n".join(f"line {n:04}" for n in range(1_240))
    made = make_completion(prompt=long)
    client = client_of(reader)
    text = fragment(client, address(made))
    assert f"Show all {len(long):,} characters" in text
    assert "line 0001" in text
    assert "line 1239" not in text
    whole = client.get(address(made, "?full=m0"), headers={"HX-Request": "true", "HX-Target": "m0"})
    assert whole.content.decode().startswith('<div class="msg user" id="m0">')
    assert "line 1239" in whole.content.decode()
    for unknown in ("m9", "mx", "m²", "m99999999999"):
        answer = client.get(
            address(made, f"?full={unknown}"), headers={"HX-Request": "true", "HX-Target": unknown}
        )
        assert answer.status_code == 404


def test_calls_without_result_and_results_without_call_are_named(client_of: SignIn, reader: User) -> None:
    def call(identity: str) -> dict[str, Any]:
        return {"id": identity, "type": "function", "function": {"name": "look", "arguments": "{}"}}

    made = make_completion(
        messages=[
            {"role": "assistant", "tool_calls": [call("same"), call("lost")]},
            {"role": "tool", "tool_call_id": "same", "content": "first time"},
            {"role": "assistant", "tool_calls": [call("same")]},
            {"role": "tool", "tool_call_id": "same", "content": "second time"},
            {"role": "tool", "tool_call_id": "same", "content": "and once more"},
            {"role": "tool", "tool_call_id": "nobody", "content": "orphaned"},
            {"role": "tool", "content": "no id at all"},
            {"role": "assistant", "function_call": {"name": "old", "arguments": "{}"}},
            {"role": "function", "name": "old", "content": "old form"},
        ],
        item={"choices": [{"message": {"role": "assistant", "tool_calls": [call("open")]}}]},
    )
    speeches = list(Talk(made, Body.objects.get(pk=made.pk)).speeches())
    told = [[[piece.text for piece in each.answers] for each in speech.calls] for speech in speeches]
    assert told == [[["first time"], []], [["second time", "and once more"]], [], [], [["old form"]], [[]]]
    assert [each.missing for speech in speeches for each in speech.calls] == [
        False,
        True,
        False,
        False,
        False,
    ]
    assert [speech.orphan for speech in speeches] == [False, False, True, True, False, False]
    text = fragment(client_of(reader), address(made))
    assert text.count("No result for this call") == 1
    assert "nobody" in text


def test_many_calls_are_folded_and_never_dropped_in_silence(client_of: SignIn, reader: User) -> None:
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": f"call_{n}", "arguments": '{"n": 1}'}}
        for n in range(5_000)
    ]
    made = make_completion(messages=[{"role": "assistant", "tool_calls": calls}])
    client = client_of(reader)
    text = fragment(client, address(made))
    assert text.count('<details class="call" open>') == 20
    assert "Show the first 500 calls" in text
    whole = client.get(address(made, "?full=m0"), headers={"HX-Request": "true", "HX-Target": "m0"})
    assert whole.content.decode().count('<details class="call" open>') == 500
    assert "4,500 more calls are not shown here" in whole.content.decode()


def copied(client: Client, made: Any, what: str) -> str:
    answer = client.get(address(made, f"?copy={what}"))
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    return answer.content.decode()


def test_what_is_copied_is_what_was_written(client_of: SignIn, reader: User) -> None:
    said = "a\u200bb <b>&amp;</b>\n```\nx\n```\u00a0" + "z" * 9_000
    made = make_completion(prompt=said, answer="**yes**", metadata={"k": "v"})
    client = client_of(reader)
    assert copied(client, made, "m0") == said
    assert copied(client, made, "answer") == "**yes**"
    assert copied(client, made, "conversation") == f"User:\n{said}\n\nAssistant:\n**yes**"
    assert json.loads(copied(client, made, "item"))["metadata"] == {"k": "v"}
    assert json.loads(copied(client, made, "messages"))[0]["content"] == said
    assert "store=False" in copied(client, made, "python")
    for nothing in ("m7", "", "x", "m-1", "m²"):
        assert client.get(address(made, f"?copy={nothing}")).status_code == 404


def test_nothing_is_copied_that_the_person_may_not_read(client_of: SignIn) -> None:
    mine, foreign = factories.connection(), factories.connection()
    made = make_completion(foreign)
    client = client_of(factories.user("near", role="reader", connection=mine))
    for query in (
        "?copy=answer",
        "?copy=python",
        "?part=item&node=",
        "?part=item&node=0&as=value",
        "?full=m0",
    ):
        assert client.get(address(made, query)).status_code == 404


def test_a_tree_gives_its_branches_paths_and_values(client_of: SignIn, reader: User) -> None:
    odd = {"<b>": {"it's": [10, "<i>"]}, "list": list(range(450))}
    made = make_completion(item={"extra": odd})
    client = client_of(reader)
    page = fragment(client, address(made, "?tab=json"))
    assert "data-tree-source=" in page
    assert "data-later" in page
    item = json.loads(copied(client, made, "item"))
    at = list(item).index("extra")

    def node(path: str, **more: str) -> str:
        return client.get(address(made), {"part": "item", "node": path, **more}).content.decode()

    assert "&lt;b&gt;" in node(f"{at}")
    assert node(f"{at}.0.0.1", **{"as": "value"}) == "<i>"
    assert node(f"{at}.0.0.1", **{"as": "name"}) == 'extra["<b>"]["it\'s"][1]'
    assert json.loads(node(f"{at}.0", **{"as": "value"})) == {"it's": [10, "<i>"]}
    assert "250 more" in node(f"{at}.1")
    rest = node(f"{at}.1", **{"from": "400"})
    assert rest.count('class="row"') == 50
    for wrong in ("99", f"{at}.1.5.5", "x", "-1", "1.", "²"):
        assert client.get(address(made), {"part": "item", "node": wrong}).status_code == 404


class Page(HTMLParser):
    """What a page could do: its elements, event handlers, addresses and requests."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.harm: list[tuple[str, str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            text = (value or "").strip().lower()
            ours = text.startswith(("/completions/", "/static/"))
            if name.startswith(("on", "hx-on", "data-hx", "style")) or (name == "hx-get" and not ours):
                self.harm.append((tag, name, text))
            if (
                name in ("href", "src")
                and not ours
                and not text.startswith(("http://", "https://", "mailto:"))
            ):
                self.harm.append((tag, name, text))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_that_was_written_becomes_part_of_the_page(
    client_of: SignIn, reader: User, payload: str
) -> None:
    payload = written = payload.replace("\x00", "\ufffd")  # which no database column would take
    call = {"id": payload, "type": "function", "function": {"name": payload, "arguments": payload}}
    made = make_completion(
        metadata={written[:60]: written},
        model=written[:60],
        finish_reason=written[:30],
        request_id=written[:60],
        messages=[
            {"role": payload, "name": payload, "content": payload},
            {
                "role": "assistant",
                "tool_calls": [call, {**call, "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": payload, "content": json.dumps({payload: payload})},
            {"role": "tool", "tool_call_id": "x" + payload, "content": payload},
            {"role": "user", "content": [{"type": payload, "text": payload}]},
            {"role": "user", "content": [{"type": "file", "file": {"filename": payload}}]},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": payload}}]},
        ],
        item={
            "tools": [{"type": "function", "function": {"name": payload, "description": payload}}],
            "response_format": {payload: payload},
            "usage": {payload: payload},
            "choices": [{"message": {"role": "assistant", "content": payload, "refusal": payload}}],
        },
    )
    client = client_of(reader)
    for query in (
        "",
        "?text=raw",
        "?tab=details",
        "?tab=json",
        "?tab=json&as=text",
        "?tab=code",
        "?full=all",
    ):
        page = Page(fragment(client, address(made, query)))
        assert page.harm == []
        assert not page.tags & {"script", "style", "iframe", "form", "img", "meta", "object", "base", "title"}


def test_what_is_huge_is_still_a_page(client_of: SignIn, reader: User) -> None:
    made = make_completion(
        messages=[
            {"role": "user", "content": "\u202e" * 200_000},
            {"role": "user", "content": "**b** " * 170_000},
            {"role": "user", "content": "\u0645" * 1_000_000},
            {"role": "user", "content": json.dumps([[1] * 100] * 100)},
        ],
        answer="[" * 100_000,
    )
    client = client_of(reader)
    for query in (
        "",
        "?full=all",
        "?text=raw",
        "?tab=details",
        "?tab=json",
        "?tab=json&as=text",
        "?tab=code",
    ):
        assert len(fragment(client, address(made, query))) < 4_000_000
    assert copied(client, made, "m2") == "\u0645" * 1_000_000


def test_hidden_characters_of_a_message_are_counted(client_of: SignIn, reader: User) -> None:
    made = make_completion(prompt="pay\u200b\u202e now")
    assert "2 hidden characters" in fragment(client_of(reader), address(made))


def test_huge_messages_do_not_make_a_huge_page(client_of: SignIn, reader: User) -> None:
    talk = [{"role": "user", "content": f"turn {n} " + "x" * 900_000} for n in range(20)]
    made = make_completion(messages=talk, answer="y " * 1_000_000)
    text = fragment(client_of(reader), address(made))
    assert "turn 0 " in text
    assert "turn 19 " in text
    assert len(text) < 4_000_000
