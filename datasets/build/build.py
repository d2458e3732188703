"""Build a version of a dataset: the operation that turns a frozen selection into a file and its rows.

Phases: writing (datasets.build.writing: each row by itself), choosing and laying out (datasets.build.layout:
rules that look at all rows, where the recipe has any), sealing, publishing. Each goes on where a worker that
died has stopped, and the same recipe and rows end in the same bytes.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.db.models import Count, Min
from django.utils import timezone

from completions import absorbing
from datasets.build import files, layout, validate, writing
from datasets.build.lines import in_words
from datasets.build.writing import MAX_PROBLEMS, Cursor
from datasets.models import DatasetVersion, Purpose
from datasets.recipe import Recipe, Unreadable
from portal import audit, operations
from portal.crashpoints import crashpoint
from portal.models import Operation

KIND = "dataset.build"


def begin(version: DatasetVersion, user: Any) -> Operation:
    """Begin the build of a version that has no file yet; returns the live operation if there is one."""
    title = f"Build {version}"
    return begin_making(version, user, KIND, title, operation_of, cursor=asdict(Cursor()))


def begin_making(
    version: DatasetVersion,
    user: Any,
    kind: str,
    title: str,
    made_by: Callable[[DatasetVersion], Operation | None],
    **more: Any,
) -> Operation:
    """Begin the operation that makes a version's file, or return the live one that `made_by` finds."""
    with transaction.atomic():
        version = (
            DatasetVersion.objects.select_for_update(of=("self",))
            .select_related("dataset")
            .get(pk=version.pk)
        )
        live = made_by(version)
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
            kind,
            title=title[:200],
            dedupe_key=f"version:{version.pk}",
            connection=sources[0] if len(sources) == 1 else None,
            requested_by=user,
            subject=version,
            **more,
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
        transaction.on_commit(lambda: layout.discard(version), robust=True)


@operations.handler(KIND, queue="dataset", ended=_ended)
def run(work: operations.Working) -> operations.Done | operations.Again:
    """One step of a build."""
    version = _version_of(work.operation)
    if version.state in (version.State.READY, version.State.REFUSED):
        return operations.Done({"rows": version.rows, "sha256": version.sha256})
    recipe = recipe_of(version)
    absorbing.keep_small()
    cursor = Cursor(**work.operation.cursor)
    try:
        if not _gather(work, version, recipe, cursor):
            return operations.Again()
    except layout.Lost:
        writing.start_over(work, version, recipe, cursor)
        return operations.Again()
    if not cursor.sealed:
        refusal = _judge(version, recipe, cursor)
        if refusal:
            return _refuse(work, version, refusal)
        layout.seal(version, recipe, cursor)
        crashpoint("dataset.build.sealed")
        with transaction.atomic():
            work.advance(cursor=asdict(cursor), step="publishing")
            version.save(update_fields=["counts", "problems", "splits"])
    files.publish(layout.final(version, recipe), version.path)
    crashpoint("dataset.build.published")
    _finish(work, version, cursor)
    layout.discard(version)
    return operations.Done({"rows": version.rows, "sha256": cursor.sealed})


def _gather(work: operations.Working, version: DatasetVersion, recipe: Recipe, cursor: Cursor) -> bool:
    """Have all bytes in the file that will be sealed; False when the step's time is up first."""
    if cursor.sealed:
        if not layout.final(version, recipe).exists() and not files.artifacts().exists(version.path):
            raise layout.Lost
        return True
    if cursor.phase == "writing":
        if not writing.write_rows(work, version, recipe, cursor):
            return False
        if not recipe.chooses:
            return True
        cursor.phase = "choosing"
        work.advance(cursor=asdict(cursor), step="choosing")
        crashpoint("dataset.build.written_all")
    if cursor.phase == "choosing":
        layout.choose_rows(work, version, recipe, cursor)
    if not layout.lay_out(work, version, recipe, cursor):
        return False
    layout.tell_problems(version)
    return True


def recipe_of(version: DatasetVersion) -> Recipe:
    """The rules of a version; its dataset says what it is for."""
    try:
        return replace(Recipe.read(version.recipe), purpose=version.dataset.purpose)
    except Unreadable as problem:
        raise operations.Failed("recipe", f"{problem} Build the rows anew with another recipe.") from problem


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


def _judge(version: DatasetVersion, recipe: Recipe, cursor: Cursor) -> str:
    """Look at the file as a whole: duplicates are noted; why it is refused, or nothing."""
    written = version.counts["written"]
    if recipe.purpose == Purpose.SUPERVISED:
        _note_duplicates(version)
    train = next((part for part in version.splits if part["name"] == "train"), None)
    rows, size = (train["rows"], train["size"]) if train is not None else (written, cursor.offset)
    if recipe.chooses and train is None:
        rows = 0
    return " ".join(problem.text for problem in validate.of_file(rows, size, recipe.purpose))


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
            writing.note(version, validate.warning("duplicate", line))
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
        version.splits = []
        version.state, version.refusal, version.built = version.State.REFUSED, " ".join(said), timezone.now()
        version.rows = version.counts["written"]
        version.save(update_fields=["state", "refusal", "built", "rows", "counts", "problems", "splits"])
        audit.record(
            work.operation.requested_by, "dataset_version.refused", version, written=counts["written"]
        )
    layout.discard(version)
    return operations.Done({"refused": refusal})


def _finish(work: operations.Working, version: DatasetVersion, cursor: Cursor) -> None:
    with transaction.atomic():
        work.advance(cursor=asdict(cursor), step="ready", note=f"{version.counts['written']:,} rows")
        version.state, version.built = version.State.READY, timezone.now()
        version.rows, version.size = version.counts["written"], cursor.offset
        version.sha256 = cursor.sealed
        version.save(update_fields=["state", "built", "rows", "size", "sha256"])
        audit.record(
            work.operation.requested_by,
            "dataset_version.built",
            version,
            rows=version.rows,
            sha256=version.sha256,
        )
