"""A frozen selection becomes a file: the same bytes whatever happens on the way."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from django.core.files.storage import storages

from datasets import preview
from datasets.build import build, files, writing
from datasets.models import DatasetVersion, Example
from portal.models import AuditEntry, Connection, Operation, User
from tests import factories
from tests.datasets import material
from tests.workers import database_url

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_artifacts")]


@pytest.fixture
def source(builder: User) -> Connection:
    return factories.connection("Library")


def content(version: DatasetVersion) -> bytes:
    with storages["artifacts"].open(version.path) as file:
        return bytes(file.read())


@pytest.mark.engines
def test_the_file_holds_the_rows_in_the_order_of_the_selection(builder: User, source: Connection) -> None:
    rows = material.many(source, 12)
    version = material.built(builder, rows)
    assert version.state == DatasetVersion.State.READY
    lines = content(version).split(b"\n")
    assert lines.pop() == b""
    asked = [json.loads(line)["messages"][1]["content"] for line in lines]
    assert asked == [row.prompt_preview for row in reversed(rows)]
    assert (version.rows, version.size) == (12, len(content(version)))
    assert version.sha256 == hashlib.sha256(content(version)).hexdigest()


def test_the_file_has_a_random_name_that_tells_nothing(builder: User, source: Connection) -> None:
    version = material.built(builder, material.many(source, 10))
    stem, _, ending = version.file_name.partition(".")
    assert ending == "jsonl"
    assert len(stem) == 36
    assert "Summaries" not in version.path
    assert source.slug not in version.path


@pytest.mark.engines
def test_what_is_left_out_is_counted_with_its_reason_and_listed(builder: User, source: Connection) -> None:
    rows = [
        *material.many(source, 10),
        material.stored(source, pending=True),
        material.stored(source, answer=""),
        material.stored(source, answer="", refusal="I cannot do that."),
        material.stored(source, answer="", refusal="Nor that."),
    ]
    version = material.built(builder, rows)
    assert version.counts["left_out"] == {"pending": 1, "empty_answer": 1, "refusal": 2}
    assert version.counts["written"] == version.rows == 10
    assert version.counts["selected"] == 14
    assert Example.objects.filter(version=version).count() == 14
    reasons = Counter(version.examples.exclude(excluded_reason="").values_list("excluded_reason", flat=True))
    assert reasons == {"pending": 1, "empty_answer": 1, "refusal": 2}


def test_every_row_points_at_its_line_and_its_completion(builder: User, source: Connection) -> None:
    rows = [*material.many(source, 5), material.stored(source, pending=True), *material.many(source, 6)]
    version = material.built(builder, rows)
    for example in version.examples.filter(line__isnull=False):
        line = files.read_line(version, example)
        assert example.completion is not None
        assert line["messages"][1]["content"] == example.completion.prompt_preview
        assert example.source_key == f"{source.slug}/{example.completion.upstream_id}"
    numbers = list(
        version.examples.filter(line__isnull=False).order_by("position").values_list("line", flat=True)
    )
    assert numbers == list(range(1, 12))


@pytest.mark.engines
def test_fewer_than_ten_examples_are_refused_with_the_reason_and_the_counts(
    builder: User, source: Connection
) -> None:
    rows = [*material.many(source, 9), material.stored(source, pending=True)]
    version = material.built(builder, rows)
    assert version.state == DatasetVersion.State.REFUSED
    assert "9 examples" in version.refusal
    assert "at least 10" in version.refusal
    assert "9 of 10 selected" in version.refusal
    assert "Its messages have not been fetched yet (1)" in version.refusal
    assert not storages["artifacts"].exists(version.path)
    assert not files.growing(version).exists()


def test_ten_examples_are_enough(builder: User, source: Connection) -> None:
    assert material.built(builder, material.many(source, 10)).state == DatasetVersion.State.READY


def test_repeated_rows_and_cut_answers_are_named_with_their_lines(builder: User, source: Connection) -> None:
    same = [material.stored(source, question="Same?", answer="Same.") for _ in range(3)]
    rows = [*same, *material.many(source, 8), material.stored(source, finish="length")]
    version = material.built(builder, rows)
    assert version.counts["problems"] == {"truncated": 1, "duplicate": 2}
    found = {(problem["code"], problem["line"]) for problem in version.problems}
    assert found == {("truncated", 1), ("duplicate", 11), ("duplicate", 12)}


def test_tokens_say_how_many_of_them_are_estimated(builder: User, source: Connection) -> None:
    rows = [*material.many(source, 10), material.stored(source, usage=False)]
    version = material.built(builder, rows)
    assert version.counts["tokens_estimated"] == 1
    assert version.counts["tokens"] > 42 * 10


def test_rows_beyond_the_models_limit_are_left_out(builder: User, source: Connection) -> None:
    version = material.draft(
        builder, [*material.many(source, 10), material.stored(source, usage=False, answer="x" * 9000)]
    )
    version.recipe = {**version.recipe, "token_limit": 2000, "leave_out_long": True}
    version.save()
    build.begin(version, builder)
    material.drain()
    version.refresh_from_db()
    assert version.counts["left_out"] == {"too_long": 1}


def test_a_completion_deleted_after_it_was_selected_is_counted(builder: User, source: Connection) -> None:
    rows = material.many(source, 11)
    version = material.draft(builder, rows)
    rows[3].delete()
    build.begin(version, builder)
    material.drain()
    version.refresh_from_db()
    assert version.counts["left_out"] == {"deleted": 1}
    assert version.rows == 10


def test_beginning_twice_is_one_build(builder: User, source: Connection) -> None:
    version = material.draft(builder, material.many(source, 10))
    assert build.begin(version, builder) == build.begin(version, builder)
    material.drain()
    assert AuditEntry.objects.filter(verb="dataset_version.built").count() == 1


def test_a_cancelled_build_leaves_a_draft_that_can_be_built(builder: User, source: Connection) -> None:
    from portal import operations

    version = material.draft(builder, material.many(source, 10))
    operations.cancel(build.begin(version, builder), builder)
    version.refresh_from_db()
    assert version.state == DatasetVersion.State.DRAFT
    build.begin(version, builder)
    material.drain()
    version.refresh_from_db()
    assert version.state == DatasetVersion.State.READY


def test_a_build_stops_when_its_person_loses_the_right(builder: User, source: Connection) -> None:
    version = material.draft(builder, material.many(source, 10))
    operation = build.begin(version, builder)
    builder.grants.all().delete()
    material.drain()
    operation.refresh_from_db()
    version.refresh_from_db()
    assert (operation.state, operation.error_code) == (Operation.State.FAILED, "forbidden")
    assert version.state == DatasetVersion.State.FAILED
    assert not storages["artifacts"].exists(version.path)


@pytest.mark.engines
def test_a_build_killed_in_its_middle_ends_in_the_same_file(
    builder: User, source: Connection, settings: Any
) -> None:
    rows = material.many(source, 25)
    wanted = material.built(builder, rows)
    version = material.draft(builder, rows)
    operation = build.begin(version, builder)
    died = subprocess.run(
        [
            sys.executable,
            "-c",
            KILLED,
            str(operation.pk),
            settings.STORAGES["artifacts"]["OPTIONS"]["location"],
        ],
        env=os.environ
        | {
            "DATABASE_URL": database_url(),
            "PORTAL_CRASH": "dataset.build.written:2",
        },
        check=False,
        timeout=60,
    )
    assert died.returncode == 137
    Operation.objects.filter(pk=operation.pk).update(lease_until="2020-01-01T00:00:00Z")
    material.drain()
    version.refresh_from_db()
    assert version.state == DatasetVersion.State.READY
    assert content(version) == content(wanted)
    assert version.sha256 == wanted.sha256
    assert version.counts == wanted.counts
    lines = version.examples.order_by("position").values_list("line", "offset", "length", "content_hash")
    assert list(lines) == list(
        wanted.examples.order_by("position").values_list("line", "offset", "length", "content_hash")
    )
    assert not files.growing(version).exists()


KILLED = """
import sys
import django
django.setup()
from django.test.utils import override_settings
from django.conf import settings
from datasets.build import build, writing
from portal import steps
writing.CHUNK = 10
artifacts = settings.STORAGES["artifacts"]
artifacts = artifacts | {"OPTIONS": artifacts["OPTIONS"] | {"location": sys.argv[2]}}
with override_settings(STORAGES=settings.STORAGES | {"artifacts": artifacts}):
    steps.work_on(int(sys.argv[1]))
"""


def test_a_lost_half_written_file_is_begun_anew(
    builder: User, source: Connection, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(writing, "CHUNK", 10)
    rows = material.many(source, 25)
    wanted = material.built(builder, rows)
    version = material.draft(builder, rows)
    build.begin(version, builder)
    settings.OPERATION_STEP_SECONDS = -1
    material.step(build.KIND)
    settings.OPERATION_STEP_SECONDS = 5
    version.refresh_from_db()
    files.growing(version).write_bytes(b"x")
    Operation.objects.filter(kind=build.KIND).update(
        cursor={"position": 10, "offset": 5000, "lines": 10, "sealed": ""}
    )
    material.drain()
    version.refresh_from_db()
    assert content(version) == content(wanted)


def test_the_worst_rows_come_with_their_warnings_first(builder: User, source: Connection) -> None:
    rows = [*material.many(source, 12), material.stored(source, finish="length")]
    version = material.built(builder, rows)
    worst = preview.worst_rows(version, 4)
    assert len(worst) == 4
    assert [problem["code"] for problem in worst[0].problems] == ["truncated"]
