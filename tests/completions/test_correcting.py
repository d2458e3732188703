"""Corrections: what can be corrected, what is checked, and the corrected conversation for everybody else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completions import arguments, correcting
from completions.conversation import Conversation, parse
from completions.correcting import Flawed, Value, as_typed, corrected, fields, original, typed
from completions.models import ReviewEvent, ReviewState, StoredCompletion
from completions.reviewing import Overtaken
from tests import factories

ASKED = [{"role": "user", "content": "What is the weather in Oslo?"}]
ODD = st.text(st.characters() | st.sampled_from("\x00\r\n\ud800\udc00\ufeff"))


def call(arguments: Any = '{"city":"Oslo"}', **more: Any) -> dict[str, Any]:
    return {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": arguments},
    } | more


def talk(message: Any, *more: Any) -> Conversation:
    choices = [
        {"index": n, "finish_reason": "stop", "message": each} for n, each in enumerate((message, *more))
    ]
    return parse({"id": "chatcmpl-1", "model": "m", "choices": choices}, ASKED)


def value(conversation: Conversation) -> Value:
    found = original(conversation)
    assert found is not None
    return found


def type_in(conversation: Conversation, **given: str) -> Value:
    first = value(conversation)
    return typed({name.replace("_", "-"): text for name, text in given.items()}, first, first, conversation)


# Arguments.


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": 1,\n "b": }', "Line 2, column 7: a value is expected."),
        ('{"a" 1}', "Line 1, column 6: a colon is expected after the name."),
        ("{a: 1}", "Line 1, column 2: a name in double quotes is expected."),
        ('{"a": 1} x', "Line 1, column 10: the JSON has ended before this."),
        ('{"a": "b}', "Line 1, column 7: the text that begins here has no closing quote."),
        ('{"a": 1 "b": 2}', "Line 1, column 9: a comma or a closing bracket is expected."),
        ('{"a": 1,\n "a": 2}', 'Line 2, column 2: the name "a" stands here a second time.'),
        ('{"a": {"b": 1, "\\u0062": 2}}', 'Line 1, column 16: the name "\\u0062" stands here a second time.'),
        ('{"a": NaN}', "Line 1, column 7: NaN is no JSON: write null or a number."),
        ('{"a": [1, -Infinity]}', "Line 1, column 11: -Infinity is no JSON: write null or a number."),
        ("\n [1]", "Line 2, column 2: arguments are an object: {…}."),
        ("", "Line 1, column 1: a value is expected."),
        ('{"a":' + "[" * 100_000, "It is nested too deeply."),
        ('{"a": ' + "1" * 5_000 + "}", "It holds a number with too many digits."),
    ],
)
def test_arguments_are_checked_and_it_is_said_where_they_fail(text: str, why: str) -> None:
    with pytest.raises(arguments.Unreadable) as caught:
        arguments.check(text)
    assert str(caught.value) == why


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(st.dictionaries(st.text(), JSON, max_size=4), st.booleans(), st.sampled_from([None, 2]))
def test_every_json_object_is_taken(made: dict[str, Any], escaped: bool, indent: int | None) -> None:
    arguments.check(json.dumps(made, ensure_ascii=escaped, indent=indent))


# What is typed.


def test_an_answer_with_text_and_calls_has_a_field_for_each() -> None:
    conversation = talk({"content": "Let me look.", "tool_calls": [call(), call('{"city":"Rome"}')]})
    shown = [
        (each.name, each.title, each.text, each.is_json) for each in fields(value(conversation), conversation)
    ]
    assert shown == [
        ("text", "Answer", "Let me look.", False),
        ("arguments-0", "weather", '{"city":"Oslo"}', True),
        ("arguments-1", "weather", '{"city":"Rome"}', True),
    ]


def test_without_an_answer_there_is_nothing_to_correct() -> None:
    assert original(parse({"choices": []}, ASKED)) is None


def test_what_is_left_as_it_is_keeps_every_character() -> None:
    conversation = talk({"content": "one\r\ntwo\rthree\n"})
    assert type_in(conversation, text="one\r\ntwo\r\nthree\r\n") == value(conversation)


@given(ODD, ODD)
def test_an_editor_that_is_sent_as_it_came_changes_nothing_that_can_be_kept(
    text: str, given_json: str
) -> None:
    conversation = talk({"content": text or "x", "tool_calls": [call(given_json or "{}")]})
    first = value(conversation)
    sent = {each.name: each.shown for each in fields(first, conversation)}
    assert typed(sent, first, first, conversation) == first


@given(ODD)
def test_what_is_typed_can_be_stored_everywhere(text: str) -> None:
    try:
        made = type_in(talk({"content": "an answer"}), text=text)
    except Flawed:
        assert not as_typed(text).strip()
        return
    assert "\x00" not in made["text"]
    made["text"].encode()


def test_arguments_that_are_no_json_are_refused_by_their_field() -> None:
    conversation = talk({"content": None, "tool_calls": [call(), call()]})
    with pytest.raises(Flawed) as caught:
        type_in(conversation, arguments_1='{"city": }')
    assert caught.value.problems == {"arguments-1": "Line 1, column 10: a value is expected."}


def test_arguments_that_nobody_touched_are_not_held_against_who_corrects_the_text() -> None:
    conversation = talk({"content": "Lok.", "tool_calls": [call('{"city": "Os')]})
    assert type_in(conversation, text="Look.")["tool_calls"] == [
        {"name": "weather", "arguments": '{"city": "Os'}
    ]


def test_what_a_custom_tool_takes_is_no_json() -> None:
    custom = {"id": "c", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}
    conversation = talk({"content": None, "tool_calls": [custom]})
    made = type_in(conversation, arguments_0="SELECT 2")
    answer = corrected(conversation, made).answer
    assert answer is not None
    assert answer.tool_calls[0].raw == custom | {"custom": {"name": "sql", "input": "SELECT 2"}}


def test_an_answer_cannot_be_made_empty() -> None:
    with pytest.raises(Flawed, match="cannot be empty"):
        type_in(talk({"content": "x"}), text=" \r\n")


def test_an_answer_of_calls_alone_gets_a_text_only_if_one_is_typed() -> None:
    conversation = talk({"content": None, "tool_calls": [call()]})
    assert type_in(conversation, text="")["text"] is None
    assert type_in(conversation, text="Looking.")["text"] == "Looking."


def test_a_text_that_is_too_long_is_refused_in_words() -> None:
    with pytest.raises(Flawed, match="500,000 characters"):
        type_in(talk({"content": "x"}), text="y" * 500_001)


# What comes of it.


def test_the_corrected_conversation_differs_in_the_answer_alone() -> None:
    conversation = talk({"content": "Suny.", "tool_calls": [call()]}, {"content": "Rain."})
    made = corrected(
        conversation,
        {"text": "Sunny.", "tool_calls": [{"name": "weather", "arguments": '{"city":"Bergen"}'}]},
    )
    assert made.messages == conversation.messages
    assert made.choices[1] == conversation.choices[1]
    answer = made.answer
    assert answer is not None
    assert (answer.index, answer.text) == (1, "Sunny.")
    (asked,) = answer.tool_calls
    assert (asked.id, asked.parsed) == ("call_1", {"city": "Bergen"})
    assert made.item["choices"][0]["message"]["content"] == "Sunny."
    assert conversation.item["choices"][0]["message"]["content"] == "Suny."


def test_a_correction_that_changes_nothing_makes_the_same_conversation() -> None:
    conversation = talk({"content": "x", "tool_calls": [call()]})
    assert corrected(conversation, None) is conversation
    assert corrected(conversation, value(conversation)) == conversation


def test_the_first_answer_is_corrected_wherever_it_stands() -> None:
    entries = [
        "noise",
        {"index": 1, "message": {"content": "second"}},
        {"index": 0, "message": {"content": "first"}},
    ]
    made = corrected(parse({"choices": entries}, ASKED), {"text": "new", "tool_calls": None})
    assert [choice.message.text for choice in made.choices] == ["new", "second"]


@pytest.mark.parametrize(
    ("message", "content"),
    [
        ({"content": "old", "refusal": "I cannot."}, "new"),
        (
            {
                "content": None,
                "content_parts": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            },
            "new",
        ),
        (
            {
                "content": [
                    {"type": "refusal", "refusal": "No."},
                    {"type": "image_url", "image_url": {"url": "u"}},
                ]
            },
            [{"type": "text", "text": "new"}, {"type": "image_url", "image_url": {"url": "u"}}],
        ),
    ],
    ids=["a refusal", "parts", "a picture"],
)
def test_a_corrected_text_takes_the_place_of_what_was_said(message: Any, content: Any) -> None:
    made = corrected(talk(message), {"text": "new", "tool_calls": None})
    assert made.item["choices"][0]["message"]["content"] == content
    assert made.answer is not None
    assert (made.answer.text, made.answer.refusal) == ("new", "")


def test_a_call_in_the_old_form_stays_in_it() -> None:
    conversation = talk({"content": None, "function_call": {"name": "weather", "arguments": "{}"}})
    made = corrected(conversation, type_in(conversation, arguments_0='{"city":"Oslo"}'))
    assert made.item["choices"][0]["message"] == {
        "content": None,
        "function_call": {"name": "weather", "arguments": '{"city":"Oslo"}'},
    }


def test_a_correction_outlives_an_answer_that_changed_its_calls() -> None:
    held = {"text": None, "tool_calls": [{"name": "weather", "arguments": "{}"}] * 2}
    made = corrected(talk({"content": "x", "tool_calls": [call()]}), held).answer
    assert made is not None
    assert [(each.id, each.name, each.arguments) for each in made.tool_calls] == [
        ("call_1", "weather", "{}"),
        ("call_corrected_2", "weather", "{}"),
    ]


# What is written down.


@pytest.mark.engines
@pytest.mark.django_db(transaction=True)
def test_a_correction_holds_until_it_says_what_the_original_says() -> None:
    row: StoredCompletion = factories.make_completion(answer="Teh sum.")
    author = factories.user("ada", "reviewer")
    first: Value = {"text": "Teh sum.", "tool_calls": None}
    correcting.save(row, first | {"text": "The sum."}, first, author, None)
    event = correcting.holding(row)
    assert event is not None
    assert (event.value, event.author) == ({"text": "The sum.", "tool_calls": None}, author)
    with pytest.raises(Overtaken):
        correcting.save(row, first | {"text": "A sum."}, first, author, None)
    assert not correcting.save(row, first | {"text": "The sum."}, first, author, event.pk).changed
    correcting.save(row, first, first, author, event.pk)
    assert correcting.holding(row) is None
    assert ReviewState.objects.get(pk=row.pk).correction is None
    assert [each.value for each in correcting.versions(row, 9)] == [None, event.value]
    assert ReviewEvent.objects.count() == 2
