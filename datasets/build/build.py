"""Build a version of a dataset: the operation that turns a frozen selection into a file and its rows.

Rows are taken in the order of the frozen selection, in chunks. A chunk's bytes are on the disk before its
rows and the cursor are committed; a worker that takes over writes the same bytes at the same offset. A
build that was killed anywhere ends in the same file as one that was not.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.db.models import Count, Min
from django.utils import timezone
from django.utils.module_loading import import_string

from completions import raw, selection
from completions.conversation import Conversation, parse
from completions.models import MessagesState, StoredCompletion
from datasets.build import convert, files, validate
from datasets.build.lines import Line, Refusal, in_words
from datasets.models import DatasetVersion, Example, Purpose
from portal import audit, operations
from portal.crashpoints import crashpoint
from portal.models import Operation

KIND = "dataset.build"
CHUNK = 100
MAX_PROBLEMS = 200  # kept with their line numbers; the rest is counted

Writer = Callable[[Conversation, StoredCompletion, dict[str, Any]], Line | Refusal]


def supervised(conversation: Conversation, row: StoredCompletion, recipe: dict[str, Any]) -> Line | Refusal:
    """A training line as the recipe wants it."""
    train_on: convert.TrainOn = "last" if recipe.get("train_on") == "last" else "all"
    return convert.supervised_line(conversation, train_on=train_on)


# By name, so that one purpose does not load the other's code.
WRITERS = {
    Purpose.SUPERVISED: "datasets.build.build.supervised",
    Purpose.EVALUATION: "datasets.build.items.evaluation_line",
}


@dataclass
class Cursor:
    """How far a build has come: rows looked at, bytes and lines written."""

    position: int = 0
    offset: int = 0
    lines: int = 0
    sealed: str = ""


def begin(version: DatasetVersion, user: Any) -> Operation:
    """Begin the build of a version that has no file yet; returns the live operation if there is one."""
    with transaction.atomic():
        version = (
            DatasetVersion.objects.select_for_update(of=("self",))
            .select_related("dataset")
            .get(pk=version.pk)
        )
        live = operation_of(version)
        if live is not None and live.is_live:
            return live
        if version.state in (DatasetVersion.State.READY, DatasetVersion.State.REFUSED):
            raise ValueError("a version that is built does not change")
        version.file_name = version.file_name or f"{uuid4()}.jsonl"
        version.path = f"datasets/{version.file_name}"
        version.state = DatasetVersion.State.BUILDING
        version.save(update_fields=["file_name", "path", "state"])
        sources = list(version.connections.all()[:2])
        return operations.begin(
            KIND,
            title=f"Build {version}"[:200],
            dedupe_key=f"version:{version.pk}",
            connection=sources[0] if len(sources) == 1 else None,
            requested_by=user,
            subject=version,
            cursor=asdict(Cursor()),
        )


def operation_of(version: DatasetVersion) -> Operation | None:
    """The newest operation that builds (or built) the version."""
    found: Operation | None = (
        Operation.objects.filter(
            kind=KIND, subject_type=version._meta.label_lower, subject_id=str(version.pk)
        )
        .order_by("-id")
        .first()
    )
    return found


def _ended(operation: Operation) -> None:
    """A build that was cancelled leaves a draft; one that failed can be begun again."""
    version = DatasetVersion.objects.filter(
        pk=operation.subject_id, state=DatasetVersion.State.BUILDING
    ).first()
    if version is None:
        return
    cancelled = operation.state == Operation.State.CANCELLED
    version.state = version.State.DRAFT if cancelled else version.State.FAILED
    version.save(update_fields=["state"])
    if cancelled:
        version.examples.all().delete()
        transaction.on_commit(lambda: files.discard(version), robust=True)


@operations.handler(KIND, queue="dataset", ended=_ended)
def run(work: operations.Working) -> operations.Done | operations.Again:
    """One step of a build."""
    version = _version_of(work.operation)
    if version.state in (version.State.READY, version.State.REFUSED):
        return operations.Done({"rows": version.rows, "sha256": version.sha256})
    cursor = Cursor(**work.operation.cursor)
    if not cursor.sealed:
        if not _write_rows(work, version, cursor):
            return operations.Again()
        refusal = _judge(version, cursor)
        if refusal:
            return _refuse(work, version, refusal)
        cursor.sealed = files.seal(files.growing(version), cursor.offset)
        crashpoint("dataset.build.sealed")
        work.advance(cursor=asdict(cursor), step="publishing")
    files.publish(files.growing(version), version.path)
    crashpoint("dataset.build.published")
    _finish(work, version, cursor)
    return operations.Done({"rows": cursor.lines, "sha256": cursor.sealed})


def _version_of(operation: Operation) -> DatasetVersion:
    version: DatasetVersion | None = (
        DatasetVersion.objects.select_related("dataset", "frozen_selection")
        .filter(pk=operation.subject_id)
        .first()
    )
    if version is None:
        raise operations.Failed("gone", "The dataset was deleted.")
    if version.frozen_selection is None:
        raise operations.Failed(
            "no_selection", "The selection that this version was to be built from is gone."
        )
    if not DatasetVersion.objects.actionable_by(operation.requested_by).filter(pk=version.pk).exists():
        raise operations.Failed("forbidden", "Whoever started this build may no longer act on every source.")
    return version


def _write_rows(work: operations.Working, version: DatasetVersion, cursor: Cursor) -> bool:
    """Write chunk by chunk; False when the step's time is up first."""
    frozen = version.frozen_selection
    assert frozen is not None
    path = files.growing(version)
    if cursor.position == 0 or files.size_of(path) < cursor.offset:
        _start_over(work, version, cursor)
    ids = islice(selection.ids_of(frozen), cursor.position, None)
    while chunk := list(islice(ids, CHUNK)):
        if work.cancelled():
            raise operations.Cancelled
        if not work.time_left():
            return False
        _write_chunk(work, version, cursor, chunk)
    return True


def _start_over(work: operations.Working, version: DatasetVersion, cursor: Cursor) -> None:
    """Begin at the first row: the file is new, or its disk was lost."""
    assert version.frozen_selection is not None
    cursor.position = cursor.offset = cursor.lines = 0
    with transaction.atomic():
        version.examples.all().delete()
        version.counts = {"selected": version.frozen_selection.count, "written": 0, "tokens": 0}
        version.counts |= {"tokens_estimated": 0, "left_out": {}, "problems": {}}
        version.problems, version.state = [], version.State.BUILDING
        version.save(update_fields=["counts", "problems", "state"])
        work.advance(cursor=asdict(cursor), step="writing", done=0, total=version.counts["selected"])


def _write_chunk(work: operations.Working, version: DatasetVersion, cursor: Cursor, chunk: list[int]) -> None:
    examples: list[Example] = []
    with files.append_at(files.growing(version), cursor.offset) as file:
        for source_key, row, made in _made(version, chunk):
            example = Example(
                version=version, position=cursor.position, completion=row, source_key=source_key[:300]
            )
            line = _line_of(version, made, cursor.lines + 1)
            if isinstance(line, Refusal):
                example.excluded_reason = line.reason[:120]
                _count(version.counts["left_out"], line.reason[:120])
            else:
                file.write(line)
                cursor.lines += 1
                example.line, example.offset, example.length = cursor.lines, cursor.offset, len(line)
                example.content_hash = hashlib.sha256(line).hexdigest()
                cursor.offset += len(line)
                assert isinstance(made, Line)
                example.tokens = made.tokens
                version.counts["written"] += 1
                version.counts["tokens"] += made.tokens or 0
                version.counts["tokens_estimated"] += made.estimated
            cursor.position += 1
            examples.append(example)
    crashpoint("dataset.build.written")
    with transaction.atomic():
        work.advance(cursor=asdict(cursor), done=cursor.position, note=f"{cursor.lines:,} rows written")
        Example.objects.bulk_create(examples)
        version.save(update_fields=["counts", "problems"])
    crashpoint("dataset.build.committed")


def _made(
    version: DatasetVersion, chunk: list[int]
) -> Iterator[tuple[str, StoredCompletion | None, Line | Refusal]]:
    """Each completion of the chunk, in its order, with its public address and what it becomes."""
    found: dict[int, StoredCompletion] = (
        StoredCompletion.objects.filter(connection__in=version.connections.all())
        .select_related("connection", "body")
        .in_bulk(chunk)
    )
    write: Writer = import_string(WRITERS[Purpose(version.dataset.purpose)])
    for pk in chunk:
        row = found.pop(pk, None)
        if row is None:
            yield f"#{pk}", None, Refusal("deleted")
        else:
            yield f"{row.connection.slug}/{row.upstream_id}", row, _convert(write, row, version.recipe)


def _convert(write: Writer, row: StoredCompletion, recipe: dict[str, Any]) -> Line | Refusal:
    if row.messages_state == MessagesState.GONE:
        return Refusal("messages_gone")
    try:
        item, messages = raw.read(raw.unpack(row.body.raw))
        return write(parse(item, messages), row, recipe)
    except (raw.Unreadable, StoredCompletion.body.RelatedObjectDoesNotExist, RecursionError):
        return Refusal("unreadable")


def _line_of(version: DatasetVersion, made: Line | Refusal, number: int) -> bytes | Refusal:
    """The bytes to write, after every check that may still leave the row out."""
    if isinstance(made, Refusal):
        return made
    limit = version.recipe.get("token_limit")
    over = bool(limit and made.tokens and made.tokens > limit)
    if over and version.recipe.get("leave_out_long"):
        return Refusal("too_long")
    try:
        line = files.as_line(made.data)
    except files.Unwritable:
        return Refusal("unwritable")
    if version.dataset.purpose == Purpose.SUPERVISED and validate.of_line(number, line.rstrip(b"\n")):
        return Refusal("invalid")
    for code in (*made.warnings, *(["over_long"] if over else [])):
        _note(version, validate.warning(code, number))
    return line


def _note(version: DatasetVersion, problem: validate.Problem) -> None:
    _count(version.counts["problems"], problem.code)
    if len(version.problems) < MAX_PROBLEMS:
        version.problems.append(problem.as_dict())


def _count(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


def _judge(version: DatasetVersion, cursor: Cursor) -> str:
    """Look at the file as a whole: duplicates are noted; why it is refused, or nothing."""
    if version.dataset.purpose == Purpose.SUPERVISED:
        _note_duplicates(version)
        found = validate.of_file(cursor.lines, cursor.offset)
    else:
        found = [] if cursor.lines else [validate.Problem("too_few", 0, "Not one row could be written.")]
    return " ".join(problem.text for problem in found)


def _note_duplicates(version: DatasetVersion) -> None:
    """Every line that an earlier one equals byte for byte."""
    written = version.examples.filter(line__isnull=False)
    repeated = written.values("content_hash").annotate(n=Count("id"), first=Min("line")).filter(n__gt=1)
    again = sum(row["n"] - 1 for row in repeated.iterator())
    version.counts["problems"].pop("duplicate", None)
    version.problems = [problem for problem in version.problems if problem["code"] != "duplicate"]
    if not again:
        return
    first = {row["content_hash"]: row["first"] for row in repeated.order_by("first")[:MAX_PROBLEMS]}
    lines = written.filter(content_hash__in=list(first)).order_by("line").values_list("line", "content_hash")
    for line, content in lines[: 2 * MAX_PROBLEMS]:
        if line is not None and line != first[content]:
            _note(version, validate.warning("duplicate", line))
    version.counts["problems"]["duplicate"] = again


def _refuse(work: operations.Working, version: DatasetVersion, refusal: str) -> operations.Done:
    """End without a file; what was left out, and why, stays to be read."""
    counts = version.counts
    reasons = sorted(counts["left_out"].items(), key=lambda entry: -entry[1])
    left_out = "; ".join(f"{in_words(reason)} ({n:,})" for reason, n in reasons)
    said = [
        refusal,
        f"{counts['written']:,} of {counts['selected']:,} selected completions could be written.",
    ]
    if left_out:
        said.append(f"Left out: {left_out}.")
    with transaction.atomic():
        work.advance(step="refused", note=refusal[:300])
        version.examples.update(line=None, offset=None, length=None)
        version.state, version.refusal, version.built = version.State.REFUSED, " ".join(said), timezone.now()
        version.rows = version.counts["written"]
        version.save(update_fields=["state", "refusal", "built", "rows", "counts", "problems"])
        audit.record(
            work.operation.requested_by, "dataset_version.refused", version, written=counts["written"]
        )
    files.discard(version)
    return operations.Done({"refused": refusal})


def _finish(work: operations.Working, version: DatasetVersion, cursor: Cursor) -> None:
    with transaction.atomic():
        work.advance(cursor=asdict(cursor), step="ready", note=f"{cursor.lines:,} rows")
        version.state, version.built = version.State.READY, timezone.now()
        version.rows, version.size, version.sha256 = cursor.lines, cursor.offset, cursor.sealed
        version.save(update_fields=["state", "built", "rows", "size", "sha256", "counts", "problems"])
        audit.record(
            work.operation.requested_by,
            "dataset_version.built",
            version,
            rows=version.rows,
            sha256=version.sha256,
        )
