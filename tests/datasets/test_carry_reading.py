"""What anybody may paste, read within bounds."""

import json

import pytest
import yaml

from datasets.evaluate import carry_reading, carry_writing, template
from datasets.evaluate.carry import Carried, NotCarried

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
MERGES = "a0: &a0 {x0: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 40))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "tests: [",
        "just words",
        "[1, 2",
        "{}",
        "tests: []",
        "tests: &a [*a]",
        BOMB + "tests: *a11\n",
        MERGES + "tests: []\n",
        "tests: " + "[" * 5_000,
        "{" * 5_000,
        '{"tests": ' + "[" * 200 + "]" * 200 + "}",
        "tests: !!python/object/apply:os.system ['true']",
        "tests: 2024-99-99",
        "tests: " + "9" * 5_000,
        "x" * (carry_reading.LARGEST + 1),
        "tests:\n- assert:\n  - {type: equals, value: \x00}\n",
        "tests: !!bool perhaps",
        "tests: !!timestamp soon",
        "tests: !!int ''",
        "tests: !!float 1:30",
        "tests: !!set {a, b}",
        "tests: !!binary aGVsbG8=",
    ],
    ids=lambda text: repr(text[:30]),
)
def test_what_cannot_be_read_is_refused_in_words(text: str) -> None:
    with pytest.raises(carry_reading.Unreadable) as refused:
        carry_reading.read(text)
    assert str(refused.value)


def test_a_broken_line_among_graders_keeps_the_others() -> None:
    good = {"type": "string_check", "input": "a", "reference": "b", "operation": "eq"}
    text = f'{json.dumps(good)}\n{{"type": broken\n\n{json.dumps(good | {"operation": "ne"})}\n'
    found = [line.found for line in carry_reading.read(text).lines]
    assert [isinstance(one, Carried) for one in found] == [True, False, True]
    assert found[1] == NotCarried("It is no JSON object.")


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("12:30", "12:30"), ("010", "10"), ("0o17", "15"), ("0x1F", "31"), ("1e3", "1000"),
        ("1_000", "1_000"),
        ("yes", "yes"), ("No", "No"), ("on", "on"), ("1.50", "1.5"), ("'1.50'", "1.50"), ("y", "y"),
        ("1:0:0:0:0", "1:0:0:0:0"),
    ],
)  # fmt: skip
def test_a_plain_text_is_what_promptfoo_takes_it_for(written: str, means: str) -> None:
    text = f"tests:\n- assert:\n  - {{type: equals, value: {written}}}\n"
    found = carry_reading.read(text).lines[0].found
    assert isinstance(found, Carried)
    assert found.params["reference"] == means
    back = carry_writing.write([("Mine", found.kind, found.params)], "promptfoo", "").text
    again = carry_reading.read(back).lines[0].found
    assert isinstance(again, Carried)
    assert again.params == found.params


def test_names_that_are_no_texts_are_taken_as_texts() -> None:
    schema = "{type: is-json, value: {properties: {2020-01-01: {}, 1.5: {}, true: {}, null: {}}}}"
    found = carry_reading.read(f"tests:\n- assert:\n  - {schema}\n").lines[0].found
    assert isinstance(found, Carried)
    assert json.loads(found.params["value"]) == {
        "properties": {"2020-01-01": {}, "1.5": {}, "true": {}, "null": {}}
    }
    score = "{type: score_model, model: m, input: [{role: user, content: a}], range: {1: 2, b: 3},"
    assert carry_reading.read(f"testing_criteria:\n- {score} pass_threshold: 1}}\n").lines


def test_a_text_of_many_open_variables_is_refused_at_once() -> None:
    text = f'tests: [{{assert: [{{type: equals, value: "{"{{" * 49_000}"}}]}}]'
    assert isinstance(carry_reading.read(text).lines[0].found, NotCarried)
    with pytest.raises(template.Broken):
        template.parse("{{ item.a }}" + "{{" * 49_000)


def test_aliases_within_bounds_are_followed() -> None:
    text = yaml.safe_dump({"defaultTest": {"assert": [{"type": "is-json"}]}}) + "tests: &t []\nother: *t\n"
    assert len(carry_reading.read(text).lines) == 1
