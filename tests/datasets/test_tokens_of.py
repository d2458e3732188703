"""How long rows are, as a picture and as numbers."""

from typing import Any

import pytest
from django.db import connection as database
from django.template.loader import render_to_string
from django.test.utils import CaptureQueriesContext

from datasets import tokens_of
from datasets.models import DatasetVersion, Example
from portal.models import User
from tests import factories
from tests.datasets import material

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def version(builder: User) -> DatasetVersion:
    return material.built(builder, material.many(factories.connection("Library"), 12))


def lengths(version: DatasetVersion, *counts: int | None) -> None:
    """Let the rows have these counts, the first one for all further rows."""
    for at, example in enumerate(version.examples.order_by("position")):
        example.tokens = counts[at] if at < len(counts) else counts[0]
        example.save(update_fields=["tokens"])


def made(version: DatasetVersion, **asked: Any) -> tokens_of.Histogram:
    found = tokens_of.histogram(version, **asked)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "counts",
    [
        (42,),
        (0,),
        (1, 2, 3),
        (40, 41, 60, 99, 100),
        (10, 70_000),
        (3, 201),
        (1, 16, 17, 31, 32, 65_536),
        (0, 300),
    ],
    ids=str,
)
def test_every_row_stands_in_the_bar_of_its_length(version: DatasetVersion, counts: tuple[int, ...]) -> None:
    lengths(version, *counts)
    found = made(version)
    assert sum(bar.rows for bar in found.bars) == found.rows == 12
    assert all(
        before.high + 1 == after.low for before, after in zip(found.bars, found.bars[1:], strict=False)
    )
    assert 1 <= len(found.bars) <= tokens_of.BARS + 2
    for bar in found.bars:
        held = sum(bar.low <= (counts[at] if at < len(counts) else counts[0]) <= bar.high for at in range(12))
        assert bar.rows == held
        assert bar.y + bar.height == pytest.approx(tokens_of.HEIGHT, abs=0.02)
        assert (bar.height > 0) == (bar.rows > 0)
    assert found.bars[0].rows
    assert found.bars[-1].rows
    assert (found.shortest, found.longest) == (min(counts), max(counts))


def test_says_what_half_of_the_rows_are_at_most(version: DatasetVersion) -> None:
    lengths(version, *range(10, 130, 10))
    found = made(version)
    assert (found.median, found.most) == (60, 120)


def test_the_limit_of_the_model_stands_where_it_belongs(version: DatasetVersion) -> None:
    lengths(version, *range(10, 130, 10))
    found = made(version, limit=100)
    assert found.over == 2
    assert found.limit_x is not None
    [bar] = [bar for bar in found.bars if bar.low <= 100 <= bar.high]
    assert bar.x - 1 <= found.limit_x <= bar.x + bar.width + 1
    assert made(version, limit=65_536).limit_x is None
    assert "2 rows of more than 100 tokens" in render_to_string(
        "datasets/histogram.html", {"histogram": found}
    )


@pytest.mark.engines
def test_one_look_at_the_rows_is_enough(version: DatasetVersion) -> None:
    with CaptureQueriesContext(
        database,
    ) as queries:
        made(version)
    assert len(queries) == 1


def test_rows_that_are_left_out_or_not_counted_do_not_count(version: DatasetVersion) -> None:
    lengths(version, 42, None)
    first: Example = version.examples.order_by("position")[0]
    version.examples.filter(pk=first.pk).update(line=None)
    assert made(version).rows == 10
    assert tokens_of.histogram(version, split="test") is None
    version.examples.update(tokens=None)
    assert tokens_of.histogram(version) is None
    assert "figure" not in render_to_string("datasets/histogram.html", {"histogram": None})


def test_the_longest_rows_come_first(version: DatasetVersion) -> None:
    lengths(version, 5, 90, 7, 91)
    assert [example.tokens for example in tokens_of.longest(version, 3)] == [91, 90, 7]
