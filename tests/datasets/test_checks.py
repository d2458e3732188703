"""Ready-made checks: what each lets pass, what it does not, and what it leaves unjudged."""

import json
from typing import Any

import pytest

from datasets.evaluate import graders
from datasets.evaluate.checks import CHECKS

ANSWER = "{{ sample.output_text }}"
MINE = {"reference": "Paris", "input": [{"role": "user", "content": "Which city?"}]}
BOMB = '<!DOCTYPE a [<!ENTITY b "' + "x" * 1000 + '">]><a>&b;</a>'


def judge(check: str, text: str, value: str = "", **sample: Any) -> graders.Verdict:
    params = {"input": ANSWER, "check": check, "value": value}
    assert graders.validate("check", params) == {}
    return graders.grade("check", params, MINE, {"output_text": text} | sample)


CASES = [
    ("json", "", '{"a": [1, null]}', '{"a": 1,}'),
    ("json", "", "3", "NaN"),
    ("json", "", '"{{ item.reference }}"', "Paris"),
    ("xml", "", "<a><b/>&amp;</a>", "<a><b></a>"),
    *(
        ("xml", "", f'<?xml version="1.0" encoding="{name}"?><a>é</a>', f'<?xml encoding="{name}"?><a>')
        for name in ("gb2312", "utf-16", "rot13", "iso-8859-1", "x")
    ),
    ("starts", "{{ item.reference }}", "  Paris is it.", "It is Paris."),
    ("ends", "{{ item.reference }}.", "It is Paris.\n", "Paris is it."),
    ("regex", r"\b\d{4}\b", "In 1889.", "In 18890."),
    ("regex", r"(?i)^paris$", "PARIS", "PARIS!"),
    ("max_words", "3", "one two three", "one two three four"),
    ("max_words", "0", "", "one"),
    ("min_words", "2", "one two", "one"),
    ("answers", "", "It is Paris.", "I'm sorry, but I can't help with that."),
    ("answers", "", "I cannot find a better city.", "I cannot assist with this request."),
    ("answers", "", "Yes.", "   "),
    (
        "answers",
        "",
        "I'm sorry to hear that. Start it again.",
        "I\u2019m sorry, I can\u2019t assist with that.",
    ),
    ("answers", "", "Sorry for the delay: it is Paris.", "Sorry, I won't do that."),
    (
        "language",
        "en",
        "The capital of France is the city of Paris.",
        "Die Hauptstadt ist die Stadt Paris.",
    ),
    ("schema", '{"required": ["city"]}', '{"city": "Paris"}', '{"town": "Paris"}'),
    ("no_personal_data", "", "Write to the support team.", "Write to jo@example.com."),
    ("no_personal_data", "", "Order 4711 is on its way.", "Pay with 4111 1111 1111 1111."),
]


@pytest.mark.parametrize(("check", "value", "passes", "fails"), CASES)
def test_each_check_tells_one_from_the_other(check: str, value: str, passes: str, fails: str) -> None:
    good, bad = judge(check, passes, value), judge(check, fails, value)
    assert (good.passed, good.score, good.error) == (True, 1.0, "")
    assert (bad.passed, bad.score, bad.error) == (False, 0.0, "")
    assert good.reason
    assert bad.reason != good.reason


def test_every_check_is_tried() -> None:
    assert {check for check, *_ in CASES} | {"tool_calls"} == set(CHECKS)  # calls are no text


def test_a_refusal_that_the_model_marks_is_one_whatever_it_says() -> None:
    choices = [{"message": {"role": "assistant", "refusal": "No."}, "finish_reason": "stop"}]
    assert judge("answers", "Certainly.", choices=choices).passed is False
    assert judge("answers", "", output_tools=[{"id": "call_1"}]).passed is True


@pytest.mark.parametrize(("check", "value", "text"), [("language", "en", "Oui"), ("xml", "", BOMB)])
def test_what_cannot_be_judged_is_ungraded_and_fails_nothing(check: str, value: str, text: str) -> None:
    verdict = judge(check, text, value)
    assert (verdict.score, verdict.passed) == (None, None)
    assert verdict.error


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "\x00", "\ud800", "x" * 1_000_000, "[" * 100_000]
)
def test_no_answer_breaks_a_check(text: str) -> None:
    values = {
        "regex": "(a+)+$",
        "max_words": "5",
        "min_words": "5",
        "language": "en",
        "starts": "x",
        "ends": "x",
        "schema": '{"type": "object", "properties": {"a": {"pattern": "(a+)+$"}}}',
        "tool_calls": '{"name": "look_up"}',
    }
    for check in CHECKS:
        verdict = judge(check, text, values.get(check, ""))
        assert verdict.passed is not None or verdict.error


@pytest.mark.parametrize(
    ("check", "value", "field"),
    [
        ("regex", "(", "value"),
        ("regex", r"(?=a)", "value"),
        ("regex", "", "value"),
        ("max_words", "many", "value"),
        ("max_words", "-1", "value"),
        ("language", "english", "value"),
        ("starts", "{{ item.", "value"),
        ("nothing", "", "check"),
    ],
)
def test_a_check_that_cannot_judge_is_refused_in_words(check: str, value: str, field: str) -> None:
    problems = graders.validate("check", {"input": ANSWER, "check": check, "value": value})
    assert set(problems) == {field}
    assert problems[field]


def test_a_missing_column_is_an_error_of_the_item() -> None:
    params = {"input": ANSWER, "check": "starts", "value": "{{ item.gone }}"}
    verdict = graders.grade("check", params, MINE, {"output_text": "Paris"})
    assert verdict.passed is None
    assert "gone" in verdict.error


def test_a_check_tells_itself() -> None:
    said = graders.describe("check", {"input": ANSWER, "check": "regex", "value": "^a"})
    assert said == f"{ANSWER} matches the expression (RE2) ^a"
    assert json.dumps(said)
