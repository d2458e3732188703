"""The operation that writes an export: in constant memory, from the last recorded place after a kill."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, BinaryIO

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from completions import absorbing, selection
from completions.exporting import files, lines, parquet
from completions.exporting.rows import Entry, entries
from completions.models import Export, FrozenSelection
from completions.purposes import purpose
from portal import audit, operations, tables
from portal.crashpoints import crashpoint
from portal.deletion import Part, before_connection_delete
from portal.models import Connection, Operation
from portal.operations import Again, Cancelled, Done, Failed, Outcome, Working
from portal.progress import name_results

KIND = "completions.export"
AT_ONCE = 500  # completions held at a time
RECORDED = 4_000  # completions between two records of the place reached
GONE = "it is no longer here"
TOO_MUCH = "it cannot be read"
Form = Export.Form
name_results({"left_out": "Left out", "bytes": "Bytes"})

purpose("export", "Export", "download", url="completions:export", order=60)


class Refused(ValueError):
    """The export cannot be begun; the text tells a person why."""


def begin(frozen: FrozenSelection, user: Any, form: str, options: Mapping[str, Any]) -> Export:
    """Begin to write a selection into a file. The same asked for twice is one export. Raises Refused."""
    if form not in Form.values or form not in available():
        raise Refused("Choose a format.")
    if form == Form.PARQUET and frozen.count > parquet.MOST_ROWS:
        raise Refused(
            f"A Parquet file takes {parquet.MOST_ROWS:,} rows at most. Select fewer, or choose CSV."
        )
    with transaction.atomic():
        FrozenSelection.objects.select_for_update().get(pk=frozen.pk)
        wanted = dict(options)
        for before in Export.objects.filter(selection=frozen, owner=user, form=form).order_by("-created"):
            live = before.operation is not None and before.operation.is_live
            if before.options == wanted and (live or before.ready):
                kept: Export = before
                return kept
        selection.confirm(frozen)
        made: Export = Export.objects.create(
            owner=user,
            selection=frozen,
            title=selection.name_of(frozen),
            form=form,
            options=wanted,
            selected=frozen.count,
            expires=timezone.now() + timedelta(days=settings.EXPORT_KEEP_DAYS),
        )
        sources = list(frozen.connections.all())
        made.connections.set(sources)
        made.operation = operations.begin(
            KIND,
            title=f"Export {frozen.count:,} completions",
            dedupe_key=str(made.pk),
            connection=sources[0] if len(sources) == 1 else None,
            requested_by=user,
            subject=made,
        )
        made.save(update_fields=["operation"])
        audit.record(
            user,
            "export.begun",
            made,
            connection=made.operation.connection,
            completions=frozen.count,
            form=form,
            selection=str(frozen.pk),
        )
    return made


def available() -> list[str]:
    """The forms that this installation can write."""
    return [form for form in Form.values if form != Form.PARQUET or parquet.installed()]


@operations.handler(KIND, queue="dataset")
def run(work: Working) -> Outcome:
    """One step: a part of the file, or the whole once every part is there."""
    found = Export.objects.select_related("owner", "selection").filter(pk=work.operation.subject_id)
    export: Export | None = found.first()
    if export is None or export.ready:
        return Done()
    if export.selection is None:
        raise Failed("no_selection", "The selection is no longer here. Select and export again.")
    if not Export.objects.actionable_by(export.owner).filter(pk=export.pk).exists():
        raise Failed("no_right", "Exporting takes the role builder on every connection that rows come from.")
    absorbing.keep_small()
    cursor = work.operation.cursor or {"at": 0, "rows": 0, "parts": [], "left_out": {}}
    ids = selection.unpacked(export.selection.ids)
    if work.operation.total is None:
        work.advance(cursor=cursor, done=0, total=len(ids))
    if cursor["at"] < len(ids):
        cursor = _write(work, export, ids, cursor)
        if work.cancelled():
            raise Cancelled
        # Joining the parts of a large file takes a step of its own.
        if cursor["at"] < len(ids) or not work.time_left(margin=settings.OPERATION_STEP_SECONDS / 2):
            return Again()
    return _finish(work, export, cursor)


def _write(work: Working, export: Export, ids: Any, cursor: dict[str, Any]) -> dict[str, Any]:
    """Write on into a part of this step's own, until the time is over or nothing is left."""
    connections = list(export.connections.values_list("pk", flat=True))
    needs = lines.needs_of(export.form, export.options)
    write = _writer(export)
    name = files.part_name(work.operation)
    before, left_out = cursor["parts"], dict(cursor["left_out"])
    at, rows, recorded = cursor["at"], cursor["rows"], cursor["at"]
    with files.write_anew(files.part(export, name)) as file:
        if not before:
            file.write(_header(export))
        while at < len(ids) and work.time_left():
            batch = ids[at : at + AT_ONCE].tolist()
            met = 0
            for entry in entries(batch, connections, needs):
                met += 1
                try:
                    file.write(write(entry))
                    rows += 1
                except lines.LeftOut as why:
                    left_out[str(why)] = left_out.get(str(why), 0) + 1
            if met < len(batch):
                left_out[GONE] = left_out.get(GONE, 0) + len(batch) - met
            at += len(batch)
            if at - recorded >= RECORDED or at >= len(ids):
                cursor = _record(work, file, name, before, at, rows, left_out)
                recorded = at
                if work.cancelled():
                    return cursor
        if recorded < at:
            cursor = _record(work, file, name, before, at, rows, left_out)
    return cursor


def _record(
    work: Working,
    file: BinaryIO,
    name: str,
    before: list[tuple[str, int]],
    at: int,
    rows: int,
    left_out: dict[str, int],
) -> dict[str, Any]:
    files.keep(file)
    crashpoint("export.before_commit")
    parts = [*before, (name, file.tell())]
    cursor = {"at": at, "rows": rows, "parts": parts, "left_out": dict(left_out)}
    with transaction.atomic():
        work.advance(cursor=cursor, done=at)
    crashpoint("export.committed")
    return cursor


def _writer(export: Export) -> Any:
    reviews = bool(export.options.get("reviews"))
    if export.form == Form.STORED:
        return lambda entry: lines.stored(entry, reviews=reviews)
    if export.form == Form.CHAT:
        return lambda entry: lines.chat(entry, reviews=reviews)
    columns = lines.columns_of(export.options)
    if export.form == Form.PARQUET:
        names = [name for name, _ in columns]
        return lambda entry: parquet.row(names, [cell(entry) for _, cell in columns])

    def row(entry: Entry) -> bytes:
        return tables.rows([[cell(entry) for _, cell in columns]])

    return row


def _header(export: Export) -> bytes:
    if export.form != Form.TABLE:
        return b""
    # Spreadsheets take a file without this mark for Latin-1.
    return b"\xef\xbb\xbf" + tables.rows([[name for name, _ in lines.columns_of(export.options)]])


def _finish(work: Working, export: Export, cursor: dict[str, Any]) -> Outcome:
    """Join the parts into the artifact, once and for all."""
    path = files.whole(export, files.part_name(work.operation))
    try:
        pieces = files.pieces(export, cursor["parts"])
        with files.write_anew(path) as file:
            if export.form == Form.PARQUET:
                parquet.write(path, [name for name, _ in lines.columns_of(export.options)], pieces)
                sha256 = files.digest_of(path)
            else:
                sha256 = files.join(pieces, file)
            files.keep(file)
    except files.Missing:
        files.discard_parts(export.pk)
        with transaction.atomic():
            work.advance(cursor={"at": 0, "rows": 0, "parts": [], "left_out": {}}, done=0)
            work.log("A part of the file was gone; writing it again.", "warning")
        return Again()
    size, saved = files.publish(path, f"exports/{export.pk}.{export.extension}")
    crashpoint("export.published")
    with transaction.atomic():
        work.advance(done=cursor["at"], total=cursor["at"])
        Export.objects.filter(pk=export.pk).update(
            path=saved,
            size=size,
            sha256=sha256,
            rows=cursor["rows"],
            left_out=cursor["left_out"],
            expires=timezone.now() + timedelta(days=settings.EXPORT_KEEP_DAYS),
        )
        audit.record(export.owner, "export.written", export, rows=cursor["rows"], bytes=size, sha256=sha256)
        transaction.on_commit(lambda: files.discard_parts(export.pk), robust=True)
    left_out = sum(cursor["left_out"].values())
    return Done({"rows": cursor["rows"], "bytes": size, "left_out": left_out, "sha256": sha256})


def forget(export: Export) -> None:
    """Delete an export with its file."""
    path, key = export.path, export.pk
    with transaction.atomic():
        export.delete()

        def drop() -> None:
            if path:
                files.artifacts().delete(path)
            files.discard_parts(key)

        transaction.on_commit(drop, robust=True)


def tidy() -> int:
    """Delete the exports whose time is over; returns how many."""
    old = Export.objects.filter(expires__lt=timezone.now()).exclude(operation__state__in=Operation.LIVE)
    some = list(old[:100])
    for export in some:
        forget(export)
    return len(some)


def _delete_some(connection: Connection) -> int:
    some = list(Export.objects.filter(connections=connection)[:100])
    for export in some:
        forget(export)
    return len(some)


before_connection_delete(
    Part("exports", lambda connection: Export.objects.filter(connections=connection).count(), _delete_some)
)
