"""Reading conversations: tolerant of every shape, and never losing what it does not understand."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from completions import conversation
from completions.conversation import parse, read_message

AZURE_ITEM: dict[str, Any] = {
    "id": "chatcmpl-a",
    "model": "gpt-4o-2024-08-06",
    "seed": -430976584126747957,
    "choices": [{"index": 0, "finish_reason": None, "message": {"role": "assistant", "content": "Yes."}}],
}


def test_content_parts_win_over_content() -> None:
    message = read_message(
        {"role": "user", "content": None, "content_parts": [{"type": "text", "text": "What is this?"}]}, 0
    )
    assert message.text == "What is this?"


def test_camel_case_answers_are_read_like_snake_case_ones() -> None:
    item = {"choices": [{"finishReason": "stop", "message": {"toolCalls": [], "content": "x"}}], "topP": 0.5}
    read = parse(item, [])
    assert read.finish_reason == "stop"
    assert read.parameters["top_p"] == 0.5


def test_a_seed_beyond_64_bit_floats_keeps_every_digit() -> None:
    assert parse(AZURE_ITEM, None).parameters["seed"] == -430976584126747957


def test_pending_messages_leave_the_counts_unknown() -> None:
    read = parse(AZURE_ITEM, None)
    assert read.messages is None
    assert read.turns is None
    assert read.has_image is None
    assert read.texts().answer == "Yes."


def test_texts_are_kept_apart_by_who_wrote_them() -> None:
    read = parse(
        AZURE_ITEM,
        [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Is it?"},
            {"role": "tool", "content": "42", "tool_call_id": "call_1"},
        ],
    )
    texts = read.texts()
    assert (texts.system, texts.prompt, texts.answer) == ("Be brief.", "Is it?\n\n42", "Yes.")
    assert read.previews() == ("Is it?", "Yes.")


def test_arguments_that_are_not_json_stay_as_text() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{oops"}}
    message = read_message({"role": "assistant", "tool_calls": [call]}, 0)
    assert message.tool_calls[0].arguments == "{oops"
    assert message.tool_calls[0].parsed is None


def test_unknown_roles_and_parts_are_kept_and_named() -> None:
    odd = {"role": "oracle", "content": [{"type": "hologram", "frames": [1, 2]}]}
    read = parse({}, [odd])
    assert [message.role for message in read.unknown] == ["oracle"]
    assert json.loads(read.unknown[0].parts[0].text) == odd["content"][0]


def test_a_remote_image_is_known_by_its_host_and_a_data_image_has_none() -> None:
    parts = read_message(
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "https://images.example/cat.png"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "image_url", "image_url": {"url": "http://[broken"}},
            ],
        },
        0,
    ).parts
    assert [part.host for part in parts] == ["images.example", "", ""]


def test_a_value_nested_too_deeply_is_shown_as_a_sentence() -> None:
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    assert "too deeply" in conversation.as_json(deep)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "type", "text", "tool_calls", "function", "choices", "message", "refusal"]
            )
            | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(
    item=st.dictionaries(st.sampled_from(["choices", "tools", "seed", "model"]), JSON),
    messages=st.lists(JSON),
)
def test_no_shape_breaks_the_reader(item: dict[str, Any], messages: list[Any]) -> None:
    read = parse(item, [entry for entry in messages if isinstance(entry, dict)])
    prompt, answer = read.previews()
    assert max(len(prompt), len(answer)) <= conversation.PREVIEW_CHARS
    assert all(isinstance(message.role, str) for message in read.everything)
    texts = read.texts()
    assert all(isinstance(text, str) for text in (texts.system, texts.prompt, texts.answer))
