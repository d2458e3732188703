"""Every rule of the training format, with a line that breaks it."""

import json
from typing import Any

import pytest

from datasets.build import validate

GOOD = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def codes(value: Any) -> set[str]:
    line = value if isinstance(value, bytes) else json.dumps(value).encode()
    return {problem.code for problem in validate.of_line(7, line)}


def talk(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), **more}


ANSWER = {"role": "assistant", "content": "Hello"}


def test_a_good_line_has_no_problem() -> None:
    assert codes(GOOD) == set()


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("not_utf8", b'{"messages": "\xff"}'),
        ("not_json", b"{"),
        ("data_type", b"[1]"),
        ("missing_messages_list", {}),
        ("missing_messages_list", {"messages": []}),
        ("message_missing_key", talk({"content": "x"}, ANSWER)),
        ("message_missing_key", talk({"role": "user"}, ANSWER)),
        ("message_unrecognized_key", talk({"role": "user", "content": "x", "refusal": None}, ANSWER)),
        ("unrecognized_role", talk({"role": "developer", "content": "x"}, ANSWER)),
        ("missing_content", talk({"role": "user", "content": None}, ANSWER)),
        ("image_elsewhere", talk({"role": "system", "content": [{"type": "image_url"}]}, ANSWER)),
        ("unrecognized_part", talk({"role": "user", "content": [{"type": "input_audio"}]}, ANSWER)),
        ("weight", talk({"role": "user", "content": "x"}, {**ANSWER, "weight": 2})),
        ("example_missing_assistant_message", talk({"role": "user", "content": "x"})),
        ("trailing_message", talk(ANSWER, {"role": "user", "content": "x"})),
        ("nothing_to_train", talk({"role": "user", "content": "x"}, {**ANSWER, "weight": 0})),
        ("tool_call_without_tools", talk({"role": "assistant", "tool_calls": [CALL]})),
        (
            "tool_arguments",
            talk({"role": "assistant", "tool_calls": [{**CALL, "function": {"arguments": "{"}}]}),
        ),
        ("tool_call", talk({"role": "assistant", "tool_calls": [{"id": "c"}]})),
        ("tool_id_lost", talk({"role": "tool", "content": "x", "tool_call_id": "c9"}, ANSWER)),
        ("too_many_tools", talk(ANSWER, tools=[{"function": {"name": "f"}}] * 129)),
        ("too_many_messages", talk(*[ANSWER] * 2049)),
    ],
)
def test_each_rule_names_the_line_that_breaks_it(code: str, value: Any) -> None:
    assert code in codes(value)
    line = value if isinstance(value, bytes) else json.dumps(value).encode()
    assert {problem.line for problem in validate.of_line(7, line)} == {7}


def test_a_byte_order_mark_is_named() -> None:
    problems = validate.of_line(1, b"\xef\xbb\xbf" + json.dumps(GOOD).encode())
    assert [problem.code for problem in problems] == ["bom"]


@pytest.mark.parametrize(
    ("rows", "size", "wanted"), [(9, 10, ["too_few"]), (10, 10, []), (10, 2**30, ["too_large"])]
)
def test_the_file_as_a_whole_has_its_limits(rows: int, size: int, wanted: list[str]) -> None:
    assert [problem.code for problem in validate.of_file(rows, size)] == wanted


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("gpt-4.1-nano-2025-04-14", 32_768),
        ("gpt-4.1-mini-2025-04-14", 65_536),
        ("gpt-4o-mini-2024-07-18", 65_536),
        ("something-new", None),
    ],
)
def test_token_limits_follow_the_base_model(model: str, limit: int | None) -> None:
    assert validate.token_limit(model) == limit
