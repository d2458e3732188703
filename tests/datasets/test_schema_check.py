"""Answers held against JSON schemas: what draft 2020-12 says, and what no schema may do here."""

import json
from typing import Any

import pytest

from datasets.evaluate import graders
from datasets.evaluate.schema_check import DRAFT, LONGEST_TEXT, mismatch, problem

CITY = {
    "$schema": DRAFT,
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 2},
        "code": {"pattern": "^[A-Z]{2}$"},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "uniqueItems": True},
    },
    "patternProperties": {"^x-": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
    "$defs": {"tag": {"enum": ["big", "old", 1]}},
}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"city": "Paris", "code": "FR", "tags": ["big", "old", 1], "x-note": 3}, ""),
        ({"city": "Paris", "tags": [1, 1.0]}, "twice"),
        ({"city": "Paris", "tags": ["new"]}, "At $.tags[0]: 'new' is not one of"),
        ({"city": "Paris", "code": "fr"}, "does not match '^[A-Z]{2}$'"),
        ({"city": "Paris", "x-note": "a"}, "'a' is not of type 'integer'"),
        ({"city": "Paris", "note": 1}, "'note' is not among"),
        ({"town": "Paris"}, "'city' is a required property"),
        ([], "is not of type 'object'"),
        ("P", "is not of type 'object'"),
    ],
)
def test_a_text_matches_its_schema_or_the_first_difference_is_told(value: Any, said: str) -> None:
    found = mismatch(json.dumps(CITY), json.dumps(value))
    assert said in found
    assert bool(found) == bool(said)


def test_true_is_no_number_and_one_is_one_point_nought() -> None:
    assert mismatch('{"uniqueItems": true}', '[1, true, "1", [1], {"a": 1}, null, 0, false]') == ""
    assert mismatch('{"uniqueItems": true}', '[{"a": 1, "b": [1]}, {"b": [1.0], "a": 1}]')


@pytest.mark.parametrize("text", ["Paris", "{", "NaN", "[" * 100_000, ""])
def test_what_is_no_json_matches_nothing(text: str) -> None:
    assert mismatch("{}", text)


@pytest.mark.parametrize(
    ("said", "schema"),
    [
        ("cannot be read", "{"),
        ("cannot be read", '{"minimum": NaN}'),
        ("is a JSON object", "[]"),
        ("draft 2020-12", '{"$schema": "http://json-schema.org/draft-07/schema#"}'),
        ("'text' is not valid", '{"type": "text"}'),
        ("no expression of RE2", '{"properties": {"a": {"pattern": "(?=a)b"}}}'),
        ("no expression of RE2", '{"patternProperties": {"(a)\\\\1": true}}'),
        ("only places in itself", '{"$ref": "https://json-schema.org/draft/2020-12/schema"}'),
        ("only places in itself", '{"items": {"$dynamicRef": "file:///etc/passwd"}}'),
        ("which is not in it", '{"$ref": "#/$defs/a"}'),
        ("which is not in it", '{"$ref": "#a"}'),
        ("levels", '{"not":' * 70 + "true" + "}" * 70),
        ("60,000 characters", '{"title": "' + "x" * 60_000 + '"}'),
        ("at the top or nowhere", json.dumps({"not": {"$schema": DRAFT, "pattern": "(a+)+$"}})),
        ("is not read", '{"unevaluatedProperties": false, "patternProperties": {"a": true}}'),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_in_the_form(said: str, schema: str) -> None:
    assert said in problem(schema)
    found = graders.validate("check", {"input": graders.ANSWER, "check": "schema", "value": schema})
    assert list(found) == ["value"]


def doubling(of_many: str, levels: int = 40) -> str:
    """Small to write and endless to check: each part asks for the one before it twice."""
    parts: dict[str, Any] = {"p0": {"type": "string"}}
    for level in range(1, levels):
        parts[f"p{level}"] = {of_many: [{"$ref": f"#/$defs/p{level - 1}"}] * 2}
    return json.dumps({"$ref": f"#/$defs/p{levels - 1}", "$defs": parts})


def looking_up(levels: int = 40) -> str:
    """The same without a check: which properties are known is asked at each place, and leads on twice."""
    parts: dict[str, Any] = {"p0": {}}
    for level in range(1, levels):
        place = {"$ref": f"#/$defs/p{level - 1}"}
        parts[f"p{level}"] = {"dependentSchemas": {"a": place, "b": place}}
    known = {"$ref": f"#/$defs/p{levels - 1}"}
    return json.dumps(
        {"unevaluatedProperties": False, "dependentSchemas": {"a": known, "b": known}, "$defs": parts}
    )


LIST = json.dumps([0] * 60_000)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ('{"$ref": "#"}', "1"),
        (looking_up(), '{"a": 1, "b": 1}'),
        (json.dumps({"allOf": [{"items": {}}] * 2}), LIST),
        (json.dumps({"unevaluatedItems": False, "anyOf": [{"contains": {}}] * 2}), LIST),
        (json.dumps({"anyOf": [{"pattern": "1[01]{900}y"}] * 20}), json.dumps("01" * 60_000)),
        (doubling("allOf"), '"x"'),
        (doubling("anyOf"), "1"),
        (json.dumps({"anyOf": [{"type": "string"}] * 2_000}), json.dumps(["x" * 900_000])),
        ("{}", " " * (LONGEST_TEXT + 1)),
        ('{"multipleOf": 0.5}', "1" + "0" * 400),
        ('{"not": {"$ref": "#/enum/0"}, "enum": [{"minimum": "x"}]}', "5"),
    ],
)
def test_what_would_take_for_ever_is_ungraded(schema: str, text: str) -> None:
    assert problem(schema) == ""
    params = {"input": graders.ANSWER, "check": "schema", "value": schema}
    verdict = graders.grade("check", params, {}, {"output_text": text})
    assert verdict.passed is None
    assert verdict.error


def test_patterns_take_linear_time() -> None:
    hostile = json.dumps({"pattern": "(a+)+$", "propertyNames": {"pattern": "(a+)+$"}})
    assert mismatch(hostile, json.dumps("a" * 100_000 + "!"))
    assert mismatch(hostile, json.dumps({"a" * 100_000 + "!": 1}))
