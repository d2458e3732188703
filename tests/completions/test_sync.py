"""The mirror: newest first, then everything, then what is new; and the sweep."""

import json
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from completions import missing, raw, schedule, search, sync, walk
from completions.models import Body, MessagesState, Quarantine, StoredCompletion, SyncPass, Term
from completions.search.index import among
from portal.models import Connection, Operation
from portal.sandbox import Sandbox
from tests.completions.mirroring import (
    LIST,
    MESSAGES,
    check_equal,
    check_whole,
    delete,
    drain,
    hurry,
    look,
    mirror,
    plant,
    requests,
    snapshot,
    state,
    step,
    swept,
    upstream_ids,
)
from tests.portal.sandbox_client import advance, control, faults

pytestmark = [pytest.mark.engines, pytest.mark.django_db(transaction=True)]
Connect = Callable[..., Connection]


@pytest.fixture(autouse=True)
def _alone_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "PAGE", 20)
    monkeypatch.setattr(walk, "BATCH", 7)
    monkeypatch.setattr(walk, "IN_FLIGHT", 21)
    monkeypatch.setattr(sync, "FIRST_ROWS", 40)


@pytest.mark.sandbox(rows=250)
@pytest.mark.usefixtures("small_pages")
def test_the_mirror_holds_what_upstream_holds_byte_for_byte(sandbox: Sandbox, connect_to: Connect) -> None:
    connection = connect_to(sandbox)
    mirror(connection)
    check_equal(connection, sandbox)
    assert requests(sandbox)["messages"] == 250
    request = urllib.request.Request(  # noqa: S310  # our own loopback server
        f"{sandbox.base_url('azure-v1')}chat/completions?limit=100&order=desc",
        headers={"api-key": "sandbox-azure-v1-key"},
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310  # as above
        page = answer.read()
    for body in Body.objects.filter(completion__connection=connection).order_by("-completion__created")[:50]:
        assert raw.unpack(body.raw).item in page
    assert not Quarantine.objects.exists()


@pytest.mark.sandbox(rows=100)
@pytest.mark.usefixtures("small_pages")
def test_the_newest_rows_come_first(sandbox: Sandbox, connect_to: Connect) -> None:
    connection = connect_to(sandbox)
    first = schedule.sync_now(connection, None)
    step(first)
    assert first.state == Operation.State.DONE
    here = StoredCompletion.objects.order_by("-created", "-id").values_list("upstream_id", flat=True)
    assert list(here) == upstream_ids(sandbox)[:-41:-1]
    assert list(Operation.objects.live().values_list("kind", flat=True)) == ["sync.backfill"]


@pytest.mark.sandbox(rows=60)
@pytest.mark.usefixtures("small_pages")
def test_reading_everything_again_asks_for_no_messages_and_changes_nothing(
    sandbox: Sandbox, connect_to: Connect
) -> None:
    connection = connect_to(sandbox)
    mirror(connection)
    before, asked = snapshot(connection), requests(sandbox)["messages"]
    look(connection)
    swept(connection)
    assert snapshot(connection) == before
    assert requests(sandbox)["messages"] == asked
    assert state(connection, SyncPass.SWEEP).counts["same"] == 60


@pytest.mark.sandbox(rows=60)
@pytest.mark.usefixtures("small_pages")
def test_new_rows_are_found_by_reading_no_more_than_is_needed(sandbox: Sandbox, connect_to: Connect) -> None:
    connection = connect_to(sandbox)
    mirror(connection)
    advance(sandbox, 3600)
    control(sandbox, "POST", "/state", {"resource": "azure-v1", "op": "add", "count": 5})
    before = requests(sandbox)
    operation = look(connection)
    after = requests(sandbox)
    assert operation.result["new"] == 5
    assert after["messages"] - before["messages"] == 5
    assert after["list"] - before["list"] <= 2
    check_equal(connection, sandbox)


@pytest.mark.sandbox(rows=60)
@pytest.mark.usefixtures("small_pages")
def test_a_row_that_appears_late_is_found_by_the_overlap(sandbox: Sandbox, connect_to: Connect) -> None:
    connection = connect_to(sandbox)
    mirror(connection)
    watermark = state(connection, SyncPass.INCREMENTAL).watermark
    assert watermark is not None
    late = plant(sandbox, completion={"id": "late", "created": watermark - 300, "model": "m", "choices": []})
    look(connection)
    assert StoredCompletion.objects.filter(upstream_id=late).exists()


@pytest.mark.sandbox(rows=100)
@pytest.mark.usefixtures("small_pages")
def test_new_rows_arrive_while_the_backfill_is_under_way(sandbox: Sandbox, connect_to: Connect) -> None:
    connection = connect_to(sandbox)
    step(schedule.sync_now(connection, None))
    plant(sandbox, completion={"id": "fresh", "model": "m", "choices": []}, messages=[])
    newer = schedule.sync_now(connection, None)
    assert newer.kind == "sync.incremental"
    step(newer)
    assert newer.state == Operation.State.DONE
    assert StoredCompletion.objects.filter(upstream_id="fresh").exists()
    assert not state(connection, SyncPass.BACKFILL).complete
    drain(connection)
    check_equal(connection, sandbox)


@pytest.mark.sandbox(rows=30)
def test_each_personality_is_mirrored(sandbox: Sandbox, connect_to: Connect) -> None:
    for personality in ("azure-v1", "azure-dated", "openai"):
        connection = connect_to(sandbox, personality)
        mirror(connection)
        check_equal(connection, sandbox, personality)
        assert StoredCompletion.objects.filter(connection=connection, messages_state="ok").exists()


@pytest.mark.sandbox(rows=50)
def test_only_rows_that_are_gone_upstream_are_marked(sandbox: Sandbox, connect_to: Connect) -> None:
    connection = connect_to(sandbox)
    mirror(connection)
    ids = upstream_ids(sandbox)
    gone, changed = ids[::5], ids[1]
    delete(sandbox, gone)
    control(
        sandbox,
        "POST",
        "/state",
        {
            "resource": "azure-v1",
            "op": "change",
            "ids": [changed],
            "metadata": {"env": "moved", "extra": "1"},
        },
    )
    look(connection)
    assert not StoredCompletion.objects.filter(gone_at__isnull=False).exists()  # no sweep, no mark
    kept = StoredCompletion.objects.get(upstream_id=changed).pk
    messages = requests(sandbox)["messages"]
    swept(connection)
    marked = StoredCompletion.objects.filter(gone_at__isnull=False).values_list("upstream_id", flat=True)
    assert sorted(marked) == sorted(gone)
    row = StoredCompletion.objects.get(upstream_id=changed)
    assert (row.pk, row.metadata["env"], row.metadata["extra"]) == (kept, "moved", "1")
    assert requests(sandbox)["messages"] == messages  # they are immutable, and here already
    assert raw.unpack(Body.objects.get(pk=kept).raw).pages
    check_whole(connection)


@pytest.mark.sandbox(rows=20)
def test_a_row_that_a_listing_leaves_out_but_that_exists_is_not_gone(
    sandbox: Sandbox, connect_to: Connect
) -> None:
    connection = connect_to(sandbox)
    mirror(connection)
    control(sandbox, "POST", "/state", {"resource": "azure-v1", "op": "add", "count": 3})
    look(connection)
    faults(sandbox, {"kind": "lag", "path": LIST, "seconds": 3600})  # the three are not listed, but there
    operation = swept(connection)
    assert operation.result["there but not listed"] == 3
    assert not StoredCompletion.objects.filter(gone_at__isnull=False).exists()


@pytest.mark.sandbox(rows=20)
def test_a_row_that_comes_back_is_no_longer_gone(sandbox: Sandbox, connect_to: Connect) -> None:
    connection = connect_to(sandbox)
    mirror(connection)
    StoredCompletion.objects.filter(upstream_id=upstream_ids(sandbox)[0]).update(gone_at=timezone.now())
    swept(connection)
    assert not StoredCompletion.objects.filter(gone_at__isnull=False).exists()


@pytest.mark.sandbox(rows=30)
def test_rows_whose_messages_fail_are_filled_later_and_found_by_their_words_then(
    sandbox: Sandbox, connect_to: Connect
) -> None:
    connection = connect_to(sandbox)
    broken = upstream_ids(sandbox)[3]
    faults(
        sandbox, {"kind": "status", "status": 500, "path": f"/chat/completions/{broken}/messages", "times": 4}
    )
    step(schedule.sync_now(connection, None))
    row = StoredCompletion.objects.get(upstream_id=broken)
    assert (row.messages_state, row.turns) == (MessagesState.PENDING, None)
    assert StoredCompletion.objects.filter(messages_state="ok").count() == 29
    check_whole(connection)  # the pending one is not in the text index
    assert missing.pending(connection.pk).count() == 1
    drain(connection)
    row.refresh_from_db()
    assert row.messages_state == MessagesState.OK
    assert row.turns is not None
    check_equal(connection, sandbox)


@pytest.mark.sandbox(rows=30)
def test_messages_that_never_come_are_given_up_and_say_so(sandbox: Sandbox, connect_to: Connect) -> None:
    connection = connect_to(sandbox)
    broken = upstream_ids(sandbox)[3]
    faults(sandbox, {"kind": "invalid_json", "path": f"/chat/completions/{broken}/messages"})
    mirror(connection)
    row = StoredCompletion.objects.get(upstream_id=broken)
    assert row.messages_state == MessagesState.FAILED
    assert "messages_unreadable" in row.flags
    check_whole(connection)


@pytest.mark.sandbox(rows=60)
@pytest.mark.usefixtures("small_pages")
def test_the_scope_is_asked_for_and_checked_again(sandbox: Sandbox, connect_to: Connect) -> None:
    rows: list[Any] = []
    everything = connect_to(sandbox)
    mirror(everything)
    rows = list(StoredCompletion.objects.filter(connection=everything))
    model = rows[0].model
    since = sorted(row.created for row in rows)[40]
    of_model = connect_to(sandbox, scope_model=model)
    recent = connect_to(sandbox, scope_since=datetime.fromtimestamp(since, UTC))
    key, value = next(iter(rows[0].metadata.items()))
    tagged = connect_to(sandbox, scope_metadata={key: value})
    for connection, wanted in (
        (of_model, {row.upstream_id for row in rows if row.model == model}),
        (recent, {row.upstream_id for row in rows if row.created >= since}),
        (tagged, {row.upstream_id for row in rows if row.metadata.get(key) == value}),
    ):
        mirror(connection)
        here = StoredCompletion.objects.filter(connection=connection).values_list("upstream_id", flat=True)
        assert set(here) == wanted
        assert 0 < len(wanted) < 60
        assert not swept(connection).result.get("gone upstream")


@pytest.mark.sandbox(rows=20)
def test_counts_of_terms_stay_exact_when_metadata_changes(sandbox: Sandbox, connect_to: Connect) -> None:
    connection = connect_to(sandbox)
    mirror(connection)
    for value in ("a", "b", "a"):
        control(
            sandbox,
            "POST",
            "/state",
            {"resource": "azure-v1", "op": "change", "every": 2, "metadata": {"round": value}},
        )
        swept(connection)
        check_whole(connection)
    assert Term.objects.get(connection=connection, key="round", value="a").n == 10
    assert Term.objects.get(connection=connection, key="round", value="b").n == 0


@pytest.mark.sandbox(rows=20)
def test_words_that_left_a_row_no_longer_find_it(sandbox: Sandbox, connect_to: Connect) -> None:
    connection = connect_to(sandbox)
    answer = {"role": "assistant", "content": "quokka"}
    name = plant(sandbox, completion={"id": "animal", "choices": [{"index": 0, "message": answer}]})
    mirror(connection)
    row = StoredCompletion.objects.get(upstream_id=name)
    found = search.TextQuery((search.term("quokka"),))  # type: ignore[arg-type]  # it holds a word
    assert among(np.array([row.pk]), found).all()
    plant(
        sandbox,
        completion={"id": "animal", "choices": [{"index": 0, "message": {**answer, "content": "wombat"}}]},
    )
    swept(connection)
    assert not among(np.array([row.pk]), found).any()


@pytest.mark.sandbox(rows=10)
def test_what_is_due_follows_schedule_state_and_errors(sandbox: Sandbox, connect_to: Connect) -> None:
    connection = connect_to(sandbox, sync_enabled=True)
    assert schedule.due(connection) == [SyncPass.NEWEST]
    schedule.begin_due()
    schedule.begin_due()  # a second beat
    assert Operation.objects.count() == 1
    drain(connection)
    assert schedule.due(connection) == []
    an_age_ago = timezone.now() - timedelta(days=2)
    for sync_pass in (SyncPass.INCREMENTAL, SyncPass.BACKFILL):
        found = state(connection, sync_pass)
        found.finished = an_age_ago
        found.save()
    assert set(schedule.due(connection)) == {SyncPass.INCREMENTAL, SyncPass.SWEEP}
    failed = schedule.sync_now(connection, None)
    Operation.objects.filter(pk=failed.pk).update(state=Operation.State.FAILED, finished=timezone.now())
    assert SyncPass.INCREMENTAL not in schedule.due(connection)  # not at once again
    Operation.objects.filter(pk=failed.pk).update(finished=an_age_ago)
    assert SyncPass.INCREMENTAL in schedule.due(connection)
    Connection.objects.filter(pk=connection.pk).update(state=Connection.State.DISCONNECTED)
    assert schedule.begin_due() == 0


@pytest.mark.sandbox(rows=10)
def test_the_command_mirrors_and_says_what_went_wrong(sandbox: Sandbox, connect_to: Connect) -> None:
    connection = connect_to(sandbox, slug="main")
    out = StringIO()
    call_command("sync", "main", stdout=out)
    assert "10 rows are here" in out.getvalue()
    call_command("sync", "main", sweep=True, stdout=out)
    check_equal(connection, sandbox)
    with pytest.raises(CommandError, match="no connection"):
        call_command("sync", "other", stdout=out)
    wrong = connect_to(sandbox, slug="wrong", key="not-the-key")
    with pytest.raises(CommandError):
        call_command("sync", "wrong", stdout=out)
    wrong.refresh_from_db()
    assert wrong.state == Connection.State.ATTENTION


@pytest.mark.sandbox(rows=30)
def test_requests_in_flight_shrink_when_the_service_throttles(
    sandbox: Sandbox, connect_to: Connect, settings: Any
) -> None:
    settings.SYNC_CONCURRENCY = 8
    connection = connect_to(sandbox)
    faults(sandbox, {"kind": "throttle", "path": MESSAGES, "retry_after": 0.05, "probability": 0.3})
    mirror(connection)
    check_equal(connection, sandbox)
    first = Operation.objects.get(kind="sync.newest")
    assert first.lines.filter(text__contains="slow down").exists()


@pytest.mark.sandbox(rows=30)
def test_raw_answers_are_read_again_as_they_were(sandbox: Sandbox, connect_to: Connect) -> None:
    connection = connect_to(sandbox)
    mirror(connection)
    for body in Body.objects.filter(completion__connection=connection).select_related("completion"):
        item, messages = raw.read(raw.unpack(body.raw))
        assert item["id"] == body.completion.upstream_id
        assert messages
        assert json.loads(raw.unpack(body.raw).item) == item
