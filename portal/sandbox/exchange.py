"""What comes in and what goes out: requests with their bodies, answers, and the bytes still arriving."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

LARGEST_BODY = 600 * 1024 * 1024
SPOOL_ABOVE = 4 * 1024 * 1024  # bodies larger than this go to disk as they arrive


@dataclass(slots=True)
class Request:
    """One request as it came in; a large body lies in ``spooled`` and ``body`` is empty."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = b""
    spooled: Path | None = None
    size: int = 0
    digest: str | None = None

    def open_body(self) -> bytes:
        return self.spooled.read_bytes() if self.spooled else self.body


@dataclass(slots=True)
class Answer:
    """What goes back. ``stream`` yields (delay before, bytes) and is sent chunked."""

    status: int = 200
    body: bytes = b""
    content_type: str | None = "application/json"
    headers: list[tuple[str, str]] = field(default_factory=list)
    stream: Iterator[tuple[float, bytes]] | None = None
    delay: float = 0.0
    drop: bool = False  # close without a byte
    cut: float | None = None  # close after this fraction of the body


@dataclass(slots=True)
class Later:
    """An answer that takes long to work out: ``work`` runs on a thread, ``finish`` on the server's own."""

    work: Callable[[], object]
    finish: Callable[[object], Answer]


Respond = Callable[[Request], Answer | Later]
# By its head alone: after which part of its body a request is cut off, None for those that come in whole.
Cuts = Callable[[Request], float | None]


class BadRequest(Exception):
    """The bytes are not an HTTP request that we take."""


class Body:
    """Collects one request body, in memory or on disk, with its digest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.size = 0
        self.memory = bytearray()
        self.file: BinaryIO | None = None
        self.path: Path | None = None
        self.sha = hashlib.sha256()

    def add(self, data: bytes | bytearray) -> None:
        self.size += len(data)
        if self.size > LARGEST_BODY:
            raise BadRequest("413")
        self.sha.update(data)
        if self.file is None and self.size > SPOOL_ABOVE:
            handle, name = tempfile.mkstemp(prefix="body-", dir=self.folder)
            self.path = Path(name)
            self.file = os.fdopen(handle, "wb")
            self.file.write(self.memory)
            self.memory.clear()
        if self.file is not None:
            self.file.write(data)
        else:
            self.memory += data

    def close(self, request: Request) -> None:
        request.size = self.size
        request.digest = self.sha.hexdigest()[:16] if self.size else None
        if self.file is not None:
            self.file.close()
            request.spooled = self.path
        else:
            request.body = bytes(self.memory)

    def discard(self) -> None:
        if self.file is not None:
            self.file.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)
