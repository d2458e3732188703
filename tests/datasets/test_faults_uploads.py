"""Row 49 of the fault matrix: whatever becomes of an upload, one usable file comes of it.

What else lies upstream is known, and can be removed.
"""

import io
from typing import Any

import pytest

from datasets.build import files
from datasets.finetune import launch, upload
from datasets.models import FineTune, UploadedFile
from portal.models import AuditEntry, Connection, User
from portal.sandbox import Sandbox
from portal.upstream import connect
from tests.datasets import jobs, killing, material, provider
from tests.datasets.provider import advance, faults, posts

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


@pytest.fixture
def tune(builder: User, connection: Connection) -> FineTune:
    """Set up and launched; nobody works on it yet."""
    made = material.prepared(builder, connection)
    launch.begin(made, builder)
    return made


def files_of(connection: Connection) -> list[str]:
    with connect(connection) as upstream:
        return [info.id for info in upstream.list_files(upload.PURPOSE)]


def test_row_49_an_upload_that_is_cut_leaves_one_usable_file(
    tune: FineTune, connection: Connection, sandbox: Sandbox, builder: User
) -> None:
    part = killing.chance().choice([0.05, 0.5, 0.95])
    faults(sandbox, {"kind": "cut_upload", "path": "/files", "fraction": part, "times": 1})
    jobs.settle(tune, sandbox)
    assert (tune.state, posts(sandbox, "/files"), files_of(connection)) == (State.ASKING, 1, [])
    assert launch.decide(tune, "again", builder)
    jobs.settle(tune, sandbox)
    assert jobs.is_the_only_one(tune, sandbox)
    assert files_of(connection) == [UploadedFile.objects.get().remote_id]


def test_row_49_of_an_upload_that_is_there_twice_one_is_used_and_the_other_can_be_removed(
    tune: FineTune, connection: Connection, sandbox: Sandbox, builder: User
) -> None:
    faults(
        sandbox,
        {"kind": "status", "effect": "after", "method": "POST", "path": "/files", "times": 1},
    )
    material.step(launch.KIND)
    advance(sandbox, 2)
    part = tune.trained_on.part("train")
    assert part is not None
    with connect(connection) as upstream, files.open_file(tune.trained_on) as file:
        second = upstream.upload_file(part.file_name, io.BytesIO(file.read()), upload.PURPOSE)
    jobs.settle(tune, sandbox)
    assert jobs.is_the_only_one(tune, sandbox)
    row = UploadedFile.objects.get()
    assert row.leftovers == [second.id]
    assert row.remote_id != second.id
    assert not upload.remove_leftover(row, row.remote_id, builder)
    assert upload.remove_leftover(row, second.id, builder)
    assert not upload.remove_leftover(row, second.id, builder)
    row.refresh_from_db()
    assert (row.leftovers, files_of(connection)) == ([], [row.remote_id])
    assert AuditEntry.objects.filter(verb="file.removed_upstream").count() == 1


def test_row_49_a_file_that_cannot_be_imported_is_said_and_another_try_uploads_one_that_can(
    tune: FineTune, connection: Connection, sandbox: Sandbox, builder: User
) -> None:
    faults(sandbox, {"kind": "file_error", "path": "/files", "times": 1})
    jobs.settle(tune, sandbox)
    assert (tune.state, tune.error["kind"], posts(sandbox)) == (State.FAILED, "file_refused", 0)
    row = UploadedFile.objects.get()
    (broken,) = row.leftovers
    assert launch.try_again(tune, builder)
    jobs.settle(tune, sandbox)
    assert jobs.is_the_only_one(tune, sandbox)
    row.refresh_from_db()
    assert row.remote_id != broken
    assert upload.remove_leftover(row, broken, builder)
    assert files_of(connection) == [row.remote_id]
