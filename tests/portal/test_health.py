"""/healthz and /readyz."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from portal import health
from portal.celery import app
from portal.models import Heartbeat

pytestmark = pytest.mark.engines


def test_alive_needs_nothing(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}


def test_ready_names_what_is_missing(client: Client, db: None, broker: str) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {
        "database": True,
        "migrations": True,
        "broker": True,
        "worker": False,
        "beat": False,
    }


def test_ready_when_everything_holds(client: Client, db: None, broker: str) -> None:
    health.worker_alive()
    health.beat_alive(timezone.now())
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")


@pytest.mark.parametrize("name", ["worker", "beat"])
def test_an_old_sign_of_life_does_not_count(client: Client, db: None, broker: str, name: str) -> None:
    health.worker_alive()
    health.beat_alive(timezone.now())
    Heartbeat.objects.filter(name=name).update(at=timezone.now() - timedelta(seconds=61))
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert [check for check, holds in answer.json()["checks"].items() if not holds] == [name]


def test_a_broker_that_is_away_is_named(
    client: Client, db: None, settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.conf, "broker_url", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(app.conf, "broker_write_url", "redis://127.0.0.1:1/0")
    assert client.get("/readyz").json()["checks"]["broker"] is False


def test_probes_may_only_look(client: Client, db: None) -> None:
    assert client.post("/readyz").status_code == 405
