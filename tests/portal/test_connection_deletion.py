"""A connection that is disconnected keeps everything; one that is deleted leaves nothing behind."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse

from completions import columns, search
from completions.models import (
    Body,
    ColumnSegment,
    FrozenSelection,
    Mirror,
    Quarantine,
    Removed,
    StoredCompletion,
    SyncState,
    Term,
)
from completions.search.index import among
from datasets.models import Dataset, DatasetVersion
from portal import deletion, operations
from portal.leases import Keeper, claim
from portal.models import Connection, Operation, User
from portal.operations import Again, Done, Failed, Wait, Working
from tests import factories
from tests.portal.connecting import verbs

pytestmark = pytest.mark.django_db
SignIn = Callable[[User], Client]


@pytest.fixture
def boss(operator: User, client_of: SignIn) -> Client:
    return client_of(operator)


def test_disconnecting_keeps_everything_and_can_be_undone(boss: Client) -> None:
    connection = factories.connection()
    boss.post(reverse("connections:disconnect", args=[connection.slug]))
    connection.refresh_from_db()
    assert (connection.state, connection.secret) == ("disconnected", "key-of-a-test")
    boss.post(reverse("connections:disconnect", args=[connection.slug]))
    boss.post(reverse("connections:reconnect", args=[connection.slug]))
    connection.refresh_from_db()
    assert connection.state == "connected"
    assert verbs() == ["connection.disconnected", "connection.reconnected"]


def filled(connection: Connection, rows: int) -> None:
    """A mirror of some rows with words, terms, a selection and a quarantined item."""
    for number in range(rows):
        factories.make_completion(connection, prompt=f"zebra{connection.pk} {number}", created=number)
    columns.pack(connection.pk)
    owner = factories.user()
    FrozenSelection.objects.create(owner=owner, count=rows, ids=b"").connections.add(connection)
    Quarantine.objects.create(connection=connection, digest="q", raw=b"", reason="no id")
    SyncState.objects.create(connection=connection, sync_pass="newest")


def work(operation: Operation, times: int = 20) -> Any:
    """Run the operation's steps as a worker would, until it ends or waits."""
    outcome: Any = None
    for _ in range(times):
        Operation.objects.filter(pk=operation.pk).update(state="ready", next_run_at=None, lease_until=None)
        claimed = claim(operation.pk)
        assert claimed is not None
        with Keeper(claimed.pk, claimed.fence) as keeper:
            outcome = deletion.delete_step(Working(claimed, keeper))
        if not isinstance(outcome, Again):
            break
    return outcome


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("completions.removal.BATCH", 7)
    monkeypatch.setattr("completions.removal.TERMS", 2)


@pytest.mark.engines
@pytest.mark.usefixtures("small_batches")
def test_a_deletion_takes_every_row_of_the_connection_and_no_other(boss: Client) -> None:
    doomed, kept = factories.connection("Doomed"), factories.connection("Kept")
    filled(doomed, 20)
    filled(kept, 4)
    every = np.array(StoredCompletion.objects.values_list("pk", flat=True), np.int64)
    url = reverse("connections:delete", args=[doomed.slug])
    assert re.search(r"<b>20</b>\s*stored completions", boss.get(url).content.decode())
    assert boss.post(url, {"name": "doomed"}).status_code == 422
    assert Operation.objects.count() == 0
    boss.post(url, {"name": "Doomed"})
    operation = Operation.objects.get()
    doomed.refresh_from_db()
    assert (doomed.state, doomed.secret, operation.kind) == ("deleting", "", "connection.delete")
    assert isinstance(work(operation), Done)
    assert list(Connection.objects.all()) == [kept]
    for model in (StoredCompletion, Term, Quarantine, SyncState, Mirror, ColumnSegment):
        assert set(model.objects.values_list("connection", flat=True)) == {kept.pk}
    assert (Body.objects.count(), Removed.objects.count(), FrozenSelection.objects.count()) == (4, 0, 1)
    assert len(columns.current([kept.pk])[kept.pk]) == 4
    for connection, rows in ((doomed, 0), (kept, 4)):
        word = search.TextTerm((f"zebra{connection.pk}",), False, ("prompt",))  # a whole word
        assert among(every, search.TextQuery((word,))).sum() == rows
    operation.refresh_from_db()
    assert operation.pk
    assert verbs()[-2:] == ["connection.deletion_started", "connection.deleted"]


def test_a_deletion_waits_until_the_connections_work_has_stopped(boss: Client) -> None:
    connection = factories.connection("Doomed")
    running = Operation.objects.create(
        kind="sync", queue="sync", title="Sync", connection=connection, state="running", dedupe_key="1"
    )
    waiting = Operation.objects.create(
        kind="sync", queue="sync", title="Sync", connection=connection, state="waiting", dedupe_key="2"
    )
    boss.post(reverse("connections:delete", args=[connection.slug]), {"name": "Doomed"})
    operation = Operation.objects.get(kind="connection.delete")
    assert isinstance(work(operation), Wait)
    running.refresh_from_db()
    waiting.refresh_from_db()
    assert running.cancel_requested
    assert waiting.state == "cancelled"
    Operation.objects.filter(pk=running.pk).update(state="cancelled")
    assert isinstance(work(operation), Done)


@pytest.mark.usefixtures("small_batches")
def test_a_cancelled_deletion_leaves_a_mirror_in_order_and_can_be_repeated(
    boss: Client, operator: User
) -> None:
    connection = factories.connection("Doomed")
    filled(connection, 20)
    boss.post(reverse("connections:delete", args=[connection.slug]), {"name": "Doomed"})
    operation = Operation.objects.get()
    with pytest.raises(KeyboardInterrupt):
        stop_after(operation, batches=8)
    left = StoredCompletion.objects.filter(connection=connection).count()
    assert 0 < left < 20
    assert Term.objects.get(kind=Term.Kind.MODEL).n == left
    assert len(columns.current([connection.pk])[connection.pk]) == left
    Operation.objects.filter(pk=operation.pk).update(state="ready")
    assert operations.cancel(operation, operator)
    connection.refresh_from_db()
    assert connection.state == "disconnected"
    again = operations.retry(operation, operator)
    assert isinstance(work(again), Done)
    assert not Connection.objects.exists()


def stop_after(operation: Operation, batches: int) -> None:
    """One step that is interrupted, as by a kill, when it has done so many batches."""
    Operation.objects.filter(pk=operation.pk).update(state="ready", next_run_at=None, lease_until=None)
    claimed = claim(operation.pk)
    assert claimed is not None
    with Keeper(claimed.pk, claimed.fence) as keeper:
        working = Working(claimed, keeper)
        advance, left = working.advance, iter(range(batches))

        def counted(**progress: Any) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            advance(**progress)

        working.advance = counted  # type: ignore[method-assign]  # the interruption that a kill would be
        deletion.delete_step(working)


def test_what_was_made_from_it_stands_in_the_way(boss: Client, operator: User) -> None:
    connection = factories.connection("Needed")
    dataset = Dataset.objects.create(name="Set", owner=operator)
    version = DatasetVersion.objects.create(dataset=dataset, number=1)
    version.connections.add(connection)
    url = reverse("connections:delete", args=[connection.slug])
    assert "dataset version" in boss.get(url).content.decode()
    assert boss.post(url, {"name": "Needed"}).status_code == 422
    with pytest.raises(deletion.Blocked):
        deletion.begin(connection, operator)
    connection.refresh_from_db()
    assert connection.state == "connected"


def test_a_dataset_made_meanwhile_stops_the_deletion(boss: Client, operator: User) -> None:
    connection = factories.connection("Needed")
    boss.post(reverse("connections:delete", args=[connection.slug]), {"name": "Needed"})
    version = DatasetVersion.objects.create(
        dataset=Dataset.objects.create(name="Set", owner=operator), number=1
    )
    version.connections.add(connection)
    with pytest.raises(Failed):
        work(Operation.objects.get())
