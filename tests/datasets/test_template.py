"""Substitution in graders: names and indexes, nothing that could be executed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.evaluate.template import Broken, Missing, parse, render, render_json, spell

ITEM = {
    "reference": "Paris",
    "metadata": {"user id": "7", "a.b": "dotted", "n": 3, "none": None, "list": [1, 2]},
    "input": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Capital of France?"}],
}
SAMPLE = {"output_text": "It is {{ item.reference }}.", "output_tools": [{"function": {"name": "look_up"}}]}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{{ item.reference }}", "Paris"),
        ("{{item.reference}}!", "Paris!"),
        ("a {{ item.reference }} b {{ item.reference }}", "a Paris b Paris"),
        ("{{ item.input[1].content }}", "Capital of France?"),
        ("{{ item.input[-1].role }}", "user"),
        ('{{ item.metadata["user id"] }}', "7"),
        ("{{ item.metadata['a.b'] }}", "dotted"),
        ("{{ item.metadata.n }}", "3"),
        ("{{ item.metadata.list }}", "[1, 2]"),
        ("{{ sample.output_tools[0].function.name }}", "look_up"),
        ("{% if x %} {# no #} $x ${x} %(x)s {x}", "{% if x %} {# no #} $x ${x} %(x)s {x}"),
    ],
)
def test_holes_are_filled_by_path(text: str, filled: str) -> None:
    assert render(text, ITEM, SAMPLE) == filled


def test_what_was_put_in_is_not_read_as_a_template_again() -> None:
    assert render("{{ sample.output_text }}", ITEM, SAMPLE) == "It is {{ item.reference }}."


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("{{ item.nothing }}", "item.nothing"),
        ("{{ item.metadata.none }}", "item.metadata.none"),
        ("{{ item.input[9].content }}", "item.input[9]"),
        ("{{ item.reference.length }}", "item.reference.length"),
        ("{{ item.reference[0] }}", "item.reference[0]"),
        ("{{ item.input.content }}", "item.input.content"),
        ("{{ sample.output_json }}", "sample.output_json"),
        ("{{ item.metadata.__class__ }}", "item.metadata.__class__"),
    ],
)
def test_a_missing_key_is_an_error_of_the_item_and_never_empty_text(text: str, missing: str) -> None:
    with pytest.raises(Missing, match=r"item|sample") as error:
        render(text, ITEM, SAMPLE)
    assert missing in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "{{ }}",
        "{{ item }}",
        "{{ settings.SECRET_KEY }}",
        "{{ item.reference|upper }}",
        "{{ item.reference() }}",
        "{{ item. }}",
        "{{ item..x }}",
        "{{ item.x[ }}",
        "{{ item.x[a] }}",
        "{{ item.reference",
        "{{ item.reference }} and {{ open",
    ],
)
def test_anything_but_names_and_indexes_is_refused(text: str) -> None:
    with pytest.raises(Broken):
        parse(text)


@given(st.text())
def test_any_text_is_either_read_or_refused_and_never_fails_otherwise(text: str) -> None:
    try:
        filled = render(text, ITEM, SAMPLE)
    except (Broken, Missing):
        return
    assert "{{" in text or filled == text


@given(st.text(max_size=30))
def test_a_key_of_any_letters_is_reached_by_quoting(key: str) -> None:
    quoted = key.replace("\\", "\\\\").replace('"', '\\"')
    if "}}" in key:
        return
    assert render(f'{{{{ item["{quoted}"] }}}}', {key: "found"}, {}) == "found"


def test_a_path_is_spelled_as_a_person_writes_it() -> None:
    (path,) = parse("{{ item.input[0]['role'] }}")
    assert isinstance(path, tuple)
    assert spell(path) == "item.input[0].role"


def test_what_is_put_into_a_text_of_json_cannot_end_it() -> None:
    told = 'He said "no", \\ and\nleft", "to": "me'
    text = '[{"a \\" {{ item.told }}": "{{ item.told }}", "b": {{ item.many }}, "c": ["{{ item.many }}"]}]'
    filled = json.loads(render_json(text, {"told": told, "many": [1, "x"]}, {}))
    assert filled == [{f'a " {told}': told, "b": [1, "x"], "c": ['[1, "x"]']}]


def test_a_value_nested_too_deeply_is_an_error_of_the_item() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Missing, match="nested too deeply"):
        render("{{ item.deep }}", {"deep": deep}, {})
