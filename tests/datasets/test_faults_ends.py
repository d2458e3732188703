"""Rows 52 and 53 of the fault matrix: jobs that are cancelled, deleted upstream, or in an unknown state."""

from typing import Any

import pytest

from datasets.finetune import cancel, follow, launch, pause
from datasets.models import FineTune
from portal.models import Connection, Operation, User
from portal.sandbox import Sandbox
from tests.datasets import jobs, material, provider
from tests.datasets.provider import JOBS, advance, created, faults
from tests.portal.sandbox_client import http

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.engines,
    pytest.mark.sandbox(rows=0, rows_elsewhere=0, job_seconds=60),
]
State = FineTune.State


@pytest.fixture(autouse=True)
def _short_times(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs.hurry(settings, monkeypatch)


@pytest.fixture
def connection(sandbox: Sandbox) -> Connection:
    return provider.azure(sandbox)


def lost(sandbox: Sandbox, path: str, effect: str) -> None:
    faults(sandbox, {"kind": "drop", "effect": effect, "method": "POST", "path": path, "times": 1})


def imported(tune: FineTune, sandbox: Sandbox) -> None:
    material.step(launch.KIND)
    advance(sandbox, 10)


def in_state(name: str, tune: FineTune, sandbox: Sandbox, user: User) -> None:
    """Bring a launched job to one of the states in which somebody may cancel it."""
    if name == "upload unknown":
        lost(sandbox, "/files", "after")
        material.step(launch.KIND)
    elif name == "importing":
        material.step(launch.KIND)
    elif name in ("job unknown, made", "job unknown, not made"):
        imported(tune, sandbox)
        lost(sandbox, JOBS, "before" if "not made" in name else "after")
        material.step(launch.KIND)
    elif name == "asking":
        imported(tune, sandbox)
        lost(sandbox, JOBS, "before")
        jobs.settle(tune, sandbox)
        assert tune.state == State.ASKING
    elif name != "uploading":
        jobs.settle(tune, sandbox)
        if name != "queued":
            advance(sandbox, 30)
            jobs.look(tune)
        if name == "paused":
            pause.begin(tune, user)
            material.drain(kinds=[pause.KIND])
            advance(sandbox, 5)
            jobs.look(tune)
            assert tune.state == State.PAUSED
        if name == "ended upstream":
            advance(sandbox, 90)


@pytest.mark.parametrize(
    "name",
    [
        "uploading",
        "upload unknown",
        "importing",
        "job unknown, made",
        "job unknown, not made",
        "asking",
        "queued",
        "training",
        "paused",
        "ended upstream",
    ],
)
def test_row_52_a_job_cancelled_in_any_state_ends_cancelled_or_as_what_it_was(
    builder: User, sandbox: Sandbox, name: str
) -> None:
    tune = material.prepared(builder, provider.azure(sandbox))
    launch.begin(tune, builder)
    in_state(name, tune, sandbox, builder)
    assert cancel.request(tune, builder)
    assert not cancel.request(tune, builder)
    material.drain(kinds=[launch.KIND, cancel.KIND])
    if Operation.objects.live().filter(kind=follow.KIND).exists():
        material.step(follow.KIND)
    tune.refresh_from_db()
    ended = State.SUCCEEDED if name == "ended upstream" else State.CANCELLED
    assert tune.state == ended
    assert [job.status for job in provider.jobs(tune.connection)] == [str(ended)] * len(created(sandbox))
    assert not Operation.objects.live().exists()


def test_row_52_there_is_nothing_to_cancel_before_the_launch(builder: User, connection: Connection) -> None:
    tune = material.prepared(builder, connection)
    assert not cancel.request(tune, builder)
    tune.refresh_from_db()
    assert not tune.cancel_requested


def test_row_53_an_unknown_status_is_kept_shown_and_asked_for_less_often(
    builder: User, connection: Connection, sandbox: Sandbox
) -> None:
    tune = jobs.training(builder, connection, sandbox)
    busy = follow._pause([tune])
    FineTune.objects.filter(pk=tune.pk).update(status="hibernating")
    tune.refresh_from_db()
    assert follow.is_calm(tune)
    assert busy < 30 < 250 < follow._pause([tune])
    assert jobs.look(tune).status == "running"


def test_row_53_a_job_deleted_upstream_is_shown_asked_for_less_often_and_given_up(
    builder: User, sandbox: Sandbox
) -> None:
    key = "sandbox-azure-dated-key"
    base = sandbox.base_url("azure-dated")
    dated = provider.azure(sandbox, kind="azure_dated", base_url=base, secret=key)
    tune = jobs.training(builder, dated, sandbox)
    job = f"{base}/openai/fine_tuning/jobs/{tune.remote_id}?api-version=2025-04-01-preview"
    status, _, _ = http(job, "DELETE", headers={"api-key": key})
    assert status == 204
    jobs.look(tune)
    assert (tune.state, tune.error["kind"], tune.status) == (State.RUNNING, "lost", "not found")
    assert tune.events.exists()
    assert follow._pause([tune]) > 250
    FineTune.objects.filter(pk=tune.pk).update(error={**tune.error, "since": 1})
    assert jobs.look(tune).state == State.FAILED
    assert Operation.objects.get(kind=follow.KIND).state == Operation.State.DONE
