"""A model that is measured on the rows that it was trained on: told before it runs, and beside the result."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.core.cache import cache
from django.template import Context, Template
from django.test import RequestFactory
from django.urls import reverse

from completions.models import StoredCompletion
from datasets.evaluate import learnt, setup, targets
from datasets.evaluate.learnt import learnt_from
from datasets.models import Checkpoint, DatasetVersion, Deployment, FineTune, Run
from portal.models import Connection, User
from tests import factories
from tests.datasets import material, measured

if TYPE_CHECKING:
    from django.test import Client

    from datasets.evaluate.targets import Target

pytestmark = pytest.mark.django_db
_PRINTED = '{% include "datasets/evaluate/print_learnt.html" %}'
TOLD = "ft:mine</bdi>” was trained on 8 of these 12 items"


@pytest.fixture
def connection(db: None) -> Connection:
    return factories.connection(
        kind="openai", base_url="https://api.openai.com/v1", state=Connection.State.CONNECTED
    )


@pytest.fixture
def rows(connection: Connection) -> list[StoredCompletion]:
    return material.many(connection, 12)


@pytest.fixture
def tune(connection: Connection, rows: list[StoredCompletion], builder: User) -> FineTune:
    """Trained on eight of twelve rows: of the other four two were held back, two never taken."""
    version = material.built(builder, rows[:10])
    common = {"offset": 0, "size": 1, "sha256": "a", "file_name": "f"}
    splits = [
        {"name": "train", "first_line": 1, "rows": 8, **common},
        {"name": "test", "first_line": 9, "rows": 2, **common},
    ]
    DatasetVersion.objects.filter(pk=version.pk).update(splits=splits)
    made: FineTune = FineTune.objects.create(
        connection=connection,
        version=DatasetVersion.objects.get(pk=version.pk),
        base_model="gpt-4.1-mini-2025-04-14",
        seed=1,
        state=FineTune.State.SUCCEEDED,
        fine_tuned_model="ft:mine",
    )
    return made


@pytest.fixture
def student(connection: Connection, tune: FineTune) -> "Target":
    return measured.fresh(connection, "ft:mine")


@pytest.mark.engines
def test_rows_that_a_target_was_trained_on_are_counted_before_and_after_they_are_written(
    student: "Target", tune: FineTune, rows: list[StoredCompletion], builder: User, connection: Connection
) -> None:
    made = measured.evaluation(builder, rows, reference="metadata:expected", graders=[measured.EQUAL])
    (before,) = learnt_from(made, [measured.fresh(connection), student, targets.stored()])
    assert (before.label, before.version, before.known, before.items) == ("ft:mine", tune.version, 8, 12)
    assert before.looked == 12
    items = material.built(builder, rows)
    made.version = items
    (after,) = learnt_from(made, [student])
    assert (after.known, after.looked, after.items) == (8, 12, 12)
    # Rows are known by their keys too: those of files never had completions, others lose them.
    StoredCompletion.objects.filter(pk__in=[row.pk for row in rows]).delete()
    cache.clear()
    (gone,) = learnt_from(made, [student])
    assert (gone.known, gone.looked, gone.items) == (8, 12, 12)


def test_of_many_items_some_are_looked_at_and_it_says_so(
    student: "Target",
    tune: FineTune,
    rows: list[StoredCompletion],
    builder: User,
    rf: RequestFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(learnt, "LOOKED_AT", 6)
    made = measured.evaluation(builder, rows)
    (before,) = learnt_from(made, [student])
    assert (before.looked, before.items) == (6, 12)
    assert before.known in range(2, 7), "4 of the 12 were not taught"
    assert learnt_from(made, [student]) == [before], "the same ones each time"
    made.version = material.built(builder, rows)
    (after,) = learnt_from(made, [student])
    assert (after.looked, after.items) == (6, 12)
    request = rf.get("/")
    request.user = builder
    run = Run(evaluation=made, number=1, targets=[student.as_dict()])
    for name in ("learnt_in run", "learnt_of run as learnt"):
        template = Template(f"{{% load learnt %}}{{% {name} %}}{_PRINTED if 'as' in name else ''}")
        text = template.render(Context({"run": run, "request": request}))
        assert f"was trained on {after.known} of 6 that were looked at among these 12 items" in text


def test_a_part_that_was_held_back_is_not_told_of(
    student: "Target", tune: FineTune, rows: list[StoredCompletion], builder: User
) -> None:
    assert tune.version is not None
    held_back = tune.version.examples.filter(line__gte=9).values_list("completion", flat=True)
    chosen = [row for row in rows if row.pk in set(held_back)]
    assert len(chosen) == 2
    assert learnt_from(measured.evaluation(builder, chosen), [student]) == []


def test_a_deployment_and_a_checkpoint_are_known_by_their_own_names(
    tune: FineTune, rows: list[StoredCompletion], builder: User, connection: Connection
) -> None:
    made = measured.evaluation(builder, rows)
    Deployment.objects.create(connection=connection, fine_tune=tune, name="mine", model="ft:mine")
    Checkpoint.objects.create(fine_tune=tune, upstream_id="c", step=4, model="ft:mine:4", created=1)
    for name in ("mine", "ft:mine:4"):
        assert [each.known for each in learnt_from(made, [measured.fresh(connection, name)])] == [8]
    elsewhere = factories.connection(name="Elsewhere", slug="elsewhere")
    assert learnt_from(made, [measured.fresh(elsewhere, "mine")]) == []


def test_the_page_before_the_run_and_the_report_say_so(
    student: "Target",
    rows: list[StoredCompletion],
    builder: User,
    client_of: "Callable[[User], Client]",
    rf: RequestFactory,
) -> None:
    made = measured.evaluation(builder, rows)
    for step in ("data", "reference", "graders"):
        setup.finish(made, step)
    setup.finish(made, "targets", targets=[student.as_dict()])
    url = reverse("datasets:evaluate", args=[made.pk, "review"])
    page = client_of(builder).get(url).content.decode()
    assert TOLD in page
    run = Run(evaluation=made, number=1, targets=[student.as_dict()])
    request = rf.get("/")
    request.user = builder
    text = Template("{% load learnt %}{% learnt_in run %}").render(Context({"run": run, "request": request}))
    assert TOLD in text
