"""Files of one's own as versions: what is taken, what is named as bad, what a worker that dies leaves."""

import gzip
import hashlib
import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from datasets import distill, received, successors
from datasets.build import files
from datasets.models import Dataset, DatasetVersion, Purpose
from portal.models import AuditEntry, Connection, Operation, User
from portal.sandbox import Sandbox
from portal.upstream import connect
from tests import factories
from tests.datasets import material, provider

SignIn = Callable[[User], Client]
pytestmark = pytest.mark.django_db(transaction=True)
UPLOAD = reverse("datasets:upload")


@pytest.fixture
def source() -> Connection:
    return factories.connection("Library")


def line(n: int) -> bytes:
    asked = {"role": "user", "content": f"Question {n}, caf\u00e9?"}
    messages = [asked, {"role": "assistant", "content": f"Answer {n}."}]
    return json.dumps({"messages": messages}, ensure_ascii=False).encode()


def rows(count: int) -> list[bytes]:
    return [line(n) for n in range(count)]


def send(client: Client, source: Connection, body: bytes, name: str = "rows.jsonl", **more: Any) -> Any:
    data = {"name": "Mine", "purpose": "supervised", "connections": [source.pk], **more}
    into = data.pop("into", "")
    return client.post(
        f"{UPLOAD}?into={into}" if into else UPLOAD, {**data, "file": SimpleUploadedFile(name, body)}
    )


def received_version(client: Client, source: Connection, body: bytes, **more: Any) -> DatasetVersion:
    answer = send(client, source, body, **more)
    assert answer.status_code == 303, answer.context["problem"] or answer.context["form"].errors
    material.drain(kinds=[received.KIND])
    version: DatasetVersion = DatasetVersion.objects.latest("id")
    return version


def content(version: DatasetVersion) -> bytes:
    with files.open_file(version) as file:
        return bytes(file.read())


@pytest.mark.engines
def test_a_file_becomes_a_version_byte_for_byte(builder: User, source: Connection, client_of: SignIn) -> None:
    body = b"\n".join(rows(12)) + b"\n"
    version = received_version(client_of(builder), source, body)
    assert content(version) == body
    assert (version.state, version.rows, version.origin) == ("ready", 12, "upload")
    assert version.sha256 == hashlib.sha256(body).hexdigest()
    assert [part.name for part in version.parts] == ["train"]
    assert list(version.connections.all()) == [source]
    assert version.counts["tokens"] == sum(row.tokens or 0 for row in version.examples.all())
    assert AuditEntry.objects.filter(verb="dataset_version.uploaded").exists()
    assert "path" not in version.source
    assert not files.artifacts().listdir("datasets/received")[1]


def test_marks_of_the_encoding_and_line_ends_become_normal(
    builder: User, source: Connection, client_of: SignIn
) -> None:
    body = b"\xef\xbb\xbf" + b"\r\n".join([*rows(3), b"", line(4)])
    version = received_version(client_of(builder), source, body)
    assert content(version) == b"\n".join([*rows(3), line(4)]) + b"\n"


def test_gzip_is_unpacked(builder: User, source: Connection, client_of: SignIn) -> None:
    version = received_version(client_of(builder), source, gzip.compress(b"\n".join(rows(3))))
    assert version.rows == 3


BAD = {
    "no JSON": b'{"messages": [',
    "a list": b"[1, 2]",
    "not UTF-8": line(1).replace(b"Question", b"Caf\xe9"),
    "no messages": b'{"text": "hello"}',
    "no answer": b'{"messages": [{"role": "user", "content": "Hi"}]}',
    "half a character": line(1).replace(b"Question", b"\\ud800"),
    "no number": line(1).replace(b'"Answer 1."', b"NaN"),
    "endless nesting": b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_line_is_named_and_the_good_ones_are_taken(
    builder: User, source: Connection, client_of: SignIn, bad: bytes
) -> None:
    client = client_of(builder)
    version = received_version(client, source, b"\n".join([line(0), bad, line(2)]), mend="")
    assert content(version) == line(0) + b"\n" + line(2) + b"\n"
    assert sum(version.counts["left_out"].values()) == 1
    assert {problem["number"] for problem in version.problems if problem.get("number")} == {2}
    where = reverse("datasets:version", args=[version.dataset_id, version.number])
    page = client.get(f"{where}?show=left-out")
    assert [problem["number"] for problem in page.context["bad"]][:1] == [2]
    assert client.get(where).status_code == 200


def test_what_can_be_mended_is_mended_and_marked(
    builder: User, source: Connection, client_of: SignIn
) -> None:
    foreign = line(1).replace(b'"assistant"', b'"gpt"')
    body = b"\n".join([line(0), foreign])
    mended = received_version(client_of(builder), source, body, mend="on")
    assert (mended.rows, mended.counts["mended"]) == (2, 1)
    assert mended.examples.get(line=2).edited
    assert json.loads(content(mended).splitlines()[1])["messages"][1]["role"] == "assistant"
    strict = received_version(client_of(builder), source, body, mend="", name="Strict")
    assert strict.rows == 1


def test_a_line_that_is_too_long_to_hold_is_left_out(
    builder: User, source: Connection, client_of: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(received, "LONGEST_LINE", 400)
    body = b"\n".join([line(0), line(1).replace(b"Answer", b"Answer" * 200), line(2)])
    version = received_version(client_of(builder), source, body)
    assert version.rows == 2
    assert version.examples.get(line=None).source_key == "line 2"


REFUSED = {
    "empty": (b"", "empty"),
    "UTF-16": ("\n".join(each.decode() for each in rows(3)).encode("utf-16"), "UTF-16"),
    "a table": (b"question,answer\nHow?,So.\n", "not JSONL"),
    "a spreadsheet": (b"PK\x03\x04rest of it", "zip file"),
}


@pytest.mark.parametrize(("body", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_jsonl_is_refused_with_what_to_do(
    builder: User, source: Connection, client_of: SignIn, body: bytes, words: str
) -> None:
    answer = send(client_of(builder), source, body)
    assert answer.status_code == 422
    assert words in answer.context["problem"]
    assert not Dataset.objects.exists()


def test_a_file_that_is_too_large_is_not_kept(
    builder: User, source: Connection, client_of: SignIn, settings: Any
) -> None:
    settings.IMPORT_MAX_MB = 0
    answer = send(client_of(builder), source, b"\n".join(rows(3)))
    assert (answer.status_code, "larger than" in answer.context["problem"]) == (422, True)


def test_a_file_without_one_good_line_is_refused(
    builder: User, source: Connection, client_of: SignIn
) -> None:
    version = received_version(client_of(builder), source, b'{"a": 1}\n{"b": 2}\n')
    assert (version.state, version.rows) == ("refused", 0)
    assert "Not one line" in version.refusal
    assert version.examples.count() == 2


@pytest.mark.parametrize("point", ["fetched", "written", "committed", "sealed", "published"])
def test_a_worker_that_dies_leaves_the_same_version(
    builder: User, source: Connection, client_of: SignIn, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.receiving.CHUNK", 5)
    body = b"\n".join([*rows(7), b"{bad", *rows(9)])
    send(client_of(builder), source, body)
    died: list[str] = []

    def die(name: str) -> None:
        if name == f"dataset.receive.{point}" and not died:
            died.append(name)
            raise KeyboardInterrupt

    monkeypatch.setattr("datasets.receiving.crashpoint", die)
    with pytest.raises(KeyboardInterrupt):
        material.drain(kinds=[received.KIND])
    provider.restart()
    material.drain(kinds=[received.KIND])
    version = DatasetVersion.objects.get()
    assert (version.state, version.rows, version.counts["selected"]) == ("ready", 16, 17)
    assert content(version) == b"\n".join([*rows(7), *rows(9)]) + b"\n"
    assert version.examples.count() == 17


def test_rows_excluded_by_hand_leave_the_next_version_and_come_back(
    builder: User, source: Connection, client_of: SignIn
) -> None:
    first = received_version(client_of(builder), source, b"\n".join(rows(12)))
    row = first.examples.get(line=3)
    second = successors.exclude(first, builder, {row.source_key: "wrong"})
    material.drain()
    second.refresh_from_db()
    assert (second.state, second.rows, second.counts["left_out"]) == ("ready", 11, {"by_hand": 1})
    assert line(2) not in content(second)
    third = successors.take_back(second, builder, [row.source_key])
    material.drain()
    third.refresh_from_db()
    assert third.sha256 == first.sha256
    client, delete = client_of(builder), reverse("datasets:version_delete", args=[first.dataset_id, 1])
    assert client.post(delete).status_code == 409
    about = reverse("datasets:version", args=[first.dataset_id, 1]) + "?show=about"
    assert delete not in client.get(about).content.decode()


def test_a_file_can_become_the_next_version_of_a_dataset(
    builder: User, source: Connection, client_of: SignIn
) -> None:
    client = client_of(builder)
    first = received_version(client, source, b"\n".join(rows(3)))
    second = received_version(client, source, b"\n".join(rows(5)), into=first.dataset_id)
    assert (second.dataset_id, second.number, second.parent, second.rows) == (first.dataset_id, 2, first, 5)


@pytest.mark.parametrize("size", [1, 70_000], ids=["short rows", "a row too long for the model"])
def test_an_uploaded_file_can_be_trained_on(
    builder: User, source: Connection, client_of: SignIn, size: int
) -> None:
    long = line(99).replace(b"Answer", b"Answer " * size)
    version = received_version(client_of(builder), source, b"\n".join([*rows(12), long]))
    following, tune = distill.choose_model(version, builder, source, "gpt-4.1-mini-2025-04-14")
    distill.build_now(following, builder)
    material.drain()
    following.refresh_from_db()
    assert (following.state, tune.version) == ("ready", following)
    assert following.counts["left_out"] == ({"too_long": 1} if size > 1 else {})
    assert (following == version) == (size == 1)


HOSTILE = "../../etc/\u202epasswd<script>alert(1)</script>\x00.jsonl"


def test_a_hostile_name_is_only_text(builder: User, source: Connection, client_of: SignIn) -> None:
    evil = line(1).replace(b"Answer 1.", b"<img src=x onerror=alert(1)> {{ 7*7 }} </script>")
    client = client_of(builder)
    version = received_version(
        client, source, b"\n".join([line(0), evil]), name='"><script>alert(2)</script>'
    )
    DatasetVersion.objects.filter(pk=version.pk).update(
        source={**version.source, "file_name": HOSTILE.replace("\x00", "")}
    )
    where = reverse("datasets:version", args=[version.dataset_id, version.number])
    for each in ("", "?show=raw", "?show=about", "?show=left-out", "?q=onerror"):
        page = client.get(where + each).content.decode()
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "\u202e" not in page


@pytest.mark.parametrize("role", ["reader", "reviewer"])
def test_uploading_takes_a_builder(source: Connection, client_of: SignIn, role: str) -> None:
    answer = send(client_of(factories.user("somebody", role)), source, b"\n".join(rows(3)))
    assert answer.status_code == 403
    assert not Dataset.objects.exists()


def test_rows_cannot_be_given_to_a_connection_that_one_does_not_act_on(
    source: Connection, client_of: SignIn
) -> None:
    person = factories.user("somebody", "builder", connection=source)
    other = factories.connection("Elsewhere")
    assert send(client_of(person), other, b"\n".join(rows(3))).status_code == 422
    assert not Dataset.objects.exists()


def test_a_file_at_the_provider_becomes_a_version(sandbox: Sandbox, builder: User, client_of: SignIn) -> None:
    connection = provider.azure(sandbox)
    client, body = client_of(builder), b"\n".join(rows(12)) + b"\n"
    with connect(connection) as upstream:
        sent = upstream.upload_file("theirs.jsonl", BytesIO(body), "fine-tune")
    where = reverse("datasets:upload_from", args=[connection.slug])
    assert b"theirs.jsonl" in client.get(where).content
    answer = client.post(where, {"file": sent.id, "name": "Theirs", "purpose": "supervised"})
    assert answer.status_code == 303
    material.drain(kinds=[received.KIND])
    version = DatasetVersion.objects.latest("id")
    assert (version.state, version.origin) == ("ready", "upstream")
    assert content(version) == body


def test_a_file_that_is_gone_at_the_provider_ends_in_words(
    sandbox: Sandbox, builder: User, client_of: SignIn
) -> None:
    connection = provider.azure(sandbox)
    version = received.start(
        builder,
        into=None,
        name="Gone",
        purpose=Purpose.SUPERVISED,
        connections=[connection],
        source={"connection": connection.pk, "file": "file-none", "file_name": "none.jsonl"},
        origin=DatasetVersion.Origin.UPSTREAM,
    )
    material.drain(kinds=[received.KIND])
    version.refresh_from_db()
    operation = Operation.objects.get(kind=received.KIND)
    assert (version.state, operation.state) == ("failed", "failed")
    assert operation.error_text
