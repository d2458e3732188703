"""A keep-alive HTTP/1.1 front on asyncio's protocols: one thread, no locks, head and body in one write."""

import asyncio
import socket
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from time import time

from portal.sandbox.exchange import LARGEST_BODY, Answer, BadRequest, Body, Cuts, Later, Request, Respond

LARGEST_HEAD = 64 * 1024
BACKLOG_WHILE_BUSY = 1024 * 1024


_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


class _Connection(asyncio.Protocol):
    """One client connection; requests are answered one at a time, in order."""

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.transport: asyncio.Transport | None = None
        self.buffer = bytearray()
        self.request: Request | None = None
        self.body: Body | None = None
        self.missing = 0  # bytes still to come, when the length was given
        self.cut_at = -1  # of these so many never come in: the line is closed
        self.chunked = False
        self.busy = False
        self.keep_alive = True
        self.streaming: Iterator[tuple[float, bytes]] | None = None
        self.writable = True

    # transport events

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.connections.discard(self)
        if self.body is not None:
            self.body.discard()
        self.transport = None
        self.streaming = None

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.busy:
            self.read()
        elif len(self.buffer) > BACKLOG_WHILE_BUSY and self.transport is not None:
            self.transport.pause_reading()

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        if self.streaming is not None:
            self.pump()

    # reading

    def read(self) -> None:
        try:
            while not self.busy and self.transport is not None:
                if self.request is None and not self.read_head():
                    return
                if not self.read_body():
                    return
                self.dispatch()
        except BadRequest as error:
            self.refuse(413 if str(error) == "413" else 400)

    def read_head(self) -> bool:
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self.buffer) > LARGEST_HEAD:
                raise BadRequest("head too long")
            return False
        lines = self.buffer[:end].decode("latin-1").split("\r\n")
        del self.buffer[: end + 4]
        parts = lines[0].split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
            raise BadRequest("request line")
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise BadRequest("header line")
            headers[name.lower()] = value.strip()
        path, _, query = parts[1].partition("?")
        self.request = Request(parts[0], path, query, headers)
        connection = headers.get("connection", "").lower()
        self.keep_alive = connection != "close" and (parts[2] == "HTTP/1.1" or connection == "keep-alive")
        self.chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        length = headers.get("content-length", "0")
        if self.chunked and "content-length" in headers:
            raise BadRequest("two lengths")
        if not length.isascii() or not length.isdigit():
            raise BadRequest("length")
        self.missing = int(length)
        if self.missing > LARGEST_BODY:
            raise BadRequest("413")
        if self.chunked or self.missing:
            self.body = Body(self.server.spool)
            fraction = self.server.cuts(self.request) if self.missing else None
            self.cut_at = -1 if fraction is None else int(self.missing * (1 - fraction))
            if headers.get("expect", "").lower() == "100-continue" and self.transport is not None:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def read_body(self) -> bool:
        if self.body is None:
            return True
        if self.chunked:
            return self.read_chunks(self.body)
        take = min(self.missing, len(self.buffer))
        self.body.add(self.buffer[:take])
        del self.buffer[:take]
        self.missing -= take
        if self.missing <= self.cut_at and self.transport is not None:
            self.body.discard()
            self.body = None
            self.transport.abort()
            self.transport = None
            return False
        return self.missing == 0

    def read_chunks(self, body: Body) -> bool:
        while True:
            end = self.buffer.find(b"\r\n")
            if end < 0:
                if len(self.buffer) > LARGEST_HEAD:
                    raise BadRequest("chunk head")
                return False
            try:
                size = int(self.buffer[:end].split(b";")[0], 16)
            except ValueError as error:
                raise BadRequest("chunk size") from error
            if size < 0 or size > LARGEST_BODY:
                raise BadRequest("413")
            if len(self.buffer) < end + 2 + size + 2:
                return False
            body.add(self.buffer[end + 2 : end + 2 + size])
            del self.buffer[: end + 2 + size + 2]
            if size == 0:
                return True

    # answering

    def dispatch(self) -> None:
        request, self.request = self.request, None
        assert request is not None
        if self.body is not None:
            self.body.close(request)
            self.body = None
        self.busy = True
        try:
            result = self.server.respond(request)
        except Exception as error:  # a defect of ours must be seen by whoever called, not hang them
            self.server.note_defect(error)
            result = Answer(500, repr(error).encode(), "text/plain")
        if isinstance(result, Later):
            self.server.work(result, self.answer, request)
        else:
            self.answer(result, request)

    def answer(self, answer: Answer, request: Request) -> None:
        if request.spooled is not None:
            request.spooled.unlink(missing_ok=True)
        if answer.delay > 0:
            self.server.loop.call_later(answer.delay, self.send, answer)
        else:
            self.send(answer, head_only=request.method == "HEAD")

    def send(self, answer: Answer, *, head_only: bool = False) -> None:
        if self.transport is None:
            return
        if answer.drop:
            self.transport.abort()
            return
        head = self.server.head(answer, keep_alive=self.keep_alive)
        if answer.stream is not None:
            self.transport.write(head)
            self.streaming = answer.stream
            self.pump()
            return
        if answer.cut is not None:
            self.transport.write(head + answer.body[: int(len(answer.body) * answer.cut)])
            self.transport.close()
            return
        self.transport.write(head if head_only else head + answer.body)
        self.done()

    def pump(self) -> None:
        while self.streaming is not None and self.writable and self.transport is not None:
            step = next(self.streaming, None)
            if step is None:
                self.streaming = None
                self.transport.write(b"0\r\n\r\n")
                self.done()
                return
            delay, data = step
            if delay > 0:
                streaming, self.streaming = self.streaming, None
                self.server.loop.call_later(delay, self.pump_on, streaming, data)
                return
            self.write_chunk(data)

    def pump_on(self, streaming: Iterator[tuple[float, bytes]], data: bytes) -> None:
        if self.transport is None:
            return
        self.streaming = streaming
        self.write_chunk(data)
        self.pump()

    def write_chunk(self, data: bytes) -> None:
        if data and self.transport is not None:
            self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def done(self) -> None:
        if self.transport is None:
            return
        if not self.keep_alive:
            self.transport.close()
            return
        self.busy = False
        if self.buffer:
            self.transport.resume_reading()
            self.server.loop.call_soon(self.read)

    def refuse(self, status: int) -> None:
        if self.body is not None:
            self.body.discard()
            self.body = None
        self.keep_alive = False
        self.busy = True
        self.send(Answer(status, b'{"error":{"message":"malformed request"}}'))


class Server:
    """Listens on loopback and hands each request to ``respond``; everything runs on ``loop``'s thread."""

    def __init__(self, respond: Respond, spool: Path, cuts: Cuts = lambda _: None) -> None:
        self.respond = respond
        self.cuts = cuts
        self.spool = spool
        self.connections: set[_Connection] = set()
        self.defects: list[str] = []
        self.loop = asyncio.new_event_loop()
        self._pool = ThreadPoolExecutor(2, "sandbox-work")
        self._listener: asyncio.Server | None = None
        self._socket: socket.socket | None = None
        self._stopping = False
        self._date = (0, b"")

    def listen(self, host: str, port: int) -> int:
        """Bind, and return the port in use; needs no loop, as the caller's thread may have one of its own."""
        self._socket = socket.create_server((host, port), backlog=512)
        port_in_use: int = self._socket.getsockname()[1]
        return port_in_use

    def run(self) -> None:
        """Serve until ``stop``; to be called on the thread that will own all state."""
        asyncio.set_event_loop(self.loop)
        try:
            if self._socket is not None:
                accept = self.loop.create_server(lambda: _Connection(self), sock=self._socket, backlog=512)
                self._listener = self.loop.run_until_complete(accept)
            if not self._stopping:
                self.loop.run_forever()
        finally:
            self._pool.shutdown(wait=True)
            if self._listener is not None:
                self._listener.close()
            for connection in list(self.connections):
                if connection.transport is not None:
                    connection.transport.abort()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()

    def stop(self) -> None:
        """May be called from any thread, or from a signal handler's callback, also before it listens."""
        self._stopping = True
        self.loop.call_soon_threadsafe(self._halt)

    def _halt(self) -> None:
        if self._socket is None or self._listener is not None:  # else `run` ends as soon as it listens
            self.loop.stop()

    def work(self, later: Later, answer: Callable[[Answer, Request], None], request: Request) -> None:
        def finish(result: object) -> None:
            try:
                answer(later.finish(result), request)
            except Exception as error:  # as in dispatch
                self.note_defect(error)
                answer(Answer(500, repr(error).encode(), "text/plain"), request)

        def run() -> None:
            result: object
            try:
                result = later.work()
            except Exception as error:  # handed on: finish() decides what it means
                result = error
            self.loop.call_soon_threadsafe(finish, result)

        self._pool.submit(run)

    def note_defect(self, error: Exception) -> None:
        self.defects.append("".join(traceback.format_exception(error)))

    def head(self, answer: Answer, *, keep_alive: bool) -> bytes:
        now = int(time())
        if self._date[0] != now:
            self._date = (now, formatdate(now, usegmt=True).encode())
        lines = [
            b"HTTP/1.1 %d %b\r\nDate: %b\r\n"
            % (answer.status, _REASONS.get(answer.status, b""), self._date[1])
        ]
        if answer.content_type is not None:
            lines.append(b"Content-Type: %b\r\n" % answer.content_type.encode("latin-1"))
        lines += [f"{name}: {value}\r\n".encode("latin-1") for name, value in answer.headers]
        if answer.stream is not None:
            lines.append(b"Transfer-Encoding: chunked\r\n")
        elif answer.status != 204:
            lines.append(b"Content-Length: %d\r\n" % len(answer.body))
        lines.append(b"\r\n" if keep_alive else b"Connection: close\r\n\r\n")
        return b"".join(lines)
