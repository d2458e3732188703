"""A field of the filter is one entry, one line of documentation and one row of a test; none is missing."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from completions.display import COLUMNS, column_of
from completions.filters import FIELDS, Clause, Filter
from completions.filters.fields import FLAGS, MARKS, STATES
from completions.models import ReviewState, StoredCompletion, Term
from tests.completions.test_filters import FIELD_ROWS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "filters.md").read_text()
# What a row shows that stands in several columns of the table, and by which field it is found.
SHOWN_AS = {
    "prompt_preview": ("prompt", "text"), "answer_preview": ("answer", "text"), "metadata": ("meta",),
    "total_tokens": ("tokens",), "answer_length": ("length",), "finish_reason": ("finish",),
    "review__state": ("review",), "review__rating": ("rating",), "review__labels": ("label",),
    "review__notes": ("note",), "review__reviewers": ("reviewer",), "review__reviewed": ("reviewed",),
    "upstream_id": ("id",), "gone_at": ("is",), "messages_state": ("is",), "flags": ("has",),
}  # fmt: skip


def test_every_field_is_documented_and_tested() -> None:
    documented = re.findall(r"^\| `([a-z_]+)` \| `(.+?)` \|", DOCUMENT, re.MULTILINE)
    assert documented == [(field.name, field.example) for field in FIELDS.values()]
    assert [name for name, _, _ in FIELD_ROWS] == list(FIELDS)
    for name in (*FLAGS, *MARKS, *STATES):
        assert f"`{name}`" in DOCUMENT


@pytest.mark.parametrize("name", [*COLUMNS, "meta.category"])
def test_everything_that_the_table_shows_can_be_filtered_by(name: str) -> None:
    column = column_of(name)
    assert column is not None
    assert (column.filter or column.name) in FIELDS
    for read in column.reads:
        assert set(SHOWN_AS.get(read, (read,))) <= set(FIELDS)


def test_fields_name_what_is_there() -> None:
    models = (StoredCompletion, ReviewState)
    stored = {field.name for model in models for field in model._meta.get_fields()}
    kinds = {str(kind) for kind in Term.Kind.values}
    for field in FIELDS.values():
        if field.how == "terms":
            assert field.column in kinds
        elif field.how in ("numbers", "moments", "lookup"):
            assert field.column in stored


def values(clauses: Iterable[Clause]) -> list[str]:
    return [value for clause in clauses for value in clause.values]


def test_documented_examples_can_be_read() -> None:
    outside = re.sub(r"```.*?```", "", DOCUMENT, flags=re.DOTALL)
    block = re.search(r"```\n(.*?)\n```", DOCUMENT, re.DOTALL)
    assert block
    written = [
        block[1],
        *re.findall(r"`(-?\(?[a-z_.]+:[^`]+)`", outside),
        *re.findall(r"`(~[^`]+)`", outside),
    ]
    written = [each for each in written if "KEY" not in each and each != "has:"]
    assert len(written) > 30
    for q in written:
        assert not Filter.parse(q).broken, q
    assert values(Filter.parse(block[1]).leaves())[:3] == ["gpt-4o", "gpt-4o-mini", "test"]
