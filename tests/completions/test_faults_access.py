"""Tokens that end, keys that are revoked, rights that are missing: one connection stops, the others go on."""

import io
import os
from collections.abc import Callable
from typing import Any

import pytest

from completions import schedule
from completions.models import StoredCompletion
from portal.models import Auth, Connection, Operation
from portal.sandbox import Sandbox
from portal.upstream import UpstreamError, connect, credentials
from portal.upstream import test_connection as check_rights
from tests.completions.mirroring import (
    LIST,
    MESSAGES,
    chance,
    check_equal,
    check_whole,
    drain,
    hurry,
    mirror,
    requests,
    step,
)
from tests.portal.sandbox_client import control, faults
from tests.servers import free_port

pytestmark = [pytest.mark.engines, pytest.mark.django_db(transaction=True), pytest.mark.sandbox(rows=120)]
Connect = Callable[..., Connection]
State = Operation.State


@pytest.fixture(autouse=True)
def _alone_and_quick(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    hurry(monkeypatch)
    settings.OPERATION_BACKOFF_SECONDS = 0.01
    credentials._tokens.clear()


def tokens_given(sandbox: Sandbox) -> int:
    entries = control(sandbox, "GET", "/journal?resource=identity")["entries"]
    return sum(entry["status"] == 200 for entry in entries)


def test_row_36_a_token_that_expires_is_renewed_once(sandbox: Sandbox, connect_to: Connect) -> None:
    connection = connect_to(sandbox, auth=Auth.ENTRA_MANAGED)
    faults(sandbox, {"kind": "expire_tokens", "path": MESSAGES, "after": 50, "times": 1})
    mirror(connection)
    check_equal(connection, sandbox)
    assert not Operation.objects.exclude(state=State.DONE).exists()
    assert tokens_given(sandbox) == 2
    assert StoredCompletion.objects.filter(messages_state="ok").count() == 120


def test_row_37_an_identity_service_that_is_down_pauses_and_resumes(
    sandbox: Sandbox, connect_to: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect_to(sandbox, auth=Auth.ENTRA_MANAGED)
    there = os.environ["IDENTITY_ENDPOINT"]
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{free_port()}/identity/token")
    operation = schedule.sync_now(connection, None)
    for _ in range(3):
        step(operation)
        assert operation.state == State.WAITING, operation.error_text
        assert operation.error_text
    assert requests(sandbox)["list"] == 0
    monkeypatch.setenv("IDENTITY_ENDPOINT", there)
    drain(connection)
    operation.refresh_from_db()
    assert operation.state == State.DONE
    check_equal(connection, sandbox)


@pytest.mark.sandbox(rows=120, rows_elsewhere=30)
def test_row_38_a_revoked_key_stops_this_connection_and_no_other(
    sandbox: Sandbox, connect_to: Connect, settings: Any
) -> None:
    settings.SYNC_CONCURRENCY = 1
    broken, fine = connect_to(sandbox), connect_to(sandbox, "openai")
    faults(sandbox, {"kind": "revoke_key", "path": MESSAGES, "after": chance().randint(5, 60), "times": 1})
    operation = schedule.sync_now(broken, None)
    step(operation)
    assert operation.state == State.FAILED
    assert operation.error_code == "auth"
    assert requests(sandbox)["401"] <= 2
    check_whole(broken)
    broken.refresh_from_db()
    assert broken.state == Connection.State.ATTENTION
    assert broken.last_error["http_status"] == 401
    assert broken.secret not in str(broken.last_error) + operation.error_text
    Connection.objects.update(sync_enabled=True)
    schedule.begin_due()
    assert not Operation.objects.live().filter(connection=broken).exists()  # no storm of retries
    drain(fine)
    check_equal(fine, sandbox, "openai")
    control(sandbox, "DELETE", "/faults")  # which also restores the key
    mirror(broken)
    check_equal(broken, sandbox)
    broken.refresh_from_db()
    assert broken.state == Connection.State.CONNECTED
    assert not broken.last_error


@pytest.mark.sandbox(rows=20)
def test_row_39_a_key_that_may_only_read_mirrors_and_says_what_it_lacks(
    sandbox: Sandbox, connect_to: Connect
) -> None:
    connection = connect_to(sandbox, key="sandbox-azure-v1-read-only-key")
    mirror(connection)
    check_equal(connection, sandbox)
    findings = check_rights(connection)
    lacking = [finding for finding in findings if finding.ok is False]
    assert lacking
    assert any("action" in f"{finding.text} {finding.hint}".lower() for finding in lacking)
    with connect(connection) as upstream, pytest.raises(UpstreamError) as refused:
        upstream.upload_file("rows.jsonl", io.BytesIO(b"{}\n"), "fine-tune")
    assert refused.value.kind == "forbidden"
    assert refused.value.hint


def test_a_right_to_read_that_is_missing_stops_at_once(sandbox: Sandbox, connect_to: Connect) -> None:
    connection = connect_to(sandbox, key="sandbox-azure-v1-user-key")
    operation = schedule.sync_now(connection, None)
    step(operation)
    assert operation.state in (State.FAILED, State.DONE)
    if operation.state == State.FAILED:
        assert operation.error_code == "forbidden"
        assert requests(sandbox)["list"] == 1
        connection.refresh_from_db()
        assert connection.state == Connection.State.ATTENTION


def test_a_list_that_refuses_in_the_middle_keeps_what_was_read(sandbox: Sandbox, connect_to: Connect) -> None:
    connection = connect_to(sandbox)
    faults(sandbox, {"kind": "status", "status": 403, "path": LIST, "after": 1})
    operation = schedule.sync_now(connection, None)
    step(operation)
    assert operation.state == State.FAILED
    assert 0 < StoredCompletion.objects.count() <= 100
    check_whole(connection)
