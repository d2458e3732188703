"""What a recipe would do, before it is built: step by step, and as the build then does it."""

from typing import Any

import pytest

from completions import reviewing
from completions.models import ReviewEvent, StoredCompletion
from completions.reviewing import Said
from datasets.build import build
from datasets.build.survey import Survey, survey
from datasets.models import DatasetVersion
from datasets.recipe import Cap, Personal, Recipe, Sample, Split, SystemPrompt
from portal.models import Connection, User
from tests import factories
from tests.datasets import material

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def source(builder: User) -> Connection:
    return factories.connection("Library")


@pytest.fixture
def rows(builder: User, source: Connection) -> list[StoredCompletion]:
    made = [
        *material.many(source, 20),
        *(material.stored(source, question="Same?", answer="The same.") for _ in range(3)),
        material.stored(source, answer="Write to jo@example.org about it."),
        material.stored(source, answer="I'm sorry, but I can't help with that."),
        material.stored(source, finish="length"),
        material.stored(source, answer=""),
        material.stored(source, pending=True),
    ]
    for row in made[:-2]:
        reviewing.record(row, [Said(ReviewEvent.Kind.STATE, "approved")], builder)
    return made


def by_reason(found: Survey) -> dict[str, int]:
    return {code: reason.rows for step in found.steps for code, reason in step.reasons.items()}


def test_each_step_says_what_it_takes_of_what_came_to_it(
    builder: User, source: Connection, rows: list[StoredCompletion]
) -> None:
    recipe = Recipe(
        only_approved=True,
        drop=("refusal", "truncated"),
        system_prompt=SystemPrompt("remove"),
        personal=Personal(("email",)),
        duplicates="exact",
    )
    frozen = material.frozen(builder, rows)
    found = survey(frozen, recipe)
    assert by_reason(found) == {
        "not_approved": 2, "dropped_refusal": 1, "dropped_truncated": 1, "duplicate": 2,
    }  # fmt: skip
    assert [(step.name, step.came, step.left_out) for step in found.steps if step.left_out] == [
        ("rules", 28, 4), ("choosing", 24, 2),
    ]  # fmt: skip
    assert (found.selected, found.looked_at, found.stays, found.left_out) == (28, 28, 22, 6)
    assert found.is_whole
    assert found.edited == 24
    assert found.personal == {"email": 1}
    (refused,) = found.steps[1].reasons["dropped_refusal"].examples
    assert refused == (rows[24].pk, f"{source.slug}/{rows[24].upstream_id}")


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(drop=("empty", "refusal"), shortest=2),
        Recipe(duplicates="near", split=Split(10, 10)),
        Recipe(cap=Cap("meta.category", 15)),
    ],
)
def test_the_build_leaves_out_what_the_survey_said(
    recipe: Recipe, builder: User, rows: list[StoredCompletion]
) -> None:
    version: DatasetVersion = material.draft(builder, rows)
    version.recipe = recipe.as_data()
    version.save()
    assert version.frozen_selection is not None
    found = survey(version.frozen_selection, recipe)
    build.begin(version, builder)
    material.drain(kinds=[build.KIND])
    version.refresh_from_db()
    assert by_reason(found) == version.counts["left_out"]
    assert found.stays == version.counts["written"]


def test_a_survey_of_many_rows_looks_at_the_first_and_says_so(
    builder: User, rows: list[StoredCompletion], django_assert_max_num_queries: Any
) -> None:
    frozen = material.frozen(builder, rows)
    with django_assert_max_num_queries(8):
        found = survey(frozen, Recipe(sample=Sample(5)), most=10)
    assert (found.selected, found.looked_at) == (28, 10)
    assert not found.is_whole
    assert found.stays == found.looked_at - found.left_out  # a sample is drawn of all rows, so not here
