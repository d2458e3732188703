"""The bytes of an export: parts that only one worker ever writes, joined into the artifact at the end.

A step writes a part of its own, named after its lease. So a worker that was given up and wakes late writes
into a file that nobody reads beyond what was recorded of it.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from django.conf import settings
from django.core.files import File
from django.core.files.storage import Storage, storages

from completions.models import Export
from portal.models import Operation

READ_BYTES = 1024 * 1024


class Missing(Exception):
    """A part that was written is not there any more."""


def artifacts() -> Storage:
    return storages["artifacts"]


def _folder() -> Path:
    """Where parts grow: on the disk of the artifacts, so that the last move is a rename."""
    location = getattr(artifacts(), "location", None)
    folder = Path(location) / ".building" if location else settings.DATA_DIR / "building"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Path(folder)


def part_name(operation: Operation) -> str:
    """A name that no other step of this or another operation has."""
    return f"{operation.pk}.{operation.fence}"


def part(export: Export, name: str) -> Path:
    return _folder() / f"export-{export.pk}.{name}.part"


def whole(export: Export, name: str) -> Path:
    return _folder() / f"export-{export.pk}.{name}.whole"


def write_anew(path: Path) -> BinaryIO:
    """An empty file that only this process's user can read."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "r+b")


def keep(file: BinaryIO) -> None:
    """Have what was written on the disk."""
    file.flush()
    os.fsync(file.fileno())


def pieces(export: Export, parts: Sequence[tuple[str, int]]) -> Iterator[bytes]:
    """The bytes that were recorded of the parts, in their order. Raises Missing."""
    for name, size in parts:
        left = size
        try:
            with part(export, name).open("rb") as file:
                while left and (chunk := file.read(min(left, READ_BYTES))):
                    left -= len(chunk)
                    yield chunk
        except FileNotFoundError:
            pass
        if left:
            raise Missing(f"part {name} of the export lacks {left} bytes")


class _Made(File):  # type: ignore[type-arg]  # Django's File is generic in its stubs only
    """A file that the storage may move instead of copying (FileSystemStorage looks for this method)."""

    def temporary_file_path(self) -> str:
        return str(self.name)


def join(pieces: Iterable[bytes], file: BinaryIO) -> str:
    """Write the pieces one after the other; the SHA-256 of them all."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
        file.write(piece)
    return digest.hexdigest()


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def publish(path: Path, name: str) -> tuple[int, str]:
    """Move a complete file into the artifacts; its size and the name that it has there."""
    storage = artifacts()
    if storage.exists(name):  # from a try that died before it was recorded
        storage.delete(name)
    with path.open("rb") as file:
        saved = storage.save(name, _Made(file, name=str(path)))
    path.unlink(missing_ok=True)
    return storage.size(saved), saved


def open_file(export: Export) -> Any:
    """The artifact, opened for reading bytes."""
    return cast(Any, artifacts().open(export.path, "rb"))


def discard_parts(export_pk: Any) -> None:
    for path in _folder().glob(f"export-{export_pk}.*"):
        path.unlink(missing_ok=True)
