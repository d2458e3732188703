"""The filter as rows of a form: the same filter, and nothing in a value is read as language."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from completions import readings
from completions.filters import FIELDS, Filter
from completions.filters.edit import contrary, from_rows, how_many, problem, to_rows, write
from tests.completions.filtering import filters


@settings(max_examples=300, deadline=None)
@given(filters())
def test_rows_say_what_the_filter_says(q: str) -> None:
    wanted = Filter.parse(q)
    rows = json.loads(json.dumps(to_rows(wanted)))
    assert from_rows(rows) == wanted
    assert to_rows(from_rows(rows)) == rows


def test_the_rows_of_a_filter_are_plain() -> None:
    wanted = Filter.parse('model:a,b -meta."odd key":* (tokens:>5 OR -(created:7d prompt:/x y/))')
    assert to_rows(wanted) == [
        {"field": "model", "key": "", "lookup": "any of", "values": ["a", "b"]},
        {"field": "meta", "key": "odd key", "lookup": "absent", "values": []},
        {
            "group": "any",
            "options": [
                [{"field": "tokens", "key": "", "lookup": "more than", "values": ["5"]}],
                [
                    {
                        "group": "none",
                        "options": [
                            [
                                {"field": "created", "key": "", "lookup": "in the last", "values": ["7d"]},
                                {"field": "prompt", "key": "", "lookup": "regex", "values": ["x y"]},
                            ]
                        ],
                    }
                ],
            ],
        },
    ]


VALUES = {"numbers": ["5", "9"], "moments": ["2026-11-01", "2026-11-02"], "marks": ["image", "tools"]}
CASES = [(field.name, lookup) for field in FIELDS.values() for lookup in field.lookups]


@pytest.mark.parametrize(("name", "lookup"), CASES, ids=[" ".join(case) for case in CASES])
def test_every_comparison_of_every_field_can_be_chosen(name: str, lookup: str) -> None:
    field = FIELDS[name]
    values = ["gone", "pending"] if name == "is" else VALUES.get(field.how, ["one", "two"])
    if field.choices:
        values = [*field.choices]
    if name == "label" and lookup.split()[-1] in ("than", "least", "most", "between"):
        values = VALUES["numbers"]
    if lookup.endswith("in the last"):
        values = ["7d"]
    count = {"none": 0, "one": 1, "two": 2, "many": 2}[how_many(lookup)]
    row = {
        "field": name, "key": "category" if field.keyed else "", "lookup": lookup, "values": values[:count],
    }  # fmt: skip
    assert problem(row) == ""
    assert to_rows(from_rows([row])) == [row]
    (clause,) = from_rows([row]).leaves()
    (other,) = from_rows([{**row, "lookup": contrary(lookup)}]).leaves() if _positive(lookup) else (clause,)
    assert (clause.negated is other.negated) is (not _positive(lookup))


def _positive(lookup: str) -> bool:
    return any(contrary(lookup) in field.lookups for field in FIELDS.values())


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(CASES), st.text(max_size=8), st.lists(st.text(max_size=10), max_size=3),
    st.sampled_from(["model:a", "(x OR y)"]),
)  # fmt: skip
def test_no_value_breaks_out_of_its_row(
    case: tuple[str, str], key: str, values: list[str], near: str
) -> None:
    name, lookup = case
    row = {"field": name, "key": key, "lookup": lookup, "values": values}
    rows = [*to_rows(Filter.parse(near)), row]
    made = from_rows(rows)
    assert made.q.startswith(near)
    assert len(made.parts) == 2 or (name == "model" and not made.broken)
    assert bool(made.broken) is bool(problem(row))
    assert Filter.parse(made.q) == made
    if not made.broken:
        for clause in Filter.parse(write(row)).leaves():
            kept = readings.clean(key) if FIELDS[name].keyed else None
            assert (clause.field.name, clause.key) == (name, kept)


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"field": "nowhere", "lookup": "is", "values": ["x"]},
        {"field": "model", "lookup": "more than", "values": ["x"]},
        {"field": "model", "lookup": "is", "values": []},
        {"field": "model", "lookup": "any of", "values": []},
        {"field": "tokens", "lookup": "between", "values": ["5", ""]},
        {"field": "tokens", "lookup": "at least", "values": [">5"]},
        {"field": "tokens", "lookup": "at least", "values": ["5) (x"]},
        {"field": "created", "lookup": "in the last", "values": ["2026-11-01"]},
        {"field": "created", "lookup": "on", "values": ["7d"]},
        {"field": "prompt", "lookup": "regex", "values": ["a\\"]},
        {"field": "prompt", "lookup": "regex", "values": ["(a"]},
        {"field": "prompt", "lookup": "words", "values": ["…"]},
        {"field": "has", "lookup": "is", "values": ["wings"]},
    ],
)
def test_a_row_that_says_nothing_matches_nothing(row: dict[str, Any]) -> None:
    assert problem(row)
    cases: list[list[dict[str, Any]]] = [
        [row],
        [{"group": "any", "options": [[row], []]}],
        [{"group": "none", "options": []}, row],
    ]
    for rows in cases:
        made = from_rows(rows)
        assert made.broken
        assert Filter.parse(made.q) == made


def test_groups_too_deep_for_the_language_are_broken() -> None:
    rows: list[dict[str, Any]] = []
    for _ in range(300):
        rows = [{"group": "none", "options": [[{"field": "turns", "lookup": "is", "values": ["1"]}, *rows]]}]
    assert from_rows(rows).broken
