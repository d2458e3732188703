"""The bytes of a version: how a line is written, where the file grows, and how it becomes the artifact.

The artifact appears under its name complete or not at all; until then the file grows beside it.
"""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.core.files import File
from django.core.files.storage import Storage, storages

from datasets.models import DatasetVersion, Example

READ_BYTES = 1024 * 1024
# Legal inside a JSON string, but readers that split with str.splitlines() take them for line ends.
_LINE_ENDS = {"\u2028": "\\u2028", "\u2029": "\\u2029", "\x85": "\\u0085"}
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class Unwritable(ValueError):
    """The value cannot be written as UTF-8 JSON: a lone surrogate, NaN or endless nesting."""


class FileDiffers(Exception):
    """The stored artifact is not the file that was built."""


def as_line(data: dict[str, Any]) -> bytes:
    """One line of JSONL with its line end; UTF-8, nothing escaped that need not be."""
    try:
        text = _ENCODER.encode(data)
        if not text.isascii() and any(end in text for end in _LINE_ENDS):
            for end, escaped in _LINE_ENDS.items():
                text = text.replace(end, escaped)
        return text.encode() + b"\n"
    except (ValueError, TypeError, RecursionError) as error:
        raise Unwritable(str(error)[:200]) from error


def artifacts() -> Storage:
    return storages["artifacts"]


def growing(version: DatasetVersion) -> Path:
    """Where the version's file grows: on the disk of the artifacts, so that the last move is a rename."""
    location = getattr(artifacts(), "location", None)
    folder = Path(location) / ".building" if location else settings.DATA_DIR / "building"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Path(folder / f"{version.file_name}.part")


@contextlib.contextmanager
def append_at(path: Path, offset: int) -> Iterator[BinaryIO]:
    """Write from `offset` on and have it on the disk at the end. BlockingIOError while another does."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(handle, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.seek(offset)
        yield file
        file.flush()
        os.fsync(file.fileno())


def size_of(path: Path) -> int:
    """Bytes on the disk; 0 if there is no such file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def replace(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    beside = path.with_name(f"{path.name}.new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def seal(path: Path, size: int, parts: Sequence[int]) -> tuple[str, list[str]]:
    """Cut off what is beyond `size` (left by a worker that died); the SHA-256 of the rest, and of its parts.

    `parts` are their sizes, one after the other.
    """
    whole, digests = hashlib.sha256(), []
    with path.open("r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())
        file.seek(0)
        if list(parts) == [size]:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return digest, [digest]
        for left in parts:
            part = hashlib.sha256()
            while left and (chunk := file.read(min(left, READ_BYTES))):
                part.update(chunk)
                whole.update(chunk)
                left -= len(chunk)
            digests.append(part.hexdigest())
    return whole.hexdigest(), digests


class _Grown(File):  # type: ignore[type-arg]  # Django's File is generic in its stubs only
    """A file that the storage may move instead of copying (FileSystemStorage looks for this method)."""

    def temporary_file_path(self) -> str:
        return str(self.name)


def publish(path: Path, name: str) -> None:
    """Move a sealed file into the artifacts under exactly `name`; harmless if that has happened already."""
    storage = artifacts()
    if not path.exists():
        if not storage.exists(name):
            raise FileDiffers(f"{name} was not found")
        return
    if storage.exists(name):
        storage.delete(name)
    with path.open("rb") as file:
        saved = storage.save(name, _Grown(file, name=str(path)))
    if saved != name:
        storage.delete(saved)
        raise FileDiffers(f"{name} was taken")
    path.unlink(missing_ok=True)


def discard(version: DatasetVersion) -> None:
    growing(version).unlink(missing_ok=True)


def open_file(version: DatasetVersion) -> Any:
    """The artifact, opened for reading bytes."""
    return artifacts().open(version.path, "rb")


def read_line(version: DatasetVersion, example: Example) -> dict[str, Any]:
    """The line of one example, read from the file."""
    value = json.loads(read_bytes(version, example))
    if not isinstance(value, dict):
        raise FileDiffers(f"line {example.line} of {version.path} is no object")
    return value


def read_bytes(version: DatasetVersion, example: Example) -> bytes:
    """The bytes of one example's line, without its line end."""
    assert example.offset is not None
    assert example.length is not None
    with open_file(version) as file:
        file.seek(example.offset)
        return bytes(file.read(example.length)).rstrip(b"\n")


def checked_bytes(version: DatasetVersion) -> Iterator[bytes]:
    """The file in pieces; raises FileDiffers at the end if it is not what was built."""
    digest = hashlib.sha256()
    with open_file(version) as file:
        while chunk := file.read(READ_BYTES):
            digest.update(chunk)
            yield chunk
    if digest.hexdigest() != version.sha256:
        raise FileDiffers(f"{version.path} is not the file that was built")
