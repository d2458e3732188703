"""A small, strict reader of multipart/form-data that never copies a large file through memory."""

import mmap
import re
from dataclasses import dataclass
from pathlib import Path

from portal.sandbox.exchange import Request


class MalformedForm(Exception):
    """The body is not multipart/form-data as RFC 7578 has it."""


@dataclass(frozen=True, slots=True)
class Part:
    """One field: where its bytes lie in the body."""

    name: str
    filename: str | None
    start: int
    end: int


_BOUNDARY = re.compile(
    r'multipart/form-data\s*;.*?\bboundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE
)
_NAME = re.compile(r'(?:^|;)\s*(name|filename)="((?:[^"\\\r\n]|\\.)*)"')


class Form:
    """The parts of one request body; use as a context manager."""

    def __init__(self, request: Request) -> None:
        match = _BOUNDARY.match(request.headers.get("content-type", ""))
        if match is None:
            raise MalformedForm("Content-Type must be multipart/form-data with a boundary.")
        self.boundary = b"--" + (match[1] or match[2]).encode("latin-1")
        self._map: mmap.mmap | None = None
        if request.spooled is not None:
            with request.spooled.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._data: bytes | mmap.mmap = self._map if self._map is not None else request.body
        self.parts = self._read()

    def __enter__(self) -> "Form":
        return self

    def __exit__(self, *_: object) -> None:
        if self._map is not None:
            self._map.close()

    def _read(self) -> dict[str, Part]:
        data, parts = self._data, dict[str, Part]()
        if data[: len(self.boundary)] != self.boundary:
            raise MalformedForm("The body does not begin with its boundary.")
        at = len(self.boundary)
        while True:
            if data[at : at + 2] == b"--":
                return parts
            if data[at : at + 2] != b"\r\n":
                raise MalformedForm("A boundary is not followed by a line end.")
            head_end = data.find(b"\r\n\r\n", at, at + 16384)
            end = data.find(b"\r\n" + self.boundary, head_end + 2 if head_end >= 0 else at)
            if head_end < 0 or end < 0:
                raise MalformedForm("A part has no end.")
            part = _part(data[at + 2 : head_end].decode("utf-8", "replace"), head_end + 4, end)
            if part.name in parts:
                raise MalformedForm(f"The field {part.name!r} occurs twice.")
            parts[part.name] = part
            at = end + 2 + len(self.boundary)

    def text(self, name: str) -> str | None:
        part = self.parts.get(name)
        return None if part is None else self._data[part.start : part.end].decode("utf-8", "replace")

    def save(self, name: str, path: Path) -> None:
        """Write a part's bytes to a new file, whole or not at all."""
        part = self.parts[name]
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            if self._map is None:
                file.write(self._data[part.start : part.end])
            else:
                self._map.seek(part.start)
                remaining = part.end - part.start
                while remaining:
                    block = self._map.read(min(remaining, 1 << 20))
                    file.write(block)
                    remaining -= len(block)
        partial.replace(path)

    def raw(self, name: str) -> bytes:
        part = self.parts[name]
        return self._data[part.start : part.end]


def _part(head: str, start: int, end: int) -> Part:
    name = filename = None
    for line in head.split("\r\n"):
        key, _, value = line.partition(":")
        if key.strip().lower() == "content-disposition":
            found = dict(_NAME.findall(value.partition(";")[2]))
            name, filename = found.get("name"), found.get("filename")
    if name is None:
        raise MalformedForm("A part has no name.")
    return Part(name, filename.replace('\\"', '"') if filename else filename, start, end)
