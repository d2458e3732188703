"""A stored conversation becomes a training line, or a reason why not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completions.conversation import parse
from datasets.build import files, validate
from datasets.build.convert import supervised
from datasets.build.lines import REASONS, Line, Refusal
from datasets.build.material import Material
from datasets.build.tokens import Counter
from datasets.recipe import Recipe

PIXEL = "data:image/png;base64,iVBORw0KGgo="
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": None,
        "parameters": {"type": "object", "default": None},
    },
}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Bern"}'},
}

BROKEN_CALL = {**CALL, "function": {"name": "get_weather", "arguments": "{"}}
CUSTOM_CALL = {"id": "c", "type": "custom", "custom": {"name": "x", "input": "y"}}


def picture(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def item(answer: Any = "Fine.", finish: str | None = "stop", **fields: Any) -> dict[str, Any]:
    """A list item as Azure sends it, with the nulls and extras that must not be copied."""
    message = {
        "role": "assistant",
        "content": answer,
        "refusal": None,
        "tool_calls": None,
        "function_call": None,
        "annotations": [],
        "audio": None,
    }
    message |= fields.pop("message", {})
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": finish,
        "logprobs": None,
        "content_filter_results": {},
    }
    return {
        "id": "chatcmpl-1",
        "choices": [choice],
        "usage": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25},
        "tools": None,
        **fields,
    }


def user(content: Any = "How are you?", **fields: Any) -> dict[str, Any]:
    return {"id": "m1", "role": "user", "content": content, "content_parts": None, "name": None, **fields}


def written(found: dict[str, Any], messages: list[dict[str, Any]] | None, **options: Any) -> Line | Refusal:
    material = Material("library/chatcmpl-1", parse(found, messages))
    return supervised(material, Recipe(**options), Counter.plain())


def line_of(found: dict[str, Any], messages: list[dict[str, Any]] | None, **options: Any) -> Line:
    made = written(found, messages, **options)
    assert isinstance(made, Line), made
    return made


def reason_of(found: dict[str, Any], messages: list[dict[str, Any]] | None) -> str:
    made = written(found, messages)
    assert isinstance(made, Refusal), made
    assert made.reason in REASONS
    return made.reason


def test_only_what_the_format_knows_is_written() -> None:
    made = line_of(item(), [{"role": "developer", "content": "Be brief."}, user(name="ada")])
    assert made.data == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "How are you?", "name": "ada"},
            {"role": "assistant", "content": "Fine."},
        ]
    }


def test_a_developer_message_becomes_a_system_message() -> None:
    made = line_of(item(), [{"role": "developer", "content": "Be brief."}, user()])
    assert made.data["messages"][0]["role"] == "system"


def test_tools_and_their_calls_are_kept_with_the_ids_that_join_them() -> None:
    asked = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    answered = {"role": "tool", "tool_call_id": "call_1", "content": "Sunny."}
    made = line_of(item(tools=[TOOL], parallel_tool_calls=False), [user(), asked, answered])
    assert made.data["tools"] == [
        {
            "type": "function",
            "function": {"name": "get_weather", "parameters": {"type": "object", "default": None}},
        }
    ]
    assert made.data["parallel_tool_calls"] is False
    assert made.data["messages"][1] == {"role": "assistant", "tool_calls": [CALL]}
    assert made.data["messages"][2] == {"role": "tool", "content": "Sunny.", "tool_call_id": "call_1"}


def test_an_answer_that_only_calls_a_tool_is_an_answer() -> None:
    made = line_of(item(None, "tool_calls", message={"tool_calls": [CALL]}, tools=[TOOL]), [user()])
    assert made.data["messages"][-1] == {"role": "assistant", "tool_calls": [CALL]}


def test_an_embedded_image_of_a_user_is_kept() -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
    ]
    made = line_of(item(), [user(None, content_parts=parts)])
    assert made.data["messages"][0]["content"] == parts


def test_training_on_the_last_answer_makes_earlier_ones_context() -> None:
    messages = [user(), {"role": "assistant", "content": "Well."}, user("And now?")]
    made = line_of(item(), messages, train_on="last")
    assert made.data["messages"][1]["weight"] == 0
    assert "weight" not in made.data["messages"][-1]


@pytest.mark.parametrize(
    ("reason", "found", "messages"),
    [
        ("pending", item(), None),
        ("no_messages", item(), []),
        ("no_answer", item(choices=[]), [user()]),
        ("empty_answer", item("  \n"), [user()]),
        ("empty_answer", item(None), [user()]),
        ("refusal", item(None, message={"refusal": "I cannot."}), [user()]),
        ("refusal", item(), [user(), {"role": "assistant", "content": None, "refusal": "No."}, user()]),
        ("unknown_role", item(), [{"role": "critic", "content": "Hm."}]),
        ("unknown_part", item(), [user([{"type": "hologram", "data": 1}])]),
        ("audio", item(), [user([{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}])]),
        ("audio", item(message={"audio": {"id": "a", "transcript": "x"}}), [user()]),
        ("file", item(), [user([{"type": "file", "file": {"file_id": "f"}}])]),
        ("remote_image", item(), [user([picture("https://example.org/a.png")])]),
        ("image_type", item(), [user([picture("data:image/svg+xml,<svg/>")])]),
        (
            "image_elsewhere",
            item(),
            [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": PIXEL}}]}, user()],
        ),
        ("too_many_images", item(), [user([{"type": "image_url", "image_url": {"url": PIXEL}}] * 65)]),
        ("empty_message", item(), [user(None)]),
        ("tool_call_without_tools", item(None, message={"tool_calls": [CALL]}), [user()]),
        ("tool_id_lost", item(), [user(), {"role": "tool", "content": "Sunny."}]),
        ("tool_id_lost", item(), [user(), {"role": "tool", "tool_call_id": "call_9", "content": "Sunny."}]),
        (
            "tool_arguments",
            item(None, message={"tool_calls": [BROKEN_CALL]}, tools=[TOOL]),
            [user()],
        ),
        (
            "custom_tool",
            item(None, message={"tool_calls": [CUSTOM_CALL]}),
            [user()],
        ),
        ("custom_tool", item(tools=[{"type": "custom", "custom": {"name": "x"}}]), [user()]),
        ("legacy_function", item(), [user(), {"role": "function", "name": "f", "content": "1"}]),
        ("too_many_messages", item(), [user()] * 2048),
        ("too_many_tools", item(tools=[TOOL] * 129), [user()]),
    ],
)  # fmt: skip
def test_what_cannot_be_expressed_is_refused_with_its_reason(
    reason: str, found: dict[str, Any], messages: list[dict[str, Any]] | None
) -> None:
    assert reason_of(found, messages) == reason


@pytest.mark.parametrize(("finish", "warning"), [("length", "truncated"), ("content_filter", "filtered")])
def test_a_cut_answer_is_written_with_a_warning(finish: str, warning: str) -> None:
    assert line_of(item(finish=finish), [user()]).warnings == (warning,)


def test_tokens_come_from_usage() -> None:
    made = line_of(item(), [user()])
    assert (made.tokens, made.estimated) == (25, False)


def test_tokens_leave_out_what_was_only_thought() -> None:
    usage = {
        "prompt_tokens": 20,
        "completion_tokens": 105,
        "completion_tokens_details": {"reasoning_tokens": 100},
    }
    assert line_of(item(usage=usage), [user()]).tokens == 25


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": -1, "completion_tokens": 3}, {"prompt_tokens": True}]
)
def test_tokens_are_estimated_and_marked_where_usage_is_missing(usage: Any) -> None:
    made = line_of(item("word " * 100, usage=usage), [user()])
    assert made.estimated
    assert made.tokens is not None
    assert 100 <= made.tokens <= 200


def test_separators_that_break_line_readers_are_escaped_and_nothing_else() -> None:
    text = "a\u2028b\u2029c\x85d é 漢 \U0001f600 \x00"
    line = files.as_line(line_of(item(text), [user()]).data)
    assert line.endswith(b"\n")
    assert len(line.decode().splitlines()) == 1
    assert b"\\u2028b\\u2029c\\u0085d" in line
    assert "é 漢 \U0001f600".encode() in line
    assert not line.startswith(b"\xef\xbb\xbf")
    assert json.loads(line)["messages"][-1]["content"] == text


@pytest.mark.parametrize("value", ["\ud800", float("nan")])
def test_what_json_cannot_carry_is_not_written(value: Any) -> None:
    with pytest.raises(files.Unwritable):
        files.as_line({"messages": [value]})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "type", "text", "tool_calls", "name", "id", "function", "refusal", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    messages=st.lists(
        st.dictionaries(st.sampled_from(["role", "content", "name", "tool_calls"]), json_values)
    )
)
def test_whatever_upstream_sends_gives_a_valid_line_or_a_known_reason(messages: list[dict[str, Any]]) -> None:
    made = written(item(), messages)
    if isinstance(made, Refusal):
        assert made.reason in REASONS
    else:
        problems = validate.of_line(1, files.as_line(made.data).rstrip(b"\n"))
        assert [problem for problem in problems if problem.severity == "error"] == []
