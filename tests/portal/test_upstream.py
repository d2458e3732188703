"""The client against the sandbox: every personality and verb, and what it never does."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from portal.models import Connection
from portal.sandbox import Sandbox
from portal.upstream import Upstream, UpstreamError, connect, test_connection
from portal.upstream import credentials as tokens
from portal.upstream.addresses import api_root, resource_of
from tests.portal.sandbox_client import control, examples, faults
from tests.portal.upstream_bed import (
    PERSONALITIES,
    bare_server,
    journal,
    unsaved,
)

ROWS = 120
each_personality = pytest.mark.parametrize("personality", PERSONALITIES)


@pytest.fixture
def sandbox(settings: Any) -> Iterator[Sandbox]:
    with Sandbox(None, rows=ROWS, rows_elsewhere=ROWS, job_seconds=2) as running:
        settings.UPSTREAM_ALLOW = [f"127.0.0.1:{running.port}"]
        yield running


@pytest.fixture(autouse=True)
def _no_tokens_left() -> Iterator[None]:
    tokens._tokens.clear()
    yield
    tokens._tokens.clear()


@pytest.fixture
def upstream(sandbox: Sandbox) -> Iterator[Upstream]:
    with connect(unsaved(sandbox)) as opened:
        yield opened


@each_personality
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_hold_every_row_once_and_in_order(sandbox: Sandbox, personality: str, order: str) -> None:
    everything = control(sandbox, "GET", f"/state?resource={personality}&ids=1")["ids"]
    with connect(unsaved(sandbox, personality)) as upstream:
        seen = [item.id for page in upstream.stored_pages(order=order, limit=50) for item in page.items]
    assert seen == (everything if order == "asc" else everything[::-1])


@each_personality
def test_items_are_cut_byte_for_byte_out_of_the_page(
    sandbox: Sandbox, personality: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies: list[bytes] = []
    with connect(unsaved(sandbox, personality)) as upstream:
        exchange = upstream._wire.exchange

        def keep(*args: Any, **kwargs: Any) -> Any:
            answer = exchange(*args, **kwargs)
            bodies.append(answer.body)
            return answer

        monkeypatch.setattr(upstream._wire, "exchange", keep)
        page = upstream.list_stored(limit=20)
    assert len(page.items) == 20
    assert all(item.raw in bodies[0] and json.loads(item.raw) == item.value for item in page.items)


@each_personality
def test_filters_are_pushed_down(sandbox: Sandbox, personality: str) -> None:
    with connect(unsaved(sandbox, personality)) as upstream:
        everything = [item.value or {} for page in upstream.stored_pages() for item in page.items]
        wanted = [row["id"] for row in everything if (row.get("metadata") or {}).get("env") == "staging"]
        pages = upstream.stored_pages(metadata={"env": "staging", "empty": ""})
        assert [item.id for page in pages for item in page.items] == wanted
        model = everything[0]["model"]
        found = [item.value or {} for page in upstream.stored_pages(model=model) for item in page.items]
        assert found
        assert all(row["model"] == model for row in found)
    assert 0 < len(wanted) < len(everything)


@each_personality
def test_messages_come_whole_and_with_their_bytes(sandbox: Sandbox, personality: str) -> None:
    with connect(unsaved(sandbox, personality)) as upstream:
        for item in upstream.list_stored(limit=30).items:
            messages = upstream.messages(item.id)
            assert messages.items
            assert not messages.problem
            again = [row for page in messages.pages for row in json.loads(page)["data"]]
            assert again == list(messages.items)


@each_personality
def test_metadata_is_written_and_read_back(sandbox: Sandbox, personality: str) -> None:
    with connect(unsaved(sandbox, personality)) as upstream:
        first = upstream.list_stored(limit=1).items[0]
        assert upstream.update_metadata(first.id, {"reviewed": "yes"})["metadata"]["reviewed"] == "yes"
        again = upstream.get_stored(first.id).value or {}
        assert again["metadata"]["reviewed"] == "yes"


@each_personality
def test_a_second_deletion_finds_nothing(sandbox: Sandbox, personality: str) -> None:
    with connect(unsaved(sandbox, personality)) as upstream:
        first, second = (item.id for item in upstream.list_stored(limit=2).items)
        upstream.delete_completion(first)
        for again in (upstream.delete_completion, upstream.get_stored):
            with pytest.raises(UpstreamError) as caught:
                again(first)
            assert (caught.value.kind, caught.value.outcome_unknown) == ("not_found", False)
        assert upstream.get_stored(second).id == second
    made = [entry["status"] for entry in journal(sandbox) if entry["method"] == "DELETE"]
    assert made == [200, 404]


@each_personality
@pytest.mark.parametrize(
    ("fault", "kind", "unknown"),
    [
        ({"kind": "throttle", "retry_after": 7}, "throttled", False),
        ({"kind": "status", "status": 503}, "server", True),
        ({"kind": "drop"}, "network", True),
        ({"kind": "drop", "effect": "after"}, "network", True),
        ({"kind": "html200"}, "unreadable", True),
    ],
    ids=["throttled", "503", "cut before", "cut after", "web page"],
)
def test_a_change_is_sent_once_whatever_comes_of_it(
    sandbox: Sandbox, personality: str, fault: dict[str, Any], kind: str, unknown: bool
) -> None:
    with connect(unsaved(sandbox, personality)) as upstream:
        first = upstream.list_stored(limit=1).items[0].id
        faults(sandbox, fault)
        for change in (
            lambda: upstream.update_metadata(first, {"a": "b"}),
            lambda: upstream.delete_completion(first),
        ):
            with pytest.raises(UpstreamError) as caught:
                change()
            assert (caught.value.kind, caught.value.outcome_unknown) == (kind, unknown)
            assert caught.value.retry_after == (7 if kind == "throttled" else None)
    assert [entry["method"] for entry in journal(sandbox)][-2:] == ["POST", "DELETE"]
    assert len([entry for entry in journal(sandbox) if entry["method"] != "GET"]) == 2


@each_personality
def test_the_limits_of_metadata_are_told_in_the_providers_words(sandbox: Sandbox, personality: str) -> None:
    with connect(unsaved(sandbox, personality)) as upstream:
        first = upstream.list_stored(limit=1).items[0].id
        for beyond in ({str(number): "x" for number in range(17)}, {"k" * 65: "x"}, {"k": "x" * 513}):
            with pytest.raises(UpstreamError, match="Invalid 'metadata") as caught:
                upstream.update_metadata(first, beyond)
            assert (caught.value.kind, caught.value.http_status) == ("bad_request", 400)
            assert not caught.value.outcome_unknown


@each_personality
@pytest.mark.parametrize("store", [True, False])
def test_chat_stores_only_what_it_is_told_to(sandbox: Sandbox, personality: str, store: bool) -> None:
    before = control(sandbox, "GET", f"/state?resource={personality}")["completions"]
    with connect(unsaved(sandbox, personality)) as upstream:
        answer = upstream.chat("gpt-4o", [{"role": "user", "content": "hello"}], store=store, max_tokens=50)
    assert answer.text
    assert answer.finish_reason == "stop"
    assert answer.usage["total_tokens"] > 0
    after = control(sandbox, "GET", f"/state?resource={personality}")["completions"]
    assert after - before == int(store)


@each_personality
def test_models_and_vectors(sandbox: Sandbox, personality: str) -> None:
    with connect(unsaved(sandbox, personality)) as upstream:
        models = upstream.models()
        found = upstream.embeddings("text-embedding-3-small", ["one", "two"])
    assert any(model.id.startswith("gpt-4") and model.shutdown_date for model in models)
    vectors = found.vectors
    assert found.usage["prompt_tokens"] > 0
    assert len(vectors) == 2
    assert len(vectors[0]) == len(vectors[1]) > 100
    assert vectors[0] != vectors[1]


@each_personality
def test_a_model_is_trained_from_file_to_events(sandbox: Sandbox, personality: str) -> None:
    lines = "\n".join(json.dumps(line) for line in examples(12)).encode()
    with connect(unsaved(sandbox, personality)) as upstream:
        file = upstream.upload_file("train.jsonl", io.BytesIO(lines), "fine-tune")
        assert file.name == "train.jsonl"
        control(sandbox, "POST", "/clock", {"advance": 30})
        assert upstream.get_file(file.id).status == "processed"
        assert file.id in [found.id for found in upstream.list_files("fine-tune")]
        assert upstream.file_content(file.id) == lines
        job = upstream.create_job(
            {"model": "gpt-4.1-mini-2025-04-14", "training_file": file.id, "seed": 3, "suffix": "try"}
        )
        assert not job.is_finished
        assert job.training_file == file.id
        control(sandbox, "POST", "/clock", {"advance": 30})
        done = upstream.get_job(job.id)
        assert done.status == "succeeded"
        assert done.fine_tuned_model
        assert done.result_files
        events = upstream.job_events(job.id)
        assert [event.created for event in events] == sorted(event.created or 0 for event in events)
        assert {event.level for event in events} <= {"info", "warn", "error"}
        assert any(event.kind == "metrics" and event.data for event in events)
        checkpoints = upstream.job_checkpoints(job.id)
        assert checkpoints
        assert all(checkpoint.step for checkpoint in checkpoints)
        assert [found.id for found in upstream.list_jobs(since=0)] == [job.id]
        assert list(upstream.list_jobs(since=(job.created or 0) + 1000)) == []
        upstream.delete_file(file.id)
        upstream.delete_file(file.id)


def test_more_jobs_than_one_page_are_listed_newest_first(upstream: Upstream, sandbox: Sandbox) -> None:
    lines = "\n".join(json.dumps(line) for line in examples(10)).encode()
    file = upstream.upload_file("train.jsonl", io.BytesIO(lines), "fine-tune")
    control(sandbox, "POST", "/clock", {"advance": 30})
    made = []
    for number in range(3):
        body = {"model": "gpt-4.1-mini-2025-04-14", "training_file": file.id, "seed": number}
        made.append(upstream.create_job(body).id)
        control(sandbox, "POST", "/clock", {"advance": 5})
    assert [job.id for job in upstream.list_jobs()] == made[::-1]


# What it never does


def test_the_environment_has_no_say(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    foreign = "sk-from-the-environment"
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"):
        monkeypatch.setenv(name, foreign)
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_WEBHOOK_SECRET"):
        monkeypatch.setenv(name, foreign)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OPENAI_API_VERSION", "1999-01-01")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"x-custom: {foreign}\nauthorization: Bearer {foreign}")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    listing = b'{"object":"list","data":[],"has_more":false}'
    with bare_server(settings, lambda handler: handler.answer(200, listing)) as bare:
        for kind in ("azure_v1", "azure_dated", "openai", "compatible"):
            with connect(bare.connection(kind=kind)) as upstream:
                upstream.list_stored()
                upstream.chat("m", [{"role": "user", "content": "x"}], store=False)
        assert len(bare.seen) == 8
        for _, path, headers in bare.seen:
            assert foreign not in json.dumps(headers)
            assert "1999" not in path
            assert not [name for name in headers if name.startswith(("openai-", "x-"))]
            secret = headers.get("api-key") or headers["authorization"].removeprefix("Bearer ")
            assert secret == "key-of-a-bare-server"
            assert ("api-key" in headers) != ("authorization" in headers)


@pytest.mark.parametrize(
    ("fault", "unknown"),
    [
        ({"kind": "status", "status": 500}, True),
        ({"kind": "status", "status": 500, "effect": "after"}, True),
        ({"kind": "status", "status": 503, "json": False}, True),
        ({"kind": "drop"}, True),
        ({"kind": "drop", "effect": "after"}, True),
        ({"kind": "cut", "fraction": 0.3}, True),
        ({"kind": "html200"}, True),
        ({"kind": "throttle", "retry_after": 1}, False),
        ({"kind": "status", "status": 409, "code": "conflict"}, False),
        ({"kind": "redirect"}, True),
    ],
)
def test_a_job_is_asked_for_exactly_once_whatever_happens(
    sandbox: Sandbox, upstream: Upstream, fault: dict[str, Any], unknown: bool
) -> None:
    faults(sandbox, {**fault, "method": "POST", "path": "/fine_tuning/jobs"})
    with pytest.raises(UpstreamError) as caught:
        upstream.create_job({"model": "gpt-4.1-mini-2025-04-14", "training_file": "file-none"})
    assert caught.value.outcome_unknown is unknown
    assert len(journal(sandbox, method="POST", path="/fine_tuning/jobs")) == 1


def test_a_job_that_takes_too_long_is_not_sent_again(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    over = threading.Event()
    late: list[bool] = []
    with bare_server(settings, lambda handler: late.append(over.wait(10))) as bare:
        with connect(bare.connection()) as upstream:
            exchange = upstream._wire.exchange

            def hurried(*args: Any, **kwargs: Any) -> Any:
                return exchange(*args, **{**kwargs, "timeout": 0.2})

            monkeypatch.setattr(upstream._wire, "exchange", hurried)
            with pytest.raises(UpstreamError) as caught:
                upstream.create_job({"model": "m", "training_file": "f"})
        over.set()
    assert caught.value.kind == "timeout"
    assert caught.value.outcome_unknown
    assert len(bare.seen) == 1


def test_no_secret_is_left_in_errors_logs_or_reports(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    canary = "sk-canary-0123456789abcdef"
    echo = json.dumps({"error": {"message": f"Bad key {canary}", "code": canary, "param": canary}}).encode()
    caplog.set_level(logging.DEBUG)
    said = []
    with bare_server(settings, lambda handler: handler.answer(401, echo, x_request_id=canary)) as bare:
        connection = bare.connection(secret=canary)
        said += [json.dumps(finding.as_dict()) for finding in test_connection(connection)]
        with connect(connection) as upstream:
            for call in (
                upstream.list_stored,
                upstream.models,
                lambda: upstream.chat("m", [], store=False),
                lambda: upstream.create_job({"model": "m", "training_file": "f"}),
            ):
                with pytest.raises(UpstreamError) as caught:
                    call()
                said += [json.dumps(caught.value.as_dict()), str(caught.value), repr(caught.value)]
                assert caught.value.__cause__ is None
    assert len(said) > 12
    assert canary not in "".join(said)
    assert canary not in caplog.text


# Addresses


@pytest.mark.parametrize(
    ("kind", "typed", "root"),
    [
        ("azure_v1", "https://a.openai.azure.com", "https://a.openai.azure.com/openai/v1"),
        ("azure_v1", "https://a.openai.azure.com/openai/v1/", "https://a.openai.azure.com/openai/v1"),
        ("azure_v1", " https://a.services.ai.azure.com/openai ", "https://a.services.ai.azure.com/openai/v1"),
        ("azure_dated", "https://a.openai.azure.com/", "https://a.openai.azure.com/openai"),
        ("azure_dated", "https://a.openai.azure.com/openai/v1", "https://a.openai.azure.com/openai"),
        ("openai", "https://api.openai.com", "https://api.openai.com/v1"),
        ("openai", "https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("compatible", "https://gateway.example/llm/", "https://gateway.example/llm"),
    ],
)
def test_every_way_of_typing_an_address_leads_to_the_api(kind: str, typed: str, root: str) -> None:
    assert api_root(kind, typed) == root


def test_the_same_resource_is_recognised_across_domains_and_surfaces() -> None:
    def resource(kind: str, url: str, ending: str = "") -> tuple[str, ...]:
        return resource_of(Connection(kind=kind, base_url=url, secret_last4=ending))

    assert (
        resource("azure_v1", "https://One.openai.azure.com/openai/v1/")
        == resource("azure_dated", "https://one.openai.azure.com")
        == resource("azure_v1", "https://one.services.ai.azure.com")
    )
    assert resource("azure_v1", "https://one.openai.azure.com") != resource(
        "azure_v1", "https://two.openai.azure.com"
    )
    assert resource("openai", "https://api.openai.com/v1", "aaaa") != resource(
        "openai", "https://api.openai.com/v1", "bbbb"
    )
    assert resource("openai", "https://api.openai.com", "aaaa") == resource(
        "openai", "https://api.openai.com/v1/", "aaaa"
    )
