"""Jobs that others started are seen and followed, and touched only by whoever adopts them."""

import io
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from datasets.finetune import cancel, elsewhere, follow, launch
from datasets.models import Deployment, FineTune
from portal.models import AuditEntry, Connection, Operation, RemoteAction, User
from portal.sandbox import Sandbox
from portal.upstream import JobInfo, connect
from tests.datasets import jobs, killing, material, provider
from tests.datasets.provider import JOBS, advance, faults, posts
from tests.portal.sandbox_client import examples

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.sandbox(rows=0, rows_elsewhere=0, job_seconds=60),
]
State = FineTune.State


@pytest.fixture(autouse=True)
def _short_times(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs.hurry(settings, monkeypatch)


@pytest.fixture
def connection(sandbox: Sandbox) -> Connection:
    return provider.azure(sandbox)


def somebody_trains(connection: Connection, sandbox: Sandbox, **body: Any) -> JobInfo:
    """A job that was not launched from here."""
    import json

    lines = "\n".join(json.dumps(line) for line in examples(12)).encode()
    with connect(connection) as upstream:
        file = upstream.upload_file("theirs.jsonl", io.BytesIO(lines), "fine-tune")
        advance(sandbox, 10)
        return upstream.create_job({"model": jobs.MODEL, "training_file": file.id, "seed": 4} | body)


def look(connection: Connection) -> list[FineTune]:
    """One look for jobs from elsewhere; those that are known after it."""
    elsewhere.begin(connection)
    material.drain(kinds=[elsewhere.KIND])
    return list(FineTune.objects.filter(elsewhere=True).order_by("id"))


@pytest.mark.engines
def test_a_job_from_elsewhere_is_seen_once_and_followed_to_its_end(
    connection: Connection, sandbox: Sandbox, builder: User
) -> None:
    theirs = somebody_trains(connection, sandbox, suffix="theirs")
    (tune,) = look(connection)
    assert (tune.remote_id, tune.base_model, tune.version, tune.seed) == (theirs.id, jobs.MODEL, None, 4)
    assert (tune.suffix, tune.state) == ("theirs", State.RUNNING)
    assert not tune.is_ours
    advance(sandbox, 30)
    jobs.look(tune)
    assert tune.status == "running"
    assert tune.events.exists()
    assert look(connection) == [tune]
    advance(sandbox, 60)
    jobs.look(tune)
    assert (tune.state, tune.checkpoints.count()) == (State.SUCCEEDED, 3)
    assert tune.curve
    assert not Deployment.objects.exists()
    assert posts(sandbox) == 1


def test_one_that_ended_before_it_was_seen_is_read_whole_once(
    connection: Connection, sandbox: Sandbox
) -> None:
    somebody_trains(connection, sandbox)
    advance(sandbox, 120)
    (tune,) = look(connection)
    assert (tune.state, tune.polled) == (State.SUCCEEDED, None)
    jobs.look(tune)
    assert tune.curve
    assert tune.events.exists()
    assert Operation.objects.get(kind=follow.KIND).state == Operation.State.DONE


def test_nothing_touches_it_before_it_is_adopted_and_adopting_is_written_down(
    connection: Connection, sandbox: Sandbox, builder: User
) -> None:
    somebody_trains(connection, sandbox)
    (tune,) = look(connection)
    assert not cancel.request(tune, builder)
    assert elsewhere.adopt(tune, builder)
    assert not elsewhere.adopt(tune, builder)
    tune.refresh_from_db()
    assert (tune.adopted_by, tune.is_ours, tune.elsewhere) == (builder, True, True)
    assert AuditEntry.objects.filter(verb="fine_tune.adopted").count() == 1
    assert cancel.request(tune, builder)
    material.drain(kinds=[cancel.KIND])
    assert jobs.look(tune).state == State.CANCELLED


def test_an_adopted_model_answers_on_openai_and_a_stranger_s_is_not_offered(
    sandbox: Sandbox, builder: User
) -> None:
    connection = provider.openai(sandbox)
    somebody_trains(connection, sandbox)
    advance(sandbox, 120)
    (tune,) = look(connection)
    jobs.look(tune)
    assert not Deployment.objects.exists()
    elsewhere.adopt(tune, builder)
    assert Deployment.objects.get().name == tune.fine_tuned_model


@pytest.mark.parametrize("marks", ["kept", "dropped"])
def test_what_an_open_launch_may_have_made_is_not_shown_as_somebody_else_s(
    connection: Connection, sandbox: Sandbox, builder: User, marks: str
) -> None:
    tune = material.prepared(builder, connection)
    launch.begin(tune, builder)
    material.step(launch.KIND)
    advance(sandbox, 10)
    rules: list[dict[str, Any]] = [
        {"kind": "status", "status": 500, "effect": "after", "method": "POST", "path": JOBS, "times": 1}
    ]
    if marks == "dropped":
        rules.append({"kind": "drop_marks", "path": f"{JOBS}*"})
    faults(sandbox, *rules)
    material.step(launch.KIND)
    assert RemoteAction.objects.get(kind="fine_tune").state == RemoteAction.State.UNKNOWN
    theirs = somebody_trains(connection, sandbox)
    assert [each.remote_id for each in look(connection)] == [theirs.id]
    jobs.settle(tune, sandbox)
    assert tune.state == State.RUNNING
    assert [each.remote_id for each in look(connection)] == [theirs.id]


def test_a_worker_that_died_while_sending_hides_its_job_too(
    connection: Connection, sandbox: Sandbox, builder: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune = material.prepared(builder, connection)
    launch.begin(tune, builder)
    material.step(launch.KIND)
    advance(sandbox, 10)
    assert killing.kill_at("fine_tune.answered", launch.KIND, sandbox, monkeypatch)
    assert RemoteAction.objects.get(kind="fine_tune").state == RemoteAction.State.SENDING
    assert look(connection) == []


def test_a_late_job_of_a_launch_that_was_given_up_is_shown(
    connection: Connection, sandbox: Sandbox, builder: User
) -> None:
    tune = material.prepared(builder, connection)
    launch.begin(tune, builder)
    material.step(launch.KIND)
    advance(sandbox, 10)
    faults(
        sandbox,
        {"kind": "status", "status": 500, "effect": "after", "method": "POST", "path": JOBS, "times": 1},
        {"kind": "lag", "method": "GET", "path": JOBS, "seconds": 3000},
    )
    jobs.settle(tune, sandbox)
    assert tune.state == State.ASKING
    assert launch.decide(tune, "stop", builder)
    faults(sandbox)
    assert len(look(connection)) == 1


def test_looks_leave_one_line_and_come_again_when_they_are_due(
    connection: Connection, sandbox: Sandbox, settings: Any
) -> None:
    assert elsewhere.begin_everywhere() == 0, "nobody trains on this connection"
    look(connection)
    look(connection)
    assert Operation.objects.filter(kind=elsewhere.KIND).count() == 1
    assert elsewhere.begin_everywhere() == 0
    long_ago = timezone.now() - timedelta(seconds=settings.ELSEWHERE_SECONDS + 1)
    Operation.objects.filter(kind=elsewhere.KIND).update(finished=long_ago)
    assert elsewhere.begin_everywhere() == 1
    assert elsewhere.begin_everywhere() == 0


def test_a_connection_that_may_not_list_jobs_is_left_alone_for_a_day(
    connection: Connection, sandbox: Sandbox, settings: Any
) -> None:
    faults(sandbox, {"kind": "status", "status": 403, "path": JOBS, "code": "forbidden"})
    assert look(connection) == []
    operation = Operation.objects.get(kind=elsewhere.KIND)
    assert (operation.state, operation.result) == (Operation.State.DONE, {"refused": "forbidden"})
    hours = timezone.now() - timedelta(hours=12)
    Operation.objects.filter(pk=operation.pk).update(finished=hours)
    assert not elsewhere.is_due(connection)
    Operation.objects.filter(pk=operation.pk).update(finished=hours - timedelta(hours=13))
    assert elsewhere.is_due(connection)


def test_hostile_values_of_a_stranger_s_job_are_kept_as_they_are(connection: Connection) -> None:
    from portal.upstream.records import job_info

    evil = "<img src=x onerror=alert(1)>"
    raw = {
        "id": evil,
        "model": evil * 20,
        "status": evil,
        "seed": 2**70,
        "created_at": 10**18,
        "hyperparameters": {evil: {"deep": [1]}, "n_epochs": 3},
        "user_provided_suffix": evil,
        "method": {"type": evil},
        "trainingType": 7,
    }
    tune = elsewhere._keep(connection, job_info(raw))
    tune.refresh_from_db()
    assert (tune.method, tune.hyperparameters, tune.training_type) == ("supervised", {"n_epochs": 3}, "7")
    assert (tune.remote_id, tune.seed, tune.state) == (evil, 0, State.RUNNING)
