"""Several graders as one: the formula, what it may hold, and what becomes of a part without a verdict."""

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets import library
from datasets.evaluate.formula import Unsolved, problems, work_out
from datasets.evaluate.graders import Verdict, describe, grade, needs_reference, validate
from datasets.models import LibraryGraderVersion
from tests import factories

EXACT: dict[str, Any] = {
    "kind": "string_check",
    "params": {"input": "{{ sample.output_text }}", "reference": "{{ item.reference }}", "operation": "eq"},
}
CLOSE = {
    "kind": "text_similarity",
    "params": {
        "input": "{{ sample.output_text }}",
        "reference": "{{ item.reference }}",
        "evaluation_metric": "rouge_1",
        "pass_threshold": 0.5,
    },
}
SHORT = {
    "kind": "check",
    "params": {"input": "{{ sample.output_text }}", "check": "max_words", "value": "3"},
}
CODE: dict[str, Any] = {
    "kind": "python",
    "params": {"source": "def grade(sample, item): return 1", "pass_threshold": 1},
}


def together(formula: str, threshold: Any = 0.5, **graders: Any) -> dict[str, Any]:
    return {"graders": graders, "calculate_output": formula, "pass_threshold": threshold}


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("a + b * 2", 5.0),
        ("(a + b) / 2", 1.5),
        ("b ^ 3 - -a", 9.0),
        ("2 ^ 3 ^ 2", 512.0),
        ("-b ^ 2", -4.0),
        ("min(a, b, 0.5) + max(b)", 2.5),
        ("abs(a - b) + floor(2.7) + ceil(0.2)", 4.0),
        ("exp(0) + sqrt(4) + log(1)", 3.0),
        ("1e3", 1000.0),
        ("a\n  + b\n", 3.0),
    ],
)
def test_a_formula_has_its_value(formula: str, value: float) -> None:
    assert problems(formula, "ab") == []
    assert work_out(formula, {"a": 1.0, "b": 2.0}) == value


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("1 / (a - 1)", "divides by zero"),
        ("0 ^ -1", "divides by zero"),
        ("9 ^ 9 ^ 9 ^ 9", "too large"),
        ("exp(1000)", "too large"),
        ("1e308 * 10", "too large"),
        ("1" + "0" * 400, "too large"),
        ("(0 - 8) ^ (1 / 3)", "no value"),
        ("sqrt(0 - 1)", "no value"),
        ("log(0)", "no value"),
    ],
)
def test_what_has_no_value_is_an_error_of_the_item(formula: str, said: str) -> None:
    assert problems(formula, "a") == []
    with pytest.raises(Unsolved, match=said):
        work_out(formula, {"a": 1.0})
    verdict = grade("multi", together(formula, a=SHORT), {}, {"output_text": "one"})
    assert (verdict.score, verdict.passed) == (None, None)
    assert said in verdict.error


@pytest.mark.parametrize(
    "formula",
    [
        "", "a +", "c", "min", "eval(a)", "__import__('os')", "a.real", "a[0]", "a if b else 1", "a < b",
        "a and b", "not a", "lambda: 1", "[a]", "(a, b)", "f'{a}'", "a := 1", "'a'", "True", "1j", "a // b",
        "a % b", "a @ b", "~a", "min(*a)", "min(a, key=b)", "sqrt(a, b)", "max()", "a; b", "a\nb", "((" * 900,
        "a # b", "a" + " + a" * 2_000, "-" * 3_000 + "a", "(a)(b)", "await a",
    ],
)  # fmt: skip
def test_a_formula_of_anything_else_is_refused(formula: str) -> None:
    assert problems(formula, "ab")
    assert "calculate_output" in validate("multi", together(formula, a=SHORT, b=SHORT))


@given(st.text("ab0159.+-*/^()minxqrt, ", max_size=30))
@settings(max_examples=50, deadline=None)
def test_a_formula_gives_a_number_or_says_why_not(formula: str) -> None:
    if not problems(formula, "ab"):
        with suppress(Unsolved):
            assert math.isfinite(work_out(formula, {"a": 0.25, "b": 0.0}))


@pytest.mark.parametrize("formula", ["0.7 * a + 0.2 * b + 0.1 * c", "1 - (a - 0.9) / 0.1 + b", "c / 3 * 3"])
def test_parts_that_make_up_the_threshold_reach_it(formula: str) -> None:
    answer = {"output_text": "one"}
    params = together(formula, 1, a=SHORT, b=SHORT, c=SHORT)
    assert grade("multi", params, {}, answer).passed is True


@pytest.mark.parametrize("name", ["and", "True", "sqrt", "a b", "\N{LATIN SMALL LIGATURE FI}rst", "\u00aa"])
def test_a_part_has_a_name_that_the_formula_reads_as_that_name(name: str) -> None:
    """“ª” would be read as “a”, which may be another part."""
    assert "graders" in validate("multi", together("a", a=SHORT, **{name: SHORT}))


def test_several_graders_make_one_score() -> None:
    params = together("0.5 * exact + 0.5 * close", 0.7, exact=EXACT, close=CLOSE)
    assert validate("multi", params) == {}
    item = {"reference": "a b"}
    verdict = grade("multi", params, item, {"output_text": "a b"})
    assert verdict == Verdict(1.0, True, "exact 1, close 1: 1 is at least 0.7.")
    verdict = grade("multi", params, item, {"output_text": "a c"})
    assert verdict == Verdict(0.25, False, "exact 0, close 0.5: 0.25 is below 0.7.")


def test_a_part_without_a_verdict_leaves_the_whole_without_one() -> None:
    params = together("exact * short", exact=EXACT, short=SHORT)
    verdict = grade("multi", params, {}, {"output_text": "a"})
    assert verdict == Verdict(None, None, "", "exact: There is no item.reference.")


def test_verdicts_from_elsewhere_are_taken_by_their_names() -> None:
    params = together("code * short", code=CODE, short=SHORT)
    sample = {"output_text": "one"}
    assert grade("multi", params, {}, sample, {"code": Verdict(0.75, False, "")}).score == 0.75
    assert grade("multi", params, {}, sample).error == "code: The source was not run."
    failed = Verdict(None, None, "", "It took more than 5 seconds.")
    assert grade("multi", params, {}, sample, {"code": failed}).error == "code: It took more than 5 seconds."


@pytest.mark.parametrize(
    ("field", "params"),
    [
        ("graders", together("1")),
        ("graders", together("1", **{f"g{number}": SHORT for number in range(9)})),
        ("graders", together("1", **{"a b": SHORT})),
        ("graders", together("1", max=SHORT)),
        ("graders", together("1", a={"kind": "multi", "params": together("b", b=SHORT)})),
        ("graders", together("1", a={"kind": "pairwise", "params": {}})),
        ("graders", together("1", a={"kind": "string_check"})),
        (
            "graders",
            together("1", a={"kind": "string_check", "params": EXACT["params"] | {"operation": "x"}}),
        ),
        ("graders", together("1", a="exact")),
        ("graders", {"graders": [SHORT], "calculate_output": "1", "pass_threshold": 1}),
        ("calculate_output", together("", a=SHORT)),
        ("calculate_output", {"graders": {"a": SHORT}, "calculate_output": 1, "pass_threshold": 1}),
        ("pass_threshold", together("a", None, a=SHORT)),
        ("pass_threshold", together("a", True, a=SHORT)),
        ("pass_threshold", together("a", float("inf"), a=SHORT)),
    ],
)
def test_several_graders_that_cannot_grade_are_refused_by_field(field: str, params: dict[str, Any]) -> None:
    assert list(validate("multi", params)) == [field]


def test_whether_a_reference_is_needed_is_asked_of_the_parts() -> None:
    assert needs_reference("multi", together("exact", exact=EXACT))
    assert not needs_reference("multi", together("short", short=SHORT))
    reads = {"source": "def grade(sample, item):\n    return item['reference'] == ''", "pass_threshold": 1}
    assert needs_reference("python", reads)
    assert not needs_reference("python", CODE["params"])


def test_several_graders_are_told_in_a_line() -> None:
    assert describe("multi", together("a * b", 0.5, a=EXACT, b=SHORT)) == "a * b of a, b ≥ 0.5"


@pytest.mark.engines
@pytest.mark.django_db
def test_parts_keep_their_order_where_the_database_sorts_the_names_of_an_object() -> None:
    written = together("longest + mid + b", longest=EXACT, mid=CLOSE, b=SHORT)
    version = library.add(factories.connection("Home"), "Several", "multi", written, None)
    column = "UPDATE datasets_librarygraderversion SET params = %s WHERE id = %s"
    with connection.cursor() as cursor:
        cursor.execute("SELECT params FROM datasets_librarygraderversion WHERE id = %s", [version.pk])
        sorted_names = json.dumps(json.loads(cursor.fetchone()[0]), sort_keys=True)
        cursor.execute(column, [sorted_names, version.pk])
    read = LibraryGraderVersion.objects.get(pk=version.pk)
    assert read.params == written
    assert list(read.params["graders"]) == ["longest", "mid", "b"]
    assert describe("multi", read.params) == "longest + mid + b of longest, mid, b ≥ 0.5"

    with connection.cursor() as cursor:  # as rows were written before there was an order
        cursor.execute(column, [json.dumps(written), version.pk])
    assert LibraryGraderVersion.objects.get(pk=version.pk).params == written
