"""Files become rows: each line once, however often it comes, whatever else is in the file."""

import csv
import gzip
import io
import json
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from completions import raw
from completions.importing import run, shapes, taking
from completions.importing.lines import lines, records
from completions.models import Body, Import, ImportProblem, StoredCompletion
from portal.models import Connection, Kind, Operation, User
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


def stored(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{number:05}",
        "object": "chat.completion",
        "created": 1_790_000_000 + number,
        "model": "gpt-4o-2024-08-06",
        "metadata": {"env": "old"},
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": f"Answer {number}"},
            }
        ],
        "messages": [{"role": "user", "content": f"Question {number}"}],
    } | more


def jsonl(values: list[Any]) -> bytes:
    return b"".join(each if isinstance(each, bytes) else json.dumps(each).encode() + b"\n" for each in values)


def taken(data: bytes, owner: User, name: str = "file.jsonl") -> Import:
    return taking.take(io.BytesIO(data), name, owner)


def imported(data: bytes, owner: User, into: Connection | None = None, name: str = "Old rows") -> Import:
    """The file through the whole operation."""
    source = taken(data, owner)
    operation = run.begin(source, owner, into=into, name=name)
    source.refresh_from_db()
    assert source.connection is not None
    mirroring.drain(source.connection)
    operation.refresh_from_db()
    assert operation.state == Operation.State.DONE, operation.error_text
    source.refresh_from_db()
    return source


@pytest.mark.engines
@pytest.mark.django_db(transaction=True)
def test_of_ten_thousand_lines_the_hundred_bad_ones_are_named_and_all_others_are_rows(builder: User) -> None:
    bad = {
        0: b"{not json}\n", 1: b'"a text"\n', 2: b'{"id": "x"}\n', 3: b"\xff\xfe broken\n",
        4: b'{"a\x00b": 1}\n', 5: jsonl([stored(1, created="yesterday")]),
        6: jsonl([stored(1, id=["no"])]), 7: b"[" * 5000 + b"\n",
        8: jsonl([stored(1, messages="none")]), 9: b'{"id": "cut", "choices": [\n',
    }  # fmt: skip
    every: list[Any] = [stored(number) for number in range(10_000)]
    wrong = range(50, 10_000, 100)
    for number in wrong:
        every[number] = bad[number // 100 % 10]
    source = imported(jsonl(every), builder)
    assert source.counts == {"lines": 10_000, "new": 9_900, "changed": 0, "same": 0, "doubled": 0, "bad": 100}
    assert list(source.problems.order_by("line").values_list("line", flat=True)) == [n + 1 for n in wrong]
    reasons = set(source.problems.values_list("reason", flat=True))
    assert len(reasons) >= 9
    assert all(reason.startswith(("is ", "has ", "holds ")) for reason in reasons)
    rows = StoredCompletion.objects.filter(connection=source.connection)
    assert set(rows.values_list("upstream_id", flat=True)) == {
        f"chatcmpl-{number:05}" for number in range(10_000) if number not in wrong
    }
    assert source.path == ""  # and the file is gone


@pytest.mark.engines
@pytest.mark.django_db(transaction=True)
def test_what_is_imported_is_a_row_like_all_others(builder: User) -> None:
    source = imported(jsonl([stored(1), stored(2)]), builder)
    row = StoredCompletion.objects.get(upstream_id="chatcmpl-00001")
    assert (row.model, row.metadata, row.created) == ("gpt-4o-2024-08-06", {"env": "old"}, 1_790_000_001)
    assert (row.prompt_preview, row.answer_preview) == ("Question 1", "Answer 1")
    assert row.messages_state == "ok"
    connection = source.connection
    assert connection is not None
    assert (connection.kind, connection.sync_enabled, connection.has_endpoint) == (Kind.FILES, False, False)
    assert Connection.objects.manageable_by(builder).contains(connection)


@pytest.mark.django_db(transaction=True)
def test_a_stored_completion_alone_on_its_line_is_kept_byte_for_byte(builder: User) -> None:
    item = {name: value for name, value in stored(1).items() if name != "messages"}
    line = json.dumps(item, indent=None, separators=(" , ", " : ")).encode()
    imported(line + b"\r\n", builder)
    body = Body.objects.get()
    assert raw.unpack(body.raw) == raw.Raw(line, None)
    assert body.completion.messages_state == "gone"


@pytest.mark.engines
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("with_ids", [True, False])
def test_the_same_file_twice_changes_nothing(builder: User, with_ids: bool) -> None:
    lines = [stored(number) for number in range(30)]
    if not with_ids:
        lines = [{"messages": [*each["messages"], each["choices"][0]["message"]]} for each in lines]
    first = imported(jsonl(lines), builder)
    assert first.connection is not None
    before = mirroring.snapshot(first.connection)
    Import.objects.filter(pk=first.pk).update(created="2020-01-01T00:00Z")  # the second is of another time
    second = imported(jsonl(lines), builder, into=first.connection)
    assert (second.counts["new"], second.counts["changed"], second.counts["same"]) == (0, 0, 30)
    assert mirroring.snapshot(first.connection) == before


@pytest.mark.django_db(transaction=True)
def test_a_line_that_says_more_by_now_changes_its_row(builder: User) -> None:
    first = imported(jsonl([stored(1), stored(2)]), builder)
    second = imported(jsonl([stored(1), stored(2, metadata={"env": "new"})]), builder, into=first.connection)
    assert (second.counts["new"], second.counts["changed"], second.counts["same"]) == (0, 1, 1)
    assert StoredCompletion.objects.get(upstream_id="chatcmpl-00002").metadata == {"env": "new"}


class Died(BaseException):
    """As if the process had been killed."""


@pytest.mark.engines
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("point", ["import.before_commit", "import.committed"])
def test_killed_in_its_middle_it_goes_on_and_takes_every_line_once(
    builder: User, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    met: list[str] = []

    def die(name: str) -> None:
        if name == point:
            met.append(name)
            if len(met) in (2, 4):
                raise Died

    monkeypatch.setattr(run, "crashpoint", die)
    monkeypatch.setattr(run, "AT_ONCE", 20)
    every: list[Any] = [stored(number) for number in range(200)]
    every[33] = every[99] = b"broken\n"
    source = taken(jsonl(every), builder)
    operation = run.begin(source, builder, name="Old rows")
    for _ in range(2):
        with pytest.raises(Died):
            mirroring.step(operation)
        Operation.objects.filter(pk=operation.pk).update(
            state=Operation.State.READY, lease_owner="", lease_until=None, next_run_at=None
        )
    source.refresh_from_db()
    assert source.connection is not None
    mirroring.drain(source.connection)
    source.refresh_from_db()
    assert source.counts == {"lines": 200, "new": 198, "changed": 0, "same": 0, "doubled": 0, "bad": 2}
    assert list(source.problems.order_by("line").values_list("line", flat=True)) == [34, 100]
    assert StoredCompletion.objects.filter(connection=source.connection).count() == 198


# Shapes.


def test_a_pair_is_read_in_each_of_its_forms() -> None:
    messages = [{"role": "user", "content": "Hello"}]
    answer = stored(7)
    forms: list[dict[str, Any]] = [
        {"request": {"model": "m", "messages": messages, "temperature": 0.2}, "response": answer},
        {"input": messages, "output": "Hi", "id": "p-1", "model": "m"},
        {"prompt": "Hello", "completion": "Hi", "metadata": {"a": "b"}},
        {"custom_id": "c-1", "request": {"body": {"messages": messages}}, "response": {"body": answer}},
        {"request": {"messages": messages}, "response": {"role": "assistant", "content": "Hi"}},
    ]
    assert shapes.shape_of([json.dumps(each).encode() for each in forms]) == Import.Shape.PAIRS
    read = [shapes.draft(json.dumps(each).encode(), "pairs", {}) for each in forms]
    assert [each.messages for each in read] == [messages] * 5
    assert [each.id for each in read][:2] == ["chatcmpl-00007", "p-1"]
    assert read[0].item["temperature"] == 0.2
    assert read[2].item["metadata"] == {"a": "b"}
    assert [each.item["choices"][0]["message"]["content"] for each in read] == [
        "Answer 7", "Hi", "Hi", "Answer 7", "Hi",
    ]  # fmt: skip


def test_the_last_message_of_a_training_example_is_its_answer() -> None:
    system, user = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}
    answer = {"role": "assistant", "content": "Hi"}
    found = shapes.draft(json.dumps({"messages": [system, user, answer]}).encode(), "tuning", {})
    assert (found.messages, found.item["choices"][0]["message"]) == ([system, user], answer)
    with pytest.raises(shapes.Unusable, match="last message"):
        shapes.draft(json.dumps({"messages": [system, user]}).encode(), "tuning", {})


@pytest.mark.django_db
def test_a_table_is_mapped_by_its_header_and_goes_over_line_ends(builder: User) -> None:
    made = io.StringIO()
    writer = csv.writer(made)
    writer.writerow(["Question", "Answer", "Created at", "team", "id"])
    writer.writerow(["Two\nlines, and a comma", 'He said "hi"', "2026-01-02T03:04:05Z", "north", "t-1"])
    writer.writerow(["Plain", "Yes", "1790000000", "", ""])
    source = taken(made.getvalue().encode("utf-8-sig"), builder, "table.csv")
    assert source.shape == Import.Shape.TABLE
    assert source.mapping["columns"] == ["prompt", "answer", "created", "metadata", "id"]
    done = run.begin(source, builder, name="Table")
    mirroring.step(done)
    rows = {row.answer_preview: row for row in StoredCompletion.objects.all()}
    first = rows['He said "hi"']
    assert (first.upstream_id, first.created, first.metadata) == ("t-1", 1_767_323_045, {"team": "north"})
    assert first.body.prompt_text == "Two\nlines, and a comma"
    assert rows["Yes"].upstream_id.startswith("file-")


def test_a_quote_that_is_never_closed_costs_its_own_line_only() -> None:
    data = b'a,b\n1,"2\n3,4\n"5",6\n' + b"7,8\n" * 50
    found = list(records(io.BytesIO(data), most=64))
    assert [each.number for each in found if each.unclosed] == [2]
    assert [each.data for each in found if not each.unclosed][:3] == [b"a,b", b"3,4", b'"5",6']
    assert len(found) == 54


# Hostile files.


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf \r\n\r\n", "empty"),
        (json.dumps(stored(1)).encode("utf-16"), "UTF-16"),
        (json.dumps(stored(1)).encode("utf-16-le"), "UTF-16"),
        (json.dumps(stored(1)).encode("utf-32"), "UTF-32"),
        ('{"messages": "Grüße"}\n'.encode("latin-1") * 3, "Latin-1"),
        (b"PK\x03\x04" + b"x" * 100, "zip"),
        (b"PAR1" + b"x" * 100, "Parquet"),
        (b"\x1f\x8b\x08\x00broken", "damaged"),
        (gzip.compress(b"{}\n" * 100)[:-9], "damaged"),
        (b"[1, 2", "list"),
        (b"[]", "empty"),
        (b"just words\nand more words\n", "neither JSONL nor a table"),
        (b"a\x00b\x00\x00\x00\x00\x00\x00\x00\x00c" + b"x" * 100, "no text"),
    ],
)
@pytest.mark.django_db
def test_a_file_that_cannot_be_read_is_refused_with_its_reason(builder: User, data: bytes, why: str) -> None:
    with pytest.raises(taking.Refused, match=why):
        taken(data, builder)
    assert not Import.objects.exists()


@pytest.mark.django_db
def test_a_zip_that_is_named_otherwise_is_a_zip(builder: User) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("../../escape.jsonl", b"0" * 1_000_000)
    with pytest.raises(taking.Refused, match="zip"):
        taken(made.getvalue(), builder, "rows.jsonl")


@pytest.mark.django_db
def test_a_gzip_bomb_is_given_up_long_before_its_end(builder: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "RATIO_COUNTS_FROM", 1_000_000)
    bomb = gzip.compress(b"\n" * 50_000_000)
    with pytest.raises(taking.Refused, match="200 times"):
        taken(bomb, builder)
    assert len(bomb) < 100_000


@pytest.mark.django_db
def test_what_unpacks_to_more_than_is_allowed_is_refused(builder: User, settings: Any) -> None:
    settings.IMPORT_MAX_MB = 1
    with pytest.raises(taking.Refused, match="larger than 1 MB"):
        taken(gzip.compress(b"".join(b"%d\n" % number for number in range(300_000))), builder)


@pytest.mark.django_db
def test_gzip_bom_and_both_line_ends_are_read(builder: User) -> None:
    body = b"\r\n".join(json.dumps(stored(number)).encode() for number in range(3))
    source = taken(gzip.compress(b"\xef\xbb\xbf" + body), builder, "rows.jsonl.gz")
    mirroring.step(run.begin(source, builder, name="Packed"))
    source.refresh_from_db()
    assert (source.counts["new"], source.counts["bad"]) == (3, 0)


@pytest.mark.parametrize("wrapped", ["[%s]", '{"object": "list", "data": [%s], "has_more": false}'])
@pytest.mark.django_db
def test_a_small_list_is_read_as_its_elements(builder: User, wrapped: str) -> None:
    text = wrapped % ",\n".join(json.dumps(stored(number), indent=2) for number in range(4))
    source = taken(text.encode(), builder, "list.json")
    mirroring.step(run.begin(source, builder, name="List"))
    assert StoredCompletion.objects.count() == 4


@pytest.mark.django_db
def test_a_list_that_is_too_large_says_what_to_do(builder: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "LARGEST_ARRAY", 1000)
    with pytest.raises(taking.Refused, match="JSONL"):
        taken(json.dumps([stored(number) for number in range(40)]).encode(), builder)


def test_a_line_of_a_hundred_megabytes_is_never_held() -> None:
    class Endless(io.RawIOBase):
        """A file with one such line between two short ones, which is nowhere as a whole."""

        def __init__(self) -> None:
            self.left = [b"first\n", *([b"x" * 2**18] * 400), b"\nlast\n"]

        def read(self, size: int = -1) -> bytes:
            return self.left.pop(0) if self.left else b""

        def seek(self, offset: int, whence: int = 0) -> int:
            return 0

    tracemalloc.start()
    found = list(lines(Endless(), most=shapes.LONGEST))  # type: ignore[arg-type]  # all of it that is asked for
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [(each.number, each.data) for each in found] == [(1, b"first"), (2, None), (3, b"last")]
    assert found[1].length == 400 * 2**18
    assert peak < 3 * shapes.LONGEST


@pytest.mark.django_db(transaction=True)
def test_texts_that_no_database_takes_are_repaired_or_named(builder: User) -> None:
    odd = [
        json.dumps(stored(1, metadata={"a": "nul \x00 and \ud800"})).encode() + b"\n",
        json.dumps(stored(2, temperature=float("nan"))).encode() + b"\n",
        b'{"id": "big", "created": 1e999, "choices": []}\n',
        b'{"id": "digits", "created": 1, "seed": ' + b"9" * 6000 + b', "choices": []}\n',
        json.dumps(stored(3, id="\ud800")).encode() + b"\n",
        b"[" * 200_000 + b"\n",
    ]
    source = imported(jsonl(odd), builder)
    assert (source.counts["new"], source.counts["bad"]) == (2, 4)
    flags = {row.upstream_id: set(row.flags) for row in StoredCompletion.objects.all()}
    assert flags["chatcmpl-00001"] >= {"nul", "surrogate"}
    assert "not_finite" in flags["chatcmpl-00002"]


# The pages.


def upload(client: Client, data: bytes, name: str = "rows.jsonl") -> Any:
    file = io.BytesIO(data)
    file.name = name
    return client.post("/completions/import/new/", {"file": file})


@pytest.mark.django_db(transaction=True)
def test_a_file_goes_through_preview_and_operation_to_rows_in_the_pane(
    builder: User, client_of: ClientOf
) -> None:
    client = client_of(builder)
    answer = upload(client, jsonl([stored(1), b"<script>alert(1)</script>\n", stored(2)]), "<b>rows.jsonl")
    assert answer.status_code == 303
    page = client.get(answer["Location"])
    text = page.content.decode()
    assert page.context["look"].good == 2
    assert page.context["look"].bad == 1
    assert "Question 1" in text
    assert "<script>alert" not in text
    assert "<b>rows" not in text
    begun = client.post(
        answer["Location"], {"do": "begin", "shape": "stored", "target": "new", "name": "Mine"}
    )
    assert begun.status_code == 303
    mirroring.drain(Connection.objects.get(name="Mine"))
    outcome = client.get(answer["Location"])
    assert "is not JSON" in outcome.content.decode()
    bad = client.get(f"{answer['Location']}bad-lines.csv")
    assert b"".join(bad.streaming_content).startswith(b"line,reason\r\n2,")  # type: ignore[attr-defined]  # it streams
    pane = client.get("/completions/?q=connection:mine")
    assert "Question 2" in pane.content.decode()


@pytest.mark.django_db
def test_who_may_not_import_cannot(
    reader: User, reviewer: User, builder: User, outsider: User, client_of: ClientOf
) -> None:
    for person in (reader, reviewer, outsider):
        assert client_of(person).get("/completions/import/new/").status_code == 403
        assert upload(client_of(person), jsonl([stored(1)])).status_code == 403
    factories.connection()
    theirs = taken(jsonl([stored(1)]), builder)
    other = factories.user("other", "operator")
    for person in (other, outsider):  # a preview is its owner's alone
        assert client_of(person).get(theirs.get_absolute_url()).status_code == 404


@pytest.mark.django_db
def test_nobody_imports_into_what_has_an_endpoint_or_is_not_theirs(
    builder: User, client_of: ClientOf
) -> None:
    real = factories.connection()
    files = factories.connection("Files of others", kind=Kind.FILES, base_url="")
    own = factories.user("own", "builder", real)
    source = taken(jsonl([stored(1)]), own)
    for target in (real, files):
        body = {"do": "begin", "shape": "stored", "target": str(target.pk)}
        assert client_of(own).post(source.get_absolute_url(), body).status_code == 422
    source.refresh_from_db()
    assert not source.begun


@pytest.mark.django_db
def test_a_file_that_is_too_large_is_not_kept(builder: User, client_of: ClientOf, settings: Any) -> None:
    factories.connection()
    settings.IMPORT_MAX_MB = 1
    answer = upload(client_of(builder), b"x" * 1_200_000)
    assert answer.status_code == 422
    assert "larger than 1 MB" in answer.content.decode()
    assert not Import.objects.exists()


@pytest.mark.django_db
def test_an_upload_without_its_token_is_refused(builder: User) -> None:
    factories.connection()
    client = Client(enforce_csrf_checks=True)
    client.force_login(builder, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert upload(client, jsonl([stored(1)])).status_code == 403


@pytest.mark.django_db
def test_a_connection_of_files_says_so_and_cannot_be_asked(manager: User, client_of: ClientOf) -> None:
    files = factories.connection("Filled", slug="filled", kind=Kind.FILES, base_url="", secret="")
    client = client_of(manager)
    page = client.get("/connections/filled/").content.decode()
    assert "Filled from files" in page
    assert "Test connection" not in page
    assert client.get("/completions/filled/health/").status_code == 303
    assert client.post("/connections/filled/test/").status_code == 403
    assert client.post("/completions/filled/health/sync/").status_code == 303
    assert not Operation.objects.filter(connection=files).exists()
    assert client.get("/connections/filled/edit/").status_code == 200
    assert client.post("/connections/filled/edit/", {"name": "Renamed"}).status_code == 303
    files.refresh_from_db()
    assert (files.name, files.kind) == ("Renamed", Kind.FILES)


@pytest.mark.django_db
def test_old_previews_and_their_files_go(builder: User) -> None:
    factories.connection()
    old, young = taken(jsonl([stored(1)]), builder), taken(jsonl([stored(1)]), builder)
    Import.objects.filter(pk=old.pk).update(created="2020-01-01T00:00Z")
    run.tidy()
    assert list(Import.objects.all()) == [young]
    assert not ImportProblem.objects.exists()
