"""Graders to and from OpenAI's criteria."""

import json
from typing import Any

import pytest
from openai import OpenAI
from openai.types import eval_create_params
from pydantic import TypeAdapter

from datasets.evaluate import carry_reading, carry_writing, graders
from datasets.evaluate.carry import Carried, NotCarried
from datasets.evaluate.openai_evals import criterion_of, grader_of, lost_of
from portal.sandbox import Sandbox

ASKED = [
    {"role": "system", "content": "You judge."},
    {
        "role": "user",
        "content": [
            {"type": "input_text", "text": "{{ sample.output_text }}"},
            {"type": "input_image", "image_url": "{{ item.image }}", "detail": "low"},
        ],
    },
]
TEXTS = {"input": "{{ sample.output_text }}", "reference": "{{ item.reference }}"}
GRADERS: list[tuple[str, str, dict[str, Any]]] = [
    ("Exact", "string_check", TEXTS | {"operation": "eq"}),
    ("Other", "string_check", TEXTS | {"operation": "ne"}),
    ("Close", "text_similarity", TEXTS | {"evaluation_metric": "rouge_l", "pass_threshold": 0.5}),
    ("Any", "text_similarity", TEXTS | {"evaluation_metric": "bleu", "pass_threshold": 0}),
    (
        "Tone",
        "label_model",
        {"model": "gpt-4o", "input": ASKED, "labels": ["kind", "rude"], "passing_labels": ["kind"]},
    ),
    (
        "Score",
        "score_model",
        {
            "model": "gpt-4o",
            "input": ASKED,
            "range": [1, 5],
            "pass_threshold": 4,
            "sampling_params": {"temperature": 0, "max_completions_tokens": 200},
        },
    ),
    ("Code", "python", {"source": "def grade(sample, item):\n    return 1.0\n", "pass_threshold": 0.5}),
]


@pytest.mark.parametrize("grader", GRADERS, ids=[grader[0] for grader in GRADERS])
def test_a_grader_comes_back_from_its_criterion_as_it_was(grader: tuple[str, str, dict[str, Any]]) -> None:
    criterion = criterion_of(*grader)
    assert isinstance(criterion, dict)
    back = grader_of(json.loads(json.dumps(criterion | {"id": "given-by-the-api"})))
    assert back == Carried(*grader)


def test_texts_go_out_under_the_name_that_the_api_has_for_them() -> None:
    parts = ["plain", {"type": "text", "text": "named"}]
    judge = {
        "model": "m",
        "input": [{"role": "user", "content": parts}],
        "labels": ["a"],
        "passing_labels": [],
    }
    criterion = criterion_of("Judge", "label_model", judge)
    assert isinstance(criterion, dict)
    assert criterion["input"][0]["content"] == [
        {"type": "input_text", "text": "plain"},
        {"type": "input_text", "text": "named"},
    ]


def test_the_definition_is_a_body_that_the_sdk_takes() -> None:
    written = carry_writing.write(GRADERS, "openai", "All")
    body = json.loads(written.text)
    TypeAdapter(eval_create_params.EvalCreateParams).validate_python(body)
    assert body["data_source_config"]["item_schema"]["required"] == ["image", "reference"]
    assert written.carried == len(GRADERS)
    reading = carry_reading.read(written.text)
    assert [line.found for line in reading.lines] == [Carried(*grader) for grader in GRADERS]


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("check", {"input": "{{ sample.output_text }}", "check": "regex", "value": "a+"}),
        ("check", {"input": "{{ sample.output_text }}", "check": "language", "value": "en"}),
        ("pairwise", {"connection": 1, "model": "gpt-4o", "criteria": "Shorter"}),
        ("multi", {"graders": {}, "calculate_output": "a", "pass_threshold": 0.5}),
        ("of-tomorrow", {}),
    ],
)
def test_what_the_api_has_no_criterion_for_says_so(kind: str, params: dict[str, Any]) -> None:
    told = criterion_of("Mine", kind, params)
    assert isinstance(told, NotCarried)
    assert told.reason


def test_the_definition_goes_to_a_service_and_comes_back_the_same(sandbox: Sandbox) -> None:
    mine = [*GRADERS, ("Ends", "check", {"input": "{{ sample.output_text }}", "check": "ends", "value": "."})]
    body = json.loads(carry_writing.write(mine, "openai", "All").text)
    with OpenAI(base_url=sandbox.base_url("azure-v1"), api_key="sandbox-azure-v1-key", max_retries=0) as api:
        made = api.evals.create(**body)
        text = api.evals.with_raw_response.retrieve(made.id).text
        listed = api.evals.with_raw_response.list().text
    for answer in (text, listed):
        reading = carry_reading.read(answer)
        assert [line.found for line in reading.lines] == [Carried(*grader) for grader in mine]
    assert "image, reference" in carry_reading.read(text).remarks[0]


CHECKED = [
    ("json", "", ["{}", "[1", '{"a": NaN}', "[" * 100_000]),
    ("xml", "", ["<a/>", " <a></a> ", "<a>", ""]),
    ("starts", "Dear {{ item.name[0] }}, it's", ["  Dear Ada, it's fine", "Dear Bob"]),
    ("ends", "\"'\n.", ["so \"'\n.  ", "."]),
    ("max_words", "2", ["one two", "one two three"]),
    ("min_words", " 2 ", ["one", "one  two"]),
]


@pytest.mark.parametrize(("check", "value", "answers"), CHECKED, ids=[each[0] for each in CHECKED])
def test_a_check_is_python_that_judges_the_same_and_comes_back(
    check: str, value: str, answers: list[str]
) -> None:
    params = {"input": "{{ sample.output_text }}", "check": check, "value": value}
    assert graders.validate("check", params) == {}
    criterion = criterion_of("Mine", "check", params)
    assert isinstance(criterion, dict)
    assert grader_of(criterion) == Carried("Mine", "check", params)
    assert lost_of("check", params)
    names: dict[str, Any] = {}
    exec(criterion["source"], names)  # noqa: S102  # what was just written, to see what it does
    item = {"name": ["Ada"]}
    for answer in answers:
        verdict = graders.grade("check", params, item, {"output_text": answer})
        assert names["grade"]({"output_text": answer}, item) == verdict.score
    changed = criterion | {"source": criterion["source"] + "\n"}
    found = grader_of(changed)
    assert isinstance(found, Carried)
    assert found.kind == "python"


@pytest.mark.parametrize("first", ["{", "[]", '{"check": ["json"]}', "[" * 5_000, '{"check": "of-tomorrow"}'])
def test_a_source_that_only_looks_like_a_check_is_python(first: str) -> None:
    source = f'"""A ready-made check."""\n# {first}\ndef grade(sample, item):\n    return 1.0\n'
    found = grader_of({"type": "python", "name": "x", "source": source, "pass_threshold": 0.5})
    assert isinstance(found, Carried)
    assert found.kind == "python"


def test_a_judge_leaves_its_connection_behind_and_says_what_else() -> None:
    params = GRADERS[4][2] | {"connection": 7, "sampling_params": {"seed": 1}}
    criterion = criterion_of("Tone", "label_model", params)
    assert isinstance(criterion, dict)
    assert "connection" not in criterion
    assert "sampling_params" not in criterion
    assert lost_of("label_model", params) == ["A judge that labels takes no sampling parameters there."]
    nearness = TEXTS | {
        "evaluation_metric": "cosine",
        "pass_threshold": 0.8,
        "connection": 7,
        "model": "small",
    }
    assert "small" in lost_of("text_similarity", nearness)[0]
    near = criterion_of("Near", "text_similarity", nearness)
    assert isinstance(near, dict)
    assert "model" not in near


def test_a_grader_of_fine_tuning_gets_a_pass_mark_and_says_so() -> None:
    inner = {"type": "text_similarity", "name": "x", **TEXTS, "evaluation_metric": "bleu"}
    several = {
        "type": "multi",
        "name": "Both",
        "graders": {"a": inner, "b": {"type": "string_check", "name": "y", **TEXTS, "operation": "eq"}},
        "calculate_output": "0.5 * a + 0.5 * b",
    }
    found = grader_of(several)
    assert isinstance(found, Carried)
    assert found.kind == "multi"
    assert found.params["graders"]["a"] == {
        "kind": "text_similarity",
        "params": TEXTS | {"evaluation_metric": "bleu", "pass_threshold": 0.5},
    }
    assert any("0.5 is set" in note for note in found.notes)
    score = grader_of({"type": "score_model", "name": "s", "model": "m", "input": ASKED, "range": [1, 5]})
    assert isinstance(score, Carried)
    assert score.params["pass_threshold"] == 3


@pytest.mark.parametrize(
    "criterion",
    [
        None,
        "string_check",
        {},
        {"type": ["string_check"]},
        {"type": "azure_ai_evaluator", "name": "Foundry's own"},
        {"type": "string_check", "name": "No reference", "input": "x", "operation": "eq"},
        {"type": "string_check", "name": "A list", "input": ["x"], "reference": "y", "operation": "eq"},
        {
            "type": "text_similarity",
            "name": "A word",
            **TEXTS,
            "evaluation_metric": "bleu",
            "pass_threshold": "no",
        },
        {"type": "label_model", "name": "No model", "input": ASKED, "labels": ["a"], "passing_labels": ["a"]},
        {
            "type": "label_model",
            "name": "No texts",
            "model": "m",
            "input": ASKED,
            "labels": [1],
            "passing_labels": [],
        },
        {"type": "score_model", "name": "Nothing asked", "model": "m", "input": []},
        {"type": "score_model", "name": "A tool", "model": "m", "input": [{"role": "tool", "content": "x"}]},
        {
            "type": "score_model",
            "name": "A sound",
            "model": "m",
            "input": [{"role": "user", "content": {"type": "input_audio", "input_audio": {"data": ""}}}],
        },
        {"type": "score_model", "name": "Endless", "model": "m", "input": ASKED, "range": [0, float("inf")]},
        {"type": "multi", "name": "Empty", "graders": {}, "calculate_output": "1"},
        {"type": "multi", "name": "Nested", "graders": {"a": {"type": "multi"}}, "calculate_output": "a"},
    ],
)
def test_what_is_no_grader_is_told_with_a_reason(criterion: object) -> None:
    found = grader_of(criterion)
    assert isinstance(found, NotCarried)
    assert found.reason


def test_fields_nobody_knows_are_told() -> None:
    found = grader_of({"type": "string_check", "name": "x", **TEXTS, "operation": "eq", "colour": "red"})
    assert isinstance(found, Carried)
    assert found.notes == ("Left out: colour.",)
    assert "colour" not in found.params
