"""What becomes of a stored conversation as an evaluation item."""

import json
from typing import Any

import pytest

from completions.conversation import parse
from datasets.build import files, validate
from datasets.build.items import evaluation
from datasets.build.lines import Line, Refusal
from datasets.build.material import Material
from datasets.build.tokens import Counter
from datasets.recipe import Recipe
from tests.datasets.rows import HOSTILE, answer, row

ASKED = [
    {"id": "c-0", "role": "system", "content": "Be short."},
    {"id": "c-1", "role": "user", "content": "Capital?"},
]


def line_of(
    answer: dict[str, Any] | None = None,
    messages: list[dict[str, Any]] | None = None,
    reference: str = "",
    metadata: dict[str, Any] | None = None,
    pending: bool = False,
    **item: Any,
) -> Line | Refusal:
    choices = [
        {"index": 0, "message": {"role": "assistant", "content": "Paris"} if answer is None else answer}
    ]
    read = None if pending else ASKED if messages is None else messages
    conversation = parse({"id": "c", "choices": choices, **item}, read)
    material = Material("library/c", conversation, metadata=metadata or {}, prompt_tokens=12)
    return evaluation(material, Recipe(purpose="evaluation", reference=reference), Counter.plain())


def item_of(*args: Any, **kwargs: Any) -> dict[str, Any]:
    line = line_of(*args, **kwargs)
    assert isinstance(line, Line)
    made: dict[str, Any] = line.data["item"]
    return made


def test_an_item_holds_input_output_and_metadata() -> None:
    assert item_of(metadata={"env": "prod"}) == {
        "input": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Capital?"}],
        "output": "Paris",
        "metadata": {"env": "prod"},
    }


def test_the_reference_is_the_stored_answer_or_a_metadata_value() -> None:
    assert item_of(reference="answer")["reference"] == "Paris"
    assert item_of(reference="meta:city", metadata={"city": "Paris, France"})["reference"] == "Paris, France"
    assert item_of(reference="meta:a:b", metadata={"a:b": "x"})["reference"] == "x"


@pytest.mark.parametrize("metadata", [{}, {"city": ""}, {"City": "Paris"}])
def test_a_row_without_the_key_is_left_out_with_that_reason(metadata: dict[str, str]) -> None:
    assert line_of(reference="meta:city", metadata=metadata) == Refusal("It has no metadata “city”")


def test_a_row_without_an_answer_has_no_stored_answer_to_compare_with() -> None:
    assert line_of({"content": None, "tool_calls": []}, reference="answer") == Refusal("empty_answer")
    assert line_of(reference="answer", choices=[]) == Refusal("no_answer")


def test_a_refusal_is_an_answer() -> None:
    assert item_of({"content": None, "refusal": "I cannot help."})["output"] == "I cannot help."


def test_pending_messages_leave_a_row_out() -> None:
    assert line_of(pending=True) == Refusal("pending")
    assert line_of(messages=[]) == Refusal("no_messages")


def test_tools_parts_and_formats_are_sent_again_as_they_were() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"a": 1}'}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    messages = [
        {"role": "user", "content": None, "content_parts": [{"type": "text", "text": "See"}, image]},
        {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None},
        {"role": "tool", "tool_call_id": "call_1", "content": "42"},
    ]
    tools = [{"type": "function", "function": {"name": "look_up"}}]
    item = item_of(messages=messages, tools=tools, response_format={"type": "json_object"})
    assert item["input"] == [
        {"role": "user", "content": [{"type": "text", "text": "See"}, image]},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "content": "42", "tool_call_id": "call_1"},
    ]
    assert item["tools"] == tools
    assert item["response_format"] == {"type": "json_object"}


def test_a_custom_tool_call_keeps_its_form() -> None:
    call = {"id": "call_1", "type": "custom", "custom": {"name": "shell", "input": "ls"}}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ]
    assert item_of(messages=messages)["input"][1] == {"role": "assistant", "tool_calls": [call]}


@pytest.mark.parametrize(
    "message",
    [
        {"role": "oracle", "content": "?"},
        {"role": "user", "content_parts": [{"type": "hologram", "data": 1}]},
        {"role": "tool", "content": "42"},
        {"role": "user", "content": None},
    ],
)
def test_what_cannot_be_sent_again_can_still_be_measured(message: dict[str, Any]) -> None:
    item = item_of(messages=[*ASKED, message])
    assert item["output"] == "Paris"
    assert item["unsendable"]
    assert len(item["input"]) == 3


# Corrections, further fields and hostile text.


def made(material: Material, **recipe: Any) -> dict[str, Any]:
    line = evaluation(material, Recipe(purpose="evaluation", **recipe), Counter.plain())
    assert isinstance(line, Line), line
    item: dict[str, Any] = line.data["item"]
    return item


def test_what_was_stored_is_measured_against_what_it_should_have_been() -> None:
    right = {"text": "Right.", "tool_calls": None}
    item = made(row(answer("Wrong."), correction=right, rating="bad"), reference="correction")
    assert (item["output"], item["reference"]) == ("Wrong.", "Right.")
    item = made(row(answer("Fine.")), reference="correction")
    assert (item["output"], item["reference"]) == ("Fine.", "Fine.")


def test_a_bad_answer_that_nobody_corrected_is_no_reference() -> None:
    bad = row(answer("Wrong."), rating="bad")
    recipe = Recipe(purpose="evaluation", reference="correction")
    assert evaluation(bad, recipe, Counter.plain()) == Refusal("answer_not_good")


def test_columns_stand_beside_what_an_item_has_of_its_own() -> None:
    material = row(metadata={"output": "x", "Team": "a"}, labels={"Tone": "kind"})
    item = made(material, columns=("meta.output", "meta.Team", "label.Tone"))
    assert (item["output"], item["meta_output"], item["team"], item["tone"]) == ("Fine.", "x", "a", "kind")


def test_hostile_texts_stand_in_an_item_as_they_are() -> None:
    messages = [{"role": "user", "content": HOSTILE}]
    material = row(answer(HOSTILE), messages, metadata={"{{ item.x }}": HOSTILE})
    item = made(material, reference="answer", columns=("meta.{{ item.x }}",))
    line = files.as_line({"item": item})
    assert len(line.decode().splitlines()) == 1
    read = json.loads(line)["item"]
    assert read["input"][0]["content"] == read["output"] == read["reference"] == read["item_x"] == HOSTILE
    assert validate.of_line(1, line.rstrip(b"\n"), "evaluation") == []


def test_half_characters_are_never_written() -> None:
    with pytest.raises(files.Unwritable):
        files.as_line({"item": made(row(answer("\ud800")))})
