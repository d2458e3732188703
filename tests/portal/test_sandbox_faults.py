"""Each fault, once, as a client meets it."""

import gzip
import http.client
import json
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Any

import openai
import pytest

from portal.sandbox import Sandbox
from tests.portal.sandbox_client import (
    _close_clients,  # noqa: F401  # a fixture that runs by itself
    client,
    control,
    examples,
    faults,
    jsonl,
)
from tests.portal.sandbox_client import http as plain

KEY = {"api-key": "sandbox-azure-v1-key"}
LIST = "/chat/completions"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(None, rows=30, rows_elsewhere=10) as running:
        yield running


def listing(sandbox: Sandbox, query: str = "limit=5") -> tuple[int, Any, dict[str, str]]:
    return plain(f"{sandbox.base_url('azure-v1')}chat/completions?{query}", headers=KEY)


def raw(sandbox: Sandbox, query: str = "limit=5") -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=10)
    connection.request("GET", f"/azure-v1/openai/v1/chat/completions?{query}", headers=KEY)
    answer = connection.getresponse()
    try:
        return answer, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("advice", "header", "value"),
    [
        ({"retry_after": 7}, "Retry-After", "7"),
        ({"retry_after": "soon"}, "Retry-After", "soon"),
        ({"retry_after": -3}, "Retry-After", "-3"),
        ({"retry_after": None, "retry_after_ms": 1500}, "retry-after-ms", "1500"),
        ({"retry_after": None}, "Retry-After", None),
    ],
    ids=["seconds", "garbage", "negative", "milliseconds", "none"],
)
def test_throttling_gives_each_form_of_advice(
    sandbox: Sandbox, advice: dict[str, Any], header: str, value: str | None
) -> None:
    faults(sandbox, {"kind": "throttle", "path": LIST, "times": 1, **advice})
    status, body, headers = listing(sandbox)
    assert (status, headers.get(header), body["error"]["code"]) == (429, value, "429")
    assert listing(sandbox)[0] == 200


def test_throttling_gives_a_date_in_the_future(sandbox: Sandbox) -> None:
    faults(sandbox, {"kind": "throttle", "retry_after": "date", "seconds": 3600})
    _, _, headers = listing(sandbox)
    _, health, _ = plain(f"{sandbox.url}/_sandbox/health")
    assert parsedate_to_datetime(headers["Retry-After"]).timestamp() == pytest.approx(
        health["now"] + 3600, abs=5
    )


def test_a_used_up_quota_is_told_apart(sandbox: Sandbox) -> None:
    faults(sandbox, {"kind": "throttle", "code": "insufficient_quota", "retry_after": None})
    with pytest.raises(openai.RateLimitError) as refused:
        client(sandbox, "openai").models.list()
    assert refused.value.code == "insufficient_quota"


def test_rules_count_skip_and_choose_by_resource_method_and_path(sandbox: Sandbox) -> None:
    rule = {"kind": "status", "status": 503, "resource": "azure-v1", "method": "GET", "path": "re:/chat/.*"}
    faults(sandbox, {**rule, "after": 2, "times": 3})
    assert [listing(sandbox)[0] for _ in range(7)] == [200, 200, 503, 503, 503, 200, 200]
    assert client(sandbox, "openai").chat.completions.list().data
    faults(sandbox, {**rule, "path": "/models*"})
    assert listing(sandbox)[0] == 200
    faults(sandbox, {**rule, "probability": 0.3})
    failed = sum(listing(sandbox)[0] == 503 for _ in range(100))
    assert 15 <= failed <= 45
    active = control(sandbox, "GET", "/faults")["faults"]
    assert (active[0]["seen"], active[0]["fired"]) == (100, failed)
    control(sandbox, "DELETE", "/faults")
    assert listing(sandbox)[0] == 200
    assert plain(f"{sandbox.url}/_sandbox/faults", "POST", {"faults": [{"kind": "none"}]})[0] == 400


def test_a_server_error_before_the_effect_leaves_nothing_and_after_it_leaves_the_file(
    sandbox: Sandbox,
) -> None:
    api = client(sandbox)
    for effect, left in (("before", 0), ("after", 1)):
        faults(
            sandbox, {"kind": "status", "status": 500, "method": "POST", "path": "/files", "effect": effect}
        )
        with pytest.raises(openai.InternalServerError):
            api.files.create(file=jsonl(examples(10)), purpose="fine-tune")
        assert len(api.files.list().data) == left
    entry = control(sandbox, "GET", "/journal?method=POST")["entries"][-1]
    assert (entry["status"], entry["fault"], entry["effect"][:13]) == (500, "status", "created:file-")


@pytest.mark.parametrize(("options", "text"), [({"json": False}, "<html>"), ({"body": "oops"}, "oops")])
def test_an_error_may_come_without_json(sandbox: Sandbox, options: dict[str, Any], text: str) -> None:
    faults(sandbox, {"kind": "status", "status": 502, **options})
    status, body, _ = listing(sandbox)
    assert status == 502
    assert text in body


def test_a_connection_may_be_dropped_before_or_after_the_effect(sandbox: Sandbox) -> None:
    api = client(sandbox)
    for effect, left in (("before", 0), ("after", 1)):
        faults(sandbox, {"kind": "drop", "method": "POST", "path": "/files", "effect": effect})
        with pytest.raises(openai.APIConnectionError):
            api.files.create(file=jsonl(examples(10)), purpose="fine-tune")
        assert len(api.files.list().data) == left
    assert control(sandbox, "GET", "/journal?method=POST")["entries"][-1]["status"] == 0


@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.99])
def test_a_body_may_be_cut(sandbox: Sandbox, fraction: float) -> None:
    faults(sandbox, {"kind": "cut", "fraction": fraction})
    with pytest.raises(http.client.IncompleteRead):
        raw(sandbox)


def test_a_slow_answer_takes_its_time(sandbox: Sandbox) -> None:
    faults(sandbox, {"kind": "slow", "seconds": 0.3})
    started = monotonic()
    assert listing(sandbox)[0] == 200
    assert monotonic() - started >= 0.3


def test_a_web_page_may_answer_with_200(sandbox: Sandbox) -> None:
    faults(sandbox, {"kind": "html200"})
    status, body, headers = listing(sandbox)
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert body.startswith("<!doctype html>")


def test_a_redirect_points_to_another_host(sandbox: Sandbox) -> None:
    faults(sandbox, {"kind": "redirect", "to": "http://elsewhere.invalid"})
    answer, _ = raw(sandbox)
    assert answer.status == 307
    assert (answer.headers["Location"] or "").startswith("http://elsewhere.invalid/azure-v1/")


def test_a_small_answer_may_unpack_to_a_huge_one(sandbox: Sandbox) -> None:
    faults(sandbox, {"kind": "gzip_bomb", "megabytes": 16})
    answer, body = raw(sandbox)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(body) < 100_000
    assert len(gzip.decompress(body)) > 16 << 20


def test_text_may_be_in_another_encoding_than_it_says(sandbox: Sandbox) -> None:
    _, clean, _ = listing(sandbox, "limit=30")
    faults(sandbox, {"kind": "wrong_charset"})
    answer, body = raw(sandbox, "limit=30")
    assert answer.headers["Content-Type"] == "application/json; charset=utf-16"
    assert len(json.loads(body.decode("latin-1"))["data"]) == len(clean["data"])
    with pytest.raises(UnicodeDecodeError):
        body.decode()


def test_json_may_be_broken(sandbox: Sandbox) -> None:
    faults(sandbox, {"kind": "invalid_json"})
    _, body = raw(sandbox)
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


def test_a_page_may_be_empty_and_promise_more(sandbox: Sandbox) -> None:
    faults(sandbox, {"kind": "empty_page", "times": 1})
    _, body, _ = listing(sandbox)
    assert (body["data"], body["has_more"]) == ([], True)


def test_the_cursor_may_be_ignored_or_gone(sandbox: Sandbox) -> None:
    _, first, _ = listing(sandbox)
    after = f"limit=5&after={first['last_id']}"
    assert listing(sandbox, after)[1]["data"] != first["data"]
    faults(sandbox, {"kind": "ignore_after"})
    assert listing(sandbox, after)[1]["data"] == first["data"]
    faults(sandbox, {"kind": "vanished_cursor"})
    assert listing(sandbox)[0] == 200
    assert listing(sandbox, after)[0] == 400
    faults(sandbox, {"kind": "vanished_cursor", "status": 404})
    assert listing(sandbox, after)[0] == 404


def test_ids_may_come_twice_in_one_page_and_on_two_pages(sandbox: Sandbox) -> None:
    faults(sandbox, {"kind": "duplicate_ids"})
    _, page, _ = listing(sandbox)
    found = [row["id"] for row in page["data"]]
    assert found[0] == found[1]
    faults(sandbox, {"kind": "duplicate_ids", "where": "between"})
    _, following, _ = listing(sandbox, f"limit=5&after={page['last_id']}")
    assert following["data"][0]["id"] == page["last_id"]


def test_rows_may_lack_their_fields(sandbox: Sandbox) -> None:
    faults(sandbox, {"kind": "strip", "fields": ["created", "choices"], "every": 2})
    rows = listing(sandbox)[1]["data"]
    assert ["created" in row for row in rows] == [False, True, False, True, False]
    assert all("id" in row for row in rows)


@pytest.mark.parametrize(
    ("what", "inside"),
    [
        ("nul", "\\u0000"),
        ("surrogate", "\\ud800"),
        ("nan", "NaN"),
        ("overflow", "1e400"),
        ("bigint", "9223372036854775808"),
        ("deep", "[" * 10_000),
        ("role", '"oracle"'),
        ("part", '"hologram"'),
        ("field", '"__proto__"'),
        ("bidi", "\u202e"),
    ],
)
def test_rows_may_be_poisoned(sandbox: Sandbox, what: str, inside: str) -> None:
    clean = raw(sandbox)[1].decode()
    faults(sandbox, {"kind": "poison", "what": what, "index": 2})
    text = raw(sandbox)[1].decode()
    assert inside in text
    assert inside not in clean
    control(sandbox, "DELETE", "/faults")
    assert raw(sandbox)[1].decode() == clean


def test_new_rows_may_be_listed_late(sandbox: Sandbox) -> None:
    api = client(sandbox)
    faults(sandbox, {"kind": "lag", "seconds": 30, "path": "/chat/completions*", "method": "GET"})
    asked: Any = [{"role": "user", "content": "hello"}]
    stored = api.chat.completions.create(model="gpt-4o", messages=asked, store=True)
    with pytest.raises(openai.NotFoundError):
        api.chat.completions.retrieve(stored.id)
    assert stored.id not in {row.id for row in api.chat.completions.list(order="desc", limit=5).data}
    control(sandbox, "POST", "/clock", {"advance": 31})
    assert next(iter(api.chat.completions.list(order="desc"))).id == stored.id
