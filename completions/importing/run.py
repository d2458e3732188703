"""The operation that takes an import in: some hundred lines in one transaction with the place reached.

Killed anywhere, it goes on from the last such place; a line that was taken already is found the same.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, BinaryIO

from django.db import transaction
from django.utils import timezone

from completions import absorbing, columns
from completions.importing import taking
from completions.importing.lines import Line
from completions.importing.preview import draft_of, entries
from completions.importing.shapes import Draft, Unusable
from completions.models import Import, ImportProblem, StoredCompletion
from completions.readings import Reading, Unstorable
from completions.terms import Dictionary
from portal import audit, connections, operations
from portal.crashpoints import crashpoint
from portal.deletion import Part, before_connection_delete
from portal.models import Auth, Connection, Grant, Kind, Operation, Role
from portal.operations import Again, Cancelled, Done, Failed, Outcome, Working
from portal.progress import name_results
from portal.querysets import granted

KIND = "completions.import"
AT_ONCE, BYTES_AT_ONCE = 200, 8 * 1024 * 1024
MOST_PROBLEMS = 10_000
KEEP_PREVIEWS, KEEP_FILES = timedelta(days=1), timedelta(days=7)
# What became of lines, by its name in Import.counts.
WORDS = {
    "new": "New",
    "changed": "Changed",
    "same": "Here already",
    "doubled": "Twice in the file",
    "bad": "Bad lines",
}
name_results({words: words for words in WORDS.values()})


def targets(user: Any) -> Any:
    """The connections that a person may import into."""
    found = Connection.objects.actionable_by(user).filter(kind=Kind.FILES)
    return found.exclude(state=Connection.State.DELETING).defer("secret").order_by("name")


def may_import(user: Any) -> bool:
    """Who may act on some connection may bring data of their own."""
    everywhere = not granted(user, "builder")  # a right on every connection is an empty condition
    return everywhere or bool(Connection.objects.actionable_by(user).exists())


def begin(source: Import, user: Any, *, into: Connection | None = None, name: str = "") -> Operation:
    """Begin to take the lines in: into a connection of files, or into a new one with this name.

    Whoever makes a new one manages it.
    """
    with transaction.atomic():
        source = Import.objects.select_for_update().get(pk=source.pk)
        if source.begun:
            assert source.operation is not None
            return source.operation
        if into is None:
            into = _new_connection(user, name)
        source.connection = into
        source.operation = operations.begin(
            KIND,
            title=f"Import {source.file_name}",
            dedupe_key=str(source.pk),
            connection=into,
            requested_by=user,
            subject=source,
        )
        source.save(update_fields=["connection", "operation"])
        audit.record(user, "import.begun", source, connection=into, size=source.size, shape=source.shape)
        return source.operation


def _new_connection(user: Any, name: str) -> Connection:
    made = Connection(name=name, kind=Kind.FILES, auth=Auth.NONE, sync_enabled=False)
    connections.save(made, user)
    if not Connection.objects.manageable_by(user).filter(pk=made.pk).exists():
        Grant.objects.create(user=user, role=Role.MANAGER, connection=made)
        audit.record(user, "grant.created", made, connection=made, role=Role.MANAGER.value)
    return made


@operations.handler(KIND, queue="dataset")
def run(work: Working) -> Outcome:
    """One step: batch after batch while there is time."""
    source = Import.objects.select_related("connection").filter(pk=work.operation.subject_id).first()
    if source is None or source.connection is None:
        return Done()  # it was deleted with its connection
    if not source.path:
        raise Failed(
            "no_file", "The file is no longer kept. Upload it again; what was taken is not taken twice."
        )
    if source.connection.state == Connection.State.DELETING:
        raise Failed("deleting", "The connection is being deleted.")
    absorbing.keep_small()
    dictionary = Dictionary(source.connection_id)
    cursor = work.operation.cursor or {"offset": 0, "line": 1}
    if work.operation.total is None:
        work.advance(cursor=cursor, done=0, total=taking.count_lines(source), step="lines")
    with taking.open_file(source) as file:
        batches = _batches(source, file, cursor)
        while work.time_left() and not work.cancelled():
            batch = next(batches, None)
            if batch is None:
                return _end(work, source)
            cursor = {"offset": batch[-1].end, "line": batch[-1].number + batch[-1].lines}
            try:
                with transaction.atomic():
                    unpacked = _take(source, batch, dictionary)
                    work.advance(cursor=cursor, done=cursor["line"] - 1, note=_told(source.counts))
                    crashpoint("import.before_commit")
            except BaseException:
                dictionary.forget()
                raise
            dictionary.keep()
            crashpoint("import.committed")
            columns.pack_if_due(source.connection_id, unpacked)
    if work.cancelled():
        raise Cancelled
    return Again()


def _end(work: Working, source: Import) -> Done:
    result = {WORDS[name]: n for name, n in source.counts.items() if n and name in WORDS}
    with transaction.atomic():
        work.advance(done=work.operation.total)
        taking.drop_file(source)
        audit.record(
            work.operation.requested_by,
            "import.ended",
            source,
            connection=source.connection,
            **{name: source.counts.get(name, 0) for name in WORDS},
        )
    return Done(result)


def _batches(source: Import, file: BinaryIO, cursor: dict[str, int]) -> Iterator[list[Line]]:
    """Lines from the cursor on, as many as one transaction and its memory take."""
    batch: list[Line] = []
    held = 0
    for line in entries(source, file, offset=cursor["offset"], number=cursor["line"]):
        size = len(line.data or b"")
        if batch and (len(batch) >= AT_ONCE or held + size > BYTES_AT_ONCE):
            yield batch
            batch, held = [], 0
        batch.append(line)
        held += size
    if batch:
        yield batch


def _take(source: Import, batch: Sequence[Line], dictionary: Dictionary) -> int:
    """Absorb a batch and write down its bad lines; returns how many rows are unpacked."""
    assert source.connection_id is not None
    problems: list[tuple[int, str]] = []
    drafts: list[tuple[int, Draft]] = []
    for line in batch:
        try:
            drafts.append((line.number, draft_of(source, line)))
        except Unusable as error:
            problems.append((line.number, str(error)))
    absorbing.lock(source.connection_id)
    moments = _moments(source, [draft for _, draft in drafts])
    readings: list[Reading] = []
    for number, draft in drafts:
        if draft.created is None:
            draft = draft.at(moments.get(draft.id, int(source.created.timestamp())))
        read = draft.reading()
        if isinstance(read, Unstorable):
            problems.append((number, read.reason))
        else:
            readings.append(read)
    tally = absorbing.absorb(source.connection_id, readings, dictionary)
    counts = dict(source.counts)
    for name, n in (
        ("new", tally.new), ("changed", tally.changed), ("same", tally.same), ("doubled", tally.doubled),
        ("bad", len(problems)), ("lines", len(batch)),
    ):  # fmt: skip
        counts[name] = counts.get(name, 0) + n
    room = MOST_PROBLEMS - source.counts.get("bad", 0)
    ImportProblem.objects.bulk_create(
        ImportProblem(source=source, line=number, reason=reason[:300])
        for number, reason in islice(sorted(problems), max(room, 0))
    )
    Import.objects.filter(pk=source.pk).update(counts=counts)
    source.counts = counts
    return tally.unpacked


def _moments(source: Import, drafts: Sequence[Draft]) -> dict[str, int]:
    """When rows were created that are here already, for lines that do not say: their first import counts."""
    silent = [draft.id for draft in drafts if draft.created is None]
    if not silent:
        return {}
    rows = StoredCompletion.objects.filter(connection=source.connection, upstream_id__in=silent)
    return dict(rows.values_list("upstream_id", "created"))


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{counts[name]:,} {WORDS[name].lower()}" for name in WORDS if counts.get(name))


def tidy() -> None:
    """Let go of previews that nobody went on with, and of files whose import did not come to its end."""
    now = timezone.now()
    for source in Import.objects.filter(connection=None, created__lt=now - KEEP_PREVIEWS)[:100]:
        forget(source)
    old = Import.objects.filter(created__lt=now - KEEP_FILES).exclude(path="")
    for source in old.exclude(operation__state__in=Operation.LIVE)[:100]:
        with transaction.atomic():
            taking.drop_file(source)


def forget(source: Import) -> None:
    """Delete an import with its file; the rows that came of it stay."""
    with transaction.atomic():
        taking.drop_file(source)
        source.delete()


def _delete_some(connection: Connection) -> int:
    some = list(Import.objects.filter(connection=connection)[:100])
    for source in some:
        forget(source)
    return len(some)


before_connection_delete(
    Part("imports", lambda connection: Import.objects.filter(connection=connection).count(), _delete_some)
)
