"""A paid request is made once, whenever the worker dies and whatever the line does.

Workers are processes that end at a crash point as abruptly as by kill -9; what was really made is counted in
the journal of the service, not in our tables.
"""

from threading import Barrier
from typing import Any

import pytest

from datasets import remote
from datasets.finetune import cancel, launch
from datasets.models import FineTune, FineTuneEvent, UploadedFile
from datasets.remote import MARK
from portal.models import Connection, Operation, RemoteAction, User
from portal.sandbox import Sandbox
from portal.upstream import connect
from tests.datasets import jobs, material, provider
from tests.datasets.provider import JOBS, advance, crash_at, created, faults, posts
from tests.workers import Worker

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.engines,
    pytest.mark.sandbox(rows=0, rows_elsewhere=0, job_seconds=900),
]
State = FineTune.State


@pytest.fixture(autouse=True)
def _short_times(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs.hurry(settings, monkeypatch)


@pytest.fixture
def connection(sandbox: Sandbox) -> Connection:
    return provider.azure(sandbox)


@pytest.fixture
def tune(builder: User, connection: Connection) -> FineTune:
    """Set up and launched; nobody works on it yet."""
    made = material.prepared(builder, connection)
    launch.begin(made, builder)
    return made


def work_on(tune: FineTune, sandbox: Sandbox) -> FineTune:
    """Work until the launch is settled; the service's clock moves on so that it imports the file."""

    def settled() -> bool:
        advance(sandbox, 3)
        return not material.step(launch.KIND).is_live

    provider.wait_until(settled)
    tune.refresh_from_db()
    return tune


def intent(tune: FineTune) -> RemoteAction:
    assert tune.action is not None
    return tune.action


def file_of(tune: FineTune) -> str:
    assert tune.file is not None
    return tune.file.remote_id


def upload_first(tune: FineTune, sandbox: Sandbox) -> None:
    """Bring the launch to the point where the job is to be created."""
    material.step(launch.KIND)
    advance(sandbox, 10)


def test_an_undisturbed_launch_makes_one_upload_and_one_job(tune: FineTune, sandbox: Sandbox) -> None:
    work_on(tune, sandbox)
    assert tune.state == State.RUNNING
    assert (len(created(sandbox)), posts(sandbox), posts(sandbox, "/files")) == (1, 1, 1)
    job = provider.jobs(tune.connection)[0]
    assert job.id == tune.remote_id
    assert job.metadata == {MARK: str(intent(tune).pk)}
    assert job.suffix == intent(tune).pk.hex[:8]
    assert (job.seed, job.training_file, job.model) == (tune.seed, file_of(tune), tune.base_model)


def test_two_jobs_with_the_same_mark_become_one(tune: FineTune, sandbox: Sandbox) -> None:
    upload_first(tune, sandbox)
    crash_at("fine_tune.answered")
    action = RemoteAction.objects.get(kind="fine_tune")
    advance(sandbox, 2)
    with connect(tune.connection) as upstream:
        second = upstream.create_job(launch.body_of(action))
    work_on(tune, sandbox)
    material.drain(kinds=[cancel.KIND])
    assert tune.remote_id == created(sandbox)[0].partition(":")[2]
    assert {job.id: job.status for job in provider.jobs(tune.connection)}[second.id] == "cancelled"


def test_the_same_content_is_uploaded_once_for_two_jobs(
    tune: FineTune, sandbox: Sandbox, builder: User
) -> None:
    work_on(tune, sandbox)
    second = FineTune.objects.create(
        connection=tune.connection,
        version=tune.version,
        base_model=tune.base_model,
        seed=5,
        hyperparameters={},
    )
    launch.begin(second, builder)
    work_on(second, sandbox)
    assert second.state == State.RUNNING
    assert UploadedFile.objects.count() == posts(sandbox, "/files") == 1
    assert len(created(sandbox)) == 2


def test_a_file_deleted_upstream_is_uploaded_again(
    tune: FineTune, sandbox: Sandbox, builder: User, settings: Any
) -> None:
    work_on(tune, sandbox)
    with connect(tune.connection) as upstream:
        upstream.delete_file(file_of(tune))
    settings.RECONCILE_SECONDS = -1  # so that it does not count as only just uploaded
    second = FineTune.objects.create(
        connection=tune.connection,
        version=tune.version,
        base_model=tune.base_model,
        seed=5,
        hyperparameters={},
    )
    launch.begin(second, builder)
    work_on(second, sandbox)
    assert second.state == State.RUNNING
    assert posts(sandbox, "/files") == 2


def test_a_clear_refusal_is_told_and_may_be_tried_again(
    builder: User, connection: Connection, sandbox: Sandbox
) -> None:
    tune = material.prepared(builder, connection, base_model="gpt-9-untrainable")
    launch.begin(tune, builder)
    work_on(tune, sandbox)
    assert tune.state == State.FAILED
    assert "does not support fine-tuning" in tune.error["message"]
    assert intent(tune).state == RemoteAction.State.REFUSED
    FineTune.objects.filter(pk=tune.pk).update(base_model="gpt-4.1-mini-2025-04-14")
    assert launch.try_again(tune, builder)
    work_on(tune, sandbox)
    assert tune.state == State.RUNNING
    assert len(created(sandbox)) == 1


def test_being_too_fast_is_waited_out(tune: FineTune, sandbox: Sandbox) -> None:
    upload_first(tune, sandbox)
    faults(sandbox, {"kind": "throttle", "method": "POST", "path": JOBS, "times": 2, "retry_after": 1})
    work_on(tune, sandbox)
    assert tune.state == State.RUNNING
    assert len(created(sandbox)) == 1


def test_a_late_worker_with_an_old_lease_sends_nothing(tune: FineTune, sandbox: Sandbox) -> None:
    from portal import operations

    upload_first(tune, sandbox)
    crash_at("fine_tune.planned")
    operation = provider.launch_operation()
    action = RemoteAction.objects.get(kind="fine_tune")
    late = operations.Working(operation, keeper=type("Keeper", (), {"lost": Barrier(1)})())
    Operation.objects.filter(pk=operation.pk).update(fence=operation.fence + 1, state=Operation.State.RUNNING)
    with connect(tune.connection) as upstream, pytest.raises(operations.LeaseLost):
        remote._send(action, launch.JobErrand(), upstream, late)
    action.refresh_from_db()
    assert action.state == RemoteAction.State.PLANNED
    assert posts(sandbox) == 0


def test_a_worker_killed_while_it_launches_leaves_one_job_and_the_next_worker_follows_it(
    builder: User, connection: Connection, sandbox: Sandbox, request: pytest.FixtureRequest
) -> None:
    worker: Worker = request.getfixturevalue("worker")  # it starts now, with the address of the sandbox
    tune = material.prepared(builder, connection)
    faults(sandbox, {"kind": "slow", "method": "POST", "path": JOBS, "seconds": 60})
    launch.begin(tune, builder)
    worker.wait_for(lambda: created(sandbox))
    worker.kill()
    faults(sandbox)
    worker.start()
    worker.wait_for(lambda: FineTuneEvent.objects.exists(), 60)
    tune.refresh_from_db()
    assert (tune.state, tune.remote_id) == (State.RUNNING, created(sandbox)[0].partition(":")[2])
    assert posts(sandbox) == len(created(sandbox)) == posts(sandbox, "/files") == 1
