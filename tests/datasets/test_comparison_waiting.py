"""A comparison of so many verdicts that a worker counts them: its page follows, and they are kept."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.test import Client
from django.urls import reverse

from datasets.evaluate import comparison_count, comparison_kept, comparison_match, kept
from datasets.models import Comparison, Counts, Run
from portal import steps
from portal.models import Operation, User
from tests import factories
from tests.datasets import material, measured
from tests.datasets.compared import built, fresh, said
from tests.datasets.measured import EQUAL
from tests.pages import text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_artifacts")]
SignIn = Callable[[User], Client]


@pytest.fixture
def run(builder: User) -> Run:
    source = factories.connection("Library")
    made = built(builder, measured.rows(source, 12), reference="meta:answer", graders=[EQUAL])
    targets = [fresh(source, "first", "teacher"), fresh(source, "second", "student")]
    return said(made, targets, {("first", "Equal"): "p" * 12, ("second", "Equal"): "pf" * 6})


@pytest.fixture
def client(builder: User, client_of: SignIn) -> Client:
    return client_of(builder)


@pytest.fixture
def address(run: Run, client: Client) -> str:
    """The page, which has said in passing that it is kept."""
    client.post(reverse("datasets:comparison_new"), {"run": [run.pk]})
    address = reverse("datasets:comparison", args=[Comparison.objects.get().pk])
    client.get(address)
    return address


def operations() -> int:
    return Operation.objects.filter(kind=comparison_kept.KIND).count()


@pytest.mark.engines
def test_the_page_follows_a_worker_and_no_request_counts(
    run: Run, client: Client, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = f"{address}?baseline={run.pk}:second"
    monkeypatch.setattr(kept, "AT_ONCE", 24)
    assert "points" in text_of(client.get(address)), "few are counted with the page"
    monkeypatch.setattr(kept, "AT_ONCE", 23)
    monkeypatch.setattr(comparison_count, "Items", None)  # so nothing can be counted here
    waiting = client.get(other)
    assert "The verdicts on 12 items in 2 columns are put beside each other" in text_of(waiting)
    assert "Waiting for a worker" in text_of(waiting)
    assert f'hx-get="{other}" hx-trigger="every 2s"' in waiting.content.decode()
    item = reverse("datasets:comparison_item", args=[Comparison.objects.get().pk, 1])
    assert client.get(f"{item}?baseline={run.pk}:second")["Location"].startswith(address)
    htmx = {"HX-Request": "true", "HX-Target": "numbers"}
    assert 'id="numbers"' in client.get(other, headers=htmx).content.decode()
    assert client.get(other, headers=htmx | {"HX-Target": "items"})["HX-Redirect"] == other
    assert operations() == 1

    monkeypatch.setattr(comparison_count, "Items", comparison_match.Items)
    material.drain()
    monkeypatch.setattr(comparison_count, "Items", None)
    numbers = client.get(other, headers=htmx)
    assert numbers.content.decode().lstrip().startswith('<div id="numbers"')
    assert "+50.0 points" in text_of(numbers)
    assert "+50.0 points" in text_of(client.get(other)), "what was counted is there at once"
    assert client.get(f"{item}?baseline={run.pk}:second").status_code == 200
    Run.objects.update(finished=datetime(2030, 1, 1, tzinfo=UTC))
    assert "Waiting for a worker" in text_of(client.get(other)), "a run that was repeated is counted anew"


def test_counting_goes_on_where_a_step_ended(
    run: Run, client: Client, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = client.get(address)
    Counts.objects.all().delete()
    monkeypatch.setattr(kept, "AT_ONCE", 1)
    monkeypatch.setattr(comparison_match, "AT_ONCE", 5)
    client.get(address)
    operation = Operation.objects.get(kind=comparison_kept.KIND)
    with monkeypatch.context() as hasty:
        hasty.setattr("portal.operations.Working.time_left", lambda *_: False)
        assert steps.work_on(operation.pk)
        operation.refresh_from_db()
        assert (operation.state, operation.done) == ("ready", 5)
    material.drain()
    assert text_of(client.get(address)) == text_of(expected)
    assert Counts.objects.count() == 1, "what was halfway is gone"


def test_a_count_that_failed_says_so_and_is_begun_again_only_by_a_person(
    run: Run, client: Client, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Counts.objects.all().delete()
    monkeypatch.setattr(kept, "AT_ONCE", 1)
    client.get(address)
    Operation.objects.update(state="failed", error_text="The disk was full.")
    failed = client.get(address)
    assert "The disk was full." in text_of(failed)
    assert "every 2s" not in failed.content.decode()
    assert operations() == 1
    client.post(address)
    assert operations() == 2
