"""The one way out: a small pooled HTTP/1.1 client that follows no redirect and reads no more than it should.

The SDK sends through `SdkTransport`; reading pages and messages uses `Wire.exchange` directly, at a third of
the processor time, which matters when a mirror makes a million requests. Environment variables (proxies,
keys, extra headers) have no effect here.
"""

import http.client
import select
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic
from typing import Any

import httpx2

from portal.upstream.errors import UpstreamError, clean
from portal.upstream.outbound import Origin, allowed_origin, checked_addresses

LARGEST_ANSWER = 112 * 1024 * 1024  # one message of 100 MB still fits
KEPT_IDLE = 64
IDLE_SECONDS = 20.0
CONNECT_SECONDS = 5.0
CHUNK = 64 * 1024
AGENT = "completions-portal"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; header names are lower-case, the body is decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer whose body is still on its way; whoever takes the pieces to their end has the whole of it."""

    status: int
    headers: Mapping[str, str]
    pieces: Iterator[bytes]


@lru_cache(maxsize=1)
def tls() -> ssl.SSLContext:
    """The machine's trust store, or SSL_CERT_FILE; made once as loading it takes long."""
    return httpx2.create_ssl_context()


class Wire:
    """Connections to one origin, kept open and shared by threads."""

    def __init__(self, base_url: str, *, largest: int = LARGEST_ANSWER) -> None:
        self.origin: Origin = allowed_origin(base_url)
        self.largest = largest
        self._idle: list[tuple[float, http.client.HTTPConnection]] = []
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def exchange(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None = None,
        *,
        timeout: float = 30.0,
        largest: int | None = None,
    ) -> Answer:
        """Send one request and read the whole answer.

        Raises UpstreamError (network, timeout, tls, dns, blocked, redirect, unreadable); a status of 400 and
        above is an answer like any other. Nothing is ever sent twice. The total time is bounded by three
        times
        `timeout`.
        """
        write = method != "GET"
        # A write goes out on a connection of its own: a kept one may be closed by the other side at that
        # very moment, and nobody would know whether the request arrived.
        connection = self._open(timeout) if write else self._take(timeout)
        sent = False
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if isinstance(body, bytes) and "content-length" not in headers:
                connection.putheader("content-length", str(len(body)))
            sent = True
            connection.endheaders(body if isinstance(body, bytes) else None)
            if body is not None and not isinstance(body, bytes):
                _send(connection, body)
            response = connection.getresponse()
            answer = _read(response, largest or self.largest, monotonic() + 3 * timeout)
        except UpstreamError as error:
            connection.close()
            error.outcome_unknown = write and sent
            raise
        except (OSError, http.client.HTTPException, zlib.error) as error:
            connection.close()
            raise _lost(error, self.origin, unknown=write and sent) from error
        except BaseException:
            connection.close()
            raise
        if response.will_close or write:
            connection.close()
        else:
            self._keep(connection)
        if 300 <= answer.status < 400:
            raise _redirected(answer, unknown=write)
        return answer

    def stream(self, target: str, headers: Mapping[str, str], *, timeout: float) -> Stream:
        """GET on a line of its own, for a body too large to hold. Raises as `exchange` does, also midway."""
        connection = self._open(timeout)
        try:
            connection.putrequest("GET", target, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _lost(error, self.origin, unknown=False) from error
        answer = Answer(
            response.status, {name.lower(): value for name, value in response.headers.items()}, b""
        )
        if 300 <= answer.status < 400:
            connection.close()
            raise _redirected(answer, unknown=False)

        def pieces() -> Iterator[bytes]:
            try:
                yield from _pieces(response, answer.headers.get("content-encoding", ""))
            except (OSError, http.client.HTTPException, zlib.error) as error:
                raise _lost(error, self.origin, unknown=False) from error
            finally:
                connection.close()

        return Stream(answer.status, answer.headers, pieces())

    def _take(self, timeout: float) -> http.client.HTTPConnection:
        now = monotonic()
        while True:
            with self._lock:
                if not self._idle:
                    break
                since, connection = self._idle.pop()
            if now - since < IDLE_SECONDS and not _readable(connection.sock):
                connection.sock.settimeout(timeout)
                return connection
            connection.close()
        return self._open(timeout)

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < KEPT_IDLE:
                self._idle.append((monotonic(), connection))
                return
        connection.close()

    def _open(self, timeout: float) -> http.client.HTTPConnection:
        """A new connection to an address that was checked a moment ago, and to no other."""
        origin = self.origin
        connection = http.client.HTTPConnection(origin.host, origin.port)
        connection.default_port = {"http": 80, "https": 443}[origin.scheme]  # for the Host header
        failure: Exception | None = None
        for family, address in checked_addresses(origin):
            raw = socket.socket(family, socket.SOCK_STREAM)
            try:
                raw.settimeout(min(CONNECT_SECONDS, timeout))
                raw.connect((address, origin.port))
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.sock = (
                    tls().wrap_socket(raw, server_hostname=origin.host) if origin.scheme == "https" else raw
                )
                connection.sock.settimeout(timeout)
            except OSError as error:
                raw.close()
                failure = error
                if isinstance(error, ssl.SSLError):
                    break
                continue
            return connection
        if failure is None:
            raise UpstreamError("dns", f"The name {origin.host} has no address.", code="dns")
        raise _lost(failure, origin, unknown=False, connecting=True) from failure


def _send(connection: http.client.HTTPConnection, body: Iterable[bytes]) -> None:
    try:
        for piece in body:
            connection.send(piece)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it refuses the upload half-way; why stands in its answer, if there is one


def _readable(sock: Any) -> bool:
    """Whether an idle connection has something to say, which can only be good-bye."""
    try:
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    except (OSError, ValueError):
        return True


def _read(response: http.client.HTTPResponse, largest: int, deadline: float) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    encoding = headers.pop("content-encoding", "")
    if not encoding and response.length is not None and response.length > largest:
        raise _too_large(largest)
    whole = bytearray()
    for piece in _pieces(response, encoding):
        whole += piece
        if len(whole) > largest:
            whole.clear()  # the error's traceback would hold it until the next collection of garbage
            raise _too_large(largest)
        if monotonic() > deadline:
            raise TimeoutError("the answer took too long")
    return Answer(response.status, headers, bytes(whole))


def _pieces(response: http.client.HTTPResponse, encoding: str) -> Iterator[bytes]:
    """The body as it arrives, decompressed; at most about a megabyte at a time."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        unpack = None
    elif encoding in ("gzip", "x-gzip", "deflate"):
        unpack = zlib.decompressobj(47)
    else:
        raise UpstreamError("unreadable", f"The answer is compressed with {encoding[:20]}.", code="encoding")
    while True:
        piece = (
            response.read1(CHUNK)
            if response.length is None
            else response.read(min(CHUNK * 16, response.length))
        )
        if not piece:
            if response.length:
                raise http.client.IncompleteRead(b"", response.length)
            break
        if unpack is None:
            yield piece
        while piece and unpack is not None:
            if unpack.eof:  # gzip allows several members, one behind the other
                unpack = zlib.decompressobj(47)
            yield unpack.decompress(piece, CHUNK * 16)
            piece = unpack.unconsumed_tail or unpack.unused_data
    if unpack is not None:
        yield unpack.flush()
        if not unpack.eof:
            raise UpstreamError("unreadable", "The answer ended in the middle.", code="cut")


def _too_large(largest: int) -> UpstreamError:
    return UpstreamError(
        "unreadable",
        f"The answer is larger than {largest // (1024 * 1024)} MB.",
        code="too_large",
        permanent=True,
        hint="Nothing of it was kept.",
    )


def _redirected(answer: Answer, *, unknown: bool) -> UpstreamError:
    where = answer.headers.get("location", "")[:200].split("?")[0]
    host = httpx2.URL(where).host if where.startswith(("http://", "https://")) else ""
    return UpstreamError(
        "redirect",
        f"It redirects to {host or 'another address'}, and redirects are never followed.",
        http_status=answer.status,
        code="redirect",
        hint="Set the base URL of the connection to the final address, if you know and trust it.",
        outcome_unknown=unknown,
    )


def _lost(error: Exception, origin: Origin, *, unknown: bool, connecting: bool = False) -> UpstreamError:
    """No answer: in which of the ways that a person would act on differently."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return UpstreamError(
            "tls",
            f"The certificate of {origin.host} is not trusted: {error.verify_message}.",
            code="certificate",
            hint="If your own authority signed it, point SSL_CERT_FILE at that authority's certificate.",
        )
    if isinstance(error, ssl.SSLError) and connecting:
        return UpstreamError(
            "tls", f"No secure connection to {origin.host} could be made.", code="tls", permanent=False
        )
    if isinstance(error, TimeoutError):
        said = "did not accept a connection in time" if connecting else "did not answer in time"
        return UpstreamError("timeout", f"{origin.host} {said}.", code="timeout", outcome_unknown=unknown)
    if isinstance(error, http.client.IncompleteRead | zlib.error):
        return UpstreamError(
            "unreadable", "The answer ended in the middle.", code="cut", outcome_unknown=unknown
        )
    if isinstance(error, http.client.HTTPException) and not isinstance(error, http.client.RemoteDisconnected):
        return UpstreamError(
            "unreadable", "The answer is not HTTP.", code="not_http", outcome_unknown=unknown
        )
    if connecting:
        return UpstreamError(
            "network",
            f"{origin} cannot be reached: {error.__class__.__name__}.",
            code="connect",
            hint="Check the base URL, and that this machine may connect there.",
        )
    return UpstreamError(
        "network", f"{origin.host} closed the connection.", code="disconnected", outcome_unknown=unknown
    )


# What the SDK may say beside the credential; the rest (organisation, project and custom headers from the
# environment, telemetry) is left out.
_FORWARDED = ("accept", "content-type", "content-length", "transfer-encoding", "aoai-evals")

_RETURNED = (
    "content-type", "retry-after", "retry-after-ms", "x-should-retry", "x-request-id", "apim-request-id",
    "x-ms-request-id",
)  # fmt: skip


class SdkTransport(httpx2.BaseTransport):
    """Carries the SDK's requests over a Wire, with our headers and our credential in place of its own."""

    def __init__(
        self, wire: Wire, credential_headers: Callable[[], dict[str, str]], secrets: tuple[str, ...]
    ) -> None:
        self.wire = wire
        self.credential_headers = credential_headers
        self.secrets = secrets

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if allowed_origin(f"{request.url.scheme}://{request.url.netloc.decode()}") != self.wire.origin:
            raise UpstreamError("blocked", "The request left the connection's own address.", code="blocked")
        headers = {name: request.headers[name] for name in _FORWARDED if name in request.headers}
        headers |= {"user-agent": AGENT, "accept-encoding": "gzip"} | self.credential_headers()
        read = request.extensions.get("timeout", {}).get("read") or 30.0
        length = request.headers.get("content-length")
        assert isinstance(request.stream, httpx2.SyncByteStream)
        body: bytes | Iterator[bytes] | None = None
        if length is not None and int(length) > CHUNK * 16:
            body = iter(request.stream)  # an upload
        elif request.method not in ("GET", "DELETE") or length is not None:
            headers.pop("transfer-encoding", None)
            body = b"".join(request.stream)
        answer = self.wire.exchange(
            request.method, request.url.raw_path.decode("ascii"), headers, body, timeout=read
        )
        # What the SDK writes into its log is cleaned here, as a service may send back what it was sent.
        known = {
            name: clean(answer.headers[name], self.secrets) for name in _RETURNED if name in answer.headers
        }
        return httpx2.Response(answer.status, headers=known, content=answer.body)
