"""Versions whose recipe looks at all rows: whole builds with duplicates, caps, samples, pairs, splits."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import storages

from completions import reviewing
from completions.models import ReviewEvent, StoredCompletion
from completions.reviewing import Said
from datasets.build import build, files, layout, writing
from datasets.build.marks import Beside
from datasets.build.taking import Sources
from datasets.models import Dataset, DatasetVersion, Purpose
from datasets.recipe import Cap, Pairs, Recipe, Sample, Split
from portal import steps
from portal.models import Connection, Operation, User
from tests import factories
from tests.datasets import material

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_artifacts")]

EVERYTHING = Recipe(
    drop=("empty",),
    duplicates="near",
    cap=Cap("meta.category", 60),
    sample=Sample(50, 7),
    split=Split(20, 20, seed=3, unit="near"),
    byte_order_mark=True,
)


@pytest.fixture
def source(builder: User) -> Connection:
    return factories.connection("Library")


def draft(user: User, rows: list[StoredCompletion], recipe: Recipe) -> DatasetVersion:
    version = material.draft(user, rows)
    Dataset.objects.filter(pk=version.dataset_id).update(purpose=recipe.purpose)
    version.recipe = recipe.as_data()
    version.save()
    version.dataset.refresh_from_db()
    return version


def built(user: User, rows: list[StoredCompletion], recipe: Recipe) -> DatasetVersion:
    version = draft(user, rows, recipe)
    build.begin(version, user)
    material.drain(kinds=[build.KIND])
    version.refresh_from_db()
    return version


def content(version: DatasetVersion) -> bytes:
    with storages["artifacts"].open(version.path) as file:
        return bytes(file.read())


def lines_of(version: DatasetVersion, name: str) -> list[dict[str, Any]]:
    part = version.part(name)
    assert part is not None
    data = content(version)[part.offset : part.offset + part.size]
    assert part.sha256 == hashlib.sha256(data).hexdigest()
    lines = data.removeprefix(b"\xef\xbb\xbf").splitlines()
    assert len(lines) == part.rows
    return [json.loads(line) for line in lines]


def say(row: StoredCompletion, author: User, **said: Any) -> None:
    kinds = {kind: ReviewEvent.Kind(kind) for kind in said}
    reviewing.record(row, [Said(kinds[kind], value) for kind, value in said.items()], author)


def facts(version: DatasetVersion) -> list[tuple[Any, ...]]:
    """Everything that a build says of its rows."""
    found = version.examples.order_by("position").values_list(
        "line", "offset", "length", "content_hash", "split", "excluded_reason", "tokens", "prompt_key",
        "conversation", "stratum", "capped_by", "side", "partner__position", "flags", "doubts",
    )  # fmt: skip
    return list(found)


@pytest.mark.engines
def test_every_split_stands_in_one_file_and_is_a_file_of_its_own(builder: User, source: Connection) -> None:
    version = built(builder, material.many(source, 40), Recipe(split=Split(10, 20)))
    assert [(part.name, part.rows, part.first_line) for part in version.parts] == [
        ("train", 28, 1), ("validation", 4, 29), ("test", 8, 33),
    ]  # fmt: skip
    assert sum(part.size for part in version.parts) == version.size == len(content(version))
    assert version.sha256 == hashlib.sha256(content(version)).hexdigest()
    assert len({part.file_name for part in version.parts}) == 3
    asked = [
        line["messages"][1]["content"] for part in version.parts for line in lines_of(version, part.name)
    ]
    assert len(set(asked)) == 40
    assert sum(part.tokens for part in version.parts) == version.counts["tokens"] == 40 * 42
    for example in version.examples.select_related("completion"):
        assert example.line is not None
        assert example.completion is not None
        assert asked[example.line - 1] == example.completion.prompt_preview
        line = files.read_bytes(version, example)
        assert json.loads(line)["messages"][1]["content"] == example.completion.prompt_preview
        assert example.content_hash == hashlib.sha256(line + b"\n").hexdigest()
        part = version.part(example.split)
        assert part is not None
        assert part.first_line <= example.line < part.first_line + part.rows


def test_a_version_without_a_split_is_one_part_for_training(builder: User, source: Connection) -> None:
    version = built(builder, material.many(source, 10), Recipe())
    (part,) = version.parts
    assert version.splits
    assert (part.name, part.rows, part.offset, part.size) == ("train", 10, 0, version.size)
    assert (part.sha256, part.file_name) == (version.sha256, version.file_name)


def test_a_byte_order_mark_begins_every_split(builder: User, source: Connection) -> None:
    rows = material.many(source, 20)
    for recipe in (Recipe(byte_order_mark=True), Recipe(byte_order_mark=True, split=Split(20, 20))):
        version = built(builder, rows, recipe)
        for part in version.parts:
            assert content(version)[part.offset :].startswith(b"\xef\xbb\xbf{")
        for example in version.examples.all():
            assert files.read_bytes(version, example).startswith(b"{")


@pytest.mark.engines
def test_what_looking_at_all_rows_leaves_out_is_counted_with_its_reason(
    builder: User, source: Connection
) -> None:
    rows = [
        *material.many(source, 14),
        *(material.stored(source, question="Same?", answer="The same.") for _ in range(3)),
        material.stored(source, pending=True),
    ]
    say(rows[15], builder, state="approved")
    version = built(builder, rows, Recipe(duplicates="exact", sample=Sample(12, 5)))
    assert version.counts["left_out"] == {"pending": 1, "duplicate": 2, "not_sampled": 3}
    assert version.counts["written"] == version.rows == 12
    assert version.rows + version.left_out_total == version.counts["selected"] == 18
    said = Counter(version.examples.values_list("excluded_reason", flat=True))
    assert said == {"": 12, "pending": 1, "duplicate": 2, "not_sampled": 3}
    gone = version.examples.exclude(excluded_reason="")
    assert set(gone.values_list("line", "offset", "length")) == {(None, None, None)}
    same = {row.pk: version.examples.get(completion=row).excluded_reason for row in rows[14:17]}
    assert same[rows[15].pk] != "duplicate"


def test_good_and_bad_answers_to_one_prompt_become_pairs(builder: User, source: Connection) -> None:
    rows = []
    for number in range(11):
        rows += [
            material.stored(source, question=f"Number {number}?", answer=f"Good {number}."),
            material.stored(source, question=f"Number {number}?", answer=f"Bad {number}."),
        ]
    alone = material.stored(source, question="Alone?", answer="Yes.")
    for at, row in enumerate([*rows, alone]):
        say(row, builder, rating="bad" if at % 2 else "good")
    recipe = Recipe(purpose=Purpose.PREFERENCE, pairs=Pairs("ratings"))
    version = built(builder, [*rows, alone], recipe)
    assert version.state == version.State.READY, version.refusal
    assert version.counts["left_out"] == {"no_partner": 1}
    assert (version.counts["written"], version.counts["joined"]) == (11, 11)
    for line in lines_of(version, "train"):
        number = line["input"]["messages"][1]["content"].removeprefix("Number ").removesuffix("?")
        assert line["preferred_output"][0]["content"] == f"Good {number}."
        assert line["non_preferred_output"][0]["content"] == f"Bad {number}."
    for example in version.examples.filter(side="-"):
        assert example.line is None
        assert example.excluded_reason == ""
        assert example.partner is not None
        assert example.partner.partner_id == example.pk


def test_a_training_part_that_is_too_small_is_refused_though_there_are_rows(
    builder: User, source: Connection
) -> None:
    version = built(builder, material.many(source, 12), Recipe(split=Split(0, 50)))
    assert version.state == version.State.REFUSED
    assert "6 examples" in version.refusal
    assert version.splits == []
    assert not list(Path(str(files.growing(version))).parent.iterdir())


def test_warnings_are_told_with_the_lines_they_come_to(builder: User, source: Connection) -> None:
    rows = [material.stored(source, finish="length" if at % 3 == 0 else "stop") for at in range(30)]
    version = built(builder, rows, Recipe(sample=Sample(20, 2), split=Split(20, 20)))
    cut = {
        example.line
        for example in version.examples.filter(line__isnull=False).select_related("completion")
        if example.completion is not None and example.completion.finish_reason == "length"
    }
    assert cut
    told = {problem["line"] for problem in version.problems if problem["code"] == "truncated"}
    assert told == cut
    assert version.counts["problems"]["truncated"] == len(cut)


@pytest.mark.engines
def test_groups_may_be_named_by_anything_that_anybody_wrote(builder: User, source: Connection) -> None:
    names = ["\x00", "half \ud800 of a character", "' OR 1=1 --", "../../etc", "{{ 7 }}", "x" * 5000, "", " "]
    rows = [
        material.stored(
            source, question=f"Number {at}?",
            messages=[{"role": "system", "content": name}, {"role": "user", "content": f"Number {at}?"}],
        )
        for at, name in enumerate(names * 2)
    ]  # fmt: skip
    recipe = Recipe(cap=Cap("system", 1), split=Split(0, 10, unit="near", even="system"))
    version = built(builder, [*rows, *material.many(source, 12)], recipe)
    counts = version.counts["left_out"]
    assert counts["unwritable"] == 2  # half a character is no UTF-8
    assert counts["over_cap"] + version.counts["written"] == 26
    assert {"\ufffd", "{{ 7 }}", "x" * 120} <= set(version.examples.values_list("capped_by", flat=True))


class Killed(BaseException):
    """Stands for the end of a process: nothing catches it."""


def dying_at(point: str, nth: int) -> Callable[[str], None]:
    passed = Counter[str]()

    def crash(name: str) -> None:
        passed[name] += 1
        if name == f"dataset.build.{point}" and passed[name] == nth:
            raise Killed

    return crash


POINTS = [
    ("written", 1), ("written", 3), ("committed", 1), ("committed", 4), ("written_all", 1), ("chosen", 1),
    ("choosing_committed", 1), ("laid", 1), ("laid", 3), ("laid_committed", 1), ("laid_committed", 3),
    ("sealed", 1), ("published", 1),
]  # fmt: skip


@pytest.fixture
def hard(builder: User, source: Connection) -> list[StoredCompletion]:
    """Rows for every rule of EVERYTHING."""
    rows = material.many(source, 64)
    rows += [material.stored(source, question="Same?", answer="The same.") for _ in range(4)]
    rows += [material.stored(source, answer="", finish="length") for _ in range(2)]
    rows += [material.stored(source, finish="length"), material.stored(source, pending=True)]
    return rows


def test_a_build_that_ends_at_any_commit_goes_on_to_the_same_bytes(
    builder: User, hard: list[StoredCompletion], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = built(builder, hard, EVERYTHING)
    assert wanted.state == wanted.State.READY, wanted.refusal
    assert {"near_duplicate", "over_cap", "not_sampled"} & wanted.counts["left_out"].keys()
    for chunk in (writing, layout):
        monkeypatch.setattr(chunk, "CHUNK", 17)
    for point, nth in POINTS:
        version = draft(builder, hard, EVERYTHING)
        operation = build.begin(version, builder)
        with monkeypatch.context() as patch:
            for module in (build, writing, layout):
                patch.setattr(module, "crashpoint", dying_at(point, nth))
            with pytest.raises(Killed):
                material.drain(kinds=[build.KIND])
        Operation.objects.filter(pk=operation.pk).update(lease_until="2020-01-01T00:00:00Z")
        material.drain(kinds=[build.KIND])
        version.refresh_from_db()
        assert version.state == version.State.READY, (point, nth, version.refusal)
        assert content(version) == content(wanted), (point, nth)
        assert version.counts == wanted.counts, (point, nth)
        assert version.problems == wanted.problems, (point, nth)
        assert [part["sha256"] for part in version.splits] == [part["sha256"] for part in wanted.splits]
        assert facts(version) == facts(wanted), (point, nth)
        beside = Beside.of(files.growing(version))
        assert not any(path.exists() for path in (beside.marks, beside.runs, beside.choice, beside.laid))
        version.delete()


def test_a_worker_that_wakes_up_late_writes_nothing_over_its_successor(
    builder: User, source: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "CHUNK", 10)
    rows = material.many(source, 40)
    version = draft(builder, rows, Recipe())
    operation = build.begin(version, builder)
    late: list[bytes] = []

    def succeeded(self: Sources, ids: Any) -> Any:
        """While the second chunk is read, another worker takes over and finishes, with one row less."""
        if ids[0] == rows[29].pk and not late:
            late.append(b"")
            rows[25].delete()
            Operation.objects.filter(pk=operation.pk).update(lease_until="2020-01-01T00:00:00Z")
            material.drain(kinds=[build.KIND])
            late[0] = content(DatasetVersion.objects.get(pk=version.pk))
        return take(self, ids)

    take = Sources.take
    monkeypatch.setattr(Sources, "take", succeeded)
    steps.work_on(operation.pk)
    version.refresh_from_db()
    assert version.state == version.State.READY
    assert version.counts["left_out"] == {"deleted": 1}
    assert late == [content(version)]
    assert hashlib.sha256(late[0]).hexdigest() == version.sha256
    assert not files.growing(version).exists()


def test_a_file_that_is_held_by_a_worker_that_hangs_is_left_alone(builder: User, source: Connection) -> None:
    version = draft(builder, material.many(source, 12), Recipe())
    operation = build.begin(version, builder)
    version.refresh_from_db()
    with files.append_at(files.growing(version), 0):
        steps.work_on(operation.pk)
        operation.refresh_from_db()
        assert operation.state == Operation.State.WAITING
        assert files.size_of(files.growing(version)) == 0
    material.drain(kinds=[build.KIND])
    version.refresh_from_db()
    assert version.state == version.State.READY


@pytest.mark.parametrize("lost", ["growing", "marks", "runs", "choice", "laid"])
def test_what_the_disk_lost_half_way_is_made_again(
    lost: str, builder: User, hard: list[StoredCompletion], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = built(builder, hard, EVERYTHING)
    for chunk in (writing, layout):
        monkeypatch.setattr(chunk, "CHUNK", 17)
    version = draft(builder, hard, EVERYTHING)
    operation = build.begin(version, builder)
    with monkeypatch.context() as patch:
        patch.setattr(layout, "crashpoint", dying_at("laid_committed", 2))
        with pytest.raises(Killed):
            material.drain(kinds=[build.KIND])
    version.refresh_from_db()
    growing = files.growing(version)
    path = growing if lost == "growing" else getattr(Beside.of(growing), lost)
    path.unlink()
    Operation.objects.filter(pk=operation.pk).update(lease_until="2020-01-01T00:00:00Z")
    material.drain(kinds=[build.KIND])
    version.refresh_from_db()
    assert content(version) == content(wanted)
    assert facts(version) == facts(wanted)


@pytest.mark.engines
def test_rows_that_are_deleted_during_a_build_are_listed_and_the_rest_is_the_same(
    builder: User, source: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "CHUNK", 10)
    rows = material.many(source, 40)
    version = draft(builder, rows, Recipe(split=Split(20, 0)))
    build.begin(version, builder)
    with monkeypatch.context() as patch:
        patch.setattr(writing, "crashpoint", dying_at("committed", 2))
        with pytest.raises(Killed):
            material.drain(kinds=[build.KIND])
    written_already, not_yet = rows[35], rows[4]
    written_already.delete()
    not_yet.delete()
    Operation.objects.filter(kind=build.KIND).update(lease_until="2020-01-01T00:00:00Z")
    material.drain(kinds=[build.KIND])
    version.refresh_from_db()
    assert version.state == version.State.READY
    assert version.counts["left_out"] == {"deleted": 1}
    assert version.rows == 39
    (written,) = version.examples.filter(line__isnull=False, completion=None)
    assert written.source_key.split("/")[1] == written_already.upstream_id
    left = [row for at, row in enumerate(rows) if at not in (35, 4)]
    again = built(builder, left, Recipe(split=Split(20, 0)))
    before, after = (set(each.examples.values_list("content_hash", flat=True)) for each in (version, again))
    assert before - after == {"", written.content_hash}
    assert after <= before
