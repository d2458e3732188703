"""Lines of training files as items: what is asked, what was answered, and what stands beside it."""

from typing import Any

import pytest

from datasets.build.lines import CannotExpress
from datasets.build.part_items import item_of
from datasets.evaluate.shape import Shape

ASKED = {"role": "user", "content": "What is a tide?"}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {}}}]


def item(line: dict[str, Any], purpose: str) -> dict[str, Any]:
    found: dict[str, Any] = item_of(line, purpose, {})["item"]
    return found


def test_the_last_answer_of_a_conversation_is_the_stored_one() -> None:
    first = {"role": "assistant", "content": "What tide?", "weight": 0}
    last = {"role": "assistant", "content": [{"type": "text", "text": "A rise."}], "weight": 1}
    made = item({"messages": [ASKED, first, ASKED, last, ASKED]}, "supervised")
    assert made == {
        "input": [ASKED, {"role": "assistant", "content": "What tide?"}, ASKED],
        "output": "A rise.",
    }


def test_calls_and_tools_come_along() -> None:
    answer = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    made = item({"messages": [ASKED, answer], "tools": TOOLS}, "supervised")
    assert (made["output"], made["output_tools"], made["tools"]) == ("", [CALL], TOOLS)


def test_of_a_pair_the_preferred_answer_is_taken() -> None:
    line = {
        "input": {"messages": [ASKED], "tools": TOOLS},
        "preferred_output": [{"role": "assistant", "content": "Good."}],
        "non_preferred_output": [{"role": "assistant", "content": "Bad."}],
    }
    made = item(line, "preference")
    assert (made["input"], made["output"], made["non_preferred"]) == ([ASKED], "Good.", "Bad.")
    assert made["tools"] == TOOLS


def test_fields_that_a_grader_names_become_columns() -> None:
    line = {"messages": [ASKED], "reference": "rise", "level": 3, "output": "own", "input": ["own"]}
    made = item(line, "reinforcement")
    assert made == {
        "input": [ASKED],
        "reference": "rise",
        "level": 3,
        "column_output": "own",
        "column_input": ["own"],
    }


@pytest.mark.parametrize(
    ("line", "purpose", "reason"),
    [
        ({"messages": [ASKED]}, "supervised", "no_answer"),
        ({"messages": "broken"}, "supervised", "no_answer"),
        ({"messages": [{"role": "assistant", "content": "Hello."}]}, "supervised", "no_messages"),
        ({"input": 3, "preferred_output": [], "non_preferred_output": []}, "preference", "no_answer"),
        ({"messages": []}, "reinforcement", "no_messages"),
    ],
)
def test_what_is_no_item_is_left_out_with_its_reason(line: dict[str, Any], purpose: str, reason: str) -> None:
    with pytest.raises(CannotExpress) as refused:
        item_of(line, purpose, {})
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("held", "shape", "wanted"),
    [
        ({"input": "Hi"}, Shape(), {"input": [{"role": "user", "content": "Hi"}]}),
        ({"input": [{"role": []}]}, Shape(), {"input": [{"role": "user", "content": '[{"role": []}]'}]}),
        ({"input": [ASKED], "output": {"a": 1}}, Shape(), {"output": '{"a": 1}'}),
        ({"q": "Hi", "output": "x"}, Shape(input="q", output=""), {"output": None}),
        ({"input": "Hi", "output": "x"}, Shape(reference="answer"), {"reference": "x"}),
        ({"input": "Hi", "reference": "x"}, Shape(), {"reference": None}),
        ({"input": "Hi", "reference": "x"}, Shape(as_it_is=True), {"reference": "x"}),
        ({"input": "Hi", "metadata": {"k": "v"}}, Shape(reference="meta:k"), {"reference": "v"}),
        ({"input": "Hi", "metadata": "odd"}, Shape(reference="meta:k"), {"reference": None}),
        ({"input": "Hi", "tags": ["a"]}, Shape(reference="column:tags"), {"reference": ["a"]}),
        ({"input": "Hi", "tags": ""}, Shape(reference="column:tags"), {"reference": None}),
        ({"input": [1, {"role": "pirate"}]}, Shape(), {"output": None}),
        ({"input": [ASKED], "said": [ASKED, {"role": "assistant", "content": "A."}]},
         Shape(output="said"), {"output": "A."}),
    ],
)  # fmt: skip
def test_columns_are_what_the_evaluation_says(
    held: dict[str, Any], shape: Shape, wanted: dict[str, Any]
) -> None:
    before = dict(held)
    made = shape.item({"item": held})
    assert made is not None
    assert {name: made.get(name) for name in wanted} == wanted
    assert held == before
    assert all(message["role"] in ("user", "assistant") for message in made["input"])


def test_a_line_without_an_item_has_none() -> None:
    assert Shape().item({"item": [1]}) is None
    assert Shape().item({"messages": [ASKED]}) is None
