"""An evaluation with so many rows that a worker deletes it: nobody's at once, and gone with all it had."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from datasets.build import files
from datasets.evaluate import removal, setup
from datasets.evaluate import run as runs
from datasets.evaluate.targets import stored
from datasets.models import Call, Dataset, DatasetVersion, Evaluation, Example, Result, Run, Schedule
from portal import operations, steps
from portal.models import Connection, Operation, User
from tests import factories
from tests.datasets import material, measured
from tests.datasets.compared import built
from tests.datasets.reported import ITEMS, reported
from tests.pages import text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_artifacts")]
SignIn = Callable[[User], Client]


@pytest.fixture
def source(db: None) -> Connection:
    return factories.connection("Library")


@pytest.fixture
def run(builder: User, source: Connection, monkeypatch: pytest.MonkeyPatch) -> Run:
    made = reported(builder, source)
    Schedule.objects.create(evaluation=made.evaluation, owner=builder, targets=[], next_at=timezone.now())
    monkeypatch.setattr(removal, "AT_ONCE", 100)
    monkeypatch.setattr(removal, "BATCH", 100)
    return made


@pytest.mark.engines
def test_it_is_gone_from_every_page_at_once_and_from_everywhere_in_the_end(
    run: Run, builder: User, client_of: SignIn
) -> None:
    client, one, path = client_of(builder), run.evaluation, run.evaluation.version.path
    said = client.post(reverse("datasets:evaluation_delete", args=[one.pk]), follow=True)
    assert "is being deleted. Its rows are many" in text_of(said)
    assert "Summaries" not in text_of(client.get(reverse("datasets:evaluations"))).replace(
        "“Summaries” is being", ""
    )
    for name, where in (("evaluation", [one.pk]), ("run", [one.pk, 1]), ("run_slices", [one.pk, 1])):
        assert client.get(reverse(f"datasets:{name}", args=where)).status_code == 404
    assert not Schedule.objects.exists(), "nothing begins a run of it"
    with pytest.raises(runs.Refused, match="being deleted"):
        runs.start(one, [stored()], builder)
    assert Result.objects.exists()

    material.drain()
    for model in (Evaluation, Run, Result, Call, Example, DatasetVersion, Dataset):
        assert not model.objects.exists(), model
    assert not files.artifacts().exists(path)
    operation = Operation.objects.get(kind=removal.KIND)
    assert operation.done == operation.total == operation.result["rows"] > ITEMS


def test_it_goes_on_where_a_step_ended_and_what_stays_can_be_deleted_again(
    run: Run, builder: User, client_of: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = removal.delete(run.evaluation, builder)
    assert operation is not None
    rows = Result.objects.count()
    times = iter([True, True, True])
    with monkeypatch.context() as hasty:
        hasty.setattr("portal.operations.Working.time_left", lambda *_, **__: next(times, False))
        assert steps.work_on(operation.pk)
    assert Result.objects.count() == rows - 300
    operations.cancel(operation, builder)
    shown = client_of(builder).get(reverse("datasets:run", args=[run.evaluation_id, 1]))
    assert "Run 1 · Cancelled" in text_of(shown), "no report without the rows behind it"

    again = removal.delete(run.evaluation, builder)
    assert again is not None
    material.drain()
    assert not Result.objects.exists()
    assert not Evaluation.objects.exists()


def test_items_that_others_measure_on_stay(run: Run, builder: User) -> None:
    evaluation = run.evaluation
    Evaluation.objects.create(name="Other", version=evaluation.version, setup={"shared": True})
    removal.delete(evaluation, builder)
    material.drain()
    assert not Result.objects.exists()
    version = DatasetVersion.objects.get()
    assert (version.state, version.examples.count()) == ("ready", ITEMS)
    assert files.artifacts().exists(version.path)


def test_a_deletion_that_ended_within_the_items_goes_on_with_them(
    run: Run, builder: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = removal.delete(run.evaluation, builder)
    assert operation is not None
    taken = removal._take_version
    monkeypatch.setattr(removal, "_take_version", None)  # so the step stumbles with the version at hand
    steps.work_on(operation.pk)
    assert not Evaluation.objects.exists()
    assert DatasetVersion.objects.get().refusal == "It is being deleted."
    monkeypatch.setattr(removal, "_take_version", taken)
    material.drain()
    assert not DatasetVersion.objects.exists()


def test_a_draft_that_is_being_deleted_is_not_gone_on_with(
    source: Connection, builder: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "AT_ONCE", 1)
    draft = built(builder, measured.rows(source, 2), graders=[measured.EQUAL])
    frozen = draft.version.frozen_selection
    assert frozen is not None
    assert setup.draft_on(frozen, builder) == draft
    removal.delete(draft, builder)
    assert setup.draft_on(frozen, builder) is None
    assert setup.begin(frozen, "Another", builder) != draft
