"""How an endpoint is told who asks: identities, tokens, client secrets, and the management plane."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from portal.models import Auth, Connection
from portal.sandbox import Sandbox
from portal.sandbox.access import CLIENT_SECRET, IDENTITY_HEADER
from portal.upstream import UpstreamError, connect
from portal.upstream import credentials as tokens
from tests.portal.sandbox_client import control
from tests.portal.upstream_bed import (
    Bare,
    Handler,
    bare_server,
    certificate_of_a_test,
    journal,
    unsaved,
)


@pytest.fixture
def sandbox(settings: Any) -> Iterator[Sandbox]:
    with Sandbox(None, rows=40, rows_elsewhere=40, job_seconds=2) as running:
        settings.UPSTREAM_ALLOW = [f"127.0.0.1:{running.port}"]
        yield running


@pytest.fixture(autouse=True)
def _no_tokens_left() -> Iterator[None]:
    tokens._tokens.clear()
    yield
    tokens._tokens.clear()


def entra(sandbox: Sandbox, personality: str, monkeypatch: pytest.MonkeyPatch, **fields: Any) -> Connection:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{sandbox.url}/identity/token")
    monkeypatch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
    values: dict[str, Any] = {"auth": Auth.ENTRA_MANAGED, "secret": ""}
    return unsaved(sandbox, personality, **values | fields)


@pytest.mark.parametrize("personality", ["azure-v1", "azure-dated"])
def test_a_managed_identity_gets_a_token_for_the_right_audience_once(
    sandbox: Sandbox, personality: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = entra(sandbox, personality, monkeypatch)
    for _ in range(2):
        with connect(connection) as upstream:
            assert upstream.list_stored(limit=3).items
    asked = [entry for entry in journal(sandbox) if entry["path"] == "/identity/token"]
    assert len(asked) == 1


def test_an_expired_token_is_renewed_once_and_the_reading_goes_on(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(entra(sandbox, "azure-v1", monkeypatch)) as upstream:
        assert upstream.list_stored(limit=3).items
        control(sandbox, "POST", "/clock", {"advance": 3 * 3600})
        assert upstream.list_stored(limit=3).items
        control(sandbox, "POST", "/clock", {"advance": 3 * 3600})
        assert upstream.chat("gpt-4o", [{"role": "user", "content": "hello"}], store=False).text
    assert len([entry for entry in journal(sandbox) if entry["path"] == "/identity/token"]) == 3


def test_a_second_refusal_is_not_retried(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = entra(sandbox, "azure-v1", monkeypatch, scope="https://elsewhere.example/.default")
    with connect(connection) as upstream, pytest.raises(UpstreamError) as caught:
        upstream.list_stored()
    assert caught.value.kind == "auth"
    assert caught.value.permanent
    listings = [entry for entry in journal(sandbox) if entry["path"] == "/chat/completions"]
    assert [entry["status"] for entry in listings] == [401, 401]


def test_a_refused_job_is_not_sent_again_even_with_a_new_token(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(entra(sandbox, "azure-v1", monkeypatch)) as upstream:
        upstream.list_stored(limit=1)
        control(sandbox, "POST", "/clock", {"advance": 3 * 3600})
        with pytest.raises(UpstreamError) as caught:
            upstream.create_job({"model": "gpt-4.1-mini-2025-04-14", "training_file": "file-none"})
    assert caught.value.kind == "auth"
    assert not caught.value.outcome_unknown
    assert len(journal(sandbox, method="POST", path="/fine_tuning/jobs")) == 1


def test_the_default_chain_finds_the_managed_identity(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    with connect(entra(sandbox, "azure-v1", monkeypatch, auth=Auth.ENTRA_DEFAULT)) as upstream:
        assert upstream.list_stored(limit=1).items


def test_an_unknown_identity_is_explained(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = entra(sandbox, "azure-v1", monkeypatch, client_id="nobody")
    with connect(connection) as upstream, pytest.raises(UpstreamError) as caught:
        upstream.list_stored()
    assert caught.value.kind == "credentials"
    assert caught.value.permanent
    assert caught.value.hint


def test_a_key_never_reaches_the_management_plane(sandbox: Sandbox) -> None:
    connection = unsaved(
        sandbox,
        subscription_id="00000000-0000-0000-0000-000000000001",
        resource_group="sandbox",
        account_name="azure-v1",
        management_url=f"{sandbox.url}/management",
    )
    with connect(connection) as upstream, pytest.raises(UpstreamError) as caught:
        upstream.list_deployments()
    assert caught.value.kind == "credentials"
    assert not [entry for entry in journal(sandbox) if entry["resource"] == "management"]


def test_deployments_are_made_looked_at_and_removed(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = entra(
        sandbox,
        "azure-v1",
        monkeypatch,
        subscription_id="00000000-0000-0000-0000-000000000001",
        resource_group="sandbox",
        account_name="azure-v1",
        management_url=f"{sandbox.url}/management",
    )
    body = {
        "sku": {"name": "GlobalStandard", "capacity": 1},
        "properties": {"model": {"format": "OpenAI", "name": "gpt-4o", "version": "2024-08-06"}},
    }
    with connect(connection) as upstream:
        before = {deployment.name for deployment in upstream.list_deployments()}
        assert upstream.put_deployment("mine", body).state != "Failed"
        control(sandbox, "POST", "/clock", {"advance": 600})
        made = upstream.get_deployment("mine")
        assert (made.name, made.model, made.state) == ("mine", "gpt-4o", "Succeeded")
        assert {deployment.name for deployment in upstream.list_deployments()} == before | {"mine"}
        assert upstream.chat("mine", [{"role": "user", "content": "hello"}], store=False).text
        upstream.delete_deployment("mine")
        with pytest.raises(UpstreamError) as caught:
            upstream.get_deployment("mine")
    assert caught.value.kind == "not_found"


@pytest.mark.parametrize(
    "fields",
    [
        {"secret": ""},
        {"secret": "two words of a key"},
        {"secret": "schlüssel-mit-umlaut"},
        {"auth": Auth.ENTRA_SECRET, "tenant_id": "", "client_id": "a"},
        {"auth": Auth.ENTRA_SECRET, "tenant_id": "t", "client_id": "a", "secret": ""},
    ],
)
def test_what_is_missing_is_said_before_anything_is_sent(sandbox: Sandbox, fields: dict[str, Any]) -> None:
    with pytest.raises(UpstreamError) as caught:
        connect(unsaved(sandbox, **fields))
    assert caught.value.kind == "credentials"
    assert journal(sandbox) == []


# Client secret: azure-identity insists on https, so a TLS front stands before the sandbox's endpoint.


@pytest.fixture
def authority(
    sandbox: Sandbox, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bare]:
    bundle, context = certificate_of_a_test(tmp_path)

    def forward(handler: Handler) -> None:
        headers = {"host": handler.headers["host"], "x-forwarded-proto": "https"}
        if kind := handler.headers.get("content-type"):
            headers["content-type"] = kind
        with closing(HTTPConnection("127.0.0.1", sandbox.port)) as inner:
            inner.request(handler.command, f"/identity{handler.path}", handler.body or None, headers)
            answer = inner.getresponse()
            handler.answer(answer.status, answer.read(), content_type="application/json")

    with bare_server(settings, forward, tls=context) as front:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", "https://127.0.0.1:9")  # must not be followed
        settings.ENTRA_AUTHORITY = f"https://localhost:{front.port}"
        yield front


def with_client_secret(sandbox: Sandbox, secret: str) -> Connection:
    return unsaved(
        sandbox,
        auth=Auth.ENTRA_SECRET,
        tenant_id="11111111-2222-3333-4444-555555555555",
        client_id="sandbox-client",
        secret=secret,
    )


@pytest.mark.usefixtures("authority")
def test_a_client_secret_buys_a_token(sandbox: Sandbox) -> None:
    with connect(with_client_secret(sandbox, CLIENT_SECRET)) as upstream:
        assert upstream.list_stored(limit=2).items


@pytest.mark.usefixtures("authority")
def test_a_wrong_client_secret_is_explained_and_not_repeated(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = "wrong-client-secret-0123456789"
    with connect(with_client_secret(sandbox, wrong)) as upstream, pytest.raises(UpstreamError) as caught:
        upstream.list_stored()
    assert (caught.value.kind, caught.value.code) == ("credentials", "secret_wrong")
    assert "value" in caught.value.hint
    assert wrong not in json.dumps(caught.value.as_dict()) + caplog.text
    assert not [entry for entry in journal(sandbox) if entry["path"] == "/chat/completions"]
