"""Who may do what in the sandbox, and how each surface says no."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import openai
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from openai import OpenAI

from portal.sandbox import Sandbox
from tests.portal.sandbox_client import (
    _close_clients,  # noqa: F401  # a fixture that runs by itself
    advance,
    client,
    control,
    dated,
    examples,
    faults,
    http,
    jsonl,
    managed_token,
    plain,
)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(None, rows=10, rows_elsewhere=10, now=1.8e9) as running:
        yield running


ASKED: Any = [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize("personality", ["azure-v1", "azure-dated", "openai"])
def test_a_wrong_key_is_refused_as_each_does_it(sandbox: Sandbox, personality: str) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        client(sandbox, personality, "sk-not-a-key-of-this-one").chat.completions.list()
    assert refused.value.code == ("invalid_api_key" if personality == "openai" else "401")
    assert "sk-not-a-key-of-this-one" not in str(refused.value)
    assert refused.value.request_id


def test_the_plain_surface_takes_bearer_only_and_the_dated_one_takes_the_header_only(
    sandbox: Sandbox,
) -> None:
    for personality, header in (("openai", "api-key"), ("azure-dated", "Authorization")):
        key = f"sandbox-{personality}-key"
        base = sandbox.base_url(personality).rstrip("/") + ("/openai" if personality == "azure-dated" else "")
        address = f"{base}/models?api-version=2025-04-01-preview"
        given = {header: key if header == "api-key" else f"Bearer {key}"}
        assert http(address, headers=given)[0] == 401


@pytest.mark.parametrize("personality", ["azure-v1", "azure-dated", "openai"])
def test_a_reader_may_read_and_not_change(sandbox: Sandbox, personality: str) -> None:
    api = client(sandbox, personality, f"sandbox-{personality}-read-only-key")
    row = api.chat.completions.list(limit=1).data[0]
    assert api.chat.completions.messages.list(row.id).data
    refusals: list[Any] = [
        lambda: api.chat.completions.update(row.id, metadata={"a": "b"}),
        lambda: api.chat.completions.delete(row.id),
        lambda: api.files.create(file=jsonl(examples(10)), purpose="fine-tune"),
        lambda: api.fine_tuning.jobs.create(model="gpt-4.1-mini-2025-04-14", training_file="file-1"),
    ]
    for attempt in refusals:
        with pytest.raises(openai.PermissionDeniedError):
            attempt()
    assert api.files.list().data == []


@pytest.mark.parametrize("personality", ["azure-v1", "azure-dated"])
def test_a_user_may_only_call_models_and_is_told_which_right_is_missing(
    sandbox: Sandbox, personality: str
) -> None:
    api = client(sandbox, personality, f"sandbox-{personality}-user-key")
    assert api.chat.completions.create(model="gpt-4o", messages=ASKED).choices
    with pytest.raises(openai.PermissionDeniedError) as refused:
        api.chat.completions.list()
    assert refused.value.code == "PermissionDenied"
    assert "accounts/OpenAI/stored-completions/read" in refused.value.message


def test_the_dated_surface_wants_an_api_version(sandbox: Sandbox) -> None:
    status, body, _ = http(
        f"{sandbox.url}/azure-dated/openai/models", headers={"api-key": "sandbox-azure-dated-key"}
    )
    assert (status, body) == (404, {"error": {"code": "404", "message": "Resource not found"}})
    api = dated(sandbox, api_key="sandbox-azure-dated-key", azure_deployment="gpt-4o")
    assert api.chat.completions.create(model="gpt-4o", messages=ASKED).choices
    with pytest.raises(openai.NotFoundError):
        api.chat.completions.list()


def test_unknown_paths_and_models_are_refused(sandbox: Sandbox) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client(sandbox).chat.completions.create(model="none", messages=ASKED)
    assert refused.value.code == "DeploymentNotFound"
    with pytest.raises(openai.NotFoundError) as refused:
        client(sandbox, "openai").chat.completions.create(model="none", messages=ASKED)
    assert refused.value.code == "model_not_found"
    status, body, _ = http(
        f"{sandbox.url}/openai/v1/nothing", headers={"Authorization": "Bearer sandbox-openai-key"}
    )
    assert (status, set(body["error"])) == (404, {"message", "type", "param", "code"})
    assert http(f"{sandbox.url}/elsewhere")[0] == 404


def test_each_surface_names_its_requests(sandbox: Sandbox) -> None:
    _, _, azure = http(f"{sandbox.base_url('azure-v1')}models", headers={"api-key": "sandbox-azure-v1-key"})
    assert azure["apim-request-id"]
    _, _, plain = http(
        f"{sandbox.base_url('openai')}models", headers={"Authorization": "Bearer sandbox-openai-key"}
    )
    assert plain["x-request-id"].startswith("req_")
    assert int(plain["x-ratelimit-remaining-requests"]) > 0


def entra_v1(sandbox: Sandbox, resource: str = "https://ai.azure.com") -> OpenAI:
    def provider() -> str:
        return managed_token(sandbox, resource)

    return plain(sandbox.base_url("azure-v1"), provider)


def test_a_managed_identity_reads_with_the_right_audience(sandbox: Sandbox) -> None:
    assert entra_v1(sandbox).chat.completions.list().data
    with pytest.raises(openai.AuthenticationError) as refused:
        entra_v1(sandbox, "https://cognitiveservices.azure.com").chat.completions.list()
    assert "audience is incorrect (https://ai.azure.com)" in refused.value.message
    assert refused.value.code is None  # the gateway's flat body has none
    other = dated(sandbox, azure_ad_token=managed_token(sandbox, "https://cognitiveservices.azure.com"))
    assert other.chat.completions.list().data


def test_tokens_expire(sandbox: Sandbox) -> None:
    api = plain(sandbox.base_url("azure-v1"), managed_token(sandbox, "https://ai.azure.com"))
    assert api.models.list().data
    advance(sandbox, 76 * 60)
    with pytest.raises(openai.AuthenticationError):
        api.models.list()


def test_an_expiry_on_request_needs_one_new_token(sandbox: Sandbox) -> None:
    held = plain(sandbox.base_url("azure-v1"), managed_token(sandbox, "https://ai.azure.com"))
    faults(sandbox, {"kind": "expire_tokens", "resource": "azure-v1", "after": 1, "times": 1})
    assert held.models.list().data
    with pytest.raises(openai.AuthenticationError):
        held.models.list()
    with pytest.raises(openai.AuthenticationError):
        held.models.list()
    assert entra_v1(sandbox).models.list().data


def test_azure_identity_gets_its_tokens_here(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.identity import ManagedIdentityCredential

    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{sandbox.url}/identity/token")
    monkeypatch.setenv("IDENTITY_HEADER", "sandbox-identity-header")
    with ManagedIdentityCredential() as credential:
        token = credential.get_token("https://ai.azure.com/.default").token
    api = plain(sandbox.base_url("azure-v1"), token)
    assert api.chat.completions.list().data


def test_client_credentials_give_a_token_to_who_knows_the_secret(sandbox: Sandbox) -> None:
    address = f"{sandbox.url}/identity/some-tenant/oauth2/v2.0/token"
    form = (
        "grant_type=client_credentials&client_id={}&client_secret={}"
        "&scope=https%3A%2F%2Fai.azure.com%2F.default"
    )
    status, answer, _ = http(address, "POST", form.format("sandbox-client", "sandbox-client-secret").encode())
    assert status == 200
    api = plain(sandbox.base_url("azure-v1"), answer["access_token"])
    assert api.chat.completions.list().data
    status, answer, _ = http(address, "POST", form.format("sandbox-client", "wrong").encode())
    assert (status, answer["error"]) == (401, "invalid_client")
    _, discovery, _ = http(f"{sandbox.url}/identity/some-tenant/v2.0/.well-known/openid-configuration")
    assert discovery["token_endpoint"] == address


class TlsFront(threading.Thread):
    """Ends TLS before the identity endpoint as a proxy would: azure-identity takes no http authority."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        super().__init__(daemon=True)
        self.sandbox = sandbox
        self.certificate = folder / "certificate.pem"
        private = folder / "key.pem"
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, private)
        self.listener = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        self.port = self.listener.getsockname()[1]

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self.join()
        self.listener.close()

    def run(self) -> None:
        while True:
            try:
                client_side, _ = self.listener.accept()
            except OSError:  # closed: the test is over
                return
            with client_side, client_side.makefile("rwb") as stream:
                method, path, _ = stream.readline().decode().split(" ")
                headers: dict[str, str] = {}
                while line := stream.readline().strip().decode():
                    name, _, value = line.partition(": ")
                    headers[name] = value
                body = stream.read(int(headers.get("Content-Length", 0))) or None
                kept = {"Content-Type", "Host"} & set(headers)
                forwarded = {name: headers[name] for name in kept} | {"X-Forwarded-Proto": "https"}
                status, answer, _ = http(f"{self.sandbox.url}/identity{path}", method, body, forwarded)
                text = json.dumps(answer).encode()
                head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nConnection: close\r\n"
                stream.write(f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text)


def test_azure_identity_signs_in_with_a_client_secret_through_tls(sandbox: Sandbox, tmp_path: Path) -> None:
    from azure.identity import ClientSecretCredential

    front = TlsFront(sandbox, tmp_path)
    front.start()
    with ClientSecretCredential(
        "11111111-2222-3333-4444-555555555555",
        "sandbox-client",
        "sandbox-client-secret",
        authority=f"https://localhost:{front.port}",
        disable_instance_discovery=True,
        connection_verify=str(front.certificate),
    ) as credential:
        token = credential.get_token("https://ai.azure.com/.default").token
    front.close()
    assert plain(sandbox.base_url("azure-v1"), token).chat.completions.list().data


def test_a_revoked_key_stays_revoked_until_the_faults_are_cleared(sandbox: Sandbox) -> None:
    api = client(sandbox)
    faults(sandbox, {"kind": "revoke_key", "resource": "azure-v1", "times": 1, "after": 1})
    assert api.models.list().data
    for _ in range(2):
        with pytest.raises(openai.AuthenticationError):
            api.models.list()
    control(sandbox, "DELETE", "/faults")
    assert api.models.list().data


def test_the_journal_never_holds_a_key(sandbox: Sandbox) -> None:
    client(sandbox).models.list()
    entries = control(sandbox, "GET", "/journal")["entries"]
    assert entries[0]["key_hint"] == "…-key"
    assert "sandbox-azure-v1-key" not in str(entries)
