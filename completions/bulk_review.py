"""Saying the same of many completions: an operation over a frozen selection, and another that takes it back.

Both go in batches. What a batch says and how far it is are committed together, so a worker that dies anywhere
is made up for and nothing is said twice. What was said until somebody cancels stays, and can be taken back.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from time import monotonic, sleep
from typing import Any

from django.db import transaction

from completions import columns, reviewing, selection
from completions.bulk_saying import Saying, in_words
from completions.models import FrozenSelection, Label, ReviewEvent, StoredCompletion
from completions.purposes import purpose
from completions.reviewing import AT_ONCE, Refused, Said
from completions.terms import Dictionary
from portal import audit, operations
from portal.crashpoints import crashpoint
from portal.models import Connection, Operation
from portal.operations import Again, Cancelled, Done, Failed, Outcome, Working

KIND, UNDO = "review.bulk", "review.unbulk"
REVERSIBLE = {KIND}  # operations whose events `undo` takes back; an app above adds its own
REST = 0.5  # of a batch's time: whoever looks at lists meanwhile has the processor, and less to read again
GONE = "they are no longer here"
NOT_HERE = "you may no longer change reviews on {}"
NOT_NOW = "This has not ended yet. Cancel it first, then it can be undone."
TAKEN_BACK = "This has been undone already, or is being undone."

purpose("label", "Label…", "tag", url="completions:bulk_label", needs="", place="first", order=10)
purpose("approve", "Approve", "circle-check", url="completions:bulk_approve", needs="", order=10)
purpose("reject", "Reject", "circle-x", url="completions:bulk_reject", needs="", order=12)
purpose("state", "Set state…", "check-check", url="completions:bulk_state", needs="", order=14)
purpose("rating", "Rate…", "star", url="completions:bulk_rating", needs="", order=16)


@dataclass(slots=True)
class Tally:
    """What became of the completions so far; `stay` are those changed since, which an undo leaves alone."""

    changed: int = 0
    same: int = 0
    stay: int = 0
    refused: dict[str, int] = field(default_factory=dict)

    def refuse(self, why: str, count: int) -> None:
        if count:
            self.refused[why] = self.refused.get(why, 0) + count


def say(frozen: FrozenSelection, sayings: Sequence[Saying], user: Any) -> Operation:
    """Begin to say this about all of a selection; the same asked for twice is one operation.

    Raises Refused if no source takes it, or if the person may not do it on any.
    """
    sources = list(frozen.connections.order_by("name"))
    able = set(Connection.objects.actionable_by(user).values_list("pk", flat=True))
    mine = [source for source in sources if source.pk in able]
    if not sayings:
        raise Refused("Choose what to say first.")
    if not mine:
        raise Refused("This takes the role builder on the connections that the completions are from.")
    labels = _labels(source.pk for source in mine)
    for saying in sayings:
        whys = [_said([saying], labels.get(source.pk, {}), source.name)[1] for source in mine]
        if all(whys):
            raise Refused(whys[0])
    kept = [saying.kept for saying in sayings]
    with transaction.atomic():
        FrozenSelection.objects.select_for_update().get(pk=frozen.pk)
        before = Operation.objects.filter(
            kind=KIND, subject_type=FrozenSelection._meta.label_lower, subject_id=str(frozen.pk)
        )
        same: list[Operation] = [each for each in before if each.cursor.get("say") == kept]
        if same:
            return same[0]
        selection.confirm(frozen)
        operation = operations.begin(
            KIND,
            title=in_words(sayings, frozen.count),
            dedupe_key=f"{frozen.pk}:{before.count()}",
            connection=sources[0] if len(sources) == 1 else None,
            requested_by=user,
            subject=frozen,
            cursor={"say": kept, "at": 0},
        )
        audit.record(
            user,
            "review.bulk_begun",
            operation,
            connection=operation.connection,
            selection=str(frozen.pk),
            completions=frozen.count,
        )
    return operation


def undo(operation: Operation, user: Any) -> Operation:
    """Begin to take back what one of these operations said. Raises Refused while it runs, or if it was."""
    with transaction.atomic():
        operation = (
            Operation.objects.select_for_update(of=("self",))
            .select_related("connection")
            .get(pk=operation.pk)
        )
        if operation.kind not in REVERSIBLE or operation.is_live:
            raise Refused(NOT_NOW)
        if undone_by(operation) is not None:
            raise Refused(TAKEN_BACK)
        back = operations.begin(
            UNDO,
            title=f"Undo: {operation.title}",
            dedupe_key=str(operation.pk),
            connection=operation.connection,
            requested_by=user,
            subject=operation,
        )
        audit.record(
            user, "review.bulk_undone", back, connection=operation.connection, operation=operation.pk
        )
    return back


def undone_by(operation: Operation) -> Operation | None:
    """The operation that takes this one back or has done so; None if none does, or it stopped half-way."""
    found: Operation | None = (
        Operation.objects.filter(
            kind=UNDO, subject_type=Operation._meta.label_lower, subject_id=str(operation.pk)
        )
        .exclude(state__in=[Operation.State.FAILED, Operation.State.CANCELLED])
        .order_by("-pk")
        .first()
    )
    return found


def tally_of(operation: Operation) -> Tally:
    """How far it came, also while it runs."""
    return Tally(**(operation.result or operation.cursor.get("tally", {})))


def in_words_of(operation: Operation) -> str:
    """What it has done, or has done so far: "48,211 changed, 5 were so already, 3 refused"."""
    tally = tally_of(operation)
    back = operation.kind == UNDO
    refused = sum(tally.refused.values())
    parts = [f"{tally.changed:,} {'taken back' if back else 'changed'}"]
    if tally.same:
        already = "had been taken back already" if back else f"{_were(tally.same)} so already"
        parts.append(f"{tally.same:,} {already}")
    if tally.stay:
        stay = "stay" if tally.stay != 1 else "stays"
        parts.append(f"{tally.stay:,} {_were(tally.stay)} changed since and {stay}")
    if refused:
        parts.append(f"{refused:,} refused")
    return ", ".join(parts)


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _ended(operation: Operation) -> None:
    """What was said until then stays; say how much that is."""
    tally = operation.cursor.get("tally", asdict(Tally()))
    Operation.objects.filter(pk=operation.pk).update(result=tally)
    _record_end(operation, Tally(**tally))


def _record_end(operation: Operation, tally: Tally) -> None:
    audit.record(
        operation.requested_by,
        "review.bulk_ended",
        operation,
        connection=operation.connection,
        changed=tally.changed,
        same=tally.same,
        stay=tally.stay,
        refused=sum(tally.refused.values()),
    )


@operations.handler(KIND, queue="dataset", ended=_ended)
def run(work: Working) -> Outcome:
    """One step: batches in the order of the selection."""
    operation = work.operation
    frozen = FrozenSelection.objects.filter(pk=operation.subject_id).first()
    if frozen is None:
        raise Failed("no_selection", "The selection that this was begun with is no longer there.")
    ids = selection.unpacked(frozen.ids).tolist()
    sayings = [Saying.of(kept) for kept in operation.cursor["say"]]

    def batch(cursor: dict[str, Any], tally: Tally, dictionaries: Mapping[int, Dictionary]) -> _Batch:
        at = cursor["at"]
        some = ids[at : at + AT_ONCE]
        unpacked = _say(some, sayings, operation, tally, dictionaries)
        return _Batch({**cursor, "at": at + len(some)}, at + len(some), at + len(some) >= len(ids), unpacked)

    return _batches(work, len(ids), batch)


@operations.handler(UNDO, queue="dataset", ended=_ended)
def unrun(work: Working) -> Outcome:
    """One step: batches of the events of the operation that is undone, the last one first."""
    operation = work.operation
    events = ReviewEvent.objects.filter(operation=int(operation.subject_id), undoes=None).order_by("-pk")
    # Nobody adds to them: the operation has ended.
    total = operation.total if operation.total is not None else events.count()

    def batch(cursor: dict[str, Any], tally: Tally, dictionaries: Mapping[int, Dictionary]) -> _Batch:
        rest = events.filter(pk__lt=cursor["below"]) if "below" in cursor else events
        some = list(rest[: AT_ONCE + 1])
        last = len(some) <= AT_ONCE
        if not last:
            some = _whole(some)
        unpacked = _take_back(some, operation, tally, dictionaries)
        below = {"below": some[-1].pk} if some else {}
        done = total if last else min(operation.done + len(some), total)
        return _Batch({**cursor, **below}, done, last, unpacked)

    return _batches(work, total, batch)


@dataclass(frozen=True, slots=True)
class _Batch:
    cursor: dict[str, Any]
    done: int
    last: bool
    unpacked: dict[int, int]


def _batches(
    work: Working, total: int, batch: Callable[[dict[str, Any], Tally, Mapping[int, Dictionary]], _Batch]
) -> Outcome:
    """Batch by batch until the end, the step's time or somebody who cancels."""
    operation = work.operation
    if operation.requested_by_id is None:
        raise Failed("nobody", "The account in whose name this is done is gone, so it cannot go on.")
    cursor = operation.cursor
    if cursor.get("by") != operation.pk:
        # Begun, or gone on with as an operation of its own: then it tells of what it did itself.
        cursor = {**cursor, "by": operation.pk, "tally": asdict(Tally()), "over": total == 0}
    dictionaries = _Dictionaries()
    while not cursor["over"]:
        if work.cancelled():
            raise Cancelled
        if not work.time_left():
            return Again()
        began = monotonic()
        try:
            with transaction.atomic():
                tally = Tally(**{**cursor["tally"], "refused": dict(cursor["tally"]["refused"])})
                made = batch(cursor, tally, dictionaries)
                cursor = {**made.cursor, "tally": asdict(tally), "over": made.last}
                work.advance(cursor=cursor, done=made.done, total=total)
                if made.last:
                    _record_end(operation, tally)
                crashpoint("bulk_review.before_commit")
        except BaseException:
            dictionaries.forget()
            raise
        crashpoint("bulk_review.committed")
        dictionaries.keep()
        for connection, unpacked in made.unpacked.items():
            columns.pack_if_due(connection, unpacked)
        sleep(REST * (monotonic() - began))
    return Done(cursor["tally"])


class _Dictionaries(dict[int, Dictionary]):
    """The terms of each connection, remembered from batch to batch."""

    def __missing__(self, connection: int) -> Dictionary:
        self[connection] = Dictionary(connection)
        return self[connection]

    def keep(self) -> None:
        for each in self.values():
            each.keep()

    def forget(self) -> None:
        for each in self.values():
            each.forget()


def _say(
    ids: Sequence[int],
    sayings: Sequence[Saying],
    operation: Operation,
    tally: Tally,
    dictionaries: Mapping[int, Dictionary],
) -> dict[int, int]:
    """Say it of these; returns how many changes are unpacked, by connection."""
    groups, sources = _held(ids, operation, tally)
    labels = _labels(groups)
    unpacked = {}
    for connection, rows in groups.items():
        said, why = _said(sayings, labels.get(connection, {}), sources[connection])
        if why:
            tally.refuse(why, len(rows))
            continue
        written = reviewing.write(
            connection,
            dict.fromkeys(rows, said),
            operation.requested_by,
            operation=operation,
            dictionary=dictionaries[connection],
        )
        tally.changed += written.changed
        tally.same += written.same
        unpacked[connection] = written.unpacked
    return unpacked


def _take_back(
    events: Sequence[ReviewEvent],
    operation: Operation,
    tally: Tally,
    dictionaries: Mapping[int, Dictionary],
) -> dict[int, int]:
    """Take these back where they still hold."""
    ids = list(dict.fromkeys(event.completion_id for event in events))
    groups, _ = _held(ids, operation, tally)
    unpacked = {}
    for connection, rows in groups.items():
        here = set(rows)
        mine = [event for event in events if event.completion_id in here]
        said, undoes = reviewing.undoing(mine)
        written = reviewing.write(
            connection,
            said,
            operation.requested_by,
            operation=operation,
            undoes=undoes,
            dictionary=dictionaries[connection],
        )
        before = ReviewEvent.objects.filter(undoes__in=[event.pk for event in mine])
        before = before.exclude(pk__in=written.events)
        already = set(before.values_list("completion", flat=True)) - set(said)
        tally.changed += written.changed
        tally.same += len(already)
        tally.stay += len(here) - written.changed - len(already)
        unpacked[connection] = written.unpacked
    return unpacked


def _whole(events: list[ReviewEvent]) -> list[ReviewEvent]:
    """All but the last completion's, of which there may be more: a completion's are taken back together."""
    last = events[-1].completion_id
    return [event for event in events if event.completion_id != last]


def _held(
    ids: Sequence[int], operation: Operation, tally: Tally
) -> tuple[dict[int, list[int]], dict[int, str]]:
    """These rows by connection, in order, once nobody else changes them; and their connections' names.

    Counts as refused what is gone and what the person who asked may not change any more.
    """
    rows = StoredCompletion.objects.filter(pk__in=ids)
    connections = sorted(set(rows.values_list("connection", flat=True)))
    for connection in connections:
        columns.next_change(connection, 0)
    now = dict(rows.filter(connection__in=connections).values_list("pk", "connection"))
    tally.refuse(GONE, len(ids) - len(now))
    names = dict(Connection.objects.filter(pk__in=connections).values_list("pk", "name"))
    able = Connection.objects.actionable_by(operation.requested_by)
    allowed = set(able.filter(pk__in=connections).values_list("pk", flat=True))
    groups: dict[int, list[int]] = {connection: [] for connection in connections}
    for pk in ids:
        if pk in now:
            groups[now[pk]].append(pk)
    for connection in connections:
        if connection not in allowed:
            tally.refuse(NOT_HERE.format(names[connection]), len(groups.pop(connection)))
    return groups, names


def _labels(connections: Any) -> dict[int, dict[str, Label]]:
    found: dict[int, dict[str, Label]] = {}
    for label in Label.objects.filter(connection__in=list(connections)):
        found.setdefault(label.connection_id, {})[label.name] = label
    return found


def _said(sayings: Sequence[Saying], labels: Mapping[str, Label], connection: str) -> tuple[list[Said], str]:
    """What to write there, or why it cannot be."""
    try:
        return [saying.on(labels, connection) for saying in sayings], ""
    except Refused as refused:
        return [], str(refused)
