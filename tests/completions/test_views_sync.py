"""Sync health: what it shows, whom it lets in, and its buttons."""

import zlib
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from completions import sync
from completions.models import Quarantine, SyncPass, SyncState
from portal.models import AuditEntry, Connection, Operation, User
from portal.upstream import UpstreamError
from tests import factories

pytestmark = pytest.mark.django_db
ClientOf = Callable[[User], Client]


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.operations.app.send_task", lambda *args, **options: None)


def page(client: Client, connection: Connection, name: str = "health") -> str:
    answer = client.get(reverse(f"completions:{name}", args=[connection.slug]))
    assert answer.status_code == 200
    text: str = answer.content.decode()
    return text


def test_who_may_not_read_the_connection_does_not_learn_that_it_exists(
    outsider: User, reader: User, client_of: ClientOf
) -> None:
    connection = factories.connection()
    address = reverse("completions:health", args=[connection.slug])
    assert client_of(outsider).get(address).status_code == 404
    assert client_of(reader).get(address).status_code == 200
    for name in ("sync_now", "sweep_now"):
        address = reverse(f"completions:{name}", args=[connection.slug])
        assert client_of(outsider).post(address).status_code == 404
        assert client_of(reader).post(address).status_code == 403
        assert client_of(reader).get(address).status_code == 405
    assert not Operation.objects.exists()


def test_sync_now_begins_once_and_is_audited(builder: User, client_of: ClientOf) -> None:
    connection = factories.connection()
    client = client_of(builder)
    for _ in range(2):
        answer = client.post(reverse("completions:sync_now", args=[connection.slug]))
        assert answer.status_code == 303
    assert list(Operation.objects.values_list("kind", flat=True)) == ["sync.newest"]
    assert AuditEntry.objects.filter(verb="sync.requested", actor=builder).count() == 2
    client.post(reverse("completions:sweep_now", args=[connection.slug]))
    assert Operation.objects.filter(kind="sync.sweep").count() == 1


def test_a_disconnected_connection_is_not_read(builder: User, client_of: ClientOf) -> None:
    connection = factories.connection(state=Connection.State.DISCONNECTED)
    client_of(builder).post(reverse("completions:sync_now", args=[connection.slug]))
    assert not Operation.objects.exists()


def test_the_last_error_is_told_in_words_with_what_to_do(reader: User, client_of: ClientOf) -> None:
    connection = factories.connection()
    error = UpstreamError("auth", "The key <b>is</b> wrong.", http_status=401, hint="Enter the new key.")
    sync.note_trouble(connection, error)
    text = page(client_of(reader), connection)
    assert "The key &lt;b&gt;is&lt;/b&gt; wrong." in text
    assert "Enter the new key." in text
    assert "401" in text


def test_what_is_set_aside_can_be_looked_into_and_is_escaped(reader: User, client_of: ClientOf) -> None:
    connection = factories.connection()
    item = Quarantine.objects.create(
        connection=connection,
        digest="d" * 64,
        raw=zlib.compress(b'{"x": "<img src=x onerror=alert(1)>"}'),
        reason="has no id",
    )
    client = client_of(reader)
    assert "has no id" in page(client, connection)
    answer = client.get(reverse("completions:quarantined", args=[connection.slug, item.pk])).content.decode()
    assert "<img" not in answer
    assert "&lt;img" in answer
    other = factories.connection()
    address = reverse("completions:quarantined", args=[other.slug, item.pk])
    assert client.get(address).status_code == 404


def test_the_status_line_counts_what_runs_and_tells_the_page_of_new_rows(
    reader: User, outsider: User, client_of: ClientOf
) -> None:
    address = reverse("completions:sync_status")
    connection = factories.connection(name="Main")
    assert "Not synced yet" in client_of(reader).get(address).content.decode()
    assert "No connection" in client_of(outsider).get(address).content.decode()
    SyncState.objects.create(
        connection=connection, sync_pass=SyncPass.INCREMENTAL, complete=True, finished=timezone.now()
    )
    assert "Synced" in client_of(reader).get(address).content.decode()
    running = sync.begin(connection, SyncPass.BACKFILL)
    Operation.objects.filter(pk=running.pk).update(state=Operation.State.RUNNING, done=3120)
    answer = client_of(reader).get(address, {"newest": "7"})
    assert "3,120 rows" in answer.content.decode()
    assert "rows-arrived" in answer["HX-Trigger"]
    Operation.objects.all().delete()
    Connection.objects.update(state=Connection.State.ATTENTION)
    assert "Main needs attention" in client_of(reader).get(address).content.decode()
