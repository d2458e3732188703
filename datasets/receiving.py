"""The operation that reads a file into a version: chunk by chunk, in bounded memory, resumed after a kill.

Good lines are taken byte for byte, only marks of the encoding and line ends are normal afterwards. A line
that breaks a rule is left out under its number and named, and the next one is read. The next version of such
a dataset, without rows that were excluded by hand, is read from the first one in the same way.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, BinaryIO, Final, cast

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from completions.importing.lines import lines
from completions.models import StoredCompletion
from completions.querysets import holding
from datasets import received
from datasets.build import files, validate
from datasets.build.writing import MAX_PROBLEMS
from datasets.models import DatasetVersion, Example, Part
from datasets.received_lines import Given, Taker
from portal import audit, operations
from portal.crashpoints import crashpoint
from portal.models import Connection
from portal.upstream import connect

CHUNK: Final = 200
CHUNK_BYTES: Final = 16 * 1024 * 1024
Working = operations.Working
State = DatasetVersion.State


@dataclass
class Cursor:
    """How far it has come: in the file that is read, and in the one that is written."""

    path: str = ""
    offset: int = 0  # where the next line begins
    number: int = 1  # its number
    position: int = 0
    out: int = 0
    lines: int = 0
    sealed: str = ""


def _ended(operation: Any) -> None:
    """A version whose operation failed can be begun again; its rows so far stay until then."""
    DatasetVersion.objects.filter(pk=operation.subject_id, state=State.BUILDING).update(state=State.FAILED)


@operations.handler(received.KIND, queue="dataset", ended=_ended)
def run(work: Working) -> operations.Done | operations.Again:
    """One step."""
    version = _version_of(work)
    if version.state in (State.READY, State.REFUSED):
        return operations.Done({"rows": version.rows, "sha256": version.sha256})
    cursor = Cursor(**work.operation.cursor)
    if not cursor.path and not received.KEPT_HERE & version.source.keys():
        _bring(work, version, cursor)
    if not cursor.sealed:
        if not _read(work, version, cursor):
            return operations.Again()
        refusal = _refusal(version, cursor)
        if refusal:
            return _refuse(work, version, refusal)
        cursor.sealed, _ = files.seal(files.growing(version), cursor.out, [cursor.out])
        crashpoint("dataset.receive.sealed")
        work.advance(cursor=asdict(cursor), step="publishing")
    files.publish(files.growing(version), version.path)
    crashpoint("dataset.receive.published")
    _finish(work, version, cursor)
    return operations.Done({"rows": cursor.lines, "sha256": cursor.sealed})


def _version_of(work: Working) -> DatasetVersion:
    versions = DatasetVersion.objects.select_related("dataset")
    version: DatasetVersion | None = versions.filter(pk=work.operation.subject_id).first()
    if version is None:
        raise operations.Failed("gone", "The dataset was deleted.")
    actionable = DatasetVersion.objects.actionable_by(work.operation.requested_by)
    if not actionable.filter(pk=version.pk).exists():
        raise operations.Failed("forbidden", "Whoever began this may no longer act on every connection.")
    return version


# Where lines come from.


def _bring(work: Working, version: DatasetVersion, cursor: Cursor) -> None:
    """Have the file here: it was uploaded, or it is fetched from the provider, whole or not at all."""
    cursor.path = version.source.get("path", "")
    if not cursor.path:
        work.advance(step="fetching", note="Fetching the file from the provider.")
        cursor.path = _fetched(version)
    crashpoint("dataset.receive.fetched")
    with transaction.atomic():
        work.advance(cursor=asdict(cursor), step="reading")
        version.source = {**version.source, "path": cursor.path}
        version.save(update_fields=["source"])


def _fetched(version: DatasetVersion) -> str:
    sources = Connection.objects.filter(pk=version.source.get("connection"), dataset_versions=version)
    connection = sources.first()
    if connection is None:
        raise operations.Failed("no_connection", "The connection that the file was to come from is gone.")
    most = settings.IMPORT_MAX_MB * 1024 * 1024
    raw = files.growing(version).with_suffix(".fetched")
    try:
        with raw.open("w+b") as file:
            with connect(connection) as upstream:
                for piece in upstream.file_pieces(str(version.source.get("file"))):
                    file.write(piece)
                    if file.tell() > most:
                        raise operations.Failed(
                            "too_large", f"The file is larger than {settings.IMPORT_MAX_MB:,} MB."
                        )
            file.seek(0)
            try:
                path, size = received.keep(file)
            except received.Refused as why:
                raise operations.Failed("not_readable", str(why)) from why
    finally:
        raw.unlink(missing_ok=True)
    version.source = {**version.source, "size": size}
    return path


def _given(version: DatasetVersion, cursor: Cursor, stack: ExitStack) -> Iterator[Given]:
    """Lines from where the cursor stands."""
    if "from_version" in version.source:
        yield from _earlier(version, cursor, stack)
        return
    if "part_of" in version.source:
        yield from _part(version, cursor, stack)
        return
    try:
        file = cast(BinaryIO, stack.enter_context(files.artifacts().open(cursor.path, "rb")))
    except FileNotFoundError as error:
        raise operations.Failed("file_gone", "The uploaded file is gone. Upload it again.") from error
    for line in lines(file, offset=cursor.offset, number=cursor.number, most=received.LONGEST_LINE):
        yield Given(line.number, line.end, line.data)


def _earlier(version: DatasetVersion, cursor: Cursor, stack: ExitStack) -> Iterator[Given]:
    """The lines of the version that was read from the file."""
    first = DatasetVersion.objects.filter(
        pk=version.source["from_version"], dataset=version.dataset_id, state=State.READY
    ).first()
    if first is None:
        raise operations.Failed("no_version", "The version that these rows come from was deleted.")
    file = stack.enter_context(files.open_file(first))
    rows = first.examples.filter(line__isnull=False, position__gte=cursor.offset).order_by("position")
    for example in rows.iterator(chunk_size=CHUNK):
        file.seek(example.offset)
        data = file.read(example.length).removesuffix(b"\n")
        yield Given(example.line, example.position + 1, data, example.source_key)


def _part(version: DatasetVersion, cursor: Cursor, stack: ExitStack) -> Iterator[Given]:
    """The lines of a part of another dataset's version, with the completions that they came from."""
    whole = DatasetVersion.objects.filter(pk=version.source["part_of"], state=State.READY).first()
    if whole is None:
        raise operations.Failed("no_version", "The version that these items come from was deleted.")
    rows = whole.examples.filter(line__gt=cursor.offset).order_by("line").select_related("completion")
    part = whole.part(version.source.get("part", ""))
    if part is not None:
        rows = rows.filter(line__gte=part.first_line, line__lt=part.first_line + part.rows)
    file = stack.enter_context(files.open_file(whole))
    for example in rows.iterator(chunk_size=CHUNK):
        file.seek(example.offset)
        data, stored = file.read(example.length).removesuffix(b"\n"), example.completion
        told = stored.metadata if stored is not None else {}
        yield Given(example.line, example.line, data, example.source_key, example.completion_id, told)


# What becomes of them.


def _read(work: Working, version: DatasetVersion, cursor: Cursor) -> bool:
    """Read chunk by chunk; False when the step's time is up first."""
    path = files.growing(version)
    if cursor.position == 0 or files.size_of(path) < cursor.out or version.state != State.BUILDING:
        _start_over(work, version, cursor)
    takes = Taker(version)
    with ExitStack() as stack:
        given = _given(version, cursor, stack)
        while chunk := list(_some(given)):
            if work.cancelled():
                raise operations.Cancelled
            if not work.time_left():
                return False
            _write_chunk(work, version, cursor, chunk, takes)
    return True


def _some(given: Iterator[Given]) -> Iterator[Given]:
    held = 0
    for line in islice(given, CHUNK):
        yield line
        held += len(line.data or b"")
        if held >= CHUNK_BYTES:
            return


def _start_over(work: Working, version: DatasetVersion, cursor: Cursor) -> None:
    """Begin at the first line: the file is new, or what was written of it is lost."""
    cursor.offset = cursor.position = cursor.out = cursor.lines = 0
    cursor.number = 1
    with transaction.atomic():
        version.examples.all().delete()
        version.counts = {"selected": 0, "written": 0, "tokens": 0, "tokens_estimated": 0, "tokens_by": {}}
        version.counts |= {"left_out": {}, "problems": {}}
        version.problems, version.state = [], State.BUILDING
        version.save(update_fields=["counts", "problems", "state"])
        work.advance(cursor=asdict(cursor), step="reading", done=0, total=version.source.get("size"))


def _write_chunk(
    work: Working, version: DatasetVersion, cursor: Cursor, chunk: Sequence[Given], takes: Taker
) -> None:
    examples: list[Example] = []
    counts = version.counts
    with files.append_at(files.growing(version), cursor.out) as file:
        for line in chunk:
            cursor.offset, cursor.number = line.end, line.number + 1
            taken = takes(line)
            if taken is None:
                continue
            example = taken.example
            example.position = cursor.position
            cursor.position += 1
            counts["selected"] += 1
            examples.append(example)
            if example.excluded_reason:
                _count(counts["left_out"], example.excluded_reason.partition(":")[0])
                _note(version, taken.problems)
                continue
            file.write(taken.data)
            cursor.lines += 1
            example.line, example.offset = cursor.lines, cursor.out
            cursor.out += len(taken.data)
            counts["written"] += 1
            counts["tokens"] += example.tokens or 0
            counts["tokens_estimated"] += taken.how not in ("usage", "exact")
            counts["mended"] = counts.get("mended", 0) + taken.mended
            _count(counts["tokens_by"], taken.how)
            for code in example.flags.split():
                _count(counts["problems"], code)
            _note(version, taken.problems, at=cursor.lines)
    crashpoint("dataset.receive.written")
    with transaction.atomic():
        done = cursor.offset if not received.KEPT_HERE & version.source.keys() else None
        work.advance(cursor=asdict(cursor), done=done, note=f"{cursor.lines:,} rows taken")
        linked = [example.completion_id for example in examples if example.completion_id is not None]
        here = set(StoredCompletion.objects.filter(holding(linked)).values_list("pk", flat=True))
        for example in examples:
            if example.completion_id not in here:  # deleted since it was read
                example.completion_id = None
        Example.objects.bulk_create(examples)
        version.save(update_fields=["counts", "problems"])
    crashpoint("dataset.receive.committed")


def _count(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


def _note(version: DatasetVersion, problems: Sequence[validate.Problem], at: int = 0) -> None:
    """Keep the first problems: of rows by their line, of lines that were left out by their number before."""
    for problem in problems:
        if len(version.problems) < MAX_PROBLEMS:
            kept = {**problem.as_dict(), "line": at}
            version.problems.append(kept if at else {**kept, "number": problem.line})


# How it ends.


def _refusal(version: DatasetVersion, cursor: Cursor) -> str:
    if not cursor.lines:
        return "Not one line of the file can be used."
    return ""


def _refuse(work: Working, version: DatasetVersion, refusal: str) -> operations.Done:
    with transaction.atomic():
        work.advance(step="refused", note=refusal)
        version.state, version.refusal, version.built = State.REFUSED, refusal, timezone.now()
        version.save(update_fields=["state", "refusal", "built", "counts", "problems"])
        audit.record(work.operation.requested_by, "dataset_version.refused", version, written=0)
        _let_go(version)
    files.discard(version)
    return operations.Done({"refused": refusal})


def _finish(work: Working, version: DatasetVersion, cursor: Cursor) -> None:
    tokens = version.counts["tokens"]
    whole = Part("train", 1, cursor.lines, 0, cursor.out, cursor.sealed, version.file_name, tokens)
    with transaction.atomic():
        work.advance(cursor=asdict(cursor), step="ready", note=f"{cursor.lines:,} rows")
        version.state, version.built = State.READY, timezone.now()
        version.rows, version.size, version.sha256 = cursor.lines, cursor.out, cursor.sealed
        version.splits = [asdict(whole)]
        version.save(
            update_fields=["state", "built", "rows", "size", "sha256", "splits", "counts", "problems"]
        )
        audit.record(
            work.operation.requested_by,
            "dataset_version.built",
            version,
            rows=version.rows,
            sha256=version.sha256,
        )
        _let_go(version)


def _let_go(version: DatasetVersion) -> None:
    """The file as it came is needed no longer."""
    path = version.source.get("path", "")
    if not path:
        return
    version.source = {name: value for name, value in version.source.items() if name != "path"}
    version.save(update_fields=["source"])
    transaction.on_commit(lambda: files.artifacts().delete(path), robust=True)
