"""Graders to and from Promptfoo's assertions."""

from typing import Any

import pytest
import yaml
from django.conf import settings
from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from datasets.evaluate import carry_reading, carry_writing, graders, promptfoo_left, ready_made
from datasets.evaluate.carry import Carried, NotCarried
from datasets.evaluate.promptfoo_export import assertion_of, lost_of
from datasets.evaluate.promptfoo_kinds import CARRIED, grader_of
from datasets.evaluate.schema_check import DRAFT

ANSWER = "{{ sample.output_text }}"


def string(reference: str, operation: str = "like") -> dict[str, Any]:
    return {"input": ANSWER, "reference": reference, "operation": operation}


def several(formula: str, *inner: tuple[str, dict[str, Any]], names: str = "text_{}") -> dict[str, Any]:
    parts = {names.format(n): {"kind": kind, "params": params} for n, (kind, params) in enumerate(inner, 1)}
    return {"graders": parts, "calculate_output": formula, "pass_threshold": 0.5}


def check(name: str, value: str = "") -> dict[str, Any]:
    return {"input": ANSWER, "check": name, "value": value}


def similar(metric: str, reference: str, threshold: float) -> dict[str, Any]:
    return {
        "input": ANSWER,
        "reference": reference,
        "evaluation_metric": metric,
        "pass_threshold": threshold,
    }


# An assertion and the grader that it is; both ways unless a list says otherwise.
PAIRS: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"type": "equals", "value": "Paris"}, "string_check", string("Paris", "eq")),
    ({"type": "not-equals", "value": "{{ city }}"}, "string_check", string("{{ item.city }}", "ne")),
    ({"type": "contains", "value": "a {{ b.c[0] }}"}, "string_check", string("a {{ item.b.c[0] }}")),
    (
        {"type": "icontains", "value": '{{ metadata["a key"] }}'},
        "string_check",
        string('{{ item.metadata["a key"] }}', "ilike"),
    ),
    (
        {"type": "not-contains", "value": "sorry"},
        "multi",
        several("1 - it", ("string_check", string("sorry")), names="it"),
    ),
    (
        {"type": "contains-any", "value": ["red", "blue"]},
        "multi",
        several("max(text_1, text_2)", ("string_check", string("red")), ("string_check", string("blue"))),
    ),
    (
        {"type": "not-icontains-all", "value": ["a", "b"]},
        "multi",
        several(
            "1 - min(text_1, text_2)",
            ("string_check", string("a", "ilike")),
            ("string_check", string("b", "ilike")),
        ),
    ),
    ({"type": "starts-with", "value": "Dear {{ name }}"}, "check", check("starts", "Dear {{ item.name }}")),
    ({"type": "regex", "value": r"\d{4}(?:-\d\d)?"}, "check", check("regex", r"\d{4}(?:-\d\d)?")),
    ({"type": "is-json"}, "check", check("json")),
    ({"type": "is-json", "value": {"type": "object"}}, "check", check("schema", '{"type": "object"}')),
    ({"type": "is-xml"}, "check", check("xml")),
    ({"type": "not-is-refusal"}, "check", check("answers")),
    ({"type": "is-refusal"}, "multi", several("1 - it", ("check", check("answers")), names="it")),
    ({"type": "word-count", "value": {"max": 50}}, "check", check("max_words", "50")),
    (
        {"type": "word-count", "value": {"min": 5, "max": 50}},
        "multi",
        several(
            "min(text_1, text_2)", ("check", check("min_words", "5")), ("check", check("max_words", "50"))
        ),
    ),
    (
        {"type": "finish-reason", "value": "stop"},
        "string_check",
        {"input": "{{ sample.choices[0].finish_reason }}", "reference": "stop", "operation": "eq"},
    ),
    (
        {"type": "rouge-n", "value": "{{ reference }}", "threshold": 0.6},
        "text_similarity",
        similar("rouge_1", "{{ item.reference }}", 0.6),
    ),
    ({"type": "bleu", "value": "x y", "threshold": 0.5}, "text_similarity", similar("bleu", "x y", 0.5)),
    ({"type": "gleu", "value": "x y", "threshold": 0.5}, "text_similarity", similar("gleu", "x y", 0.5)),
    (
        {"type": "meteor", "value": ["x", "y"], "threshold": 0.7},
        "multi",
        several(
            "max(text_1, text_2)",
            ("text_similarity", similar("meteor", "x", 0.7)),
            ("text_similarity", similar("meteor", "y", 0.7)),
        )
        | {"pass_threshold": 0.7},
    ),
    (
        {"type": "similar", "value": "x", "threshold": 0.8, "provider": "openai:embedding:small"},
        "text_similarity",
        similar("cosine", "x", 0.8) | {"model": "small"},
    ),
    (
        {"type": "not-bleu", "value": "x", "threshold": 0.25},
        "multi",
        several("1 - it", ("text_similarity", similar("bleu", "x", 0.25)), names="it")
        | {"pass_threshold": 0.75},
    ),
]
JUDGES: list[dict[str, Any]] = [
    {"type": "llm-rubric", "value": "Is kind to {{ name }}", "provider": "openai:chat:gpt-4o"},
    {"type": "llm-rubric", "value": "Is kind", "threshold": 0.8, "provider": "openai:chat:gpt-4o"},
    {"type": "not-llm-rubric", "value": "Is rude"},
    {"type": "model-graded-closedqa", "value": "Names a city"},
    {"type": "g-eval", "value": "Is coherent", "threshold": 0.7},
]


@pytest.mark.parametrize(("assertion", "kind", "params"), PAIRS, ids=[str(pair[0]["type"]) for pair in PAIRS])
def test_an_assertion_is_a_grader_and_back(
    assertion: dict[str, Any], kind: str, params: dict[str, Any]
) -> None:
    found = grader_of(assertion)
    assert isinstance(found, Carried), found
    assert (found.kind, found.params) == (kind, params)
    assert assertion_of("Mine", kind, params) == assertion | {"metric": "Mine"}
    assert grader_of(assertion_of("Mine", kind, params)) == Carried("Mine", kind, params, found.notes)


@pytest.mark.parametrize("assertion", JUDGES, ids=[each["type"] for each in JUDGES])
def test_a_judge_comes_back_as_the_assertion_that_it_was(assertion: dict[str, Any]) -> None:
    found = grader_of(assertion)
    assert isinstance(found, Carried), found
    assert assertion_of("Mine", found.kind, found.params) == assertion | {"metric": "Mine"}


@pytest.mark.parametrize(
    ("start", "said"), [("factuality", "factuality"), ("criteria", "model-graded-closedqa")]
)
def test_a_ready_made_judge_goes_out_and_comes_back(start: str, said: str) -> None:
    made = ready_made.begin(start, has_reference=True)
    written = carry_writing.write([(made["name"], made["kind"], made["params"])], "promptfoo", "")
    assert f"type: {said}\n" in written.text
    line = carry_reading.read(written.text).lines[0]
    assert line.found == Carried(made["name"], made["kind"], made["params"])


def test_which_facts_pass_is_said_of_a_test_and_not_of_an_assertion() -> None:
    """Promptfoo reads it nowhere else, and in one place for all of its assertions."""
    said = """
    defaultTest:
      options: {factuality: {subset: 0, differButFactual: 0.5}}
      assert:
        - {type: factuality, value: x, options: {factuality: {subset: 1}}}
    tests:
      - options: {factuality: {disagree: 1}}
        assert:
          - {type: model-graded-factuality, value: x}
    """
    first, second = (line.found for line in carry_reading.read(said).lines)
    assert isinstance(first, Carried)
    assert isinstance(second, Carried)
    assert first.params["passing_labels"] == ["B", "C", "E"]
    assert "Left out: options." in first.notes
    assert second.params["passing_labels"] == ["A", "B", "C", "D", "E"]
    judges = [("One", first.kind, first.params), ("Two", second.kind, second.params)]
    written = carry_writing.write([*judges, judges[0]], "promptfoo", "")
    assert [bool(told.reason) for told in written.told] == [False, True, False]
    assert yaml.safe_load(written.text)["defaultTest"]["options"]["factuality"]["subset"] == 0


def test_a_long_list_of_texts_becomes_one_expression() -> None:
    words = [f"a.{number}" for number in range(20)]
    found = grader_of({"type": "icontains-any", "value": words})
    assert isinstance(found, Carried)
    assert found.kind == "check"
    assert graders.grade(found.kind, found.params, {}, {"output_text": "so A.19 it is"}).passed
    assert not graders.grade(found.kind, found.params, {}, {"output_text": "so A-19 it is"}).passed
    assert isinstance(grader_of({"type": "contains-all", "value": words}), NotCarried)


@pytest.mark.parametrize(
    ("assertion", "answer", "passes"),
    [
        ({"type": "not-contains", "value": "x"}, "abc", True),
        ({"type": "not-contains", "value": "x"}, "axb", False),
        ({"type": "contains-any", "value": ["x", "y"]}, "say y", True),
        ({"type": "contains-all", "value": ["x", "y"]}, "say y", False),
        ({"type": "contains-any", "value": "x , y "}, "say y", True),
        ({"type": "contains-all", "value": 'say, ,\n"a, \\"b" , y'}, 'say a, "by', True),
        ({"type": "regex", "value": r"C:\\Ap"}, r"C:\Apps", True),
        ({"type": "not-contains-any", "value": ["x", "y"]}, "none", True),
        ({"type": "not-contains-all", "value": ["x", "y"]}, "say y", True),
        ({"type": "not-regex", "value": r"\d"}, "no digits", True),
        ({"type": "word-count", "value": 2}, "two words", True),
        ({"type": "word-count", "value": 2}, "three words here", False),
        ({"type": "not-bleu", "value": "the same five words here"}, "the same five words here", False),
        ({"type": "is-refusal"}, "I'm sorry, but I can't help with that.", True),
        ({"type": "is-json", "value": {"type": "array"}}, "[1]", True),
        ({"type": "is-json", "value": {"type": "array"}}, "{}", False),
    ],
    ids=str,
)
def test_a_carried_assertion_judges_as_it_did(assertion: dict[str, Any], answer: str, passes: bool) -> None:
    found = grader_of(assertion)
    assert isinstance(found, Carried)
    assert graders.validate(found.kind, found.params) == {}
    assert graders.grade(found.kind, found.params, {}, {"output_text": answer}).passed is passes


def test_python_code_is_wrapped_and_taken_back() -> None:
    cases: list[tuple[dict[str, Any], str, float]] = [
        ({"value": "output == 'yes'"}, "yes", 1),
        ({"value": "output == 'yes'"}, "no", 0),
        ({"value": "len(output) / 4", "threshold": 0.5}, "yes", 0.75),
        ({"value": "if 'y' in output:\n  return {'pass': True, 'score': 0}\nreturn False"}, "yes", 1),
        ({"value": "return {'pass': False,\n 'score': 0.9}", "threshold": 0.5}, "yes", 0),
        ({"value": "context['vars']['wanted'] in output"}, "yes", 1),
        ({"value": """'{"pass": true, "score": 0.5}'""", "threshold": 0.4}, "yes", 0.5),
    ]
    for assertion, answer, score in cases:
        found = grader_of({"type": "python", **assertion})
        assert isinstance(found, Carried)
        names: dict[str, Any] = {}
        exec(found.params["source"], names)  # noqa: S102  # our own code and this test's, to see what it does
        assert names["grade"]({"output_text": answer}, {"wanted": "es"}) == score
    source = "def grade(sample, item):\n    return 1.0"
    code = assertion_of("Code", "python", {"source": source, "pass_threshold": 0.5})
    assert isinstance(code, dict)
    assert grader_of(code) == Carried("Code", "python", {"source": source, "pass_threshold": 0.5})


LEFT: list[dict[str, Any]] = [
    *({"type": name, "value": "x"} for name in promptfoo_left.LEFT),
    {"type": "trajectory:tool-used", "value": "x"},
    {"type": "of-tomorrow"},
    {"type": "equals", "value": {"a": 1}},
    {"type": "equals", "value": True},
    {"type": "contains", "value": "file://wanted.txt"},
    {"type": "contains", "value": "{{ name | upper }}"},
    {"type": "contains", "value": "{% if a %}b{% endif %}"},
    {"type": "contains", "value": "{{ env.SECRET }}"},
    {"type": "contains", "value": "{{ a"},
    {"type": "contains"},
    {"type": "contains-any", "value": "{{ wanted }}"},
    {"type": "contains-any", "value": []},
    {"type": "contains", "value": "x", "transform": "output.text"},
    {"type": "contains-any", "value": 'a, "b'},
    {"type": "regex", "value": "{{ expression }}"},
    {"type": "regex", "value": r"\Ayes"},
    {"type": "regex", "value": "(?i)yes"},
    {"type": "regex", "value": "[]a]"},
    {"type": "is-json", "value": {"items": {"dependencies": {"a": ["b"]}}}},
    {"type": "python", "value": "len(f'{{output}}') > 3"},
    {"type": "python", "value": "output in {'{# a'}"},
    {"type": "is-json", "value": "file://schema.json"},
    {"type": "is-xml", "value": {"requiredElements": ["a.b"]}},
    {"type": "not-word-count", "value": {"min": 1, "max": 2}},
    {"type": "word-count", "value": {"min": "many"}},
    {"type": "not-python", "value": "True"},
    {"type": "python", "value": "file://judge.py"},
    {"type": "llm-rubric", "value": "x", "rubricPrompt": "Judge {{ output }}"},
    {"type": "llm-rubric", "value": "x", "threshold": "high"},
    {"type": "bleu", "value": "x", "threshold": 7},
    {},
]


@pytest.mark.parametrize("assertion", LEFT, ids=lambda each: str(each)[:50])
def test_what_has_no_equal_here_is_left_with_a_reason(assertion: dict[str, Any]) -> None:
    found = grader_of(assertion)
    assert isinstance(found, NotCarried), found
    assert found.reason


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("string_check", string("{{ sample.output_json.a }}")),
        ("string_check", string("file:///etc/passwd")),
        ("string_check", string("{% raw %}")),
        ("string_check", string("{{ item.a-b }}")),
        ("string_check", string("x") | {"input": "{{ item.output }}"}),
        ("text_similarity", similar("rouge_l", "x", 0.5)),
        ("text_similarity", similar("fuzzy_match", "x", 0.5)),
        ("check", check("ends", "x")),
        ("check", check("no_personal_data")),
        ("check", check("regex", r"(?i)\Ayes\z")),
        ("check", check("regex", r"(?P<a>x)")),
        ("check", check("schema", '{"prefixItems": [{"type": "string"}]}')),
        ("python", {"source": "def grade(sample, item):\n    return f'{{1}}' != ''", "pass_threshold": 1}),
        ("check", {"check": "tool_calls", "value": "{{ item.output_tools }}"}),  # of no text
        ("pairwise", {"criteria": "Shorter", "connection": 1, "model": "m"}),
        (
            "label_model",
            {"input": [{"role": "user", "content": "Own"}], "labels": ["a"], "passing_labels": ["a"]},
        ),
        ("multi", several("0.3 * text_1", ("check", check("json")))),
        ("multi", several("max(text_1, text_2)", ("check", check("json")), ("check", check("xml")))),
    ],
)
def test_what_promptfoo_would_read_otherwise_is_not_written(kind: str, params: dict[str, Any]) -> None:
    told = assertion_of("Mine", kind, params)
    assert isinstance(told, NotCarried), told
    assert told.reason


def test_what_is_not_quite_the_same_is_told() -> None:
    assert lost_of("text_similarity", similar("rouge_1", "x", 0.5))
    assert lost_of("multi", PAIRS[-1][2])
    assert not lost_of("string_check", string("x"))
    assert lost_of("check", check("schema", '{"items": {"format": "date"}}'))
    assert not lost_of("check", check("schema", '{"properties": {"format": {"const": {"format": 1}}}}'))
    for said in ({"type": "regex", "value": r"a\Sb"}, {"type": "is-json", "value": {"format": "date"}}):
        found = grader_of(said)
        assert isinstance(found, Carried)
        assert found.notes
    plain = grader_of({"type": "is-json", "value": {"properties": {"dependencies": {"enum": ["format"]}}}})
    assert isinstance(plain, Carried)
    assert not plain.notes


def test_a_schema_goes_out_without_the_draft_that_promptfoo_does_not_know() -> None:
    told = assertion_of("Mine", "check", check("schema", f'{{"$schema": "{DRAFT}", "type": "array"}}'))
    assert told == {"type": "is-json", "metric": "Mine", "value": {"type": "array"}}


CONFIGURATION = """
description: Capitals
prompts: [file://prompt.txt]
providers: [openai:gpt-4o]
assertionTemplates:
  polite: {type: icontains, value: please}
defaultTest:
  options: {provider: {id: "openai:chat:gpt-4o"}}
  assert:
    - type: llm-rubric
      value: Is short
      weight: 2
    - $ref: '#/assertionTemplates/polite'
tests:
  - description: France
    vars: {city: Paris}
    assert: &usual
      - {type: contains, value: "{{city}}"}
      - {type: javascript, value: "output.length > 3"}
      - type: assert-set
        assert:
          - {type: is-json}
          - {type: latency, threshold: 200}
  - vars: {city: Rome}
    assert: *usual
  - vars: {city: Oslo}
    threshold: 0.5
    options: {transform: output.trim()}
    assert:
      - {type: equals, value: Oslo}
  - file://more.yaml
"""


def test_a_configuration_is_read_line_by_line() -> None:
    reading = carry_reading.read(CONFIGURATION)
    assert (reading.format, reading.name) == ("promptfoo", "Capitals")
    told = [
        (line.where, "same" if line.same else line.found.kind if isinstance(line.found, Carried) else "left")
        for line in reading.lines
    ]
    assert told == [
        ("defaultTest, assertion 1", "label_model"),
        ("defaultTest, assertion 2", "string_check"),
        ("Test 1 “France”, assertion 1", "string_check"),
        ("Test 1 “France”, assertion 2", "left"),
        ("Test 1 “France”, assertion 3, assertion 1", "check"),
        ("Test 1 “France”, assertion 3, assertion 2", "left"),
        ("Test 2, assertion 1", "same"),
        ("Test 2, assertion 2", "left"),
        ("Test 2, assertion 3, assertion 1", "same"),
        ("Test 2, assertion 3, assertion 2", "left"),
        ("Test 3, assertion 1", "left"),
        ("Test 3, threshold", "left"),
        ("Test 4", "left"),
    ]
    judge = reading.lines[0].found
    assert isinstance(judge, Carried)
    assert judge.params["model"] == "gpt-4o"
    assert "Its weight is left out: every grader counts by itself." in judge.notes


def test_a_written_configuration_reads_as_the_graders_that_it_was() -> None:
    mine = [(f"Grader {number}", kind, params) for number, (_, kind, params) in enumerate(PAIRS)]
    mine.append(("Ends", "check", check("ends", "x")))
    written = carry_writing.write(mine, "promptfoo", "All")
    assert [told.name for told in written.told if told.reason] == ["Ends"]
    found = [line.found for line in carry_reading.read(written.text).lines]
    assert [(each.name, each.kind, each.params) for each in found if isinstance(each, Carried)] == mine[:-1]


@bounded(max_examples=50, deadline=None)
@given(st.text(min_size=1).filter(str.strip), st.sampled_from(["eq", "like", "ilike", "ne"]))
def test_any_text_survives_the_way_there_and_back(text: str, operation: str) -> None:
    grader = ("Any", "string_check", string(text.encode("utf-8", "replace").decode(), operation))
    if graders.validate(*grader[1:]):
        return
    written = carry_writing.write([grader], "promptfoo", "")
    if written.carried:
        line = carry_reading.read(written.text).lines[0]
        assert line.found == Carried(*grader)


def test_every_type_is_either_carried_or_left_for_a_reason() -> None:
    assert not {*CARRIED} & {*promptfoo_left.LEFT}
    told = (settings.BASE_DIR / "docs" / "evaluations.md").read_text()
    assert not [name for name in (*CARRIED, *promptfoo_left.LEFT) if f"`{name}`" not in told]
