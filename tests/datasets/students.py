"""A teacher's rows, and students that learnt from them: one from its answers, one from shuffled answers."""

import json
from io import BytesIO

from completions.models import StoredCompletion
from datasets import received
from datasets.build import files
from datasets.finetune import follow, launch
from datasets.models import DatasetVersion, FineTune, Purpose
from portal.models import Connection, User
from portal.sandbox import Sandbox
from tests.datasets import material, measured, provider
from tests.datasets.jobs import MODEL

BASE = MODEL
LESSONS = 110


def lessons(connection: Connection) -> list[StoredCompletion]:
    """Enough good answers to learn from; `use` in the metadata tells them from those to measure on."""
    return [
        measured.row(connection, number, metadata={"use": "train"}) for number in range(500, 500 + LESSONS)
    ]


def to_measure(connection: Connection, count: int) -> list[StoredCompletion]:
    """Rows that no student sees, with a short reference in their metadata."""
    made = []
    for number in range(count):
        problem = measured.problem(number)
        metadata = {"use": "test", "expected": problem.expected}
        made.append(measured.row(connection, number, metadata=metadata))
    return made


def taught(user: User, sandbox: Sandbox, version: DatasetVersion) -> FineTune:
    """A job on all rows of a version that has succeeded, and whose model answers under its name."""
    connection = version.connections.get()
    tune: FineTune = FineTune.objects.create(
        connection=connection, version=version, base_model=BASE, seed=3, hyperparameters={}
    )
    launch.begin(tune, user)
    for _ in range(2):
        material.step(launch.KIND)
        provider.advance(sandbox, 90)
    material.drain(kinds=[launch.KIND])
    provider.advance(sandbox, 900)
    material.drain(kinds=[follow.KIND])
    tune.refresh_from_db()
    assert tune.state == FineTune.State.SUCCEEDED, tune.state
    return tune


def shuffled(user: User, version: DatasetVersion) -> DatasetVersion:
    """The same prompts, each with the answer to another one, as a file that somebody uploads."""
    with files.open_file(version) as file:
        lines = [json.loads(line) for line in file.read().splitlines()]
    answers = [line["messages"][-1] for line in lines]
    for place, line in enumerate(lines):
        line["messages"] = [*line["messages"][:-1], answers[(place + len(answers) // 2) % len(answers)]]
    path, size = received.keep(BytesIO(b"".join(files.as_line(line) for line in lines)))
    made = received.start(
        user,
        into=None,
        name="Shuffled",
        purpose=Purpose.SUPERVISED,
        connections=list(version.connections.all()),
        source={"path": path, "size": size, "file_name": "shuffled.jsonl"},
    )
    material.drain(kinds=[received.KIND])
    made.refresh_from_db()
    return made
