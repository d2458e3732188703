"""Every bad answer that a list or its messages may be: nothing is lost, nothing is half, and the page says
why.
"""

import json
import resource
from collections.abc import Callable
from email.utils import formatdate
from time import time
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from completions import raw, schedule, sync, walk
from completions.conversation import parse
from completions.models import Body, MessagesState, Quarantine, StoredCompletion, SyncPass
from portal.models import Connection, Operation, User
from portal.sandbox import Sandbox
from portal.upstream import client
from tests.completions.mirroring import (
    LIST,
    MESSAGES,
    chance,
    check_equal,
    check_whole,
    delete,
    drain,
    hurry,
    look,
    mirror,
    plant,
    requests,
    state,
    step,
    swept,
    upstream_ids,
)
from tests.portal.sandbox_client import control, faults

pytestmark = [pytest.mark.engines, pytest.mark.django_db(transaction=True), pytest.mark.sandbox(rows=90)]
Connect = Callable[..., Connection]
State = Operation.State
BROKEN = {"kind": "status", "status": 500}


@pytest.fixture(autouse=True)
def _small_and_alone(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Pages of 20, pauses of nothing, and nobody listening for rings."""
    hurry(monkeypatch)
    monkeypatch.setattr(walk, "PAGE", 20)
    monkeypatch.setattr(walk, "BATCH", 7)
    monkeypatch.setattr(walk, "IN_FLIGHT", 21)
    monkeypatch.setattr(sync, "FIRST_ROWS", 20)
    settings.OPERATION_BACKOFF_SECONDS = 0.01


def first_rows(connection: Connection) -> Operation:
    """The newest rows are here, and the backfill is about to begin."""
    step(schedule.sync_now(connection, None))
    found: Operation = Operation.objects.get(kind="sync.backfill", connection=connection)
    return found


@pytest.mark.parametrize(
    ("advice", "least", "most"),
    [
        ({"retry_after": 120}, 118, 140),
        ({"retry_after": 3600}, 800, 1100),  # never longer than a quarter of an hour at once
        ({"retry_after": "date", "seconds": 120}, 110, 140),
        ({"retry_after": "soon"}, -60, 60),
        ({"retry_after": -3}, -60, 60),
        ({"retry_after": None}, -60, 60),
    ],
    ids=["seconds", "an hour", "date", "garbage", "negative", "none"],
)
def test_row_17_a_throttled_list_waits_as_told_and_holds_no_worker(
    sandbox: Sandbox, connect_to: Connect, advice: dict[str, Any], least: float, most: float
) -> None:
    connection = connect_to(sandbox)
    operation = first_rows(connection)
    faults(sandbox, {"kind": "throttle", "path": LIST, "after": chance().randint(0, 2), "times": 3, **advice})
    step(operation)
    if operation.state != State.DONE:  # a short or unreadable wait may be over within the step
        assert operation.state == State.WAITING
        assert operation.lease_owner == ""
        assert operation.error_code == "throttled"
        assert operation.next_run_at is not None
        assert least <= (operation.next_run_at - timezone.now()).total_seconds() <= most
    else:
        assert least < 0
    faults(sandbox)
    drain(connection)
    check_equal(connection, sandbox)
    assert Operation.objects.filter(kind="sync.backfill").count() == 1


def test_row_17_a_wait_of_a_second_is_kept_within_the_step(sandbox: Sandbox, connect_to: Connect) -> None:
    connection = connect_to(sandbox)
    operation = first_rows(connection)
    faults(sandbox, {"kind": "throttle", "path": LIST, "after": 1, "times": 1, "retry_after": 1})
    assert step(operation).state == State.DONE
    check_equal(connection, sandbox)


def test_row_19_four_server_errors_then_success_are_one_run(sandbox: Sandbox, connect_to: Connect) -> None:
    connection = connect_to(sandbox)
    operation = first_rows(connection)
    faults(
        sandbox, {"kind": "status", "status": 500, "path": LIST, "after": chance().randint(0, 3), "times": 4}
    )
    drain(connection)
    operation.refresh_from_db()
    assert operation.state == State.DONE
    assert Operation.objects.filter(kind="sync.backfill").count() == 1
    check_equal(connection, sandbox)


@pytest.mark.sandbox(rows=30, rows_elsewhere=30)
def test_row_20_an_endless_503_pauses_one_connection_with_one_clear_error(
    sandbox: Sandbox, connect_to: Connect
) -> None:
    broken, fine = connect_to(sandbox), connect_to(sandbox, "openai")
    faults(sandbox, {"kind": "status", "status": 503, "resource": "azure-v1", "path": LIST, "json": False})
    operation = schedule.sync_now(broken, None)
    step(operation)
    assert operation.state == State.WAITING
    mirror(fine)
    check_equal(fine, sandbox, "openai")
    for _ in range(9):
        if operation.is_live:
            step(operation)
    assert operation.state == State.FAILED
    assert "without progress" in operation.error_text
    assert "Traceback" not in operation.error_text
    assert "key" not in operation.error_text.lower()
    broken.refresh_from_db()
    assert broken.last_error["http_status"] == 503
    assert broken.state == Connection.State.CONNECTED  # the service is at fault; nobody has to edit anything
    faults(sandbox)
    mirror(broken)
    check_equal(broken, sandbox)


def test_row_21_a_page_that_times_out_is_read_whole_again(
    sandbox: Sandbox, connect_to: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults = client.Upstream.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "seconds", 0.4)
    connection = connect_to(sandbox)
    first_rows(connection)
    faults(sandbox, {"kind": "slow", "seconds": 1, "path": LIST, "after": chance().randint(0, 3), "times": 1})
    drain(connection)
    check_equal(connection, sandbox)


@pytest.mark.parametrize("path", [LIST, MESSAGES], ids=["list", "messages"])
@pytest.mark.sandbox(rows=16)
def test_row_22_a_body_cut_anywhere_is_never_stored_in_part(
    sandbox: Sandbox, connect_to: Connect, path: str
) -> None:
    whole = connect_to(sandbox)
    mirror(whole)
    expected = {
        body.completion.upstream_id: bytes(body.raw)
        for body in Body.objects.filter(completion__connection=whole).select_related("completion")
    }
    connection = connect_to(sandbox)
    for sixteenth in range(1, 16):
        faults(sandbox, {"kind": "cut", "fraction": sixteenth / 16, "path": path, "times": 2})
        mirror(connection)
        here = Body.objects.filter(completion__connection=connection).select_related("completion")
        assert {body.completion.upstream_id: bytes(body.raw) for body in here} == expected
        StoredCompletion.objects.filter(connection=connection).update(digest="read me again")
        swept(connection)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "invalid_json"},
        {"kind": "html200"},
        {"kind": "gzip_bomb", "megabytes": 1024},
        {"kind": "wrong_charset", "charset": "utf-16", "bytes": "utf-8"},
    ],
    ids=lambda fault: str(fault["kind"]),
)
@pytest.mark.sandbox(rows=30)
def test_row_23_an_unreadable_answer_is_told_in_words(
    sandbox: Sandbox, connect_to: Connect, fault: dict[str, Any]
) -> None:
    connection = connect_to(sandbox)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    faults(sandbox, {**fault, "path": LIST})
    operation = schedule.sync_now(connection, None)
    step(operation)
    if fault["kind"] == "wrong_charset":
        assert operation.state == State.DONE  # the bytes are UTF-8, whatever the header says
    else:
        assert operation.is_live or fault["kind"] == "gzip_bomb"  # a page that large stays as large
        assert operation.error_code == "unreadable"
        assert len(operation.error_text) > 20
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 300
    faults(sandbox)
    mirror(connection)
    check_equal(connection, sandbox)


def test_row_24_an_empty_page_that_promises_more_is_not_the_end(
    sandbox: Sandbox, connect_to: Connect
) -> None:
    connection = connect_to(sandbox)
    operation = first_rows(connection)
    faults(sandbox, {"kind": "empty_page", "path": LIST, "after": chance().randint(0, 3)})
    step(operation)
    assert operation.is_live
    assert operation.error_code == "stalled"
    assert not state(connection, SyncPass.BACKFILL).complete
    faults(sandbox)
    drain(connection)
    check_equal(connection, sandbox)


def test_row_25_a_service_that_ignores_the_cursor_is_found_out(sandbox: Sandbox, connect_to: Connect) -> None:
    connection = connect_to(sandbox)
    operation = first_rows(connection)
    before = requests(sandbox)["list"]
    faults(sandbox, {"kind": "ignore_after", "path": LIST})
    step(operation)
    assert operation.error_code == "loop"
    assert operation.is_live
    assert requests(sandbox)["list"] - before <= 3
    faults(sandbox)
    drain(connection)
    check_equal(connection, sandbox)


def stopped_half_way(sandbox: Sandbox, connection: Connection, operation: Operation) -> None:
    """The pass has read some pages and then met an error."""
    pages = chance().randint(1, 2)
    faults(sandbox, {"kind": "status", "status": 500, "path": LIST, "after": pages})
    step(operation)
    assert operation.state == State.WAITING
    assert state(connection, SyncPass(operation.kind.removeprefix("sync."))).rows == pages * 20
    faults(sandbox)


@pytest.mark.parametrize(
    "behind", [1, 3, 60], ids=["the cursor", "and two before", "everything that was read"]
)
def test_row_26_a_deleted_cursor_is_stepped_back_from(
    sandbox: Sandbox, connect_to: Connect, behind: int
) -> None:
    connection = connect_to(sandbox)
    operation = first_rows(connection)
    stopped_half_way(sandbox, connection, operation)
    read = state(connection, SyncPass.BACKFILL)
    ids = upstream_ids(sandbox)
    last = ids.index(read.cursor)
    delete(sandbox, ids[max(0, last + 1 - behind) : last + 1])
    drain(connection)
    operation.refresh_from_db()
    assert operation.state == State.DONE
    here = set(StoredCompletion.objects.values_list("upstream_id", flat=True))
    assert here >= set(upstream_ids(sandbox))
    check_whole(connection)


def test_row_27_rows_that_appear_while_paging_are_found(sandbox: Sandbox, connect_to: Connect) -> None:
    connection = connect_to(sandbox)
    operation = first_rows(connection)
    stopped_half_way(sandbox, connection, operation)
    control(sandbox, "POST", "/state", {"resource": "azure-v1", "op": "add", "count": 500})
    drain(connection)
    look(connection)
    assert StoredCompletion.objects.count() == 590
    check_equal(connection, sandbox)


def test_row_28_rows_deleted_during_a_sweep_and_only_those_are_marked(
    sandbox: Sandbox, connect_to: Connect
) -> None:
    connection = connect_to(sandbox)
    mirror(connection)
    operation = schedule.sweep_now(connection, None)
    stopped_half_way(sandbox, connection, operation)
    ids = upstream_ids(sandbox)
    gone = chance().sample(ids, len(ids) // 5)
    delete(sandbox, gone)
    drain(connection)
    swept(connection)  # finds those that the first one had seen before they went
    marked = StoredCompletion.objects.filter(gone_at__isnull=False).values_list("upstream_id", flat=True)
    assert sorted(marked) == sorted(gone)
    assert StoredCompletion.objects.count() == 90


def test_row_29_a_sweep_that_stops_half_way_marks_nothing(sandbox: Sandbox, connect_to: Connect) -> None:
    connection = connect_to(sandbox)
    mirror(connection)
    delete(sandbox, upstream_ids(sandbox)[::7])
    operation = schedule.sweep_now(connection, None)
    stopped_half_way(sandbox, connection, operation)
    assert not StoredCompletion.objects.filter(gone_at__isnull=False).exists()


@pytest.mark.parametrize("where", ["within", "between"])
def test_row_30_ids_that_come_twice_are_one_row(sandbox: Sandbox, connect_to: Connect, where: str) -> None:
    connection = connect_to(sandbox)
    faults(sandbox, {"kind": "duplicate_ids", "where": where, "path": LIST})
    mirror(connection)
    faults(sandbox)
    check_equal(connection, sandbox)


@pytest.mark.parametrize("field", ["id", "created"])
def test_row_31_an_item_without_id_or_created_is_set_aside_once(
    sandbox: Sandbox, connect_to: Connect, field: str, reader: User, client_of: Callable[[User], Client]
) -> None:
    connection = connect_to(sandbox)
    index = chance().randint(0, 18)
    faults(sandbox, {"kind": "strip", "fields": [field], "path": LIST, "index": index})
    mirror(connection)
    look(connection)
    look(connection)
    aside = Quarantine.objects.filter(connection=connection)
    assert aside.count() > 0
    assert aside.filter(seen__gt=1).exists()  # met again, kept once
    digests = list(aside.values_list("digest", flat=True))
    assert len(digests) == len(set(digests))
    page = client_of(reader).get(reverse("completions:health", args=[connection.slug]))
    assert aside.values_list("reason", flat=True)[0] in page.content.decode()
    faults(sandbox)
    swept(connection)
    check_equal(connection, sandbox)
    if field == "created":
        assert not aside.exists()  # they have an id, so it is known that they were stored after all


@pytest.mark.sandbox(rows=10)
def test_row_31_missing_choices_or_messages_are_stored_and_flagged(
    sandbox: Sandbox, connect_to: Connect
) -> None:
    plant(
        sandbox,
        completion={"id": "no-choices", "model": "m"},
        messages=[{"role": "user", "content": "hello"}],
    )
    plant(sandbox, completion={"id": "no-messages", "model": "m", "choices": []})
    faults(
        sandbox,
        {
            "kind": "status",
            "status": 404,
            "code": "notFound",
            "path": "/chat/completions/no-messages/messages",
        },
    )
    connection = connect_to(sandbox)
    mirror(connection)
    assert not Quarantine.objects.exists()
    assert "no_choices" in StoredCompletion.objects.get(upstream_id="no-choices").flags
    row = StoredCompletion.objects.get(upstream_id="no-messages")
    assert row.messages_state == MessagesState.GONE
    assert "no_messages" in row.flags


@pytest.mark.parametrize("what", ["role", "part", "field"])
@pytest.mark.sandbox(rows=20)
def test_row_32_what_is_not_understood_is_kept_and_shown(
    sandbox: Sandbox, connect_to: Connect, what: str
) -> None:
    connection = connect_to(sandbox)
    faults(sandbox, {"kind": "poison", "what": what, "path": LIST if what == "field" else MESSAGES})
    mirror(connection)
    assert StoredCompletion.objects.filter(messages_state="ok").count() == 20
    for body in Body.objects.filter(completion__connection=connection).select_related("completion"):
        item, messages = raw.read(raw.unpack(body.raw))
        if what == "field":
            assert item["x_future"] == {"schema": 99, "nested": [1, {"two": None}]}
        else:
            assert parse(item, messages).unknown
            assert "unknown_part" in body.completion.flags


POISON = {
    "nul": "nul",
    "surrogate": "surrogate",
    "nan": "not_finite",
    "infinity": "not_finite",
    "overflow": "not_finite",
    "bigint": "big_number",
}


@pytest.mark.parametrize("what", [*POISON, "deep", "bidi"])
@pytest.mark.parametrize("path", [LIST, MESSAGES], ids=["list", "messages"])
@pytest.mark.sandbox(rows=20)
def test_row_33_poisoned_values_are_repaired_and_flagged_or_set_aside(
    sandbox: Sandbox, connect_to: Connect, what: str, path: str
) -> None:
    connection = connect_to(sandbox)
    faults(sandbox, {"kind": "poison", "what": what, "path": path, "every": chance().randint(2, 4)})
    mirror(connection)
    assert not Operation.objects.exclude(state=State.DONE).exists()
    poisoned = list(StoredCompletion.objects.all())
    aside = Quarantine.objects.all()
    if what in POISON:
        poisoned = [row for row in poisoned if POISON[what] in row.flags]
        assert len(poisoned) >= 4
        assert not aside.exists()
        body = Body.objects.get(pk=poisoned[0].pk)
        unpacked = raw.unpack(body.raw)
        everything = unpacked.item + b"".join(unpacked.pages or ())
        marks = (b"\\u0000", b"\\ud800", b"NaN", b"Infinity", b"1e400", b"9223372036854775808")
        assert any(mark in everything for mark in marks)
        assert "\x00" not in body.answer_text + body.prompt_text
    elif what == "deep" and path == LIST:
        assert aside.exists()
    elif what == "deep":
        assert any("messages_unreadable" in row.flags for row in poisoned)
    check_whole(connection)
    faults(sandbox)
    assert StoredCompletion.objects.count() + aside.count() >= 20


@pytest.mark.sandbox(rows=5)
def test_row_33_doubled_keys_and_broken_metadata_are_flagged(sandbox: Sandbox, connect_to: Connect) -> None:
    created = int(time())
    plant(
        sandbox,
        id="doubled",
        raw=f'{{"id":"doubled","created":{created},"model":"a","model":"b","choices":[]}}',
    )
    plant(
        sandbox,
        id="odd",
        raw=json.dumps(
            {
                "id": "odd",
                "created": created,
                "choices": [],
                "metadata": {
                    "n": 1,
                    "deep": {"a": [1]},
                    "__proto__": "x",
                    "": "empty",
                    "k" * 300: "v" * 3000,
                },
            }
        ),
    )
    plant(sandbox, id="list", raw=f'{{"id":"list","created":{created},"choices":[],"metadata":[1,2]}}')
    connection = connect_to(sandbox)
    mirror(connection)
    doubled = StoredCompletion.objects.get(upstream_id="doubled")
    assert (doubled.model, "duplicate_key" in doubled.flags) == ("b", True)
    odd = StoredCompletion.objects.get(upstream_id="odd")
    assert odd.metadata["n"] == "1"
    assert odd.metadata["deep"] == '{"a":[1]}'
    assert {"metadata_not_text", "metadata_cut"} <= set(odd.flags)
    assert "metadata_unreadable" in StoredCompletion.objects.get(upstream_id="list").flags
    check_whole(connection)


@pytest.mark.parametrize("megabytes", [1, 20, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.sandbox(rows=3)
def test_row_34_a_huge_message_is_stored_whole(sandbox: Sandbox, connect_to: Connect, megabytes: int) -> None:
    text = "Lorem ipsum " * (megabytes * 1_000_000 // 12)
    plant(sandbox, completion={"id": "huge", "choices": []}, messages=[{"role": "user", "content": text}])
    connection = connect_to(sandbox)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    mirror(connection)
    row = StoredCompletion.objects.get(upstream_id="huge")
    assert row.messages_state == MessagesState.OK
    assert "text_cut" in row.flags
    assert len(row.prompt_preview) <= 160
    _, messages = raw.read(raw.unpack(Body.objects.get(pk=row.pk).raw))
    assert messages is not None
    assert messages[0]["content"] == text
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 200 + 25 * megabytes  # bounded by the message, not by the mirror
    check_whole(connection)


@pytest.mark.sandbox(rows=3)
def test_row_35_ten_thousand_messages_come_in_order(sandbox: Sandbox, connect_to: Connect) -> None:
    told = [{"role": ("user", "assistant")[n % 2], "content": f"line {n}"} for n in range(10_000)]
    plant(sandbox, completion={"id": "long", "choices": []}, messages=told)
    connection = connect_to(sandbox)
    mirror(connection)
    row = StoredCompletion.objects.get(upstream_id="long")
    assert (row.messages_state, row.turns) == (MessagesState.OK, 5_000)
    _, messages = raw.read(raw.unpack(Body.objects.get(pk=row.pk).raw))
    assert messages is not None
    assert [message["content"] for message in messages] == [message["content"] for message in told]


def test_row_40_metadata_changed_upstream_is_taken_by_a_sweep(sandbox: Sandbox, connect_to: Connect) -> None:
    connection = connect_to(sandbox)
    mirror(connection)
    ids = chance().sample(upstream_ids(sandbox), 9)
    control(
        sandbox,
        "POST",
        "/state",
        {"resource": "azure-v1", "op": "change", "ids": ids, "metadata": {"at": formatdate(0)}},
    )
    operation = swept(connection)
    assert operation.result["changed"] == 9
    changed = [row.upstream_id for row in StoredCompletion.objects.all() if "at" in row.metadata]
    assert sorted(changed) == sorted(ids)
    check_whole(connection)
