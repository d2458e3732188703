"""The lines of a file one by one, in memory that does not grow with the file nor with its longest line."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

CHUNK = 256 * 1024
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One line, or one record of a table that goes over several.

    `number` counts from 1 as an editor does, `end` is the offset behind it. The bytes of one that is too long
    are not kept: `data` is None, `length` tells how many there were.
    """

    number: int
    start: int
    end: int
    length: int
    data: bytes | None
    lines: int = 1
    unclosed: bool = False


def lines(file: BinaryIO, *, offset: int = 0, number: int = 1, most: int) -> Iterator[Line]:
    """Lines from an offset on; the one there has this number. At most `most` bytes of one are held."""
    file.seek(offset)
    start, held, length = offset, bytearray(), 0
    while chunk := file.read(CHUNK):
        at = 0
        while (found := chunk.find(b"\n", at)) >= 0:
            length += found - at
            if length <= most:
                held += chunk[at:found]
            end = start + length + 1
            yield _line(number, start, end, length, held, most)
            number, start, at, length = number + 1, end, found + 1, 0
            held.clear()
        length += len(chunk) - at
        if length <= most:
            held += chunk[at:]
        else:
            held.clear()
    if length:
        yield _line(number, start, start + length, length, held, most)


def _line(number: int, start: int, end: int, length: int, held: bytearray, most: int) -> Line:
    if length > most:
        return Line(number, start, end, length, None)
    data = bytes(held).removesuffix(b"\r")
    if start == 0:
        data = data.removeprefix(BOM)
    return Line(number, start, end, length, data)


def records(file: BinaryIO, *, offset: int = 0, number: int = 1, most: int) -> Iterator[Line]:
    """Records of a table as RFC 4180 has them: one goes on over line ends that stand between quotes.

    A quote that is never closed would swallow the rest of the file. So where a record grows beyond `most`,
    its first line alone is given up (`unclosed`), and reading goes on behind that.
    """
    while True:
        first: Line | None = None
        parts: list[bytes] = []
        quotes = held = 0
        reading = lines(file, offset=offset, number=number, most=most)
        for line in reading:
            if first is None:
                if line.data is None or line.data.count(b'"') % 2 == 0:
                    yield line
                    offset, number = line.end, line.number + 1
                    continue
                first = line
            held += line.length + 1
            if line.data is None or held > most:
                break
            parts.append(line.data)
            quotes += line.data.count(b'"')
            if quotes % 2 == 0:
                data = b"\n".join(parts)
                yield Line(
                    first.number, first.start, line.end, len(data), data, line.number - first.number + 1
                )
                offset, number = line.end, line.number + 1
                first, parts, quotes, held = None, [], 0, 0
        if first is None:
            return
        yield Line(first.number, first.start, first.end, first.length, None, unclosed=True)
        offset, number = first.end, first.number + 1
