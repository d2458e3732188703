"""The sandbox's own HTTP front, byte by byte."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from portal.sandbox import Sandbox
from portal.sandbox.exchange import Answer
from portal.sandbox.server import Server
from tests.portal.sandbox_client import (
    _close_clients,  # noqa: F401  # a fixture that runs by itself
    client,
    control,
    http,
)

MODELS = b"GET /azure-v1/openai/v1/models HTTP/1.1\r\nHost: x\r\napi-key: sandbox-azure-v1-key\r\n"
CREATE = b"POST /azure-v1/openai/v1/chat/completions HTTP/1.1\r\nHost: x\r\napi-key: sandbox-azure-v1-key\r\n"
BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}).encode()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(None, rows=10, rows_elsewhere=10) as running:
        yield running


def talk(sandbox: Sandbox, *pieces: bytes) -> bytes:
    """Everything that comes back until the server closes."""
    with closing(socket.create_connection(("127.0.0.1", sandbox.port), timeout=5)) as connection:
        for piece in pieces:
            connection.sendall(piece)
        received = b""
        while data := connection.recv(65536):
            received += data
        return received


def test_requests_in_one_packet_are_answered_in_order(sandbox: Sandbox) -> None:
    received = talk(
        sandbox, MODELS + b"\r\n" + MODELS + b"X: 1\r\n\r\n" + MODELS + b"Connection: close\r\n\r\n"
    )
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert len(control(sandbox, "GET", "/journal")["entries"]) == 3


def test_a_request_may_arrive_byte_by_byte(sandbox: Sandbox) -> None:
    request = CREATE + b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
    received = talk(sandbox, *(request[i : i + 1] for i in range(len(request))))
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_body_may_be_chunked_and_expected(sandbox: Sandbox) -> None:
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(BODY[i : i + 7]), BODY[i : i + 7]) for i in range(0, len(BODY), 7)
    )
    head = CREATE + b"Connection: close\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
    received = talk(sandbox, head, chunks + b"0\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/2.0\r\n\r\n", b"400"),
        (CREATE + b"Content-Length: -1\r\n\r\n", b"400"),
        (CREATE + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (CREATE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (CREATE + b"Content-Length: 999999999999\r\n\r\n", b"413"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20000, b"400"),
        (b"GET / HTTP/1.1\r\n no name: x\r\n\r\n", b"400"),
    ],
    ids=["no request", "version", "length", "two lengths", "chunk", "too large", "long head", "header"],
)
def test_what_is_not_a_request_is_refused_and_closed(sandbox: Sandbox, given: bytes, status: bytes) -> None:
    assert talk(sandbox, given).startswith(b"HTTP/1.1 " + status)
    assert client(sandbox).models.list().data


@pytest.mark.parametrize(
    "form",
    [
        b"",
        b"--b",
        b"--b\r\n",
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nevals',
        b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nevals\r\n--b--\r\n',
        b"--b" + b'\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nevals\r\n--b' * 2 + b"--\r\n",
    ],
)
def test_a_malformed_form_is_refused(sandbox: Sandbox, form: bytes) -> None:
    headers = {"api-key": "sandbox-azure-v1-key", "Content-Type": "multipart/form-data; boundary=b"}
    status, body, _ = http(f"{sandbox.base_url('azure-v1')}files", "POST", form, headers)
    assert status == 400
    assert body["error"]["type"] == "error"
    assert client(sandbox).files.list().data == []


def test_latency_and_keys_can_be_set_while_it_runs(sandbox: Sandbox) -> None:
    assert control(sandbox, "POST", "/settings", {"latency_ms": 1})["latency_ms"] == 1
    order = {"resource": "azure-v1", "op": "key", "key": "another-key", "role": "read-only"}
    control(sandbox, "POST", "/state", order)
    assert client(sandbox, key="another-key").chat.completions.list().data
    assert http(f"{sandbox.url}/_sandbox/state", "POST", {**order, "role": "king"})[0] == 400


def test_a_server_may_be_stopped_before_it_listens(tmp_path: Path) -> None:
    for _ in range(100):
        server = Server(lambda request: Answer(200), tmp_path)
        server.listen("127.0.0.1", 0)
        ended: list[BaseException | None] = []

        def run(server: Server = server, ended: list[BaseException | None] = ended) -> None:
            try:
                server.run()
            except RuntimeError as error:
                ended.append(error)
            else:
                ended.append(None)

        thread = Thread(target=run)
        thread.start()
        server.stop()
        thread.join(10)
        assert ended == [None]
