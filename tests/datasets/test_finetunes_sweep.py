"""A sweep launches several jobs from one form: one upload, each job once, all or none of them."""

from collections.abc import Sequence
from decimal import Decimal
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection as database

from datasets.finetune import launch, sweep
from datasets.finetune.sweep import Variant
from datasets.models import DatasetVersion, FineTune, Sweep
from portal import spending
from portal.models import Budget, Connection, Operation, RemoteAction, Spending, User
from portal.sandbox import Sandbox
from tests.datasets import jobs, material, provider
from tests.datasets.provider import JOBS, advance, created, faults, posts

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.sandbox(rows=0, rows_elsewhere=0, job_seconds=60),
]
State = FineTune.State
VARIANTS = (
    Variant(jobs.MODEL, hyperparameters={"n_epochs": 2}, seed=1),
    Variant(jobs.MODEL, hyperparameters={"n_epochs": 4}, seed=1),
    Variant("gpt-4.1-nano-2025-04-14", seed=1, suffix="nano"),
)


@pytest.fixture(autouse=True)
def _short_times(settings: Any) -> None:
    settings.RECONCILE_EVERY_SECONDS, settings.RECONCILE_SECONDS, settings.FILE_POLL_SECONDS = 0.05, 0.3, 0.2


@pytest.fixture
def connection(sandbox: Sandbox) -> Connection:
    return provider.azure(sandbox)


@pytest.fixture
def version(builder: User, connection: Connection) -> DatasetVersion:
    return material.built(builder, material.many(connection, 12))


def launched(
    version: DatasetVersion,
    connection: Connection,
    sandbox: Sandbox,
    user: User,
    variants: Sequence[Variant] = VARIANTS,
) -> Sweep:
    made = sweep.begin(version, connection, variants, user, "Three")
    for _ in range(3):
        for operation in Operation.objects.live().filter(kind=launch.KIND).order_by("id"):
            jobs.one_step(operation)
        advance(sandbox, 10)
    material.drain(kinds=[launch.KIND])
    return made


def test_a_sweep_uploads_once_and_creates_each_job_once(
    version: DatasetVersion, connection: Connection, sandbox: Sandbox, builder: User
) -> None:
    made = launched(version, connection, sandbox, builder)
    tunes = list(made.fine_tunes.order_by("id"))
    assert [tune.state for tune in tunes] == [State.RUNNING] * 3
    assert posts(sandbox, "/files") == 1
    assert posts(sandbox) == len(created(sandbox)) == 3
    assert len({tune.action_id for tune in tunes}) == len({tune.remote_id for tune in tunes}) == 3
    told = {job.id: job for job in provider.jobs(connection)}
    assert [told[tune.remote_id].hyperparameters["n_epochs"] for tune in tunes[:2]] == [2, 4]
    assert [told[tune.remote_id].model for tune in tunes] == [variant.base_model for variant in VARIANTS]


def test_the_same_form_sent_again_and_at_once_is_one_sweep(
    version: DatasetVersion, connection: Connection, builder: User
) -> None:
    start, made = Barrier(3), []

    def send() -> None:
        start.wait()
        made.append(sweep.begin(version, connection, VARIANTS, builder, "Three").pk)
        database.close()

    threads = [Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = sweep.begin(version, connection, tuple(reversed(VARIANTS)), builder, " Three ")
    assert set(made) == {again.pk}
    assert FineTune.objects.count() == Operation.objects.filter(kind=launch.KIND).count() == 3
    other = sweep.begin(version, connection, VARIANTS[:2], builder, "Three")
    assert other.pk != again.pk


@pytest.mark.parametrize(
    ("variants", "words"),
    [
        (VARIANTS[:1], "from 2 up to 10"),
        ([Variant(jobs.MODEL, seed=number) for number in range(11)], "from 2 up to 10"),
        (
            [Variant(jobs.MODEL), Variant(jobs.MODEL, hyperparameters={"n_epochs": "auto"})],
            "are the same",
        ),
        ([Variant(jobs.MODEL), Variant(jobs.MODEL, hyperparameters={"n_epochs": 99})], "Epochs"),
        ([Variant(jobs.MODEL), Variant(jobs.MODEL, method="dpo")], "cannot be trained on"),
    ],
    ids=["one", "eleven", "the same twice", "a number too high", "another purpose"],
)
def test_a_sweep_that_cannot_be_launched_launches_nothing(
    version: DatasetVersion, connection: Connection, builder: User, variants: Sequence[Variant], words: str
) -> None:
    with pytest.raises(sweep.NotPossible, match=words):
        sweep.begin(version, connection, variants, builder, "No")
    assert not Sweep.objects.exists()
    assert not FineTune.objects.exists()


def test_a_sweep_beyond_the_budget_launches_and_keeps_nothing(
    version: DatasetVersion, connection: Connection, builder: User
) -> None:
    alone = sweep.begin(version, connection, VARIANTS[:2], builder, "Two")
    reserved = [held.reserved for held in Spending.objects.all()]
    if None in reserved:  # no price is known: then a budget that allows none refuses
        limit = Decimal(0)
    else:
        limit = sum((each for each in reserved if each is not None), Decimal(0))
    Budget.objects.create(connection=connection, amount=limit)
    with pytest.raises(spending.OverBudget):
        sweep.begin(version, connection, VARIANTS, builder, "Three")
    assert Sweep.objects.get() == alone
    assert Spending.objects.count() == FineTune.objects.count() == 2


def test_jobs_that_were_refused_are_told_and_the_others_go_on(
    version: DatasetVersion, connection: Connection, sandbox: Sandbox, builder: User
) -> None:
    variants = [*VARIANTS[:2], Variant("gpt-9-untrainable", seed=1)]
    made = launched(version, connection, sandbox, builder, variants)
    stands = sweep.standing(made)
    assert stands.in_words() == "3 jobs: 2 running, 1 failed"
    ((refused, words),) = stands.refused
    assert refused.base_model == "gpt-9-untrainable"
    assert "does not support fine-tuning" in words


def test_of_two_open_launches_on_one_file_none_takes_what_may_be_the_other_s(
    version: DatasetVersion, connection: Connection, sandbox: Sandbox, builder: User
) -> None:
    """One variant leaves its numbers to the provider, so a job of the other one fits it too."""
    variants = [Variant(jobs.MODEL, seed=1), Variant(jobs.MODEL, seed=1, hyperparameters={"n_epochs": 3})]
    sweep.begin(version, connection, variants, builder, "Two")
    operations = list(Operation.objects.filter(kind=launch.KIND).order_by("id"))
    jobs.one_step(operations[0])
    advance(sandbox, 10)
    faults(
        sandbox,
        {"kind": "drop_marks", "path": f"{JOBS}*"},
        {"kind": "drop", "effect": "before", "method": "POST", "path": JOBS, "times": 1},
        {"kind": "status", "effect": "after", "method": "POST", "path": JOBS, "after": 1, "times": 1},
    )
    for operation in operations:
        jobs.one_step(operation)
    material.drain(kinds=[launch.KIND])
    states = [action.state for action in RemoteAction.objects.filter(kind="fine_tune").order_by("created")]
    assert len(created(sandbox)) == 1
    assert RemoteAction.State.CONFIRMED not in states
    assert set(FineTune.objects.values_list("state", flat=True)) == {State.ASKING}
