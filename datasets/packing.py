"""Files of a version as streams, in constant memory: a part, packed with gzip, or everything in one zip.

The same version gives the same bytes: no moment of writing is kept in them.
"""

import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Final, cast

from datasets.build import files
from datasets.models import DatasetVersion, Part

_MOMENT: Final = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can tell
_GZIP: Final = 31  # zlib's number for the largest window with gzip's header, whose time stays 0


def part(version: DatasetVersion, which: Part) -> Iterator[bytes]:
    """The bytes of one part."""
    left = which.size
    with files.open_file(version) as file:
        file.seek(which.offset)
        while left and (chunk := file.read(min(left, files.READ_BYTES))):
            left -= len(chunk)
            yield chunk
    if left:
        raise files.FileDiffers(f"{version.path} lacks {left} bytes of its part {which.name}")


def packed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same packed with gzip."""
    pack = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
    for piece in pieces:
        if done := pack.compress(piece):
            yield done
    yield pack.flush()


def zipped(entries: Iterable[tuple[str, Iterable[bytes]]]) -> Iterator[bytes]:
    """A zip of named streams, each taken when its turn comes."""
    sink = _Sink()
    with zipfile.ZipFile(cast(IO[bytes], sink), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, pieces in entries:
            told = zipfile.ZipInfo(name, _MOMENT)
            told.compress_type = zipfile.ZIP_DEFLATED
            told.external_attr = 0o644 << 16
            with archive.open(told, "w", force_zip64=True) as file:
                for piece in pieces:
                    file.write(piece)
                    yield from sink.taken()
            yield from sink.taken()
    yield from sink.taken()


class _Sink:
    """What a zip is written to: it goes on at once, so nothing can be sought in it."""

    def __init__(self) -> None:
        self._held: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._held.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""

    def taken(self) -> Iterator[bytes]:
        held, self._held = self._held, []
        yield from held


def everything(
    version: DatasetVersion, folder: str, texts: Mapping[str, str], flat: Mapping[str, Iterable[bytes]]
) -> Iterator[bytes]:
    """The zip with every part as its own file, the texts around them, and `flat` streams of further files."""
    entries: list[tuple[str, Iterable[bytes]]] = [
        (f"{folder}/{name}", [text.encode()]) for name, text in sorted(texts.items())
    ]
    entries += [(f"{folder}/data/{which.name}.jsonl", part(version, which)) for which in version.parts]
    entries += [(f"{folder}/{name}", pieces) for name, pieces in flat.items()]
    return zipped(entries)
