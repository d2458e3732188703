"""Rows 41 to 48 of the fault matrix: a paid job is asked for once, whoever dies and whatever is lost.

What was really made is counted in the journal of the service, not in our tables.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from datasets import remote
from datasets.build import files
from datasets.finetune import launch, upload
from datasets.models import FineTune, UploadedFile
from portal.models import AuditEntry, Connection, Operation, RemoteAction, User
from portal.sandbox import Sandbox
from portal.upstream import connect
from tests import factories
from tests.datasets import jobs, killing, material, provider
from tests.datasets.provider import JOBS, advance, created, faults, posts

if TYPE_CHECKING:
    from django.test import Client

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.engines,
    pytest.mark.sandbox(rows=0, rows_elsewhere=0, job_seconds=60),
]
State, ActionState = FineTune.State, RemoteAction.State
ERRANDS = (upload.FileErrand.kind, launch.JobErrand.kind)
STEPS = ("operation.claimed", "operation.settled", "operation.put_back")
# Every place between the click and the running job at which something was just committed, or is about to be.
POINTS = (*(f"{kind}.{point}" for kind in ERRANDS for point in remote.POINTS), *launch.POINTS, *STEPS)


@pytest.fixture(autouse=True)
def _short_times(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs.hurry(settings, monkeypatch)


@pytest.fixture
def connection(sandbox: Sandbox) -> Connection:
    """Azure, whose files have to be imported; with some seeds OpenAI, where they need not."""
    if killing.IN_EARNEST and killing.chance().random() < 0.3:
        return provider.openai(sandbox)
    return provider.azure(sandbox)


@pytest.fixture
def tune(builder: User, connection: Connection) -> FineTune:
    """Set up and launched; nobody works on it yet."""
    made = material.prepared(builder, connection)
    launch.begin(made, builder)
    return made


def upload_first(tune: FineTune, sandbox: Sandbox) -> None:
    """Bring the launch to the point where the job is to be created."""
    operation = Operation.objects.get(kind=launch.KIND, subject_id=str(tune.pk))
    if tune.connection.is_azure:
        jobs.one_step(operation)
        advance(sandbox, 10)
        return
    with connect(tune.connection) as upstream, files.open_file(tune.trained_on) as file:
        info = upstream.upload_file(tune.trained_on.file_name, file, upload.PURPOSE)
    part = tune.trained_on.part("train")
    assert part is not None
    action = RemoteAction.objects.create(
        kind="upload",
        connection=tune.connection,
        dedupe_key=f"{upload.PURPOSE}:{part.sha256}",
        state=ActionState.CONFIRMED,
        remote_id=info.id,
    )
    UploadedFile.objects.create(
        connection=tune.connection,
        sha256=part.sha256,
        file_name=part.file_name,
        size=part.size,
        action=action,
        remote_id=info.id,
    )


def intent(tune: FineTune) -> RemoteAction:
    assert tune.action is not None
    return tune.action


def adopted() -> int:
    return int(AuditEntry.objects.filter(verb="remote_action.adopted").count())


def crash_points_in(path: str) -> Iterator[str]:
    """The names at which this file can die; `*` stands for what is not written down there."""
    for node in ast.walk(ast.parse((Path(remote.__file__).parents[1] / path).read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "crashpoint":
            name = node.args[0]
            if isinstance(name, ast.Constant):
                yield str(name.value)
            elif isinstance(name, ast.JoinedStr):
                yield "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "*" for part in name.values
                )


def test_every_crash_point_of_a_launch_is_in_the_list() -> None:
    written: set[str] = set()
    for path in ("remote.py", "finetune/launch.py", "finetune/upload.py", "finetune/job.py"):
        for name in crash_points_in(f"datasets/{path}"):
            written |= {name.replace("*", kind) for kind in ERRANDS} if "*" in name else {name}
    assert written | set(crash_points_in("portal/steps.py")) == set(POINTS)


# --- Rows 41, 42, 44: killed at every commit boundary ---------------------------------------------


def deaths() -> list[tuple[str, int]]:
    """Each point once; uploads and steps at another one of their times with each seed."""
    chance = killing.chance()
    return [
        (point, chance.randint(1, 2) if point.startswith(("upload.", "operation.")) else 1)
        for point in POINTS
    ]


@pytest.mark.parametrize(("point", "nth"), deaths())
def test_rows_41_42_44_killed_at_every_commit_boundary_from_the_upload_to_the_job(
    builder: User,
    connection: Connection,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    nth: int,
) -> None:
    tune = jobs.with_parts(builder, connection, rows=40)
    launch.begin(tune, builder)
    died = killing.kill_at(f"{point}:{nth}", launch.KIND, sandbox, monkeypatch)
    assert died or point in STEPS
    jobs.settle(tune, sandbox)
    if point.endswith(".sending"):
        # It died between the commit and the request, which looks from here like a request that was lost.
        assert tune.state == State.ASKING
        assert posts(sandbox) == 0
        assert launch.decide(tune, "again", builder)
        jobs.settle(tune, sandbox)
    assert jobs.is_the_only_one(tune, sandbox)
    assert posts(sandbox, "/files") == len(created(sandbox, "created:file")) == 2
    assert adopted() == int(point.endswith(".answered")), "orphans adopted are orphans made"
    assert not FineTune.objects.exclude(pk=tune.pk).exists()


def test_row_42_whoever_stops_instead_has_no_job(
    tune: FineTune, sandbox: Sandbox, builder: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_first(tune, sandbox)
    killing.kill_at("fine_tune.sending", launch.KIND, sandbox, monkeypatch)
    jobs.settle(tune, sandbox)
    assert intent(tune).state == ActionState.NOT_FOUND
    assert intent(tune).clean_listings >= 3
    assert launch.decide(tune, "stop", builder)
    assert not launch.decide(tune, "again", builder)
    tune.refresh_from_db()
    assert (tune.state, posts(sandbox)) == (State.CANCELLED, 0)


# --- Row 43 ---------------------------------------------------------------------------------------


def test_row_43_killed_while_the_request_is_answered_the_orphan_is_adopted(
    tune: FineTune, sandbox: Sandbox
) -> None:
    upload_first(tune, sandbox)
    faults(sandbox, {"kind": "slow", "method": "POST", "path": JOBS, "seconds": 60})
    process = provider.worker_process()
    provider.wait_until(lambda: created(sandbox), 60)
    process.kill()
    process.wait()
    faults(sandbox)
    provider.restart()
    jobs.settle(tune, sandbox)
    assert jobs.is_the_only_one(tune, sandbox)
    assert adopted() == 1


# --- Row 45 ---------------------------------------------------------------------------------------

LOST: dict[str, tuple[dict[str, Any], int]] = {
    "dropped, made": ({"kind": "drop", "effect": "after"}, 1),
    "500, made": ({"kind": "status", "status": 500, "effect": "after"}, 1),
    "409, made": ({"kind": "status", "status": 409, "effect": "after"}, 1),
    "cut answer": ({"kind": "cut"}, 1),
    "a web page": ({"kind": "html200"}, 0),
    "500, not made": ({"kind": "status", "status": 500, "effect": "before"}, 0),
    "dropped, not made": ({"kind": "drop", "effect": "before"}, 0),
}


@pytest.mark.parametrize(("fault", "made"), LOST.values(), ids=LOST)
def test_row_45_an_answer_that_says_nothing_is_looked_into_and_never_sent_again(
    tune: FineTune, sandbox: Sandbox, fault: dict[str, Any], made: int
) -> None:
    upload_first(tune, sandbox)
    faults(sandbox, {**fault, "method": "POST", "path": JOBS, "times": 1})
    jobs.settle(tune, sandbox)
    assert tune.state == (State.RUNNING if made else State.ASKING)
    assert (posts(sandbox), len(created(sandbox)), adopted()) == (1, made, made)


# --- Rows 46, 47 ----------------------------------------------------------------------------------


def test_row_46_a_job_that_is_listed_late_is_waited_for(
    tune: FineTune, sandbox: Sandbox, settings: Any
) -> None:
    settings.RECONCILE_SECONDS = 600
    upload_first(tune, sandbox)
    lag = killing.chance().randint(30, 300)
    faults(
        sandbox,
        {"kind": "status", "status": 500, "effect": "after", "method": "POST", "path": JOBS, "times": 1},
        {"kind": "lag", "method": "GET", "path": JOBS, "seconds": lag},
    )
    for _ in range(5):
        material.step(launch.KIND)
    tune.refresh_from_db()
    assert tune.state == State.LAUNCHING
    advance(sandbox, lag + 1)
    jobs.settle(tune, sandbox)
    assert jobs.is_the_only_one(tune, sandbox)


def lose_the_answer(sandbox: Sandbox) -> None:
    """The service drops every mark, and the answer to the create call is lost."""
    faults(
        sandbox,
        {"kind": "status", "status": 500, "effect": "after", "method": "POST", "path": JOBS, "times": 1},
        {"kind": "drop_marks", "path": f"{JOBS}*"},
    )


def test_row_47_without_marks_the_job_is_found_by_its_training_file(tune: FineTune, sandbox: Sandbox) -> None:
    upload_first(tune, sandbox)
    lose_the_answer(sandbox)
    jobs.settle(tune, sandbox)
    assert jobs.is_the_only_one(tune, sandbox)
    assert AuditEntry.objects.get(verb="remote_action.adopted").details["by"] == "content"


def test_row_47_a_job_on_the_same_file_that_another_launch_made_is_not_adopted(
    tune: FineTune, sandbox: Sandbox, builder: User
) -> None:
    upload_first(tune, sandbox)
    faults(sandbox, {"kind": "drop_marks", "path": f"{JOBS}*"})
    jobs.settle(tune, sandbox)
    other = FineTune.objects.create(
        connection=tune.connection,
        version=tune.version,
        base_model=tune.base_model,
        seed=tune.seed,
        hyperparameters={},
    )
    launch.begin(other, builder)
    lose_the_answer(sandbox)
    jobs.settle(other, sandbox)
    assert other.state == State.RUNNING
    assert other.remote_id != tune.remote_id
    assert (len(created(sandbox)), posts(sandbox, "/files")) == (2, 1)


def test_row_47_two_jobs_that_only_the_file_tells_are_a_persons_decision(
    tune: FineTune, sandbox: Sandbox, builder: User
) -> None:
    upload_first(tune, sandbox)
    by_hand = {
        "model": tune.base_model,
        "training_file": UploadedFile.objects.get().remote_id,
        "seed": tune.seed,
    }
    with connect(tune.connection) as upstream:
        faults(sandbox, {"kind": "drop_marks", "path": f"{JOBS}*"})
        stranger = upstream.create_job(by_hand)
    lose_the_answer(sandbox)
    jobs.settle(tune, sandbox)
    assert tune.state == State.ASKING
    assert len(intent(tune).candidates) == 2
    assert posts(sandbox, f"{stranger.id}/cancel") == 0
    mine = next(job for job in intent(tune).candidates if job != stranger.id)
    assert launch.decide(tune, "adopt", builder, mine)
    jobs.settle(tune, sandbox)
    assert (tune.state, tune.remote_id, posts(sandbox)) == (State.RUNNING, mine, 2)


# --- Row 48 ---------------------------------------------------------------------------------------


def test_row_48_a_double_click_two_tabs_and_a_replayed_form_launch_once(
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
    jobs.settle(tune, sandbox)
    assert jobs.is_the_only_one(tune, sandbox)
    assert posts(sandbox, "/files") == 1
