"""Models that go are seen long before: told by the provider's list, remembered, shown with the days left."""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from datasets import radar
from datasets.models import Deployment, FineTune
from portal.models import Connection, User
from portal.sandbox import Sandbox
from portal.upstream import ModelInfo
from tests import factories
from tests.datasets import provider

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db
BASE = "gpt-4.1-mini-2025-04-14"


@pytest.fixture(autouse=True)
def _forgotten(db: None) -> None:
    cache.clear()


def listed(name: str, day: str) -> ModelInfo:
    return ModelInfo(name, None, None, "", day, {})


def student(connection: Connection, base: str = BASE, **fields: Any) -> FineTune:
    values = {"state": FineTune.State.SUCCEEDED, "fine_tuned_model": f"{base}.ft-1", "seed": 1} | fields
    made: FineTune = FineTune.objects.create(connection=connection, base_model=base, **values)
    return made


def in_days(days: int) -> str:
    return (timezone.now().date() + timedelta(days=days)).isoformat()


@pytest.mark.parametrize(
    ("days", "words", "tone"),
    [
        (400, "400 days left", ""),
        (54, "54 days left", "warn"),
        (30, "30 days left", "bad"),
        (1, "1 day left", "bad"),
        (0, "shuts down today", "bad"),
        (-1, "shut down 1 day ago", "bad"),
    ],
)
def test_the_days_that_are_left_are_said_and_weighed(days: int, words: str, tone: str) -> None:
    connection = factories.connection()
    radar.remember(connection, [listed(BASE, in_days(days))])
    found = radar.of(student(connection))
    assert found is not None
    assert (found.words, found.tone) == (words, tone)


@pytest.mark.parametrize("day", ["", "soon", "2027-13-40", "20270114", "<b>"])
def test_a_day_that_is_none_is_not_believed(day: str) -> None:
    connection = factories.connection()
    radar.remember(connection, [listed(BASE, day)])
    assert radar.of(student(connection)) is None


@pytest.mark.parametrize("name", [BASE, f"ft:{BASE}:org::1", f"{BASE}.ft-0123-suffix"])
def test_what_was_trained_further_goes_with_the_first_base(name: str) -> None:
    connection = factories.connection()
    radar.remember(connection, [listed(BASE, in_days(9))])
    found = radar.of(student(connection, name))
    assert found is not None
    assert found.model == BASE


def test_the_next_to_go_stands_first_and_only_what_one_may_read(reader: User, outsider: User) -> None:
    connection = factories.connection()
    radar.remember(connection, [listed("a", in_days(90)), listed("b", in_days(9)), listed("c", "")])
    tunes = {base: student(connection, base) for base in "abc"}
    student(connection, "b", state=FineTune.State.RUNNING)
    Deployment.objects.create(
        connection=connection, fine_tune=tunes["b"], name="student", model="m", state="ready"
    )
    found = radar.students(reader)
    assert [(each.tune.base_model, len(each.deployments)) for each in found] == [("b", 1), ("a", 0)]
    assert radar.students(outsider) == []


@pytest.mark.sandbox(rows=0, rows_elsewhere=0)
def test_the_list_asks_the_provider_once_a_day_in_its_background(
    sandbox: Sandbox, reader: User, client_of: "Callable[[User], Client]"
) -> None:
    connection = provider.openai(sandbox, state=Connection.State.CONNECTED)
    tune = student(connection)
    client, fragment = client_of(reader), {"HX-Request": "true", "HX-Target": "radar"}
    asks = reverse("datasets:radar")
    assert client.get(asks)["Location"] == reverse("datasets:finetunes")  # by itself it is no page
    assert asks in client.get(reverse("datasets:finetunes")).content.decode()
    assert provider.posts(sandbox, "/models", "GET") == 0
    shown = client.get(asks, headers=fragment).content.decode()
    assert "2027-01-14" in shown
    assert tune.fine_tuned_model in shown
    client.get(asks, headers=fragment)
    assert provider.posts(sandbox, "/models", "GET") == 1
    assert asks not in client.get(reverse("datasets:finetunes")).content.decode()
    page = client.get(reverse("datasets:finetune", args=[tune.pk])).content.decode()
    assert "will be shut down on 2027-01-14" in page


@pytest.mark.sandbox(rows=0, rows_elsewhere=0)
def test_a_provider_that_does_not_answer_is_left_in_peace_and_nothing_is_forgotten(
    sandbox: Sandbox, reader: User
) -> None:
    connection = provider.openai(sandbox, state=Connection.State.CONNECTED)
    connection.secret = "wrong-key-of-a-test"
    connection.save()
    student(connection)
    days = {BASE: in_days(5)}
    cache.set(f"retirements-{connection.pk}", {"asked": 0.0, "days": days}, 60)
    assert radar.to_ask(reader) == [connection]
    assert not radar.ask(connection)
    assert radar.to_ask(reader) == []
    assert radar.known_days([connection.pk]) == {connection.pk: days}
