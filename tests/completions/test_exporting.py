"""Completions become files: every one that was selected once, safe to open, and only for who may act."""

import csv
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from completions import reviewing, selection
from completions.exporting import files, parquet, run
from completions.forgetting import forget
from completions.importing import run as importing
from completions.importing import taking
from completions.models import Export, FrozenSelection, Label, StoredCompletion
from completions.reviewing import Said
from portal import deletion, tables
from portal.models import AuditEntry, Connection, Kind, Operation, User
from tests import factories
from tests.completions import mirroring

ClientOf = Callable[[User], Client]


@pytest.fixture(autouse=True)
def _kept_apart(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of their own, and steps that are done here."""
    mirroring.hurry(monkeypatch)
    artifacts = settings.STORAGES["artifacts"]
    settings.STORAGES = {
        **settings.STORAGES,
        "artifacts": {**artifacts, "OPTIONS": {**artifacts["OPTIONS"], "location": tmp_path / "artifacts"}},
    }


def every(user: User) -> FrozenSelection:
    return selection.freeze(user, everything=True)


def finish(export: Export) -> Export:
    """Do the whole operation here."""
    operation = export.operation
    assert operation is not None
    for _ in range(50):
        operation.refresh_from_db()
        if not operation.is_live:
            break
        mirroring.step(operation)
    assert operation.state == Operation.State.DONE, operation.error_text
    export.refresh_from_db()
    return export


def exported(user: User, form: str, **options: Any) -> bytes:
    export = finish(run.begin(every(user), user, form, options))
    with files.open_file(export) as file:
        data = bytes(file.read())
    assert (len(data), hashlib.sha256(data).hexdigest()) == (export.size, export.sha256)
    return data


def read(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.decode().split("\n")[:-1]]


def table(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def some(number: int = 5, **more: Any) -> Connection:
    connection = factories.connection()
    for each in range(number):
        factories.make_completion(
            connection, prompt=f"Question {each}", answer=f"Answer {each}", metadata={"n": str(each)}, **more
        )
    return connection


@pytest.mark.engines
@pytest.mark.django_db(transaction=True)
def test_what_is_exported_can_be_imported_and_is_the_same(builder: User) -> None:
    connection = some(7)
    odd: dict[str, Any] = {
        "messages": [{"role": "user", "content": "line\u2028end \ud83d and \x85"}],
        "answer": "Ω",
    }
    factories.make_completion(connection, **odd)
    data = exported(builder, "stored")
    assert len(data.splitlines()) == 8
    source = taking.take(io.BytesIO(data), "again.jsonl", builder)
    importing.begin(source, builder, name="Again")
    source.refresh_from_db()
    assert source.connection is not None
    mirroring.drain(source.connection)
    source.refresh_from_db()
    assert (source.counts["new"], source.counts["bad"]) == (8, 0)
    before, after = mirroring.snapshot(connection), mirroring.snapshot(source.connection)
    assert before.keys() == after.keys()
    for name, row in before.items():  # all but the digest and the bytes themselves
        assert row[:17] == after[name][:17]
        assert row[19:22] == after[name][19:22]


@pytest.mark.engines
@pytest.mark.django_db(transaction=True)
def test_reviews_and_corrections_go_along_where_they_are_asked_for(builder: User, reviewer: User) -> None:
    connection = some(2)
    first, second = StoredCompletion.objects.order_by("-created")
    label = Label.objects.create(connection=connection, name="tone", options=["formal", "warm"])
    said = [
        Said("state", "approved"), Said("rating", "good"), Said("label", "warm", label),
        Said("note", "=well put"), Said("correction", {"text": "Better", "tool_calls": None}),
    ]  # fmt: skip
    for each in said:
        reviewing.record(first, [each], reviewer)
    plain = read(exported(builder, "stored"))
    assert all("review" not in line for line in plain)
    lines = read(exported(builder, "stored", reviews=True))
    review = lines[0]["review"]
    assert (review["state"], review["rating"], review["labels"]) == ("approved", "good", {"tone": ["warm"]})
    assert review["correction"]["text"] == "Better"
    assert [note["text"] for note in review["notes"]] == ["=well put"]
    assert "review" not in lines[1]
    assert lines[0]["choices"][0]["message"]["content"] == "Answer 1"
    chat = read(exported(builder, "chat", corrections=True))
    assert [line["messages"][-1]["content"] for line in chat] == ["Better", "Answer 0"]
    rows = table(exported(builder, "table", reviews=True, corrections=True, columns=["id", "answer"]))
    assert [row["answer"] for row in rows] == ["Better", "Answer 0"]
    assert [row["review"] for row in rows] == ["approved", "unreviewed"]
    assert rows[0]["notes"] == "'=well put"
    assert second.upstream_id == rows[1]["id"]


@pytest.mark.django_db(transaction=True)
def test_a_chat_line_is_what_a_training_file_holds(builder: User) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is it?"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
    ]
    connection = factories.connection()
    factories.make_completion(connection, messages=messages, answer="A cat.")
    factories.make_completion(connection, messages=[], answer="Nobody asked.")
    factories.make_completion(connection, answer="")
    export = finish(run.begin(every(builder), builder, "chat", {}))
    assert export.rows == 1
    assert export.left_out == {"its messages are not here": 1, "it has no answer": 1}
    with files.open_file(export) as file:
        (line,) = read(file.read())
    assert line["messages"] == [
        messages[0], {"role": "user", "content": "What is it?"}, {"role": "assistant", "tool_calls": [call]},
        messages[3], {"role": "assistant", "content": "A cat."},
    ]  # fmt: skip


FORMULAS = [
    f"{start}{payload}"
    for start in ("=", "+", "-", "@", "\t=", "\r=", "\n=", "\uff1d", "\uff0b")
    for payload in (
        "1+1", "cmd|' /C calc'!A0", 'HYPERLINK("https://example.org","x")', "SUM(A1:A2)", '"', '","',
        "\r\n=1", "A1;B1", "' OR 1", "DDE()", "WEBSERVICE(A1)", "\u202e=1", "1,=2", "",
    )
]  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS)
def test_no_field_of_a_table_begins_a_formula(text: str) -> None:
    for before in ("", "plain,", '"'):
        (row,) = csv.reader(io.StringIO(tables.rows([["id", before + text, "end"]]).decode(), newline=""))
        assert row[0] == "id"
        assert row[2] == "end"
        assert row[1].removeprefix("'") == before + text
        assert not row[1].startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b"))


def test_numbers_stay_numbers() -> None:
    assert tables.rows([[-1, 0.5, None, True, "-1"]]) == b"-1,0.5,,true,'-1\r\n"


@pytest.mark.django_db(transaction=True)
def test_texts_of_models_arrive_in_a_table_whole(builder: User) -> None:
    text = 'a "quote", a\r\nline end, \u2028 and =1+1'
    factories.make_completion(factories.connection(), prompt="=1+1", answer=text)
    (row,) = table(exported(builder, "table"))
    assert (row["prompt"], row["answer"]) == ("'=1+1", text)
    assert json.loads(row["metadata"] or "{}") == {}


class Died(BaseException):
    """As if the process had been killed."""


@pytest.mark.engines
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("point", ["export.before_commit", "export.committed", "export.published"])
def test_killed_anywhere_it_writes_the_same_file(
    builder: User, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    some(23)
    monkeypatch.setattr(run, "AT_ONCE", 3)
    monkeypatch.setattr(run, "RECORDED", 3)
    whole = exported(builder, "stored")
    met: list[str] = []

    def die(name: str) -> None:
        if name == point:
            met.append(name)
            if len(met) in ((1,) if point == "export.published" else (2, 5)):
                raise Died

    monkeypatch.setattr(run, "crashpoint", die)
    export = run.begin(every(builder), builder, "stored", {})
    assert export.operation is not None
    for _ in range(1 if point == "export.published" else 2):
        with pytest.raises(Died):
            mirroring.step(export.operation)
        Operation.objects.filter(pk=export.operation.pk).update(
            state=Operation.State.READY, lease_owner="", lease_until=None, next_run_at=None
        )
    finish(export)
    with files.open_file(export) as file:
        assert file.read() == whole
    assert export.rows == 23
    assert not list(files.part(export, "x").parent.glob("export-*"))


@pytest.mark.django_db(transaction=True)
def test_a_part_that_is_gone_is_written_again(builder: User, monkeypatch: pytest.MonkeyPatch) -> None:
    some(9)
    monkeypatch.setattr(run, "AT_ONCE", 2)
    monkeypatch.setattr(run, "RECORDED", 2)
    whole = exported(builder, "stored")
    export = run.begin(every(builder), builder, "stored", {})
    met: list[str] = []

    def die(name: str) -> None:
        met.append(name)
        if len(met) == 4:
            raise Died

    monkeypatch.setattr(run, "crashpoint", die)
    assert export.operation is not None
    with pytest.raises(Died):
        mirroring.step(export.operation)
    Operation.objects.update(state=Operation.State.READY, lease_owner="", lease_until=None, next_run_at=None)
    files.discard_parts(export.pk)
    # The first export is ready; only this one runs again.
    Operation.objects.exclude(pk=export.operation.pk).update(state=Operation.State.DONE)
    finish(export)
    with files.open_file(export) as file:
        assert file.read() == whole


@pytest.mark.django_db(transaction=True)
def test_rows_that_left_meanwhile_are_counted(builder: User) -> None:
    connection = some(4)
    export = run.begin(every(builder), builder, "stored", {})
    forget(connection.pk, [StoredCompletion.objects.order_by("pk")[0].pk])
    finish(export)
    assert (export.rows, export.left_out) == (3, {"it is no longer here": 1})


@pytest.mark.django_db(transaction=True)
def test_asked_for_twice_it_is_written_once(builder: User) -> None:
    some(2)
    frozen = every(builder)
    first = run.begin(frozen, builder, "stored", {"reviews": True})
    assert run.begin(frozen, builder, "stored", {"reviews": True}) == first
    assert run.begin(frozen, builder, "chat", {"reviews": True}) != first


@pytest.mark.django_db(transaction=True)
def test_who_lost_a_right_gets_no_file(builder: User, client_of: ClientOf) -> None:
    some(2)
    other = some(1)
    person = factories.user("person", "builder")
    export = run.begin(every(person), person, "stored", {})
    person.grants.all().delete()
    factories.grant(person, "builder", other)
    assert export.operation is not None
    mirroring.step(export.operation)
    export.operation.refresh_from_db()
    assert (export.operation.state, export.operation.error_code) == (Operation.State.FAILED, "no_right")
    done = finish(run.begin(every(builder), builder, "stored", {}))
    address = f"/completions/exports/{done.pk}/download/"
    mine = client_of(builder).get(address)
    assert mine.status_code == 200
    assert len(read(b"".join(mine.streaming_content))) == 3  # type: ignore[attr-defined]  # it streams
    assert client_of(person).get(address).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_the_dialog_asks_and_the_list_hands_out(
    builder: User, reader: User, outsider: User, client_of: ClientOf
) -> None:
    some(3)
    client = client_of(builder)
    frozen = every(builder)
    address = f"/completions/export/{frozen.pk}/"
    assert "Export 3 completions" in client.get(address).content.decode()
    answer = client.post(
        address, {"format": "table", "column": ["id", "answer", "__proto__"], "reviews": "1"}
    )
    assert (answer.status_code, answer["Location"]) == (303, "/completions/exports/")
    export = finish(Export.objects.get())
    assert export.options == {"reviews": True, "corrections": False, "columns": ["id", "answer"]}
    page = client.get("/completions/exports/").content.decode()
    assert export.sha256 in page
    file = client.get(f"/completions/exports/{export.pk}/download/")
    assert file["Content-Disposition"].startswith("attachment;")
    assert file["X-Content-Type-Options"] == "nosniff"
    assert file["Digest"] == f"sha-256={export.sha256}"
    assert len(table(b"".join(file.streaming_content))) == 3  # type: ignore[attr-defined]  # it streams
    assert AuditEntry.objects.filter(verb="export.downloaded").count() == 1
    for person in (reader, outsider):
        assert client_of(person).get(f"/completions/exports/{export.pk}/download/").status_code == 404
        assert export.sha256 not in client_of(person).get("/completions/exports/").content.decode()
    theirs = every(reader)
    barred = client_of(reader).get(f"/completions/export/{theirs.pk}/")
    assert "You may look, but not export" in barred.content.decode()
    assert (
        client_of(reader).post(f"/completions/export/{theirs.pk}/", {"format": "stored"}).status_code == 403
    )
    assert client.post(address, {"format": "xml"}).status_code == 422
    assert Export.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_an_export_goes_when_its_time_is_over_with_its_file(builder: User, client_of: ClientOf) -> None:
    some(2)
    old = finish(run.begin(every(builder), builder, "stored", {}))
    young = finish(run.begin(every(builder), builder, "chat", {}))
    Export.objects.filter(pk=old.pk).update(expires="2020-01-01T00:00Z")
    assert client_of(builder).get(f"/completions/exports/{old.pk}/download/").status_code == 404
    assert run.tidy() == 1
    assert list(Export.objects.all()) == [young]
    assert not files.artifacts().exists(old.path)
    assert files.artifacts().exists(young.path)
    assert client_of(builder).post(f"/completions/exports/{young.pk}/delete/").status_code == 303
    assert not files.artifacts().exists(young.path)


@pytest.mark.django_db(transaction=True)
def test_files_of_a_connection_go_with_it(builder: User) -> None:
    connection = factories.connection("Files", kind=Kind.FILES, base_url="")
    factories.make_completion(connection)
    export = finish(run.begin(every(builder), builder, "stored", {}))
    Operation.objects.all().delete()
    deletion.begin(connection, builder)
    for operation in Operation.objects.live():
        for _ in range(10):
            mirroring.step(operation)
    assert not Connection.objects.filter(pk=connection.pk).exists()
    assert not Export.objects.exists()
    assert not files.artifacts().exists(export.path)


@pytest.mark.django_db(transaction=True)
def test_parquet_has_types_where_it_is_installed(
    builder: User, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet_of = pytest.importorskip("pyarrow.parquet")
    connection = some(5)
    factories.make_completion(connection, prompt="=1+1", answer="lone \ud83d", total_tokens=None)
    monkeypatch.setattr(parquet, "ROWS_AT_ONCE", 2)
    data = exported(builder, "parquet", reviews=True, columns=["id", "prompt", "answer", "total_tokens"])
    found = parquet_of.read_table(io.BytesIO(data))
    assert found.column_names[:4] == ["id", "prompt", "answer", "total_tokens"]
    assert str(found.schema.field("total_tokens").type) == "int64"
    rows = found.to_pylist()
    assert len(rows) == 6
    assert (rows[0]["prompt"], rows[0]["total_tokens"], rows[1]["total_tokens"]) == ("=1+1", None, 30)
    assert rows[0]["review"] == "unreviewed"


@pytest.mark.django_db(transaction=True)
def test_without_pyarrow_the_dialog_says_so(
    builder: User, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    some(1)
    monkeypatch.setattr(parquet, "find_spec", lambda name: None)
    address = f"/completions/export/{every(builder).pk}/"
    assert "Not installed here" in client_of(builder).get(address).content.decode()
    assert client_of(builder).post(address, {"format": "parquet"}).status_code == 422
    assert not Export.objects.exists()
