"""Helpers of the upstream tests: bare servers that misbehave as told, and what the sandbox wrote down."""

import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from portal.models import Auth, Connection, Kind
from portal.sandbox import Sandbox
from tests.portal.sandbox_client import control

PERSONALITIES = ("azure-v1", "azure-dated", "openai")
KINDS = {"azure-v1": Kind.AZURE_V1, "azure-dated": Kind.AZURE_DATED, "openai": Kind.OPENAI}


def unsaved(sandbox: Sandbox, personality: str = "azure-v1", **fields: Any) -> Connection:
    """A connection to one personality that no database knows."""
    values: dict[str, Any] = {
        "name": personality,
        "slug": personality,
        "kind": KINDS[personality],
        "base_url": sandbox.base_url(personality),
        "auth": Auth.KEY,
        "secret": f"sandbox-{personality}-key",
    }
    return Connection(**values | fields)


def journal(sandbox: Sandbox, **wanted: str) -> list[dict[str, Any]]:
    """The requests that the sandbox got, oldest first."""
    entries: list[dict[str, Any]] = control(sandbox, "GET", "/journal")["entries"]
    return [entry for entry in entries if all(entry[name] == value for name, value in wanted.items())]


Respond = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers as the test's function says and remembers each request."""

    protocol_version = "HTTP/1.1"
    respond: Respond
    seen: list[tuple[str, str, dict[str, str]]]

    def _any(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        self.body = self.rfile.read(length)
        self.seen.append(
            (self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
        )
        type(self).respond(self)

    do_GET = do_POST = do_PUT = do_DELETE = _any  # noqa: N815  # the standard library looks for these names

    def answer(self, status: int, body: bytes = b"{}", **headers: str) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Bare:
    """A running server of our own; `seen` holds (method, path, headers)."""

    def __init__(self, port: int, seen: list[tuple[str, str, dict[str, str]]]) -> None:
        self.port = port
        self.seen = seen
        self.host = f"127.0.0.1:{port}"
        self.url = f"http://{self.host}"

    def connection(self, **fields: Any) -> Connection:
        values: dict[str, Any] = {
            "name": "bare",
            "slug": "bare",
            "kind": Kind.COMPATIBLE,
            "base_url": f"{self.url}/v1",
            "secret": "key-of-a-bare-server",
        }
        return Connection(**values | fields)


@contextmanager
def bare_server(settings: Any, respond: Respond, *, tls: Any = None) -> Iterator[Bare]:
    """A server that answers with `respond`, and that UPSTREAM_ALLOW allows."""
    seen: list[tuple[str, str, dict[str, str]]] = []
    made = type("Made", (Handler,), {"respond": staticmethod(respond), "seen": seen})
    server = ThreadingHTTPServer(("127.0.0.1", 0), made)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    port = int(server.server_address[1])
    settings.UPSTREAM_ALLOW = [*settings.UPSTREAM_ALLOW, f"127.0.0.1:{port}"]
    try:
        yield Bare(port, seen)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def sentinel() -> Iterator[tuple[int, list[Any]]]:
    """A listener that nobody may ever reach: (its port, who connected)."""
    met: list[Any] = []

    class Meet(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            met.append(self.client_address)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Meet) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1]), met
        finally:
            server.shutdown()
            thread.join()


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def certificate_of_a_test(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for localhost: (the file that makes it trusted, a server's context)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted, private = folder / "trusted.pem", folder / "private.pem"
    trusted.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, private)
    return trusted, context


def page_of(rows: list[Any], **envelope: Any) -> bytes:
    """A page of a list as services send it."""
    return json.dumps({"object": "list", "data": rows, **envelope}).encode()
