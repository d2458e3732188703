"""Preference pairs in the shape of the format: whole from corrections, in halves from ratings and models."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.build import files, validate
from datasets.build.lines import REASONS, Line, Refusal
from datasets.build.material import Material
from datasets.build.pairs import joined, preference
from datasets.build.tokens import Counter
from datasets.models import Purpose
from datasets.recipe import Pairs, Recipe
from tests.datasets.rows import ASKED, HOSTILE, answer, row

PROMPT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How are you?"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
CORRECTIONS = Recipe(purpose=Purpose.PREFERENCE)
RATINGS = Recipe(purpose=Purpose.PREFERENCE, pairs=Pairs("ratings"))
MODELS = Recipe(purpose=Purpose.PREFERENCE, pairs=Pairs("models", "teacher", "student"))


def text(words: str) -> dict[str, Any]:
    return {"text": words, "tool_calls": None}


def pair_of(material: Material, recipe: Recipe = CORRECTIONS) -> Line:
    made = preference(material, recipe, Counter.plain())
    assert isinstance(made, Line), made
    return made


def test_a_correction_is_preferred_over_the_original() -> None:
    made = pair_of(row(answer("Wrong."), correction=text("Right.")))
    assert made.data == {
        "input": {"messages": PROMPT},
        "preferred_output": [{"role": "assistant", "content": "Right."}],
        "non_preferred_output": [{"role": "assistant", "content": "Wrong."}],
    }
    assert (made.side, made.how) == ("", "guessed")


def test_tools_stand_in_the_input_and_their_calls_in_the_outputs() -> None:
    item = answer(None, finish="tool_calls", tool_calls=[CALL])
    item |= {"tools": [TOOL], "parallel_tool_calls": False}
    value = {"text": None, "tool_calls": [{"name": "f", "arguments": '{"a": 2}'}]}
    made = pair_of(row(item, correction=value)).data
    assert made["input"] == {"messages": PROMPT, "tools": [TOOL], "parallel_tool_calls": False}
    arguments = [
        made[name][0]["tool_calls"][0]["function"]["arguments"]
        for name in ("preferred_output", "non_preferred_output")
    ]
    assert arguments == ['{"a": 2}', '{"a": 1}']
    assert validate.of_value(1, made, Purpose.PREFERENCE) == []


def test_an_answer_where_the_original_refused_is_a_pair() -> None:
    made = pair_of(row(answer(None, refusal="I cannot help."), correction=text("Of course: 42."))).data
    assert made["preferred_output"] == [{"role": "assistant", "content": "Of course: 42."}]
    assert made["non_preferred_output"] == [{"role": "assistant", "content": "I cannot help."}]


@pytest.mark.parametrize(
    ("reason", "material", "recipe"),
    [
        ("no_correction", row(), CORRECTIONS),
        ("same_answer", row(answer("Fine."), correction=text("Fine.")), CORRECTIONS),
        (
            "same_answer",
            row(answer([{"type": "text", "text": "Fine."}]), correction=text("Fine.")),
            CORRECTIONS,
        ),
        ("empty_answer", row(answer(""), correction=text("Fine.")), CORRECTIONS),
        ("no_messages", row(messages=[], correction=text("Fine.")), CORRECTIONS),
        ("tool_call_without_tools", row(answer(None, tool_calls=[CALL]), correction=text("x")), CORRECTIONS),
        ("not_rated", row(), RATINGS),
        ("refusal", row(answer(None, refusal="No."), rating="good"), RATINGS),
        ("neither_model", row(model="other"), MODELS),
    ],
)
def test_what_makes_no_pair_is_left_out_with_its_reason(
    reason: str, material: Material, recipe: Recipe
) -> None:
    assert preference(material, recipe, Counter.plain()) == Refusal(reason)
    assert reason in REASONS


@pytest.mark.parametrize(
    ("side", "material", "recipe"),
    [
        ("+", row(rating="good"), RATINGS),
        ("-", row(rating="bad"), RATINGS),
        ("+", row(model="teacher"), MODELS),
        ("-", row(model="student"), MODELS),
    ],
)
def test_ratings_and_models_give_halves_with_their_side(
    side: str, material: Material, recipe: Recipe
) -> None:
    made = pair_of(material, recipe)
    assert made.side == side
    assert made.data == {
        "input": {"messages": PROMPT},
        "output": [{"role": "assistant", "content": "Fine."}],
    }
    assert validate.of_half(1, made.data, side) == []


def test_the_preferred_half_is_the_corrected_answer_where_corrections_are_used() -> None:
    recipe = Recipe(purpose=Purpose.PREFERENCE, pairs=Pairs("ratings"), use_corrections=True)
    good = row(answer("Fine."), correction=text("Finer."), rating="good")
    bad = row(answer("Fine."), correction=text("Finer."), rating="bad")
    assert pair_of(good, recipe).data["output"][0]["content"] == "Finer."
    assert pair_of(bad, recipe).data["output"][0]["content"] == "Fine."


def test_two_halves_make_a_line_that_defines_the_tools_of_both() -> None:
    better = pair_of(row(answer("Good."), rating="good"), RATINGS)
    worse = pair_of(row(answer(None, tool_calls=[CALL]) | {"tools": [TOOL]}, rating="bad"), RATINGS)
    line = joined(better.data, worse.data)
    assert line["input"]["tools"] == [TOOL]
    assert validate.of_value(1, line, Purpose.PREFERENCE) == []


def test_hostile_texts_stand_in_a_pair_as_they_are() -> None:
    messages = [{"role": "user", "content": HOSTILE}]
    made = pair_of(row(answer(HOSTILE), messages, correction=text(HOSTILE + "!")))
    line = files.as_line(made.data)
    assert len(line.decode().splitlines()) == 1
    read = json.loads(line)
    assert read["input"]["messages"][0]["content"] == HOSTILE
    assert read["preferred_output"][0]["content"] == HOSTILE + "!"
    assert validate.of_line(1, line.rstrip(b"\n"), Purpose.PREFERENCE) == []


@given(
    content=st.none() | st.text(max_size=8) | st.lists(
        st.dictionaries(st.sampled_from(["type", "text", "image_url"]), st.sampled_from(["text", "x", ""]),
                        max_size=2), max_size=2),
    written=st.none() | st.text(max_size=8),
    rating=st.sampled_from(["", "good", "bad"]),
    recipe=st.sampled_from([CORRECTIONS, RATINGS]),
)  # fmt: skip
def test_whatever_was_said_gives_a_valid_pair_or_a_known_reason(
    content: Any, written: str | None, rating: str, recipe: Recipe
) -> None:
    value = None if written is None else text(written)
    made = preference(row(answer(content), ASKED, correction=value, rating=rating), recipe, Counter.plain())
    if isinstance(made, Refusal):
        assert made.reason in REASONS
        return
    problems = (
        validate.of_half(1, made.data, made.side)
        if made.side
        else validate.of_line(1, files.as_line(made.data).rstrip(b"\n"), Purpose.PREFERENCE)
    )
    assert [problem for problem in problems if problem.severity == "error"] == []
