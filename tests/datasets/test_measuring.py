"""From a student to its evaluation: the rows that were held back, the teacher, the base and the student."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from completions import selection
from completions.models import StoredCompletion
from datasets.evaluate import prefill, setup
from datasets.evaluate.prefill import Student
from datasets.models import Checkpoint, DatasetVersion, Deployment, Evaluation, FineTune, Sweep
from portal.models import Connection, User
from tests import factories
from tests.datasets import material

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.fixture
def connection(db: None) -> Connection:
    return factories.connection(
        kind="openai", base_url="https://api.openai.com/v1", state=Connection.State.CONNECTED
    )


@pytest.fixture
def version(connection: Connection, builder: User) -> DatasetVersion:
    """Ten rows to learn from, and two that were held back."""
    made = material.built(builder, material.many(connection, 12))
    common = {"offset": 0, "size": 1, "sha256": "a", "file_name": "f"}
    splits = [
        {"name": "train", "first_line": 1, "rows": 10, **common},
        {"name": "test", "first_line": 11, "rows": 2, **common},
    ]
    DatasetVersion.objects.filter(pk=made.pk).update(splits=splits)
    made.refresh_from_db()
    return made


@pytest.fixture
def student(connection: Connection, version: DatasetVersion) -> Deployment:
    tune = FineTune.objects.create(
        connection=connection,
        version=version,
        base_model="gpt-4.1-mini-2025-04-14",
        seed=1,
        state=FineTune.State.SUCCEEDED,
        fine_tuned_model="ft:mine",
    )
    made: Deployment = Deployment.objects.create(
        connection=connection, fine_tune=tune, name="ft:mine", model="ft:mine", state="ready"
    )
    return made


@pytest.mark.engines
def test_the_button_sets_up_everything_but_the_graders(
    student: Deployment, version: DatasetVersion, builder: User, client_of: "Callable[[User], Client]"
) -> None:
    client, url = client_of(builder), reverse("datasets:deployment_evaluate", args=[student.pk])
    answer = client.post(url)
    evaluation = Evaluation.objects.get()
    assert answer["Location"] == reverse("datasets:evaluate", args=[evaluation.pk, "targets"])
    assert evaluation.reference == "answer"
    assert [target.model for target in setup.targets_of(evaluation)] == [
        "gpt-4o-2024-08-06",
        "gpt-4.1-mini-2025-04-14",
        "ft:mine",
    ]
    frozen = evaluation.version.frozen_selection
    assert frozen is not None
    held_back = version.examples.filter(line__gte=11).values_list("completion", flat=True)
    assert set(selection.ids_of(frozen)) == set(held_back)
    page = client.get(answer["Location"]).content.decode()
    assert page.count('value="ft:mine"') >= 1
    assert "Fourth deployment" in page
    assert "Fifth deployment" not in page
    client.post(url)
    assert Evaluation.objects.count() == 1


def test_where_the_completions_are_gone_the_rows_of_the_file_are_measured(
    student: Deployment, version: DatasetVersion, builder: User, client_of: "Callable[[User], Client]"
) -> None:
    StoredCompletion.objects.all().delete()
    url = reverse("datasets:deployment_evaluate", args=[student.pk])
    page = client_of(builder).post(url, follow=True).content.decode()
    assert "The items are being taken from the dataset" in page
    evaluation = Evaluation.objects.get()
    assert evaluation.version.source["part_of"] == version.pk
    assert evaluation.version.source["part"] == "test"
    assert evaluation.reference == "answer"


def test_the_validation_part_counts_where_there_is_no_test_part(version: DatasetVersion) -> None:
    splits = [
        dict(split, name={"test": "validation"}.get(split["name"], split["name"])) for split in version.splits
    ]
    version.splits = splits
    assert len(prefill.rows_of(version)) == 2
    version.splits = splits[:1]
    assert len(prefill.rows_of(version)) == 12


def test_the_same_name_twice_is_measured_once_and_equal_labels_are_told_apart() -> None:
    models = [Student(1, "a"), Student(1, "a"), Student(2, "a"), Student(1, ""), Student(1, "b")]
    targets = prefill.targets_of(models)
    assert [(target.connection, target.model) for target in targets] == [(1, "a"), (2, "a"), (1, "b")]
    assert len({target.label for target in targets}) == 3


def test_a_checkpoint_is_measured_beside_the_finished_model(
    student: Deployment, builder: User, client_of: "Callable[[User], Client]"
) -> None:
    checkpoint = Checkpoint.objects.create(
        fine_tune=student.fine_tune, upstream_id="c", step=5, model="ft:mine:ckpt-step-5", created=1
    )
    args = [student.fine_tune_id, checkpoint.pk]
    client_of(builder).post(reverse("datasets:checkpoint_evaluate", args=args))
    models = [target.model for target in setup.targets_of(Evaluation.objects.get())]
    assert models == ["gpt-4.1-mini-2025-04-14", "ft:mine", "ft:mine:ckpt-step-5"]
    answer = client_of(builder).post(reverse("datasets:checkpoint_use", args=args))
    made = Deployment.objects.get(name="ft:mine:ckpt-step-5")
    assert answer["Location"] == reverse("datasets:try", args=[made.pk])


def test_a_group_is_measured_as_far_as_its_models_answer(
    student: Deployment, version: DatasetVersion, builder: User, client_of: "Callable[[User], Client]"
) -> None:
    sweep = Sweep.objects.create(name="Group", connection=student.connection, version=version)
    url = reverse("datasets:sweep_evaluate", args=[sweep.pk])
    client = client_of(builder)
    assert "Deploy them first" in client.post(url, follow=True).content.decode()
    FineTune.objects.update(sweep=sweep)
    client.post(url)
    models = [target.model for target in setup.targets_of(Evaluation.objects.get())]
    assert models == ["gpt-4o-2024-08-06", "ft:mine"]


def test_only_who_may_act_may_evaluate(
    student: Deployment, reader: User, client_of: "Callable[[User], Client]"
) -> None:
    url = reverse("datasets:deployment_evaluate", args=[student.pk])
    assert client_of(reader).post(url).status_code == 403
