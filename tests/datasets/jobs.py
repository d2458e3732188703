"""Jobs at the points where tests begin: set up, launched, running, paused."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.storage import storages
from django.utils import timezone

from datasets.finetune import follow, launch
from datasets.models import FineTune
from datasets.recipe import Recipe, Split
from portal import steps
from portal.models import Connection, Operation, User
from portal.sandbox import Sandbox
from tests.datasets import material, provider

MODEL = "gpt-4.1-mini-2025-04-14"


def with_parts(user: User, connection: Connection, rows: int = 60, **fields: Any) -> FineTune:
    """Set up on a version with a part for validation."""
    recipe = Recipe(split=Split(validation=30, seed=5))
    version = material.built(user, material.many(connection, rows), recipe)
    assert version.part("validation") is not None
    values = {"base_model": MODEL, "seed": 11, "hyperparameters": {}, "training_type": "GlobalStandard"}
    tune: FineTune = FineTune.objects.create(connection=connection, version=version, **values | fields)
    return tune


def settle(tune: FineTune, sandbox: Sandbox) -> FineTune:
    """Work until the launch is over; the service's clock moves on so that it imports the files."""

    def settled() -> bool:
        provider.advance(sandbox, 3)
        return not _step(tune).is_live

    provider.wait_until(settled)
    tune.refresh_from_db()
    return tune


def _step(tune: FineTune) -> Operation:
    """One step of the job's own launch, due or not."""
    operation: Operation = Operation.objects.filter(kind=launch.KIND, subject_id=str(tune.pk)).latest("id")
    return one_step(operation)


def one_step(operation: Operation) -> Operation:
    """One step of this operation, due or not."""
    long_ago = timezone.now() - timedelta(days=1)
    Operation.objects.filter(pk=operation.pk, state=Operation.State.WAITING).update(next_run_at=long_ago)
    steps.work_on(operation.pk)
    operation.refresh_from_db()
    return operation


def running(user: User, connection: Connection, sandbox: Sandbox, **fields: Any) -> FineTune:
    """Launched, and not yet training."""
    tune = material.prepared(user, connection, **fields)
    launch.begin(tune, user)
    settle(tune, sandbox)
    assert tune.state == FineTune.State.RUNNING
    return tune


def look(tune: FineTune) -> FineTune:
    """One look of the follower."""
    material.step(follow.KIND)
    tune.refresh_from_db()
    return tune


def training(user: User, connection: Connection, sandbox: Sandbox) -> FineTune:
    """Half-way through its training, as the follower has seen it; jobs of the sandbox last 60 s."""
    tune = running(user, connection, sandbox)
    provider.advance(sandbox, 30)
    look(tune)
    assert tune.status == "running"
    return tune


def change_file(tune: FineTune, content: bytes) -> None:
    """Give the version another file than the one that was built, as no page lets anybody do."""
    with storages["artifacts"].open(tune.trained_on.path, "wb") as file:
        file.write(content)
    tune.trained_on.sha256, tune.trained_on.size = hashlib.sha256(content).hexdigest(), len(content)
    tune.trained_on.splits = []  # the whole file is one part then
    tune.trained_on.save()


def is_the_only_one(tune: FineTune, sandbox: Sandbox) -> bool:
    """Exactly one create reached the service, made exactly one job, and that one is ours."""
    made = [effect.partition(":")[2] for effect in provider.created(sandbox)]
    return provider.posts(sandbox) == 1 and made == [tune.remote_id] and tune.state == FineTune.State.RUNNING


def hurry(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for what came of a request takes a moment instead of minutes, also in processes begun here."""
    short = {"RECONCILE_EVERY_SECONDS": 0.05, "RECONCILE_SECONDS": 0.3, "FILE_POLL_SECONDS": 0.2}
    for name, value in short.items():
        setattr(settings, name, value)
        monkeypatch.setenv(name, str(value))
