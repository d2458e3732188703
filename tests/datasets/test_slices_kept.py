"""Slices of so many items that a worker counts them: the page follows it, and they are counted once."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from completions import columns
from completions.models import ReviewState, StoredCompletion
from datasets.evaluate import kept, slices, slices_kept
from datasets.models import Counts, Run
from portal import health, steps
from portal.models import Connection, Operation, User
from tests import factories
from tests.datasets import material
from tests.datasets.reported import reported
from tests.pages import text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_artifacts")]
SignIn = Callable[[User], Client]


@pytest.fixture
def source(db: None) -> Connection:
    return factories.connection("Library")


@pytest.fixture
def run(builder: User, source: Connection, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A report of 36 items, which are many here."""
    made = reported(builder, source)
    monkeypatch.setattr(kept, "AT_ONCE", 100)
    monkeypatch.setattr(slices, "AT_ONCE", 10)
    return made


def address(run: Run) -> str:
    return reverse("datasets:run_slices", args=[run.evaluation_id, run.number])


@pytest.mark.engines
def test_a_page_follows_the_worker_and_shows_what_it_counted(
    run: Run, builder: User, client_of: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "FactsOf", None)  # so nothing can be counted here
    client = client_of(builder)
    waiting = client.get(address(run))
    assert "a worker counts them: Waiting for a worker" in text_of(waiting)
    assert f'hx-get="{address(run)}" hx-trigger="every 2s"' in waiting.content.decode()
    assert "No worker answers" in text_of(waiting)
    health.worker_alive(timezone.now() - timedelta(seconds=30))
    assert "No worker answers" not in text_of(client.get(address(run)))
    assert Operation.objects.filter(kind=slices_kept.KIND).count() == 1
    printed = client.get(reverse("datasets:run_page", args=[run.evaluation_id, run.number]))
    assert "The slices are missing on this page" in text_of(printed)
    monkeypatch.undo()

    material.drain()
    monkeypatch.setattr(kept, "AT_ONCE", 100)
    monkeypatch.setattr(slices, "FactsOf", None)
    shown = client.get(address(run))
    assert "every 2s" not in shown.content.decode()
    assert "refund" in text_of(shown)
    for grader in (0, run.evaluation.graders.get(name="Equal").pk):
        assert slices_kept.look(run, builder, grader).slices is not None
    Counts.objects.all().delete()
    monkeypatch.undo()
    direct = slices_kept.slices_of(run)
    assert slices_kept.look(run, builder).slices == direct, "as it was counted, so it is read"


def test_counting_goes_on_where_a_step_ended(
    run: Run, builder: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = slices_kept.begin(run, builder)
    monkeypatch.setattr("portal.operations.Working.time_left", lambda *_: False)
    assert steps.work_on(operation.pk)
    operation.refresh_from_db()
    assert (operation.state, operation.done, operation.cursor["counted"]["after"]) == ("ready", 10, 10)
    material.drain()
    counted = slices_kept.look(run, builder).slices
    assert counted is not None
    assert (counted.dimensions, counted.worst) == (
        (direct := slices_kept.slices_of(run)).dimensions,
        direct.worst,
    )


def test_labels_that_change_have_them_counted_again_and_the_old_ones_stay_meanwhile(
    run: Run, source: Connection, builder: User, client_of: SignIn
) -> None:
    columns.next_change(source.pk, 0)
    slices_kept.begin(run, builder)
    material.drain()
    factories.make_completion(source)
    columns.next_change(source.pk, 1)
    client = client_of(builder)
    assert "counted again" not in text_of(client.get(address(run))), "no item became another one"

    change, _ = columns.next_change(source.pk, 1)
    for number, row in enumerate(StoredCompletion.objects.filter(examples__version=run.evaluation.version)):
        labels = {"tone": "kind" if number % 2 else "curt"}
        ReviewState.objects.create(completion=row, connection=source, labels=labels)
        StoredCompletion.objects.filter(pk=row.pk).update(change=change)
    stale = client.get(address(run))
    assert "They are being counted again" in text_of(stale)
    assert "refund" in text_of(stale)
    assert "Label tone" not in text_of(stale)
    material.drain()
    assert "Label tone" in text_of(client.get(address(run)))
    assert Counts.objects.filter(run=run).count() == 1


def test_a_count_that_failed_says_so_and_is_begun_again_only_by_a_person(
    run: Run, builder: User, client_of: SignIn
) -> None:
    operation = slices_kept.begin(run, builder)
    Operation.objects.filter(pk=operation.pk).update(state="failed", error_text="The disk was full.")
    client = client_of(builder)
    failed = client.get(address(run))
    assert "The disk was full." in text_of(failed)
    assert "every 2s" not in failed.content.decode()
    assert Operation.objects.filter(kind=slices_kept.KIND).count() == 1
    client.post(address(run))
    assert Operation.objects.live().filter(kind=slices_kept.KIND).count() == 1
