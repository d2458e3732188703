"""Workers that are killed, paused, stopped and rung twice; brokers that die and forget. Real processes."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from django.db import OperationalError, transaction
from django.db import connection as database
from django.db.models import F

from completions import missing, schedule
from completions.models import MessagesState, StoredCompletion, SyncPass
from portal.celery import app
from portal.models import Connection, Operation
from portal.sandbox import Sandbox
from tests import servers
from tests.completions.mirroring import (
    MESSAGES,
    chance,
    check_equal,
    delete,
    mirror,
    requests,
    snapshot,
    state,
    upstream_ids,
)
from tests.portal.sandbox_client import faults
from tests.workers import Worker, database_url

pytestmark = [
    pytest.mark.engines,
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.sandbox(rows=200, rows_elsewhere=40),
]
Connect = Callable[..., Connection]
State = Operation.State
ONE_PAGE = 102 + 3  # messages in flight, and the pages around them


@pytest.fixture
def crash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """`crash("sync.committed:2")`: the first new process that gets there dies as by kill -9."""

    def arm(point: str) -> Path:
        flag = tmp_path / "crashed"
        monkeypatch.setenv("PORTAL_CRASH", point)
        monkeypatch.setenv("PORTAL_CRASH_FLAG", str(flag))
        return flag

    return arm


@pytest.fixture
def workers(transactional_db: None, broker: str) -> Iterator[Callable[[], Worker]]:
    """`workers()` starts a worker and a beat."""
    started: list[Worker] = []

    def start() -> Worker:
        started.append(Worker().start())
        return started[-1]

    yield start
    for worker in started:
        worker.destroy()


def ended(connection: Connection) -> bool:
    return not Operation.objects.live().filter(connection=connection).exists()


def undisturbed(sandbox: Sandbox, connect_to: Connect) -> dict[str, tuple[Any, ...]]:
    """The mirror that a run without any fault makes."""
    calm = connect_to(sandbox)
    mirror(calm)
    return snapshot(calm)


def check_after(connection: Connection, sandbox: Sandbox, expected: dict[str, tuple[Any, ...]]) -> None:
    """Nothing missing, nothing twice, nothing different, and no operation failed."""
    assert snapshot(connection) == expected
    check_equal(connection, sandbox)
    assert set(Operation.objects.filter(connection=connection).values_list("state", flat=True)) == {
        State.DONE
    }


@pytest.mark.parametrize(
    "point", ["sync.before_commit", "sync.committed", "operation.put_back", "operation.claimed"]
)
def test_rows_1_2_4_a_worker_that_dies_at_a_commit_is_made_up_for(
    sandbox: Sandbox,
    connect_to: Connect,
    crash: Any,
    workers: Any,
    point: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = undisturbed(sandbox, connect_to)
    before = requests(sandbox)["messages"]
    if point == "operation.put_back":
        monkeypatch.setenv("OPERATION_STEP_SECONDS", "0.05")
    nth = 1 if point.startswith("operation") else chance().randint(2, 5)
    flag = crash(f"{point}:{nth}")
    connection = connect_to(sandbox)
    schedule.sync_now(connection, None)
    worker = workers()
    worker.wait_for(lambda: flag.exists() and ended(connection), 60)
    check_after(connection, sandbox, expected)
    assert requests(sandbox)["messages"] - before <= 200 + ONE_PAGE


def test_row_3_a_death_between_a_row_and_its_messages_leaves_it_pending_until_it_is_filled(
    sandbox: Sandbox, connect_to: Connect, crash: Any, workers: Any
) -> None:
    expected = undisturbed(sandbox, connect_to)
    connection = connect_to(sandbox)
    broken = upstream_ids(sandbox)[-40:-20]
    pattern = "|".join(broken)
    faults(
        sandbox,
        {
            "kind": "status",
            "status": 500,
            "path": f"re:^/chat/completions/({pattern})/messages$",
            "times": 80,
        },
    )
    flag = crash("sync.messages_before_commit:1")
    schedule.sync_now(connection, None)
    worker = workers()
    worker.wait_for(
        lambda: (
            StoredCompletion.objects.filter(messages_state=MessagesState.PENDING).exists() or flag.exists()
        ),
        60,
    )
    worker.wait_for(lambda: flag.exists() and ended(connection), 60)
    assert not missing.pending(connection.pk).exists()
    check_after(connection, sandbox, expected)


def test_row_1_a_whole_worker_killed_at_any_moment_is_made_up_for(
    sandbox: Sandbox, connect_to: Connect, workers: Any
) -> None:
    expected = undisturbed(sandbox, connect_to)
    faults(sandbox, {"kind": "slow", "seconds": 0.03, "path": MESSAGES})
    connection = connect_to(sandbox)
    schedule.sync_now(connection, None)
    worker = workers()
    rows = StoredCompletion.objects.filter(connection=connection)
    for share in sorted(chance().sample(range(20, 160), 2)):
        worker.wait_for(lambda share=share: rows.count() >= share, 60)
        worker.kill()
        worker.start()
    worker.wait_for(lambda: ended(connection), 60)
    check_after(connection, sandbox, expected)


def test_row_5_a_worker_that_is_told_to_stop_loses_nothing(
    sandbox: Sandbox, connect_to: Connect, workers: Any
) -> None:
    expected = undisturbed(sandbox, connect_to)
    faults(sandbox, {"kind": "slow", "seconds": 0.03, "path": MESSAGES})
    connection = connect_to(sandbox)
    schedule.sync_now(connection, None)
    worker = workers()
    rows = StoredCompletion.objects.filter(connection=connection)
    worker.wait_for(lambda: rows.count() >= chance().randint(20, 120), 60)
    worker.stop()
    worker.start()
    worker.wait_for(lambda: ended(connection), 60)
    check_after(connection, sandbox, expected)


def test_row_6_a_ring_that_comes_three_times_does_the_work_once(
    sandbox: Sandbox, connect_to: Connect, workers: Any
) -> None:
    connection = connect_to(sandbox)
    operation = schedule.sync_now(connection, None)
    for _ in range(3):
        app.send_task("portal.tasks.work", args=[operation.pk], queue="sync", ignore_result=True)
    worker = workers()
    worker.wait_for(lambda: ended(connection), 60)
    check_equal(connection, sandbox)
    assert requests(sandbox)["messages"] == 200
    assert set(Operation.objects.values_list("state", flat=True)) == {State.DONE}


def nobody_writes() -> bool:
    """Whether the database is free: a process that is paused inside a transaction would hold SQLite's only
    lock.
    """
    sqlite = database.vendor == "sqlite"
    with database.cursor() as cursor:
        if sqlite:
            cursor.execute("PRAGMA busy_timeout = 300")
        try:
            with transaction.atomic():
                Operation.objects.filter(pk=0).update(done=F("done"))
        except OperationalError:
            return False
        finally:
            if sqlite:
                cursor.execute(f"PRAGMA busy_timeout = {database.settings_dict['OPTIONS']['timeout'] * 1000}")
    return True


def test_row_7_a_paused_worker_wakes_and_changes_nothing(
    sandbox: Sandbox, connect_to: Connect, workers: Any
) -> None:
    expected = undisturbed(sandbox, connect_to)
    faults(sandbox, {"kind": "slow", "seconds": 0.15, "path": MESSAGES})
    connection = connect_to(sandbox)
    operation = schedule.sync_now(connection, None)
    worker = workers()
    rows = StoredCompletion.objects.filter(connection=connection)
    worker.wait_for(lambda: rows.count() >= 30, 60)
    for _ in range(50):
        operation.refresh_from_db()
        sleeper, fence = int(operation.lease_owner.split(":")[2]), operation.fence
        os.kill(sleeper, signal.SIGSTOP)
        if nobody_writes():
            break
        os.kill(sleeper, signal.SIGCONT)
        sleep(0.05)
    try:
        worker.wait_for(lambda: Operation.objects.get(pk=operation.pk).fence > fence, 60)
        taken_over = rows.count()
    finally:
        os.kill(sleeper, signal.SIGCONT)
    worker.wait_for(lambda: ended(connection), 90)
    assert taken_over < 200
    check_after(connection, sandbox, expected)


@pytest.fixture
def own_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A broker that a test may kill: `own_broker.start()`, `.kill()`."""

    class Broker:
        folder = Path(tempfile.mkdtemp(prefix="vk-own-"))
        server: servers.Server | None = None

        def start(self) -> None:
            self.server = servers.start_valkey(self.folder / "broker.sock")

        def kill(self) -> None:
            assert self.server is not None
            self.server.process.kill()
            self.server.process.wait()

    broker = Broker()
    try:
        broker.start()
    except servers.Unavailable as reason:
        pytest.skip(str(reason))
    monkeypatch.setenv("BROKER_URL", f"redis+socket://{broker.folder}/broker.sock")
    monkeypatch.setenv("CACHE_URL", "filesystem:")
    # Whoever begins an operation in this test rings at a broker that nobody listens to.
    monkeypatch.setattr("portal.operations.app.send_task", lambda *args, **options: None)
    yield broker
    if broker.server is not None:
        broker.server.stop()
    shutil.rmtree(broker.folder, ignore_errors=True)


def test_row_8_a_broker_that_dies_and_comes_back_costs_only_time(
    sandbox: Sandbox, connect_to: Connect, own_broker: Any, workers: Any
) -> None:
    faults(sandbox, {"kind": "slow", "seconds": 0.02, "path": MESSAGES})
    connection, later = connect_to(sandbox), connect_to(sandbox, "openai")
    schedule.sync_now(connection, None)
    worker = workers()
    worker.wait_for(lambda: StoredCompletion.objects.filter(connection=connection).count() >= 20, 60)
    own_broker.kill()
    operation = schedule.sync_now(later, None)  # the database takes it although nothing can be rung
    assert Operation.objects.get(pk=operation.pk).state == State.READY
    sleep(3)
    own_broker.start()
    try:
        worker.wait_for(lambda: ended(connection) and ended(later), 40)
    except AssertionError:
        worker.kill()  # what the supervisor does with a worker that takes no tasks any more
        worker.start()
        worker.wait_for(lambda: ended(connection) and ended(later), 60)
    check_equal(connection, sandbox)
    check_equal(later, sandbox, "openai")


def test_row_9_a_broker_that_forgets_everything_is_rung_again(
    sandbox: Sandbox, connect_to: Connect, broker: str, workers: Any
) -> None:
    import redis

    connections = [connect_to(sandbox), connect_to(sandbox, "azure-dated"), connect_to(sandbox, "openai")]
    for connection in connections:
        schedule.sync_now(connection, None)
    address = broker.replace("redis+socket:", "unix:", 1)
    with redis.Redis.from_url(address) as server:
        assert server.llen("sync") == 3
        server.flushall()
        worker = workers()
        sleep(0.5)
        server.flushall()
    worker.wait_for(lambda: all(ended(connection) for connection in connections), 60)
    for connection, resource in zip(connections, ("azure-v1", "azure-dated", "openai"), strict=True):
        check_equal(connection, sandbox, resource)


@pytest.mark.sandbox(rows=150)
def test_row_29_a_sweep_that_is_killed_half_way_marks_nothing(
    sandbox: Sandbox, connect_to: Connect, crash: Any
) -> None:
    connection = connect_to(sandbox, slug="swept")
    mirror(connection)
    delete(sandbox, upstream_ids(sandbox)[::6])
    crash(f"sync.committed:{chance().randint(1, 2)}")
    killed = subprocess.run(
        [sys.executable, "manage.py", "sync", "swept", "--sweep"],
        env=os.environ | {"DATABASE_URL": database_url()},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == 137, killed.stderr[-500:]
    assert not StoredCompletion.objects.filter(gone_at__isnull=False).exists()
    assert not state(connection, SyncPass.SWEEP).complete
    Operation.objects.live().update(lease_until=None, state=State.READY)
    again = subprocess.run(
        [sys.executable, "manage.py", "sync", "swept", "--sweep"],
        env=os.environ | {"DATABASE_URL": database_url()},
        capture_output=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr[-500:]
    assert StoredCompletion.objects.filter(gone_at__isnull=False).count() == 25
