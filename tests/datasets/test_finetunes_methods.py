"""What a launch sends: the parts of the version, the method and its numbers; what money it keeps."""

import json
from decimal import Decimal
from typing import Any

import pytest

from datasets.build import files
from datasets.finetune import job, launch, method, upload
from datasets.models import FineTune, Purpose, UploadedFile
from portal import spending
from portal.models import Budget, Connection, Operation, RemoteAction, Spending, User
from portal.sandbox import Sandbox
from portal.upstream import connect
from tests.datasets import jobs, material, provider
from tests.datasets.provider import advance, created, faults, posts

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.sandbox(rows=0, rows_elsewhere=0, job_seconds=60),
]
State, Method = FineTune.State, FineTune.Method
GRADER = {"type": "string_check", "name": "same", "operation": "eq", "input": "{{a}}", "reference": "{{b}}"}


@pytest.fixture(autouse=True)
def _short_times(settings: Any) -> None:
    settings.RECONCILE_EVERY_SECONDS, settings.RECONCILE_SECONDS, settings.FILE_POLL_SECONDS = 0.05, 0.3, 0.2


@pytest.fixture
def connection(sandbox: Sandbox) -> Connection:
    return provider.azure(sandbox)


def test_both_parts_are_uploaded_as_their_stretch_of_the_file_and_named_in_the_job(
    builder: User, connection: Connection, sandbox: Sandbox
) -> None:
    tune = jobs.with_parts(builder, connection)
    launch.begin(tune, builder)
    jobs.settle(tune, sandbox)
    assert tune.state == State.RUNNING
    assert posts(sandbox, "/files") == len(created(sandbox, "created:file")) == 2
    with files.open_file(tune.trained_on) as file:
        whole = file.read()
    with connect(connection) as upstream:
        info = upstream.get_job(tune.remote_id)
        for name, upstream_id in (
            ("train", info.training_file),
            ("validation", info.raw["validation_file"]),
        ):
            part = tune.trained_on.part(name)
            assert part is not None
            assert upstream.file_content(upstream_id) == whole[part.offset : part.offset + part.size]
            assert upstream.get_file(upstream_id).name == part.file_name


def test_a_part_that_is_upstream_already_is_not_sent_again(
    builder: User, connection: Connection, sandbox: Sandbox
) -> None:
    first = jobs.with_parts(builder, connection)
    second = FineTune.objects.create(
        connection=connection, version=first.version, base_model=jobs.MODEL, seed=12, hyperparameters={}
    )
    for tune in (first, second):
        launch.begin(tune, builder)
        jobs.settle(tune, sandbox)
        assert tune.state == State.RUNNING
    assert posts(sandbox, "/files") == UploadedFile.objects.count() == 2
    assert (second.file, second.validation_file) == (first.file, first.validation_file)


@pytest.mark.parametrize(
    ("kind", "numbers", "sent"),
    [
        (Method.SUPERVISED, {"n_epochs": 2}, {"hyperparameters": {"n_epochs": 2}}),
        (Method.SUPERVISED, {}, {"hyperparameters": {}}),
        (
            Method.DPO,
            {"beta": 0.2, "n_epochs": "auto", "batch_size": 4},
            {"hyperparameters": {"beta": 0.2, "batch_size": 4}},
        ),
        (
            Method.REINFORCEMENT,
            {"reasoning_effort": "low", "compute_multiplier": 1.5, "eval_interval": 3, "eval_samples": 2},
            {
                "hyperparameters": {
                    "reasoning_effort": "low",
                    "compute_multiplier": 1.5,
                    "eval_interval": 3,
                    "eval_samples": 2,
                },
                "grader": GRADER,
            },
        ),
    ],
)
def test_each_method_has_a_body_of_its_own(kind: str, numbers: dict[str, Any], sent: dict[str, Any]) -> None:
    action = RemoteAction(
        params={
            "model": jobs.MODEL,
            "training_file": "file-1",
            "validation_file": "file-2",
            "method": kind,
            "hyperparameters": method.read(kind, numbers),
            "grader": GRADER,
            "seed": 3,
            "suffix": "mine",
            "training_type": "Developer",
        }
    )
    assert job.body_of(action) == {
        "model": jobs.MODEL,
        "training_file": "file-1",
        "validation_file": "file-2",
        "seed": 3,
        "suffix": f"mine-{action.pk.hex[:8]}",
        "method": {"type": kind, kind: sent},
        "metadata": {"portal_action": str(action.pk)},
        "trainingType": "Developer",
    }


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        (Method.SUPERVISED, {"n_epochs": 0}),
        (Method.SUPERVISED, {"n_epochs": 51}),
        (Method.SUPERVISED, {"n_epochs": 1.5}),
        (Method.SUPERVISED, {"n_epochs": True}),
        (Method.SUPERVISED, {"batch_size": 257}),
        (Method.SUPERVISED, {"learning_rate_multiplier": 0}),
        (Method.SUPERVISED, {"learning_rate_multiplier": "nan"}),
        (Method.SUPERVISED, {"learning_rate_multiplier": "inf"}),
        (Method.DPO, {"beta": 2.1}),
        (Method.DPO, {"beta": 0}),
        (Method.REINFORCEMENT, {"reasoning_effort": "extreme"}),
        (Method.REINFORCEMENT, {"compute_multiplier": 0.00001}),
        (Method.REINFORCEMENT, {"eval_interval": 0}),
        ("distillation", {}),
    ],
)
def test_a_number_outside_its_range_is_refused_in_words(kind: str, numbers: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"auto\.|no method"):
        method.read(kind, numbers)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"method": Method.REINFORCEMENT}, "needs a grader"),
        ({"method": Method.REINFORCEMENT, "grader": GRADER}, "needs a validation part"),
        ({"method": Method.DPO}, "cannot be trained on with the method"),
        ({"seed": 2**31}, "seed"),
        ({"hyperparameters": {"n_epochs": 99}}, "Epochs is a whole number from 1 up to 50"),
    ],
)
def test_what_cannot_be_created_is_not_launched(
    builder: User, connection: Connection, fields: dict[str, Any], words: str
) -> None:
    tune = material.prepared(builder, connection, **fields)
    with pytest.raises(launch.NotReady, match=words):
        launch.begin(tune, builder)
    tune.refresh_from_db()
    assert tune.state == State.DRAFT
    assert not Spending.objects.exists()


def test_a_dpo_job_is_created_with_its_beta(builder: User, connection: Connection, sandbox: Sandbox) -> None:
    tune = material.prepared(builder, connection, method=Method.DPO, hyperparameters={"beta": 0.3})
    tune.trained_on.dataset.purpose = Purpose.PREFERENCE
    tune.trained_on.dataset.save()
    pair = {
        "input": {"messages": [{"role": "user", "content": "Why?"}]},
        "preferred_output": [{"role": "assistant", "content": "Because."}],
        "non_preferred_output": [{"role": "assistant", "content": "No."}],
    }
    jobs.change_file(tune, b"".join(json.dumps(pair).encode() + b"\n" for _ in range(12)))
    launch.begin(tune, builder)
    jobs.settle(tune, sandbox)
    assert tune.state == State.RUNNING, tune.error
    with connect(connection) as upstream:
        told = upstream.get_job(tune.remote_id).raw["method"]
    assert told["type"] == "dpo"


def priced(connection: Connection, amount: str) -> None:
    from datetime import date

    from portal.models import Price

    Price.objects.update_or_create(
        model=jobs.MODEL,
        kind=Price.Kind.TRAINING,
        provider="",
        training_type="",
        defaults={"amount": Decimal(amount), "as_of": date(2026, 11, 1)},
    )
    Price.objects.filter(kind=Price.Kind.TRAINING).exclude(provider="", training_type="").delete()


def held(tune: FineTune) -> Spending:
    found: Spending = Spending.objects.get(subject_type="datasets.finetune", subject_id=str(tune.pk))
    return found


def test_money_is_kept_before_and_settled_with_what_was_trained(
    builder: User, connection: Connection, sandbox: Sandbox
) -> None:
    priced(connection, "10")
    tune = jobs.running(builder, connection, sandbox)
    reserved = held(tune)
    assert reserved.state == Spending.State.RESERVED
    assert reserved.reserved is not None
    assert Decimal(tune.estimate["amount"]) == reserved.reserved > 0
    advance(sandbox, 90)
    jobs.look(tune)
    settled = held(tune)
    assert settled.state == Spending.State.SETTLED
    assert tune.trained_tokens is not None
    assert settled.settled == Decimal(tune.trained_tokens) * 10 / 1_000_000


def test_what_is_over_the_budget_is_not_launched(builder: User, connection: Connection) -> None:
    priced(connection, "100000")
    Budget.objects.create(connection=connection, amount=Decimal(1))
    tune = material.prepared(builder, connection)
    with pytest.raises(spending.OverBudget):
        launch.begin(tune, builder)
    tune.refresh_from_db()
    assert tune.state == State.DRAFT
    assert not Operation.objects.filter(kind=launch.KIND).exists()


def test_a_refused_launch_gives_its_money_back_and_takes_it_again_when_it_is_tried_again(
    builder: User, connection: Connection, sandbox: Sandbox
) -> None:
    priced(connection, "10")
    tune = material.prepared(builder, connection)
    faults(
        sandbox,
        {"kind": "status", "status": 403, "method": "POST", "path": provider.JOBS, "code": "forbidden"},
    )
    launch.begin(tune, builder)
    jobs.settle(tune, sandbox)
    assert (tune.state, held(tune).state) == (State.FAILED, Spending.State.RELEASED)
    faults(sandbox)
    assert launch.try_again(tune, builder)
    assert held(tune).state == Spending.State.RESERVED


def test_the_stretch_of_a_part_reads_like_a_file_of_its_own(builder: User, connection: Connection) -> None:
    tune = jobs.with_parts(builder, connection, rows=30)
    part = tune.trained_on.part("validation")
    assert part is not None
    with files.open_file(tune.trained_on) as file:
        whole = file.read()[part.offset : part.offset + part.size]
        stretch = upload.Stretch(file, part)
        assert stretch.read() == whole
        assert stretch.seek(0, 2) == part.size
        assert stretch.seek(-5, 1) == part.size - 5
        assert stretch.read() == whole[-5:]
        assert stretch.read() == b""
        stretch.seek(3)
        assert (stretch.tell(), stretch.read(4)) == (3, whole[3:7])
