"""Deletion against a provider that throttles, fails and forgets; its journal says what was really done."""

import hashlib
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import storages

from completions import deleting, ledger
from completions.models import ChangeOrder, StoredCompletion, UpstreamChange
from portal import operations
from portal.models import AuditEntry, Connection, Grant, Operation, User
from portal.sandbox import Sandbox
from tests import factories
from tests.completions.changing import (
    answers,
    copies,
    free_leases,
    frozen,
    own_folder,
    receipt_of,
    wait_until,
    work_off,
    worker,
)
from tests.completions.mirroring import check_whole, hurry, step, upstream_ids
from tests.portal.sandbox_client import control, faults

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.engines]
Connect = Callable[..., Connection]
Mode = ChangeOrder.Mode
State = UpstreamChange.State


@pytest.fixture(autouse=True)
def _here(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_folder(settings, tmp_path / "files")
    settings.OPERATION_BACKOFF_SECONDS = 0.01
    hurry(monkeypatch)


@pytest.fixture
def source(sandbox: Sandbox, connect_to: Connect) -> Connection:
    return connect_to(sandbox, name="Source")


@pytest.mark.slow
@pytest.mark.sandbox(rows=520, rows_elsewhere=5)
def test_five_hundred_are_deleted_once_each_though_the_worker_is_killed_twice(
    sandbox: Sandbox, source: Connection, builder: User
) -> None:
    everything = upstream_ids(sandbox)
    rows = copies(source, sandbox, "azure-v1", 500, metadata=False)
    ids = [row.upstream_id for row in rows]
    faults(
        sandbox,
        {
            "kind": "throttle",
            "method": "DELETE",
            "after": 40,
            "times": 6,
            "retry_after": None,
            "retry_after_ms": 40,
        },
        {"kind": "throttle", "method": "DELETE", "after": 400, "times": 1, "retry_after": 3},
        {
            "kind": "throttle",
            "method": "DELETE",
            "probability": 0.05,
            "retry_after": None,
            "retry_after_ms": 20,
        },
    )
    made = deleting.order(builder, frozen(builder, rows), Mode.UPSTREAM)
    assert made.operation_id is not None

    control(sandbox, "POST", "/settings", {"latency_ms": 20})  # so that it is killed in the middle
    running = worker(made.operation_id)
    wait_until(lambda: sum(n for (_, status), n in answers(sandbox, "DELETE").items() if status == 200) > 40)
    running.send_signal(signal.SIGKILL)
    assert running.wait(10) == -signal.SIGKILL
    control(sandbox, "POST", "/settings", {"latency_ms": 0})
    free_leases()
    assert worker(made.operation_id, "change.answered:3").wait(30) == 137
    free_leases()
    unrecorded = UpstreamChange.objects.filter(order=made, state=State.SENT).count()
    assert unrecorded
    assert work_off(made).state == Operation.State.DONE

    told = answers(sandbox, "DELETE")
    assert {name for name, _ in told} == set(ids)
    assert {name: told[name, 200] for name in ids} == dict.fromkeys(ids, 1)
    assert {status for _, status in told} == {200, 404, 429}
    assert set(upstream_ids(sandbox)) == set(everything) - set(ids)
    _, lines = receipt_of(made)
    assert sorted(line["id"] for line in lines) == sorted(ids)
    for line in lines:
        again = told[line["id"], 404]
        assert (line["outcome"], line["status"]) == ("Done", 404 if again else 200), line
        assert ("note" in line and "unrecorded" in line["note"]) == bool(again), line
    assert StoredCompletion.objects.filter(connection=source, gone_at__isnull=False).count() == 500


@pytest.mark.parametrize("mode", list(Mode))
def test_each_mode_deletes_where_it_says_and_nowhere_else(
    sandbox: Sandbox, source: Connection, builder: User, mode: Mode
) -> None:
    everything = upstream_ids(sandbox)
    rows = copies(source, sandbox, "azure-v1", 6)
    ids = {row.upstream_id for row in rows[:4]}
    made = deleting.order(builder, frozen(builder, rows[:4]), mode)
    operation = work_off(made)
    assert (operation.state, operation.done, operation.total) == (Operation.State.DONE, 4, 4)
    here = {row.upstream_id: row.gone_at is None for row in StoredCompletion.objects.all()}
    kept = {row.upstream_id: True for row in rows[4:]}
    assert here == kept | (dict.fromkeys(ids, False) if mode == Mode.UPSTREAM else {})
    assert set(upstream_ids(sandbox)) == set(everything) - (set() if mode == Mode.HERE else ids)
    check_whole(source)


def test_a_receipt_says_who_when_what_and_how_it_ended_and_stays(
    sandbox: Sandbox, source: Connection, builder: User
) -> None:
    rows = copies(source, sandbox, "azure-v1", 3)
    made = deleting.order(builder, frozen(builder, [], q=f"connection:{source.slug}"), Mode.BOTH)
    work_off(made)
    assert not StoredCompletion.objects.exists()
    Operation.objects.all().delete()
    made.refresh_from_db()
    head, lines = receipt_of(made)
    assert (head["by"], head["filter"], head["selected"]) == ("builder", f"connection:{source.slug}", 3)
    assert head["asked"] == made.created.isoformat()
    assert head["where"] == "Upstream and here"
    assert "Source" in head["selection"] or source.slug in head["selection"]
    assert head["counts"] == {"Done": 3}
    assert {(line["id"], line["status"]) for line in lines} == {(row.upstream_id, 200) for row in rows}
    with storages["artifacts"].open(made.receipt, "rb") as file:
        data = file.read()
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (made.receipt_sha256, made.receipt_size)
    assert AuditEntry.objects.filter(verb="deletion.started", actor=builder).count() == 1


def test_one_that_is_gone_already_counts_as_deleted_and_says_so(
    sandbox: Sandbox, source: Connection, builder: User
) -> None:
    rows = copies(source, sandbox, "azure-v1", 2)
    faults(sandbox, {"kind": "drop", "effect": "after", "method": "DELETE", "times": 1})
    made = deleting.order(builder, frozen(builder, rows[:1]), Mode.UPSTREAM)
    work_off(made)
    again = deleting.order(builder, frozen(builder, rows), Mode.UPSTREAM)
    work_off(again)
    assert [(row.status, row.note) for row in made.changes.all()] == [
        (404, "Gone after an unrecorded answer.")
    ]
    ended = {row.upstream_id: (row.state, row.status, row.note) for row in again.changes.all()}
    assert ended == {
        rows[0].upstream_id: (State.DONE, 404, "It was gone upstream already."),
        rows[1].upstream_id: (State.DONE, 200, ""),
    }


def test_a_row_that_fails_is_listed_and_tried_again_alone(
    sandbox: Sandbox, source: Connection, builder: User
) -> None:
    rows = copies(source, sandbox, "azure-v1", 5)
    bad = rows[2]
    fault = {"kind": "status", "status": 500, "method": "DELETE", "path": f"*{bad.upstream_id}"}
    faults(sandbox, fault)
    made = deleting.order(builder, frozen(builder, rows), Mode.BOTH)
    assert work_off(made).state == Operation.State.DONE
    assert ledger.counts(made) == {State.DONE: 4, State.UNKNOWN: 1}
    left = made.changes.get(state=State.UNKNOWN)
    assert (left.upstream_id, left.status, left.tries) == (bad.upstream_id, 500, ledger.MOST_TRIES)
    assert "failed on its side" in left.error
    assert [row.pk for row in StoredCompletion.objects.all()] == [bad.pk]
    first = made.receipt
    faults(sandbox)
    assert deleting.try_again(made, builder) == 1
    work_off(made)
    assert ledger.counts(made) == {State.DONE: 5}
    assert not StoredCompletion.objects.exists()
    _, lines = receipt_of(made)
    assert len(lines) == 5
    assert made.receipt != first
    assert not storages["artifacts"].exists(first)
    assert {n for (_, status), n in answers(sandbox, "DELETE").items() if status == 200} == {1}


def test_a_key_that_may_only_read_fails_every_row_with_what_is_missing(
    sandbox: Sandbox, connect_to: Connect, builder: User
) -> None:
    able = connect_to(sandbox, name="Able")
    unable = connect_to(sandbox, "openai", key="sandbox-openai-read-only-key", name="Unable")
    rows = [*copies(able, sandbox, "azure-v1", 3), *copies(unable, sandbox, "openai", 9)]
    made = deleting.order(builder, frozen(builder, rows), Mode.BOTH)
    assert work_off(made).state == Operation.State.DONE
    assert ledger.counts(made) == {State.DONE: 3, State.FAILED: 9}
    assert {row.error for row in made.changes.filter(state=State.FAILED)} == {
        made.changes.filter(connection=unable)[0].error
    }
    assert "insufficient permissions" in made.changes.filter(connection=unable)[0].error
    assert sum(answers(sandbox, "DELETE").values()) <= 3 + 4
    assert StoredCompletion.objects.count() == 9


def test_a_deletion_that_is_cancelled_stops_and_has_a_receipt_of_what_was_done(
    sandbox: Sandbox, source: Connection, builder: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "SENT_AT_ONCE", 4)
    rows = copies(source, sandbox, "azure-v1", 12)
    faults(sandbox, {"kind": "throttle", "method": "DELETE", "after": 4, "retry_after": 60})
    made = deleting.order(builder, frozen(builder, rows), Mode.UPSTREAM)
    operation = Operation.objects.get(kind=deleting.KIND)
    assert step(operation).state == Operation.State.WAITING
    assert operations.cancel(operation, builder)
    step(Operation.objects.get(kind="completions.receipt"))
    made.refresh_from_db()
    head, lines = receipt_of(made)
    assert head["counts"] == {"To be done": 8, "Done": 4}
    assert sum(line["status"] == 200 for line in lines) == 4
    faults(sandbox)
    again = operations.retry(operation, builder)
    made.operation = again
    made.save()
    assert work_off(made).state == Operation.State.DONE
    assert {n for (_, status), n in answers(sandbox, "DELETE").items() if status == 200} == {1}
    assert ledger.counts(made) == {State.DONE: 12}


@pytest.mark.parametrize("mode", [Mode.UPSTREAM, Mode.BOTH])
def test_what_a_sync_stores_again_meanwhile_does_not_stay(
    sandbox: Sandbox, source: Connection, builder: User, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    monkeypatch.setattr(ledger, "SENT_AT_ONCE", 2)
    rows = copies(source, sandbox, "azure-v1", 4)
    faults(sandbox, {"kind": "throttle", "method": "DELETE", "after": 2, "retry_after": 60})
    made = deleting.order(builder, frozen(builder, rows), mode)
    assert step(Operation.objects.get(kind=deleting.KIND)).state == Operation.State.WAITING
    faults(sandbox)
    done = list(made.changes.filter(state=State.DONE).values_list("upstream_id", flat=True))
    assert len(done) == 2
    for name in done:  # a page that was read before the deletion is absorbed after it
        if mode == Mode.BOTH:
            factories.make_completion(source, upstream_id=name)
        else:
            StoredCompletion.objects.filter(upstream_id=name).update(gone_at=None)
    work_off(made)
    left = StoredCompletion.objects.filter(connection=source)
    assert left.count() == (0 if mode == Mode.BOTH else 4)
    assert not left.filter(gone_at=None).exists()
    check_whole(source)


def test_whoever_loses_the_right_meanwhile_deletes_nothing_more(
    sandbox: Sandbox, source: Connection, builder: User
) -> None:
    rows = copies(source, sandbox, "azure-v1", 3)
    made = deleting.order(builder, frozen(builder, rows), Mode.BOTH)
    Grant.objects.filter(user=builder).update(role="reviewer")
    operation = work_off(made)
    assert (operation.state, operation.error_code) == (Operation.State.FAILED, "rights")
    assert not answers(sandbox, "DELETE")
    assert StoredCompletion.objects.count() == 3


def test_the_same_selection_is_deleted_once_however_often_the_form_is_sent(
    sandbox: Sandbox, source: Connection, builder: User
) -> None:
    chosen = frozen(builder, copies(source, sandbox, "azure-v1", 3))
    first, second = (deleting.order(builder, chosen, Mode.UPSTREAM) for _ in range(2))
    assert first == second
    assert Operation.objects.filter(kind=deleting.KIND).count() == 1


def test_many_are_deleted_only_when_their_number_is_typed(
    sandbox: Sandbox, source: Connection, builder: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deleting, "TYPED_ABOVE", 2)
    chosen = frozen(builder, copies(source, sandbox, "azure-v1", 3))
    for typed in ("", "2", "three"):
        with pytest.raises(ledger.Refused, match="Type the number 3"):
            deleting.order(builder, chosen, Mode.UPSTREAM, typed)
    assert not ChangeOrder.objects.exists()
    assert deleting.order(builder, chosen, Mode.UPSTREAM, " 3 ").count == 3
