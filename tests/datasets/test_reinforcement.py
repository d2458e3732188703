"""Prompts with what they are graded by, and graders that are checked before a provider sees them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.build import columns, files, validate
from datasets.build.grader_check import fields_of as named_by
from datasets.build.lines import REASONS, Line, Refusal
from datasets.build.material import Material
from datasets.build.reinforcement import TAKEN, check_grader, fields_of, prompt
from datasets.build.tokens import Counter
from datasets.models import Purpose
from datasets.recipe import Recipe
from tests.datasets.rows import ASKED, HOSTILE, answer, row

RIGHT = {"text": "Right.", "tool_calls": None}


def recipe(**fields: Any) -> Recipe:
    return Recipe(purpose=Purpose.REINFORCEMENT, **fields)


def line_of(material: Material, **fields: Any) -> dict[str, Any]:
    made = prompt(material, recipe(**fields), Counter.plain())
    assert isinstance(made, Line), made
    assert validate.of_value(1, made.data, Purpose.REINFORCEMENT) == []
    return made.data


def test_a_line_ends_with_the_user_and_holds_no_answer() -> None:
    assert line_of(row()) == {
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "How are you?"},
        ]
    }


@pytest.mark.parametrize(
    ("wanted", "material", "reference"),
    [
        ("answer", row(answer("Fine."), correction=RIGHT), "Fine."),
        ("correction", row(answer("Wrong."), correction=RIGHT, rating="bad"), "Right."),
        ("correction", row(answer("Fine.")), "Fine."),
        ("meta:expected", row(metadata={"expected": "42"}), "42"),
    ],
)
def test_the_reference_is_what_the_recipe_says(wanted: str, material: Material, reference: str) -> None:
    assert line_of(material, reference=wanted)["reference"] == reference


@pytest.mark.parametrize(
    ("reason", "material", "wanted"),
    [
        ("answer_not_good", row(rating="bad"), "correction"),
        ("answer_not_good", row(state="rejected"), "correction"),
        ("empty_answer", row(answer("")), "answer"),
        ("no_answer", row({"choices": []}), "answer"),
        ("no_user", row(messages=[*ASKED, {"role": "assistant", "content": "Hm."}]), ""),
        ("no_messages", row(messages=[]), ""),
    ],
)
def test_what_cannot_be_graded_is_left_out_with_its_reason(
    reason: str, material: Material, wanted: str
) -> None:
    assert prompt(material, recipe(reference=wanted), Counter.plain()) == Refusal(reason)
    assert reason in REASONS


def test_a_missing_key_is_named_in_the_reason() -> None:
    made = prompt(row(), recipe(reference="meta:expected"), Counter.plain())
    assert made == Refusal("It has no metadata “expected”")


def test_columns_are_fields_with_names_that_a_template_can_say() -> None:
    material = row(
        metadata={"Expected Label": "triage", "2nd": "b", "messages": "m", "nested": {"a": 1}},
        labels={"Expected label": "yes", "Ümläut": "ü"},
    )
    chosen = (
        "meta.Expected Label", "label.Expected label", "meta.2nd", "meta.messages", "label.Ümläut",
        "meta.nested", "meta.absent",
    )  # fmt: skip
    made = line_of(material, columns=chosen)
    made.pop("messages")
    assert made == {
        "expected_label": "triage",
        "label_expected_label": "yes",
        "meta_2nd": "b",
        "meta_messages": "m",
        "ml_ut": "ü",
        "nested": '{"a": 1}',
        "absent": "",
    }
    assert set(made) | {"messages"} == fields_of(recipe(columns=chosen))


@given(
    st.lists(st.sampled_from(["meta.", "label."]).flatmap(lambda kind: st.text(max_size=6).map(kind.__add__)))
)
def test_names_of_columns_are_safe_and_unique_whatever_they_were(chosen: list[str]) -> None:
    made = columns.names(chosen, TAKEN)
    assert made.keys() == set(chosen)
    assert len(set(made.values())) == len(made)
    for name in made.values():
        assert name.isascii()
        assert name.isidentifier()
        assert name not in TAKEN | {"reference"}
        assert check_grader(string_check(reference=f"{{{{ item.{name} }}}}"), {name}) == []


def test_hostile_texts_stand_in_a_line_as_they_are() -> None:
    material = row(
        answer(HOSTILE), [{"role": "user", "content": HOSTILE}], metadata={"k": HOSTILE, "{{ item.x }}": "y"}
    )
    data = prompt(
        material, recipe(reference="answer", columns=("meta.k", "meta.{{ item.x }}")), Counter.plain()
    )
    assert isinstance(data, Line)
    line = files.as_line(data.data)
    assert len(line.decode().splitlines()) == 1
    read = json.loads(line)
    assert read["messages"][0]["content"] == read["reference"] == read["k"] == HOSTILE
    assert read["item_x"] == "y"


# Graders.


def string_check(**changes: Any) -> dict[str, Any]:
    return {
        "type": "string_check", "name": "same", "operation": "eq",
        "input": "{{ sample.output_text }}", "reference": "{{ item.reference }}", **changes,
    }  # fmt: skip


SIMILARITY = {**string_check(), "type": "text_similarity", "evaluation_metric": "rouge_l"}
SIMILARITY.pop("operation")
SCORE = {
    "type": "score_model", "name": "judge", "model": "gpt-4o-2024-08-06", "range": [0, 1],
    "input": [{"role": "user", "content": "Score {{ sample.output_text }} against {{ item.reference }}."}],
}  # fmt: skip
PYTHON = {
    "type": "python",
    "name": "code",
    "source": "def grade(sample, item):\n    return float(sample['output_text'] == item['reference'])\n",
}
READS_ANOTHER = "def grade(sample, item):\n    return item['answer']"
MULTI = {
    "type": "multi", "name": "all", "graders": {"same": string_check(), "close": SIMILARITY, "code": PYTHON},
    "calculate_output": "0.5 * same + max(close, 0) ^ 2 / 2 - -code",
}  # fmt: skip
FIELDS = {"messages", "reference"}


@pytest.mark.parametrize("grader", [string_check(), SIMILARITY, SCORE, PYTHON, MULTI])
def test_a_grader_of_every_type_that_can_grade_has_no_problem(grader: dict[str, Any]) -> None:
    assert check_grader(grader, FIELDS) == []
    assert check_grader(grader) == []


@pytest.mark.parametrize(
    ("words", "grader"),
    [
        ("JSON object", []),
        ("one of string_check, text_similarity, score_model, python, multi", {"type": "label_model"}),
        ("The type", {"type": ["python"]}),
        ("needs a name", string_check(name=" ")),
        ("no field 'opration'", string_check(opration="eq")),
        ("operation is one of eq", string_check(operation="contains")),
        ("The input is a text", string_check(input=None)),
        ("opened but never closed", string_check(input="{{ sample.output_text")),
        ("a name starts with item or sample", string_check(reference="{{ row.reference }}")),
        ("names item.answer, which no row has", string_check(reference="{{ item.answer }}")),
        ("a sample has output_text", string_check(input="{{ sample.text }}")),
        ("cosine is for evaluations only", SIMILARITY | {"evaluation_metric": "cosine"}),
        ("metric is one of", SIMILARITY | {"evaluation_metric": "rouge_9"}),
        ("the model that scores", SCORE | {"model": ""}),
        ("list of messages", SCORE | {"input": "Score it"}),
        ("has a role", SCORE | {"input": [{"content": "x"}]}),
        ("says nothing", SCORE | {"input": [{"role": "user"}]}),
        ("no row has", SCORE | {"input": [{"role": "user", "content": [{"text": "{{ item.x }}"}]}]}),
        ("two numbers", SCORE | {"range": [1, 0]}),
        ("needs the source", PYTHON | {"source": ""}),
        ("no Python", PYTHON | {"source": "def grade(sample, item)\n"}),
        ("no Python", PYTHON | {"source": "\x00"}),
        ("no function grade", PYTHON | {"source": "x = 1"}),
        ("two arguments", PYTHON | {"source": "def grade(sample):\n    return 1.0"}),
        ("reads item['answer'], which no row has", PYTHON | {"source": READS_ANOTHER}),
        ("256 kB", PYTHON | {"source": "#" * 300_000}),
        ("each under its name", MULTI | {"graders": [string_check()]}),
        ("“same”: The operation", MULTI | {"graders": {"same": string_check(operation="x")}}),
        ("“in”: The type", MULTI | {"graders": {"in": MULTI}, "calculate_output": "1"}),
        ("letters, digits and _ only", MULTI | {"graders": {"a b": string_check()}, "calculate_output": "1"}),
        ("formula that makes one", MULTI | {"calculate_output": ""}),
        ("'other', which is none of the graders", MULTI | {"calculate_output": "other + 1"}),
        ("cannot be read", MULTI | {"calculate_output": "same +"}),
        ("cannot be read", MULTI | {"calculate_output": "(" * 3000}),
        ("not 'eval'", MULTI | {"calculate_output": "eval(same)"}),
        ("numbers, graders", MULTI | {"calculate_output": "same.real"}),
        ("numbers, graders", MULTI | {"calculate_output": "same if code else close"}),
        ("no number", MULTI | {"calculate_output": "same + 'a'"}),
    ],
)  # fmt: skip
def test_what_keeps_a_grader_from_grading_is_said(words: str, grader: Any) -> None:
    problems = check_grader(grader, FIELDS)
    assert [problem.code for problem in problems] == ["grader"] * len(problems)
    assert any(words in problem.text for problem in problems), problems


def test_the_fields_that_templates_name_are_those_that_every_line_must_have() -> None:
    other = string_check(input="{{item.x}} {{ item['y'] }}")
    assert named_by(MULTI | {"graders": {"a": SCORE, "b": other}}) == {"reference", "x", "y"}
    line = json.dumps(line_of(row())).encode()
    problems = validate.of_line(3, line, Purpose.REINFORCEMENT, fields=named_by(string_check()))
    assert [(problem.code, problem.line) for problem in problems] == [("missing_field", 3)]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(
        st.sampled_from(["type", "name", "input", "reference", "operation", "graders", "calculate_output",
                         "source", "role", "content", "text", "range", "model"]), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@given(json_values, st.sampled_from(["string_check", "text_similarity", "score_model", "python", "multi"]))
def test_no_grader_whatever_it_holds_breaks_the_check(value: Any, kind: str) -> None:
    grader = {**value, "type": kind} if isinstance(value, dict) else value
    assert all(problem.text for problem in check_grader(grader, FIELDS))
    named_by(grader)
