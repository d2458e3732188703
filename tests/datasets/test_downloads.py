"""What can be taken along of a version: exact, in parts, packed, described, and ready to train on."""

import ast
import gzip
import hashlib
import json
import zipfile
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
import yaml
from django.test import Client
from django.urls import reverse

from datasets import cards, packing, training_configs
from datasets.build import files
from datasets.models import Dataset, DatasetVersion, Purpose
from portal.models import AuditEntry, Connection, User
from tests import factories
from tests.datasets.test_look import made

SignIn = Callable[[User], Client]
pytestmark = pytest.mark.django_db(transaction=True)
EVIL = "`# <b>|x|</b> ``` [a](javascript:b)\n---\n\u202eevil: {{ 7*7 }} 😀\u2028../..\x7f"


@pytest.fixture
def source() -> Connection:
    return factories.connection("Library")


@pytest.fixture
def version(source: Connection, builder: User) -> DatasetVersion:
    """Three parts, whose checksums are true."""
    found = made(source, builder, 60)
    splits: list[dict[str, Any]] = []
    for part in found.parts:
        digest = hashlib.sha256(b"".join(packing.part(found, part))).hexdigest()
        splits.append({**found.splits[len(splits)], "sha256": digest})
    DatasetVersion.objects.filter(pk=found.pk).update(splits=splits)
    found.refresh_from_db()
    return found


def take(client: Client, version: DatasetVersion, what: str = "") -> Any:
    name, args = ("download_other", [what]) if what else ("download", [])
    answer = client.get(reverse(f"datasets:{name}", args=[version.dataset_id, version.number, *args]))
    answer.body = b"".join(answer.streaming_content) if answer.streaming else answer.content  # type: ignore[attr-defined]  # for the test
    answer.close()
    return answer


def whole(version: DatasetVersion) -> bytes:
    with files.open_file(version) as file:
        return bytes(file.read())


def test_the_parts_together_are_the_file(version: DatasetVersion, builder: User, client_of: SignIn) -> None:
    client = client_of(builder)
    found = [take(client, version, part.name) for part in version.parts]
    assert b"".join(each.body for each in found) == whole(version)
    for each, part in zip(found, version.parts, strict=True):
        assert hashlib.sha256(each.body).hexdigest() == part.sha256
        assert each["Content-Length"] == str(part.size)
        assert f'filename="made-v1-{part.name}.jsonl"' in each["Content-Disposition"]


def test_gzip_holds_the_file_and_is_the_same_every_time(
    version: DatasetVersion, builder: User, client_of: SignIn
) -> None:
    client = client_of(builder)
    first, second = take(client, version, "gzip"), take(client, version, "gzip")
    assert gzip.decompress(first.body) == whole(version)
    assert first.body == second.body
    assert first.body[4:8] == b"\0\0\0\0"  # no moment


def test_streams_hold_one_piece_at_a_time(version: DatasetVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "READ_BYTES", 100)
    pieces = list(packing.part(version, version.parts[0]))
    assert max(map(len, pieces)) <= 100
    assert len(pieces) == -(-version.parts[0].size // 100)


def test_everything_is_one_zip_whose_checksums_hold(
    version: DatasetVersion, builder: User, client_of: SignIn
) -> None:
    client = client_of(builder)
    answer = take(client, version, "everything")
    with zipfile.ZipFile(BytesIO(answer.body)) as archive:
        assert archive.testzip() is None
        held = {name.removeprefix("made-v1/"): archive.read(name) for name in archive.namelist()}
    assert {"README.md", "manifest.json", "SHA256SUMS", "trl_train.py", "axolotl.yaml"} < set(held)
    told = dict(line.split("  ")[::-1] for line in held["SHA256SUMS"].decode().splitlines())
    assert {f"data/{part.name}.jsonl" for part in version.parts} == set(told)
    for name, digest in told.items():
        assert hashlib.sha256(held[name]).hexdigest() == digest
    assert take(client, version, "everything").body == answer.body


def test_the_manifest_tells_all_that_made_the_file(
    version: DatasetVersion, builder: User, client_of: SignIn
) -> None:
    told = json.loads(take(client_of(builder), version, "manifest").body)
    assert (told["version"], told["rows"], told["sha256"]) == (1, 60, version.sha256)
    assert [part["sha256"] for part in told["parts"]] == [part.sha256 for part in version.parts]
    assert told["connections"][0]["name"] == "Library"
    assert told["recipe"] == version.recipe
    assert told["made_by"] == str(builder)
    assert told["tool"]["version"][0].isdigit()


def test_each_download_is_recorded(version: DatasetVersion, builder: User, client_of: SignIn) -> None:
    for what in ("train", "gzip", "manifest", "card", "trl", "axolotl", "everything"):
        assert take(client_of(builder), version, what)["Cache-Control"] == "no-store"
        assert (
            AuditEntry.objects.filter(verb="dataset_version.downloaded").latest("id").details["what"] == what
        )


def test_a_hostile_name_stays_text_in_every_file(
    version: DatasetVersion, builder: User, source: Connection, client_of: SignIn
) -> None:
    Dataset.objects.update(name=EVIL[:110])
    Connection.objects.filter(pk=source.pk).update(name=EVIL[:60])
    DatasetVersion.objects.update(note=EVIL[:150])
    version.refresh_from_db()
    client = client_of(builder)
    card = take(client, version, "card").body.decode()
    head, body = card.split("\n---\n", 1)
    assert yaml.safe_load(head.removeprefix("---\n"))["pretty_name"].endswith("v1")
    assert "\n---" not in body
    assert "<b>" not in body
    assert "\u202e" not in card
    assert "](javascript" not in body
    assert json.loads(take(client, version, "manifest").body)["dataset"] == EVIL[:110]
    assert EVIL[:5] not in take(client, version, "trl").body.decode()
    for name in ("", "gzip", "everything"):
        disposition = take(client, version, name)["Content-Disposition"]
        assert disposition.isascii()
        assert "/" not in disposition
    with zipfile.ZipFile(BytesIO(take(client, version, "everything").body)) as archive:
        assert not [name for name in archive.namelist() if ".." in name or name.startswith("/")]


LINES: dict[str, dict[str, Any]] = {
    Purpose.SUPERVISED: {
        "messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A", "weight": 1}]
    },
    Purpose.PREFERENCE: {
        "input": {"messages": [{"role": "user", "content": "Q"}]},
        "preferred_output": [{"role": "assistant", "content": "good"}],
        "non_preferred_output": [{"role": "assistant", "content": "bad"}],
    },
    Purpose.REINFORCEMENT: {"messages": [{"role": "user", "content": "Q"}], "reference": "A"},
}


def of_purpose(source: Connection, user: User, purpose: str, **recipe: Any) -> DatasetVersion:
    version = made(source, user, 2)
    body = b"".join(files.as_line(LINES[purpose]) for _ in range(2))
    path = files.growing(version)
    path.write_bytes(body)
    files.publish(path, version.path)
    size = len(body) // 2
    Dataset.objects.filter(pk=version.dataset_id).update(purpose=purpose)
    version.examples.all().update(offset=0, length=size)
    names = ("train", "validation")
    version.splits = [
        {**version.splits[n], "name": names[n], "offset": n * size, "size": size, "rows": 1} for n in range(2)
    ]
    version.recipe = {"purpose": purpose, **recipe}
    version.save()
    version.refresh_from_db()
    return version


@pytest.mark.parametrize("purpose", LINES)
@pytest.mark.parametrize("train_on", ["all", "last"])
def test_configurations_can_be_read_for_every_purpose(
    source: Connection, builder: User, purpose: str, train_on: str
) -> None:
    version = of_purpose(source, builder, purpose, train_on=train_on)
    texts = training_configs.texts(version)
    for name, text in texts.items():
        if name.endswith(".py"):
            ast.parse(text)
    told = yaml.safe_load(texts["axolotl.yaml"])
    assert isinstance(told["learning_rate"], float)
    assert told.get("rl") == {"preference": "dpo", "reinforcement": "grpo"}.get(purpose)
    (train,), (validation,) = told["datasets"], told["test_datasets"]
    assert (train["path"].endswith("train.jsonl"), validation["path"].endswith("validation.jsonl")) == (
        True,
        True,
    )
    assert ("message_field_training" in train) == (purpose == "supervised" and train_on == "last")


ASKED, SAID = [{"role": "user", "content": "Q"}], [{"role": "assistant", "content": "A"}]
ROWS: list[tuple[str, str, dict[str, Any]]] = [
    ("supervised", "all", {"messages": ASKED + SAID}),
    ("supervised", "last", {"prompt": ASKED, "completion": SAID}),
    (
        "preference",
        "all",
        {
            "prompt": ASKED,
            "chosen": [{"role": "assistant", "content": "good"}],
            "rejected": [{"role": "assistant", "content": "bad"}],
        },
    ),
]


@pytest.mark.parametrize(("purpose", "train_on", "expected"), ROWS)
def test_the_script_turns_lines_into_rows_as_trl_takes_them(
    source: Connection, builder: User, purpose: str, train_on: str, expected: dict[str, Any]
) -> None:
    version = of_purpose(source, builder, purpose, train_on=train_on)
    tree = ast.parse(training_configs.trl(version))
    names = ("row", "plain", "tools")
    wanted: list[ast.stmt] = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names
    ]
    scope: dict[str, Any] = {"json": json}
    exec(compile(ast.Module(wanted, []), "trl_train.py", "exec"), scope)  # noqa: S102  # our own script
    assert scope["row"](LINES[purpose]) == expected


def test_the_reward_compares_with_the_field_of_the_rows(source: Connection, builder: User) -> None:
    version = of_purpose(source, builder, Purpose.REINFORCEMENT)
    scope: dict[str, Any] = {}
    exec(compile(training_configs.texts(version)["rewards.py"], "rewards.py", "exec"), scope)  # noqa: S102  # our own
    answers = [[{"role": "assistant", "content": text}] for text in ("A ", "B")]
    assert scope["matches"](answers, [json.dumps(LINES[Purpose.REINFORCEMENT])] * 2) == [1.0, 0.0]


def test_pairs_are_flat_for_axolotl(source: Connection, builder: User) -> None:
    version = of_purpose(source, builder, Purpose.PREFERENCE)
    flat = {name: b"".join(pieces) for name, pieces in training_configs.flat_rows(version)}
    assert set(flat) == {"axolotl/train.jsonl", "axolotl/validation.jsonl"}
    assert json.loads(flat["axolotl/train.jsonl"]) == {
        "messages": [{"role": "user", "content": "Q"}],
        "chosen": {"role": "assistant", "content": "good"},
        "rejected": {"role": "assistant", "content": "bad"},
    }


@pytest.mark.parametrize("what", ["", "train", "gzip", "manifest", "card", "trl", "axolotl", "everything"])
@pytest.mark.parametrize(("role", "status"), [("reader", 403), ("reviewer", 403), ("", 404)])
def test_downloading_takes_a_builder(
    version: DatasetVersion, client_of: SignIn, what: str, role: str, status: int
) -> None:
    assert take(client_of(factories.user("somebody", role)), version, what).status_code == status


@pytest.mark.parametrize("what", ["secrets", "holdout"])
def test_nothing_else_is_found(version: DatasetVersion, builder: User, client_of: SignIn, what: str) -> None:
    assert take(client_of(builder), version, what).status_code == 404


def test_what_is_only_measured_on_has_no_configuration(
    version: DatasetVersion, builder: User, client_of: SignIn
) -> None:
    Dataset.objects.update(purpose=Purpose.EVALUATION)
    assert take(client_of(builder), version, "trl").status_code == 404
    with zipfile.ZipFile(BytesIO(take(client_of(builder), version, "everything").body)) as archive:
        assert "made-v1/trl_train.py" not in archive.namelist()


def test_a_file_whose_name_is_only_signs_still_has_one(version: DatasetVersion) -> None:
    version.dataset.name = "😀 ///"
    assert cards.stem(version) == "dataset-v1"
