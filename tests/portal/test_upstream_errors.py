"""Every way in which an endpoint can refuse or fail, in one form with a hint."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from portal.models import Connection
from portal.sandbox import Sandbox
from portal.upstream import Upstream, UpstreamError, connect, test_connection
from portal.upstream.errors import clean, error_from_answer, wait_told
from tests.portal.sandbox_client import control, faults
from tests.portal.upstream_bed import (
    PERSONALITIES,
    bare_server,
    certificate_of_a_test,
    free_port,
    journal,
    unsaved,
)


@pytest.fixture
def sandbox(settings: Any) -> Iterator[Sandbox]:
    with Sandbox(None, rows=40, rows_elsewhere=40) as running:
        settings.UPSTREAM_ALLOW = [f"127.0.0.1:{running.port}"]
        yield running


HTML = b"<!doctype html><html><title>Bad gateway</title></html>"
# What each service sends: status, headers, body -> kind, code, a part of the message.
FORMS: list[tuple[int, dict[str, str], Any, str, str, str]] = [
    (400, {}, {"error": {"message": "No x.", "type": "invalid_request_error", "param": "x", "code": None}},
     "bad_request", "invalid_request_error", "No x."),
    (401, {}, {"error": {"message": "Incorrect key", "type": "t", "param": None, "code": "invalid_api_key"}},
     "auth", "invalid_api_key", "Incorrect"),
    (400, {}, {"error": {"code": "invalidPayload", "message": "Bad.", "param": None, "type": "error",
                         "inner_error": {"code": "deep"}}}, "bad_request", "invalidPayload", "Bad."),
    (409, {}, {"error": {"code": "conflict", "message": "Busy.", "target": "job", "details": [],
                         "innererror": {"code": "x", "innererror": None}}}, "conflict", "conflict", "Busy."),
    (400, {}, {"error": {"code": "quotaExceeded", "message": "Too many jobs."}},
     "quota", "quotaExceeded", "jobs"),
    (400, {}, {"error": {"code": "tooManyRequests", "message": "Slow."}},
     "throttled", "tooManyRequests", "Slow"),
    (401, {}, {"statusCode": 401, "message": "Access denied"}, "auth", "", "Access denied"),
    (404, {}, {"statusCode": 404, "message": "Resource not found"}, "not_found", "", "Resource not found"),
    (429, {}, {"statusCode": 429, "message": "Rate limit is exceeded. Try again in 2 seconds."},
     "throttled", "", "Rate limit"),
    (401, {}, {"error": {"code": "PermissionDenied", "message": "The principal lacks …"}},
     "auth", "PermissionDenied", "principal"),
    (404, {}, {"error": {"code": "404", "message": "Resource not found"}}, "not_found", "404", "Resource"),
    (404, {}, {"error": {"code": "DeploymentNotFound", "message": "The API deployment …"}},
     "not_found", "DeploymentNotFound", "deployment"),
    (400, {}, {"error": {"message": "Filtered.", "type": None, "param": "prompt", "code": "content_filter",
                         "status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
     "bad_request", "content_filter", "Filtered."),
    (429, {"retry-after": "7"}, {"error": {"code": "429", "message": "retry after 7 seconds"}},
     "throttled", "429", "retry"),
    (422, {}, {"error": "Unprocessable", "message": "temperature", "status": 422, "code": "c",
               "detail": {"loc": ["body"], "value": 9}}, "bad_request", "c", "temperature"),
    (401, {}, {"error": "unauthorized", "message": "No token", "status": 401}, "auth", "", "No token"),
    (404, {}, {"error": "only a string"}, "not_found", "", "only a string"),
    (400, {}, {"detail": "plain detail"}, "bad_request", "", "plain detail"),
    (502, {}, HTML, "server", "", "web page"),
    (503, {}, HTML, "server", "", "web page"),
    (504, {}, b"", "server", "", "504"),
    (500, {}, b"\xff\xfe\x00garbage", "server", "", "garbage"),
    (500, {}, b"[" * 100_000, "server", "", "["),
    (403, {}, {"error": {"code": "403", "message": "Refused by Virtual Network/Firewall rules."}},
     "forbidden", "403", "Firewall"),
    (403, {}, {"error": {"message": "Missing scopes.", "type": "t", "param": None, "code": "missing_scope"}},
     "forbidden", "missing_scope", "scopes"),
    (429, {}, {"error": {"message": "You exceeded your current quota", "type": "insufficient_quota",
                         "param": None, "code": "insufficient_quota"}},
     "quota", "insufficient_quota", "quota"),
    (402, {}, {"error": {"message": "Pay.", "code": None}}, "quota", "", "Pay."),
    (408, {}, b"", "timeout", "", "408"),
    (410, {}, {"error": {"message": "Gone."}}, "not_found", "", "Gone."),
    (413, {}, b"too large", "bad_request", "", "too large"),
    (431, {}, b"", "bad_request", "", "431"),
    (418, {}, {"error": None, "message": None}, "bad_request", "", "null"),
    (400, {}, {"error": {"message": {"not": "text"}, "code": 7}}, "bad_request", "7", "not"),
    (400, {}, ["a", "list"], "bad_request", "", "list"),
    (400, {}, "a json string", "bad_request", "", "a json string"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "headers", "body", "kind", "code", "part"), FORMS)
def test_every_form_of_refusal_is_read(
    status: int, headers: dict[str, str], body: Any, kind: str, code: str, part: str
) -> None:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = error_from_answer(status, headers, sent, action="read")
    assert (error.kind, error.code, error.http_status) == (kind, code, status)
    assert part in error.message
    assert json.loads(json.dumps(error.as_dict()))["kind"] == kind
    if kind in ("auth", "forbidden", "quota", "throttled", "server"):
        assert error.hint


@pytest.mark.parametrize(("status", "headers", "body", "kind", "code", "part"), FORMS[::4])
def test_it_is_the_same_through_the_sdk(
    settings: Any, status: int, headers: dict[str, str], body: Any, kind: str, code: str, part: str
) -> None:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    with (
        bare_server(settings, lambda handler: handler.answer(status, sent, **headers)) as bare,
        connect(bare.connection()) as upstream,
        pytest.raises(UpstreamError) as caught,
    ):
        upstream.create_job({"model": "m", "training_file": "f"})
    error = caught.value
    assert (error.kind, error.code, error.http_status) == (kind, code, status)
    assert part in error.message
    assert error.outcome_unknown == (kind in ("server", "timeout"))
    assert len(bare.seen) == 1


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [
        ({"retry-after": "7"}, 7, 7),
        ({"retry-after": " 0 "}, 0, 0),
        ({"retry-after": "-5"}, 0, 0),
        ({"retry-after": "1.5"}, 1.5, 1.5),
        ({"retry-after": "99999999"}, 900, 900),
        ({"retry-after-ms": "1200", "retry-after": "60"}, 1.2, 1.2),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3, 3),
        ({"retry-after": format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)}, 900, 900),
        ({"retry-after": format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)}, 0, 0),
    ],
)
def test_the_wait_is_read_in_every_form(headers: dict[str, str], low: float, high: float) -> None:
    told = wait_told(headers)
    assert told is not None
    assert low <= told <= high


@pytest.mark.parametrize("value", ["", "nan", "inf", "soon", "Fri, 99 Foo 2026", "1e999"])
def test_nonsense_is_no_wait(value: str) -> None:
    assert wait_told({"retry-after": value}) is None


def test_the_wait_may_stand_in_words() -> None:
    assert wait_told({}, "Please retry after 12 seconds.") == 12
    assert wait_told({}, "try again in 250ms") == 0.25


def test_the_right_that_is_missing_is_named() -> None:
    for action, right in (("read", "stored-completions/read"), ("action", "stored-completions/action")):
        error = error_from_answer(403, {}, b'{"error":{"code":"403","message":"no"}}', action=action)
        assert right in error.hint
    firewall = error_from_answer(403, {}, b'{"error":{"message":"Firewall rules"}}', action="read")
    assert "network rules" in firewall.hint


@pytest.mark.parametrize(
    "text",
    [
        "key sk-abcdefghijklmnop and more",
        "Authorization: Bearer abcdefghijklmnop",
        "eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2lnbmF0dXJl",
        "https://blob/x?sig=abcdefghijkl&x=1",
    ],
)
def test_what_looks_like_a_secret_is_blacked_out(text: str) -> None:
    assert "•••" in clean(text)
    assert "abcdefghijkl" not in clean(text)


def test_control_characters_never_reach_a_log_line() -> None:
    assert not set("\x00\x1b\u202e\ud800") & set(clean("a\x00b\x1b[31mc\u202ed\ud800e"))


# Over the wire


@pytest.mark.parametrize(
    ("personality", "code", "hint"),
    [
        ("azure-v1", "", "stored-completions/read"),
        ("azure-dated", "", "stored-completions/read"),
        ("openai", "missing_scope", "permissions"),
    ],
)
def test_a_missing_right_is_explained_as_the_service_knows_it(
    sandbox: Sandbox, personality: str, code: str, hint: str
) -> None:
    connection = unsaved(sandbox, personality, secret=f"sandbox-{personality}-user-key")
    with connect(connection) as upstream, pytest.raises(UpstreamError) as caught:
        upstream.list_stored()
    assert caught.value.permanent
    assert caught.value.kind in ("forbidden", "auth")
    assert code in caught.value.code
    assert hint in caught.value.hint + caught.value.message
    assert len(journal(sandbox, path="/chat/completions")) == 1


@pytest.mark.parametrize("personality", PERSONALITIES)
def test_a_wrong_key_is_not_tried_twice(sandbox: Sandbox, personality: str) -> None:
    wrong = unsaved(sandbox, personality, secret="wrong-key-000")
    with connect(wrong) as upstream, pytest.raises(UpstreamError) as caught:
        upstream.list_stored()
    assert (caught.value.kind, caught.value.permanent) == ("auth", True)
    assert caught.value.request_id
    assert len(journal(sandbox, path="/chat/completions")) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 503, "json": False},
        {"kind": "drop"},
        {"kind": "cut"},
        {"kind": "html200"},
        {"kind": "invalid_json"},
        {"kind": "throttle", "retry_after": 1, "retry_after_ms": 30},
        {"kind": "empty_page"},
    ],
)
def test_a_read_survives_what_passes(sandbox: Sandbox, fault: dict[str, Any]) -> None:
    faults(sandbox, {**fault, "path": "/chat/completions", "times": 2})
    with connect(unsaved(sandbox)) as upstream:
        rows = [item.id for page in upstream.stored_pages() for item in page.items]
    assert rows == control(sandbox, "GET", "/state?resource=azure-v1&ids=1")["ids"]


def test_a_long_wait_is_handed_to_the_caller_at_once(sandbox: Sandbox) -> None:
    faults(sandbox, {"kind": "throttle", "retry_after": 30})
    with connect(unsaved(sandbox)) as upstream, pytest.raises(UpstreamError) as caught:
        upstream.list_stored()
    assert caught.value.kind == "throttled"
    assert (caught.value.retry_after, caught.value.permanent) == (30, False)
    assert len(journal(sandbox, path="/chat/completions")) == 1


def test_a_used_up_quota_is_not_waited_for(sandbox: Sandbox) -> None:
    faults(sandbox, {"kind": "throttle", "retry_after": 1, "code": "insufficient_quota"})
    with connect(unsaved(sandbox)) as upstream, pytest.raises(UpstreamError) as caught:
        upstream.list_stored()
    assert (caught.value.kind, caught.value.permanent) == ("quota", True)
    assert len(journal(sandbox, path="/chat/completions")) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_the_key_stays_home(settings: Any, status: int) -> None:
    with bare_server(settings, lambda handler: handler.answer(200)) as other:
        where = f"{other.url}/v1/chat/completions"
        with (
            bare_server(settings, lambda handler: handler.answer(status, location=where)) as bare,
            connect(bare.connection()) as upstream,
        ):
            for call in (upstream.list_stored, lambda: upstream.chat("m", [], store=False)):
                with pytest.raises(UpstreamError) as caught:
                    call()
                assert (caught.value.kind, caught.value.permanent) == ("redirect", True)
                assert "127.0.0.1" in caught.value.message
        assert other.seen == []
        assert len(bare.seen) == 2


def test_nobody_there_an_unknown_name_and_a_foreign_certificate_are_three_things(
    settings: Any, tmp_path: Path
) -> None:
    port = free_port()
    settings.UPSTREAM_ALLOW = [f"127.0.0.1:{port}", "name.invalid:443"]
    _, context = certificate_of_a_test(tmp_path)

    def failure(url: str) -> UpstreamError:
        connection = Connection(kind="compatible", base_url=url, secret="key-of-a-test")
        with Upstream(connection, tries=1) as upstream, pytest.raises(UpstreamError) as caught:
            upstream.list_stored()
        return caught.value

    errors = [failure(f"http://127.0.0.1:{port}/v1"), failure("https://name.invalid/v1")]
    with bare_server(settings, lambda handler: handler.answer(200), tls=context) as bare:
        errors.append(failure(f"https://127.0.0.1:{bare.port}/v1"))
    assert [error.kind for error in errors] == ["network", "dns", "tls"]
    assert len({error.message for error in errors}) == 3
    assert all(error.hint and "key-of-a-test" not in json.dumps(error.as_dict()) for error in errors)
    assert bare.seen == []


def test_a_gzip_bomb_is_put_down_within_300_mb(sandbox: Sandbox) -> None:
    faults(sandbox, {"kind": "gzip_bomb", "megabytes": 1024})
    script = f"""
        from pathlib import Path
        from tests import environment
        environment.prepare()
        import django
        django.setup()
        from django.conf import settings
        settings.UPSTREAM_ALLOW = ["127.0.0.1:{sandbox.port}"]
        from portal.models import Connection
        from portal.upstream import UpstreamError, connect
        connection = Connection(
            kind="azure_v1", base_url="{sandbox.base_url("azure-v1")}", secret="sandbox-azure-v1-key"
        )
        for call in ("list_stored", "models"):
            try:
                with connect(connection) as upstream:
                    getattr(upstream, call)()
            except UpstreamError as error:
                assert error.code == "too_large", error
            else:
                raise SystemExit("the bomb was swallowed")
        # Not getrusage: its peak begins with that of the process which forked this one.
        status = Path("/proc/self/status").read_text()
        print(int(status.partition("VmHWM:")[2].split()[0]) // 1024)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout.split()[-1]) < 300


# Test connection


def report(connection: Connection) -> dict[str, bool | None]:
    return {finding.check: finding.ok for finding in test_connection(connection)}


@pytest.mark.parametrize("personality", PERSONALITIES)
def test_a_full_key_may_do_everything_and_nothing_is_changed_by_asking(
    sandbox: Sandbox, personality: str
) -> None:
    before = control(sandbox, "GET", f"/state?resource={personality}&ids=1")
    found = report(unsaved(sandbox, personality))
    assert found.pop("deploy", None) is None
    assert found.pop("evals", None) is (None if personality == "openai" else True)
    assert found == dict.fromkeys(("reachable", "authenticated", "read", "write", "fine_tune"), True)
    assert control(sandbox, "GET", f"/state?resource={personality}&ids=1") == before
    assert not [entry for entry in journal(sandbox, resource=personality) if "effect" in entry]


@pytest.mark.parametrize("personality", PERSONALITIES)
def test_a_reading_key_may_read_only(sandbox: Sandbox, personality: str) -> None:
    found = report(unsaved(sandbox, personality, secret=f"sandbox-{personality}-read-only-key"))
    assert (found["read"], found["write"], found["fine_tune"]) == (True, False, False)


@pytest.mark.parametrize("personality", PERSONALITIES)
def test_a_calling_key_may_not_even_read(sandbox: Sandbox, personality: str) -> None:
    found = report(unsaved(sandbox, personality, secret=f"sandbox-{personality}-user-key"))
    assert (found["reachable"], found["authenticated"], found["read"]) == (True, True, False)


def test_a_web_page_at_the_address_is_said_to_be_one(sandbox: Sandbox) -> None:
    faults(sandbox, {"kind": "html200"})
    findings = test_connection(unsaved(sandbox))
    assert [(finding.check, finding.ok) for finding in findings] == [("reachable", False)]
    assert "web page" in findings[0].text


def test_a_wrong_path_is_no_list(sandbox: Sandbox) -> None:
    findings = test_connection(unsaved(sandbox, "openai", base_url=f"{sandbox.url}/openai/v2"))
    failed = [finding for finding in findings if finding.ok is False]
    assert failed
    assert "base URL" in failed[0].hint
