"""Take a file in: refuse what cannot be read, unpack what is packed, and keep it as plain lines.

A file comes from outside. However large or hostile it is, this holds one chunk of it in memory, or one small
list of objects.
"""

import gzip
import json
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from io import BytesIO
from itertools import islice
from typing import Any, BinaryIO, cast

from django.conf import settings
from django.core.files import File
from django.core.files.storage import Storage, storages
from django.db import transaction

from completions.importing import shapes
from completions.importing.lines import BOM, CHUNK, lines
from completions.models import Import
from completions.readings import clean

HEAD = 1024 * 1024
MOST_RATIO, RATIO_COUNTS_FROM = 200, 64 * 1024 * 1024
LARGEST_ARRAY = 32 * 1024 * 1024
LOOKED_AT = 20
_MAGIC = (
    (
        b"PK\x03\x04",
        "This is a zip file or a spreadsheet. Unpack it, or save the table as CSV, and upload that.",
    ),
    (b"PK\x05\x06", "This is an empty zip file."),
    (b"BZh", "This is packed with bzip2. Unpack it first, or pack it with gzip."),
    (b"\xfd7zXZ\x00", "This is packed with xz. Unpack it first, or pack it with gzip."),
    (b"\x28\xb5\x2f\xfd", "This is packed with zstd. Unpack it first, or pack it with gzip."),
    (b"7z\xbc\xaf\x27\x1c", "This is a 7z archive. Unpack it first, or pack the file with gzip."),
    (b"PAR1", "This is a Parquet file. Write it as JSONL or CSV and upload that."),
    (b"%PDF", "This is a PDF. Only JSONL and CSV can be imported."),
    (b"\xd0\xcf\x11\xe0", "This is an old office document. Save the table as CSV and upload that."),
)


class Refused(ValueError):
    """The file cannot be imported; the text says why and what to do."""


def artifacts() -> Storage:
    return storages["artifacts"]


def take(uploaded: BinaryIO, name: str, owner: Any) -> Import:
    """Keep a file as an import that can be looked at. Raises Refused."""
    with ExitStack() as stack:
        plain, size = plain_of(uploaded, stack)
        shape = _shape(plain)
        made = Import(owner=owner, file_name=clean(name)[:200] or "file", size=size, shape=shape or "stored")
        made.mapping = mapping_of(plain) if shape == Import.Shape.TABLE else {}
        plain.seek(0)
        path = f"imports/{made.pk}.lines"
        made.path = artifacts().save(path, File(plain, name=path))
        try:
            made.save(force_insert=True)
        except BaseException:
            artifacts().delete(made.path)
            raise
    return made


def open_file(source: Import) -> BinaryIO:
    """The lines of an import, to read from any offset."""
    return cast(BinaryIO, artifacts().open(source.path, "rb"))


def count_lines(source: Import) -> int:
    """How many lines the file has."""
    found, last = 0, b""
    with open_file(source) as file:
        while chunk := file.read(CHUNK):
            found, last = found + chunk.count(b"\n"), chunk
    return found + (bool(last) and not last.endswith(b"\n"))


def drop_file(source: Import) -> None:
    """Let the file go once the present transaction commits; what it became stays."""
    if path := source.path:
        Import.objects.filter(pk=source.pk).update(path="")
        source.path = ""
        transaction.on_commit(lambda: artifacts().delete(path), robust=True)


def mapping_of(plain: BinaryIO) -> dict[str, Any]:
    """What the header of a table says. Raises Refused."""
    header = next(lines(plain, most=shapes.LONGEST), None)
    try:
        text = shapes.decoded(header.data or b"") if header is not None else ""
    except shapes.Unusable as error:
        raise Refused(f"The header {error}.") from None
    delimiter = shapes.delimiter_of(text)
    names = [name.strip()[:120] for name in text.split(delimiter)]
    names = [name.strip('"').strip() for name in names]
    if len(names) < 2 or len(names) > 500:
        raise Refused(
            "This is neither JSONL nor a table: the first line is no JSON object, and it has no columns. "
            "A table needs a header line with a name for each column."
        )
    return {"delimiter": delimiter, "names": names, "columns": shapes.guessed(names)}


def plain_of(uploaded: BinaryIO, stack: ExitStack) -> tuple[BinaryIO, int]:
    """The file as lines of UTF-8, and how many bytes it has. Raises Refused."""
    head = uploaded.read(HEAD)
    if head.startswith(b"\x1f\x8b"):
        uploaded.seek(0)
        uploaded = _unpacked(uploaded, stack)
        head = uploaded.read(HEAD)
    for magic, why in _MAGIC:
        if head.startswith(magic):
            raise Refused(why)
    size = uploaded.seek(0, 2)
    _check_text(head)
    if not head.removeprefix(BOM).strip() and size <= HEAD:
        raise Refused("The file is empty.")
    uploaded.seek(0)
    start = head.removeprefix(BOM).lstrip()
    if start.startswith(b"[") or (start.startswith(b"{") and not _is_lines(start)):
        return _spread(uploaded, size, start)
    return uploaded, size


def _unpacked(packed: BinaryIO, stack: ExitStack) -> BinaryIO:
    size = packed.seek(0, 2)
    packed.seek(0)
    most = settings.IMPORT_MAX_MB * 1024 * 1024
    made = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  # the stack closes it
    written = 0
    try:
        with gzip.GzipFile(fileobj=packed, mode="rb") as file:
            while chunk := file.read(CHUNK):
                written += len(chunk)
                if written > max(RATIO_COUNTS_FROM, MOST_RATIO * size):
                    raise Refused(
                        f"The gzip file unpacks to more than {MOST_RATIO} times its size; it was given up. "
                        "Unpack it yourself if it is what you mean to import."
                    )
                if written > most:
                    raise Refused(
                        f"Unpacked, the file is larger than {settings.IMPORT_MAX_MB:,} MB. Split it."
                    )
                made.write(chunk)
    except (OSError, EOFError, zlib.error):
        raise Refused("The gzip file is damaged: it cannot be unpacked to its end.") from None
    made.seek(0)
    return cast(BinaryIO, made)


def _check_text(head: bytes) -> None:
    """Refuse what is no UTF-8 as a whole; single lines with wrong bytes are told later, each by itself."""
    for mark, name in (
        (b"\xff\xfe\x00\x00", "UTF-32"), (b"\x00\x00\xfe\xff", "UTF-32"),
        (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"),
    ):  # fmt: skip
        if head.startswith(mark):
            raise Refused(f"The file is {name}. Save it as UTF-8 and upload that.")
    sample = head[:4096]
    if len(sample) > 3 and sample.count(0) * 3 >= len(sample):
        raise Refused("The file looks like UTF-16 without its mark. Save it as UTF-8 and upload that.")
    if sample.count(0) > 8:
        raise Refused("The file is no text: it holds NUL bytes. Only JSONL and CSV can be imported.")
    good = bad = 0
    every = head.splitlines()[:-1] or [head]
    for line in every:
        if line.isascii():
            continue
        try:
            line.decode()
            good += 1
        except UnicodeDecodeError:
            bad += 1
    if bad > good and bad * 20 >= len(every):
        raise Refused(
            "The file is not UTF-8; its bytes look like Latin-1 or Windows-1252. Save it as UTF-8 and upload"
            " that."
        )


def _is_lines(start: bytes) -> bool:
    """Whether the first line is an object by itself, or too long to tell; the file is then read as lines."""
    first, end, _ = start.partition(b"\n")
    if not end or _lists(first):
        return not _lists(first)
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return first.strip() not in (b"{",)  # a line that is broken, unless it opens a printed object


def _lists(first: bytes) -> bool:
    """Whether it is the answer of a list request, with rows inside."""
    return b'"object"' in first[:200] and b'"list"' in first[:200] and b'"data"' in first[:400]


def _spread(uploaded: BinaryIO, size: int, start: bytes) -> tuple[BinaryIO, int]:
    """One list of objects as lines of objects, each with the bytes that it had."""
    if size > LARGEST_ARRAY:
        if start.startswith(b"{"):
            return uploaded, size
        raise Refused(
            f"The file is one JSON list of {size / 2**20:,.0f} MB; up to {LARGEST_ARRAY // 2**20} MB can be"
            " read at once. Write one object on each line (JSONL), for example with: jq -c '.[]' file.json"
        )
    try:
        text = uploaded.read().removeprefix(BOM).decode()
        found = list(_elements(text))
    except (ValueError, RecursionError):
        uploaded.seek(0)
        if start.startswith(b"{"):
            return uploaded, size
        raise Refused("The file begins as a JSON list, but it cannot be read as one.") from None
    if not found:
        raise Refused("The list in the file is empty.")
    made = BytesIO(b"".join(_one_line(each) for each in found))
    return made, made.getbuffer().nbytes


def _one_line(element: str) -> bytes:
    # Line ends can only stand between the parts of JSON, never within a text.
    return element.replace("\r", " ").replace("\n", " ").encode() + b"\n"


def _elements(text: str) -> Iterator[str]:
    """The elements of a list, or of the list `data` in an object, as they are written."""
    decoder = json.JSONDecoder()
    if text.lstrip().startswith("{"):
        value = json.loads(text)
        data = value.get("data")
        if not isinstance(data, list):
            yield text
            return
        for each in data:
            yield json.dumps(each)
        return
    at = text.index("[") + 1
    while True:
        at = _beyond(text, at)
        if text[at : at + 1] == "]":
            if text[at + 1 :].strip():
                raise ValueError("something stands behind the list")
            return
        _, end = decoder.raw_decode(text, at)
        yield text[at:end]
        at = _beyond(text, end)
        if text[at : at + 1] == ",":
            at += 1
        elif text[at : at + 1] != "]":
            raise ValueError("a comma is missing")


def _beyond(text: str, at: int) -> int:
    """The place of the next character that is no white space."""
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _shape(plain: BinaryIO) -> Import.Shape | None:
    some = islice((line.data for line in lines(plain, most=shapes.LONGEST) if line.data), LOOKED_AT)
    return shapes.shape_of(some)
