"""Graders: what they accept, what they say, and what they refuse to judge."""

from typing import Any

import pytest

from datasets.evaluate.graders import ANSWER, REFERENCE, Verdict, describe, grade, needs_reference, validate

CHECK = {"input": ANSWER, "reference": REFERENCE, "operation": "eq"}
SIMILAR = {"input": ANSWER, "reference": REFERENCE, "evaluation_metric": "rouge_l", "pass_threshold": 0.5}


def judged(operation: str, text: str, reference: str) -> bool | None:
    return grade(
        "string_check", {**CHECK, "operation": operation}, {"reference": reference}, {"output_text": text}
    ).passed


@pytest.mark.parametrize(
    ("operation", "text", "reference", "passed"),
    [
        ("eq", "Paris", "Paris", True),
        ("eq", "Paris", "paris", False),
        ("eq", "Paris ", "Paris", False),
        ("ne", "Paris", "Rome", True),
        ("ne", "Paris", "Paris", False),
        ("like", "It is Paris.", "Paris", True),
        ("like", "It is Paris.", "paris", False),
        ("like", "It is Paris.", "%", False),
        ("ilike", "It is PARIS.", "paris", True),
        ("ilike", "STRASSE", "straße", True),
        ("ilike", "It is Rome.", "paris", False),
    ],
)
def test_string_checks(operation: str, text: str, reference: str, *, passed: bool) -> None:
    assert judged(operation, text, reference) is passed


def test_similarity_passes_from_its_threshold_on() -> None:
    item, sample = {"reference": "a b c d"}, {"output_text": "a b x y"}
    verdict = grade("text_similarity", SIMILAR, item, sample)
    assert verdict == Verdict(0.5, True, "rouge_l is 0.500, at least 0.5.")
    stricter = grade("text_similarity", {**SIMILAR, "pass_threshold": 0.51}, item, sample)
    assert (stricter.passed, stricter.reason) == (False, "rouge_l is 0.500, below 0.51.")


def test_an_item_without_a_reference_is_ungraded_and_not_failed() -> None:
    verdict = grade("string_check", CHECK, {}, {"output_text": "x"})
    assert verdict == Verdict(None, None, "", "There is no item.reference.")


def test_a_text_that_is_too_long_is_ungraded() -> None:
    verdict = grade("text_similarity", SIMILAR, {"reference": "x" * 200_000}, {"output_text": "x"})
    assert verdict.passed is None
    assert "200,000 characters" in verdict.error


def test_hostile_answers_are_only_text() -> None:
    for text in ("{{ item.reference }}", "<script>alert(1)</script>", "\x00", "\ud800", "%s%n", "}}", "{{"):
        assert judged("eq", text, text) is True
        assert judged("eq", text, "other") is False


def test_a_reason_quotes_at_most_one_line_of_the_reference() -> None:
    verdict = grade("string_check", CHECK, {"reference": "long\n" * 1000}, {"output_text": "x"})
    assert len(verdict.reason) < 130
    assert "\n" not in verdict.reason


@pytest.mark.parametrize(
    ("kind", "change", "field"),
    [
        ("string_check", {"input": ""}, "input"),
        ("string_check", {"input": None}, "input"),
        ("string_check", {"reference": "{{ item.x|safe }}"}, "reference"),
        ("string_check", {"reference": "x" * 5000}, "reference"),
        ("string_check", {"operation": "matches"}, "operation"),
        ("text_similarity", {"evaluation_metric": "nearness"}, "evaluation_metric"),
        ("text_similarity", {"pass_threshold": 1.5}, "pass_threshold"),
        ("text_similarity", {"pass_threshold": True}, "pass_threshold"),
        ("text_similarity", {"pass_threshold": "0.5"}, "pass_threshold"),
        ("text_similarity", {"pass_threshold": float("nan")}, "pass_threshold"),
        ("ruby", {}, "kind"),
    ],
)
def test_a_grader_that_cannot_grade_is_refused_by_field(
    kind: str, change: dict[str, Any], field: str
) -> None:
    base = CHECK if kind == "string_check" else SIMILAR
    assert validate(kind, base) == {} or kind == "ruby"
    assert list(validate(kind, {**base, **change})) == [field]


def test_a_grader_knows_whether_it_needs_a_reference() -> None:
    assert needs_reference("string_check", CHECK)
    assert not needs_reference("string_check", {**CHECK, "reference": "yes"})
    begins = {"input": CHECK["input"], "check": "starts", "value": "{{ item.reference }}"}
    assert needs_reference("check", begins)
    assert not needs_reference("check", begins | {"check": "regex", "value": "{2}"})


def test_a_grader_is_described_in_a_line() -> None:
    assert describe("string_check", CHECK) == "{{ sample.output_text }} equals {{ item.reference }}"
    assert describe("text_similarity", SIMILAR).startswith("rouge_l of")
