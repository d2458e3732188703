"""A paid request is made once, whenever the worker dies and whatever the line does.

Workers are processes that end at a crash point as abruptly as by kill -9; what was really made is counted in
the journal of the service, not in our tables.
"""

from collections.abc import Callable
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from datasets import remote
from datasets.finetune import cancel, launch
from datasets.models import FineTune, FineTuneEvent, UploadedFile
from datasets.remote import MARK
from portal.models import AuditEntry, Connection, Operation, RemoteAction, User
from portal.sandbox import Sandbox
from portal.upstream import connect
from tests import factories
from tests.datasets import material, provider
from tests.datasets.provider import JOBS, advance, crash_at, created, faults, posts
from tests.workers import Worker

if TYPE_CHECKING:
    from django.test import Client

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.engines,
    pytest.mark.sandbox(rows=0, rows_elsewhere=0, job_seconds=900),
]
State = FineTune.State


@pytest.fixture(autouse=True)
def _short_times(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "RECONCILE_EVERY_SECONDS": 0.05,
        "RECONCILE_SECONDS": 0.3,
        "FILE_POLL_SECONDS": 0.2,
    }.items():
        setattr(settings, name, value)
        monkeypatch.setenv(name, str(value))


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


def test_41_killed_before_the_intent_is_sent_it_is_sent_once_after(tune: FineTune, sandbox: Sandbox) -> None:
    upload_first(tune, sandbox)
    crash_at("fine_tune.planned")
    assert posts(sandbox) == 0
    work_on(tune, sandbox)
    assert tune.state == State.RUNNING
    assert posts(sandbox) == len(created(sandbox)) == 1


def test_42_killed_between_the_intent_and_the_request_a_person_is_asked(
    tune: FineTune, sandbox: Sandbox, builder: User
) -> None:
    upload_first(tune, sandbox)
    crash_at("fine_tune.sending")
    assert RemoteAction.objects.get(kind="fine_tune").state == RemoteAction.State.SENDING
    work_on(tune, sandbox)
    assert tune.state == State.ASKING
    assert intent(tune).state == RemoteAction.State.NOT_FOUND
    assert intent(tune).clean_listings >= 3
    assert posts(sandbox) == 0
    assert launch.decide(tune, "again", builder)
    work_on(tune, sandbox)
    assert tune.state == State.RUNNING
    assert posts(sandbox) == len(created(sandbox)) == 1


def test_42_whoever_stops_instead_has_no_job(tune: FineTune, sandbox: Sandbox, builder: User) -> None:
    upload_first(tune, sandbox)
    crash_at("fine_tune.sending")
    work_on(tune, sandbox)
    assert launch.decide(tune, "stop", builder)
    assert not launch.decide(tune, "again", builder)
    tune.refresh_from_db()
    assert tune.state == State.CANCELLED
    assert posts(sandbox) == 0


def test_43_killed_while_the_request_is_answered_the_orphan_is_adopted(
    tune: FineTune, sandbox: Sandbox
) -> None:
    upload_first(tune, sandbox)
    faults(sandbox, {"kind": "slow", "method": "POST", "path": JOBS, "seconds": 30})
    process = provider.worker_process()
    provider.wait_until(lambda: created(sandbox))
    process.kill()
    process.wait()
    faults(sandbox)
    provider.restart()
    work_on(tune, sandbox)
    assert tune.state == State.RUNNING
    assert tune.remote_id == created(sandbox)[0].partition(":")[2]
    assert posts(sandbox) == len(created(sandbox)) == 1
    assert AuditEntry.objects.filter(verb="remote_action.adopted").count() == 1


@pytest.mark.parametrize("point", ["fine_tune.answered", "fine_tune.confirmed"])
def test_44_killed_after_the_answer_the_job_is_adopted(tune: FineTune, sandbox: Sandbox, point: str) -> None:
    upload_first(tune, sandbox)
    crash_at(point)
    work_on(tune, sandbox)
    assert tune.state == State.RUNNING
    assert tune.remote_id == created(sandbox)[0].partition(":")[2]
    assert posts(sandbox) == len(created(sandbox)) == 1


@pytest.mark.parametrize(
    ("fault", "state", "made"),
    [
        ({"kind": "drop", "effect": "after"}, State.RUNNING, 1),
        ({"kind": "status", "status": 500, "effect": "after"}, State.RUNNING, 1),
        ({"kind": "status", "status": 409, "effect": "after"}, State.RUNNING, 1),
        ({"kind": "html200"}, State.ASKING, 0),
        ({"kind": "cut"}, State.RUNNING, 1),
        ({"kind": "status", "status": 500, "effect": "before"}, State.ASKING, 0),
        ({"kind": "drop", "effect": "before"}, State.ASKING, 0),
    ],
    ids=["timeout, made", "500, made", "409, made", "a web page", "cut answer", "500, not made", "dropped"],
)
def test_45_an_answer_that_says_nothing_is_looked_into_and_never_sent_again(
    tune: FineTune, sandbox: Sandbox, fault: dict[str, Any], state: str, made: int
) -> None:
    upload_first(tune, sandbox)
    faults(sandbox, {**fault, "method": "POST", "path": JOBS, "times": 1})
    work_on(tune, sandbox)
    assert tune.state == state
    assert posts(sandbox) == 1
    assert len(created(sandbox)) == made


def test_46_a_job_that_is_listed_late_is_waited_for(tune: FineTune, sandbox: Sandbox, settings: Any) -> None:
    settings.RECONCILE_SECONDS = 600
    upload_first(tune, sandbox)
    faults(
        sandbox,
        {"kind": "status", "status": 500, "effect": "after", "method": "POST", "path": JOBS, "times": 1},
        {"kind": "lag", "method": "GET", "path": JOBS, "seconds": 60},
    )
    for _ in range(5):
        material.step(launch.KIND)
    tune.refresh_from_db()
    assert tune.state == State.LAUNCHING
    advance(sandbox, 61)
    work_on(tune, sandbox)
    assert tune.state == State.RUNNING
    assert posts(sandbox) == len(created(sandbox)) == 1


def lose_the_answer(sandbox: Sandbox) -> None:
    """The service drops every mark, and the answer to the create call is lost."""
    faults(
        sandbox,
        {"kind": "status", "status": 500, "effect": "after", "method": "POST", "path": JOBS, "times": 1},
        {"kind": "drop_marks", "path": f"{JOBS}*"},
    )


def test_47_without_marks_the_job_is_found_by_its_training_file(tune: FineTune, sandbox: Sandbox) -> None:
    upload_first(tune, sandbox)
    lose_the_answer(sandbox)
    work_on(tune, sandbox)
    assert tune.state == State.RUNNING
    assert posts(sandbox) == len(created(sandbox)) == 1
    assert AuditEntry.objects.get(verb="remote_action.adopted").details["by"] == "content"


def test_47_a_job_on_the_same_file_that_another_launch_made_is_not_adopted(
    tune: FineTune, sandbox: Sandbox, builder: User
) -> None:
    upload_first(tune, sandbox)
    faults(sandbox, {"kind": "drop_marks", "path": f"{JOBS}*"})
    work_on(tune, sandbox)
    other = FineTune.objects.create(
        connection=tune.connection,
        version=tune.version,
        base_model=tune.base_model,
        seed=tune.seed,
        hyperparameters={},
    )
    launch.begin(other, builder)
    lose_the_answer(sandbox)
    work_on(other, sandbox)
    assert other.state == State.RUNNING
    assert other.remote_id != tune.remote_id
    assert len(created(sandbox)) == 2
    assert posts(sandbox, "/files") == 1


def test_47_two_jobs_that_only_the_file_tells_are_a_persons_decision(
    tune: FineTune, sandbox: Sandbox, builder: User
) -> None:
    upload_first(tune, sandbox)
    lose_the_answer(sandbox)
    by_hand = {
        "model": tune.base_model,
        "training_file": file_of(FineTune.objects.get()),
        "seed": tune.seed,
    }
    with connect(tune.connection) as upstream:
        faults(sandbox, {"kind": "drop_marks", "path": f"{JOBS}*"})
        stranger = upstream.create_job(by_hand)
    lose_the_answer(sandbox)
    work_on(tune, sandbox)
    assert tune.state == State.ASKING
    assert len(intent(tune).candidates) == 2
    assert posts(sandbox, f"{stranger.id}/cancel") == 0
    mine = next(job for job in intent(tune).candidates if job != stranger.id)
    assert launch.decide(tune, "adopt", builder, mine)
    work_on(tune, sandbox)
    assert (tune.state, tune.remote_id) == (State.RUNNING, mine)
    assert posts(sandbox) == 2


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


@pytest.mark.parametrize("point", ["planned", "answered", "confirmed"])
def test_an_upload_killed_at_any_point_is_made_once(tune: FineTune, sandbox: Sandbox, point: str) -> None:
    crash_at(f"upload.{point}")
    work_on(tune, sandbox)
    assert tune.state == State.RUNNING
    assert len(created(sandbox, "created:file")) == posts(sandbox, "/files") == 1
    assert posts(sandbox) == 1


def test_an_upload_killed_before_it_left_is_asked_about(
    tune: FineTune, sandbox: Sandbox, builder: User
) -> None:
    crash_at("upload.sending")
    work_on(tune, sandbox)
    assert tune.state == State.ASKING
    assert posts(sandbox, "/files") == 0
    assert launch.decide(tune, "again", builder)
    work_on(tune, sandbox)
    assert tune.state == State.RUNNING
    assert posts(sandbox, "/files") == posts(sandbox) == 1


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


def test_48_a_double_click_two_tabs_and_a_replayed_form_launch_once(
    builder: User, connection: Connection, sandbox: Sandbox, client_of: "Callable[[User], Client]"
) -> None:
    tune = material.prepared(builder, connection)
    second = factories.user("second-builder", "builder")
    url = reverse("datasets:distill", args=[tune.version_id, "launch"])
    form = {
        "fine_tune": tune.pk,
        "n_epochs": "auto",
        "batch_size": "auto",
        "learning_rate_multiplier": "auto",
        "seed": "7",
        "suffix": "",
        "training_type": "GlobalStandard",
    }
    clients = [client_of(builder), client_of(builder), client_of(second), client_of(second)]
    start, answers = Barrier(len(clients)), []

    def click(client: "Client") -> None:
        from django.db import connection as database

        start.wait()
        answers.append(client.post(url, form))
        database.close()

    threads = [Thread(target=click, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers.append(clients[0].post(url, form))
    page = reverse("datasets:finetune", args=[tune.pk])
    assert [(answer.status_code, answer["Location"]) for answer in answers] == [(302, page)] * 5
    assert Operation.objects.filter(kind=launch.KIND).count() == 1
    work_on(tune, sandbox)
    assert posts(sandbox) == len(created(sandbox)) == posts(sandbox, "/files") == 1
