"""Find what belongs together on a connection: duplicates, near-duplicates, system prompts, conversations.

A step reads completions that no step has read yet and keeps their fingerprints, which are small numbers; then
groups are made of all fingerprints, and only what has changed is written. What a completion belongs to stands
in its Belonging and can be filtered by.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from django.db import connection as database
from django.db import transaction
from django.db.models import Exists, F, Max, OuterRef
from django.db.models.functions import Substr
from django.utils import timezone
from numpy.typing import NDArray

from completions import absorbing, bulk, columns
from completions.duplicates import thread_roots
from completions.fingerprints import VERSION, Reader
from completions.models import (
    Belonging,
    Body,
    Fingerprint,
    MessagesState,
    Mirror,
    PromptTemplate,
    StoredCompletion,
    Term,
)
from completions.prompt_templates import MOST_CHARS, template_of
from completions.terms import Change, Dictionary
from portal import audit, operations
from portal.crashpoints import crashpoint
from portal.models import Connection, Operation
from portal.operations import Again, Cancelled, Done, Outcome, Working
from portal.progress import name_results

KIND = "completions.belong"
KINDS = (Term.Kind.SAME.value, Term.Kind.NEAR.value, Term.Kind.ALIKE.value, Term.Kind.THREAD.value)
READ, WRITTEN, TIDIED = 200, 500, 2_000
PAUSE = timedelta(hours=1)
SAMPLED = 400  # completions whose system prompts a template is printed from

name_results({"groups": "Groups", "grouped": "Completions in groups"})


def begin(connection: Connection, user: Any = None) -> Operation:
    """Begin to look for what belongs together on a connection, unless that is under way."""
    with transaction.atomic():
        operation = operations.begin(
            KIND,
            title=f"Find what belongs together on {connection.name}",
            dedupe_key=str(connection.pk),
            connection=connection,
            requested_by=user,
        )
        if user is not None:
            audit.record(user, "belonging.requested", connection, connection=connection)
        return operation


def begin_if_due(connection: Connection) -> Operation | None:
    """Begin it again where somebody has begun it before, rows have come or gone, and an hour has passed."""
    last = last_of(connection)
    if last is None or last.is_live or last.state == Operation.State.CANCELLED:
        return None
    if last.finished is None or last.finished + PAUSE > timezone.now():
        return None
    known = Fingerprint.objects.filter(connection=connection).aggregate(last=Max("pk"))["last"] or 0
    if _unread(connection.pk).filter(pk__gt=known).exists() or outdated(connection.pk).exists():
        return begin(connection)
    return None


def last_of(connection: Connection) -> Operation | None:
    """The last time it was begun."""
    found: Operation | None = (
        Operation.objects.filter(kind=KIND, connection=connection).order_by("-pk").first()
    )
    return found


@operations.handler(KIND, queue="house")
def belong(work: Working) -> Outcome:
    """One step: reading, grouping and writing, each in batches, as far as the time goes."""
    connection = work.operation.connection
    if connection is None:
        return Done()  # it was deleted
    absorbing.keep_small()
    if "until" not in work.operation.cursor:
        rows = StoredCompletion.objects.filter(connection=connection)
        until = rows.aggregate(last=Max("pk"))["last"] or 0
        work.advance(cursor={"phase": "tidy", "id": 0, "until": until}, step="tidying", done=0)
    phases = {"tidy": _tidy, "read": _read, "write": _write, "print": _print}
    while (phase := work.operation.cursor["phase"]) in phases:
        if not phases[phase](work, connection.pk):
            if work.cancelled():
                raise Cancelled
            return Again()
    return Done(_result(connection.pk))


def _goes_on(work: Working) -> bool:
    return work.time_left() and not work.cancelled()


def _turn_to(work: Working, phase: str, step: str, total: int | None = None) -> bool:
    done = work.operation.done if total is None else 0
    cursor = {**work.operation.cursor, "phase": phase, "id": 0, "key": ""}
    work.advance(cursor=cursor, step=step, done=done, total=total)
    return True


# Fingerprints that tell the truth no longer.


def _tidy(work: Working, connection_id: int) -> bool:
    """Drop fingerprints of completions that have changed, and of those that were near to one that is gone."""
    kept = Fingerprint.objects.filter(connection=connection_id)
    changed = kept.exclude(
        version=VERSION, digest=F("completion__digest"), state=F("completion__messages_state")
    )
    while some := list(changed.values_list("pk", flat=True)[:TIDIED]):
        kept.filter(pk__in=some).delete()
        crashpoint("belong.tidied")
        if not _goes_on(work):
            return False
    ids, near = _arrays(kept.exclude(near=None).order_by("pk").values_list("pk", "near"), 2)
    lost = ids[~np.isin(near, ids[ids == near])]
    for first in range(0, len(lost), TIDIED):
        kept.filter(pk__in=lost[first : first + TIDIED].tolist()).delete()
    return _turn_to(work, "read", "reading", _unread(connection_id).count())


def _unread(connection_id: int) -> Any:
    rows = StoredCompletion.objects.filter(connection=connection_id, fingerprint=None)
    return rows.exclude(messages_state=MessagesState.PENDING)


def _arrays(rows: Any, width: int) -> list[NDArray[np.int64]]:
    """Columns of whole numbers."""
    every = np.array(list(rows), np.int64).reshape(-1, width)
    return [every[:, at] for at in range(width)]


# Reading.


def _read(work: Working, connection_id: int) -> bool:
    """Make fingerprints of what has none, oldest arrival first."""
    reader: Reader | None = None
    while _goes_on(work):
        cursor = work.operation.cursor
        rows = _unread(connection_id).filter(pk__gt=cursor["id"], pk__lte=cursor["until"]).order_by("pk")
        batch = list(rows.values_list("pk", "digest", "messages_state")[:READ])
        if not batch:
            count = Fingerprint.objects.filter(connection=connection_id).count()
            return _turn_to(work, "write", "grouping", count)
        reader = reader or Reader(connection_id)
        made, templates = reader.read(batch)
        with transaction.atomic():
            _hold(connection_id)
            here = set(_here(row["completion"] for row in made))
            bulk.insert(Fingerprint, [row for row in made if row["completion"] in here])
            PromptTemplate.objects.bulk_create(templates, ignore_conflicts=True)
            work.advance(cursor={**cursor, "id": batch[-1][0]}, done=work.operation.done + len(batch))
            crashpoint("belong.before_commit")
    return False


def _hold(connection_id: int) -> None:
    """Let no completion of the connection be deleted before the transaction ends."""
    if database.vendor == "postgresql":
        list(Mirror.objects.select_for_update(no_key=True).filter(pk=connection_id).values_list("pk"))


def _here(ids: Any) -> list[int]:
    return list(StoredCompletion.objects.filter(pk__in=list(ids)).values_list("pk", flat=True))


# Grouping and writing.


def _write(work: Working, connection_id: int) -> bool:
    """Write what each completion belongs to, where that is something else than before."""
    groups = groups_of(connection_id)
    dictionary = Dictionary(connection_id)
    ids = groups.ids
    while _goes_on(work):
        cursor = work.operation.cursor
        first = int(np.searchsorted(ids, cursor["id"], "right"))
        some = ids[first : first + WRITTEN].tolist()
        last = some[-1] if some else cursor["until"]
        try:
            with transaction.atomic():
                unpacked = _write_some(
                    connection_id, dictionary, groups.of(first, len(some)), cursor["id"], last
                )
                done = work.operation.done + len(some)
                work.advance(cursor={**cursor, "id": last}, done=done)
                crashpoint("belong.before_commit")
        except BaseException:
            dictionary.forget()
            raise
        dictionary.keep()
        columns.pack_if_due(connection_id, unpacked)
        if not some:
            return _turn_to(work, "print", "printing templates")
    return False


@dataclass(frozen=True, slots=True)
class Groups:
    """Every fingerprint's completion, ascending, and by kind the number of its group; 0 for none."""

    ids: NDArray[np.int64]
    numbers: dict[str, NDArray[np.int64]]
    names: dict[str, list[str]]

    def of(self, first: int, count: int) -> dict[int, dict[str, str]]:
        """The keys of some completions by kind, of those that belong to anything."""
        found: dict[int, dict[str, str]] = {}
        for kind, numbers in self.numbers.items():
            some = numbers[first : first + count]
            for at in np.flatnonzero(some).tolist():
                key = self.names[kind][int(some[at])]
                found.setdefault(int(self.ids[first + at]), {})[kind] = key
        return found


def groups_of(connection_id: int) -> Groups:
    """What all fingerprints of a connection say; a group has at least two members."""
    ids, created, near, whole = list[int](), list[int](), list[int](), list[int]()
    same, alike, earlier, owners = list[bytes](), list[bytes](), list[bytes](), list[int]()
    kept = Fingerprint.objects.filter(connection=connection_id).order_by("pk")
    rows = kept.values_list("pk", "completion__created", "near", "whole", "same", "alike", "earlier")
    for at, row in enumerate(rows.iterator(chunk_size=5_000)):
        ids.append(row[0])
        created.append(row[1])
        near.append(row[2] or 0)
        whole.append(row[3])
        same.append(row[4].encode())
        alike.append(row[5].encode())
        if row[6]:
            earlier.append(bytes(row[6]))
            owners += [at] * (len(row[6]) // 8)
    every = np.array(ids, np.int64)
    roots = thread_roots(
        np.array(created, np.int64),
        np.array(whole, np.int64),
        np.array(owners, np.int64),
        np.frombuffer(b"".join(earlier), "<i8").astype(np.int64),
    )
    found = {
        "same": np.array(same, "S16"),
        "near": np.array(near, np.int64),
        "alike": np.array(alike, "S16"),
        "thread": every[roots],
    }
    numbers, names = {}, {}
    for kind, values in found.items():
        numbers[kind], names[kind] = _numbered(values)
    return Groups(every, numbers, names)


def _numbered(values: NDArray[Any]) -> tuple[NDArray[np.int64], list[str]]:
    """A number from 1 for each value that stands twice or more, and what each number stands for."""
    distinct, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    several = (counts > 1) & (distinct != np.zeros(1, values.dtype)[0])
    number = np.where(several, np.cumsum(several), 0)
    names = [each.decode() if isinstance(each, bytes) else str(each) for each in distinct[several].tolist()]
    return number[place].astype(np.int64), ["", *names]


def _write_some(
    connection_id: int, dictionary: Dictionary, wanted: dict[int, dict[str, str]], after: int, last: int
) -> int:
    """Write what belongs together among the ids after one, up to another; returns the unpacked changes."""
    between = Belonging.objects.filter(connection=connection_id, pk__gt=after, pk__lte=last)
    held = {row.pk: row for row in between}
    other = [pk for pk in held.keys() | wanted.keys() if _keys(held.get(pk)) != wanted.get(pk, {})]
    if not other:
        return 0
    change, unpacked = columns.next_change(connection_id, len(other))  # none is deleted from here on
    held = {row.pk: row for row in Belonging.objects.filter(pk__in=other)}
    moved = [(pk, wanted.get(pk, {})) for pk in sorted(_here(other))]
    terms = dictionary.apply(
        [
            Change(
                frozenset((kind, "", key) for kind, key in now.items()),
                bytes(held[pk].terms or b"") if pk in held else b"",
            )
            for pk, now in moved
        ]
    )
    fresh, old, gone = [], [], []
    for (pk, now), packed in zip(moved, terms, strict=True):
        values = {**{kind: now.get(kind, "") for kind in KINDS}, "terms": packed}
        if not now:
            gone.append(pk)
        elif pk in held:
            old.append((pk, values))
        else:
            fresh.append({"completion": pk, "connection": connection_id, **values})
    bulk.insert(Belonging, fresh)
    bulk.update(Belonging, old)
    Belonging.objects.filter(pk__in=gone).delete()
    StoredCompletion.objects.filter(pk__in=[pk for pk, _ in moved]).update(change=change)
    return unpacked


def _keys(row: Any) -> dict[str, str]:
    """What a completion belongs to as it is written."""
    return {kind: key for kind in KINDS if (key := getattr(row, kind, ""))}


# Printing templates.


def _print(work: Working, connection_id: int) -> bool:
    """Print the templates that have got other members."""
    while _goes_on(work):
        key = work.operation.cursor["key"]
        groups = Term.objects.filter(
            connection=connection_id, kind=Term.Kind.ALIKE, key="", n__gt=1, value__gt=key
        )
        following = groups.order_by("value").values_list("value", "n").first()
        if following is None:
            _forget_templates(connection_id)
            return _turn_to(work, "done", "")
        with transaction.atomic():
            _print_one(connection_id, *following)
            work.advance(cursor={**work.operation.cursor, "key": following[0]})
    return False


def _forget_templates(connection_id: int) -> None:
    """Keep no text of a template that completions share no longer, and nothing of one that none has."""
    shared = Term.objects.filter(
        connection=connection_id, kind=Term.Kind.ALIKE, key="", value=OuterRef("key"), n__gt=1
    )
    holders = Fingerprint.objects.filter(connection=connection_id, alike=OuterRef("key"))
    templates = PromptTemplate.objects.filter(connection=connection_id)
    templates.filter(made_of__gt=0).exclude(Exists(shared)).update(parts=[], made_of=0, newest=0)
    templates.exclude(Exists(holders)).delete()


def outdated(connection_id: int) -> Any:
    """Templates that are printed from more or fewer completions than there are now."""
    same = Term.objects.filter(
        connection=connection_id, kind=Term.Kind.ALIKE, key="", value=OuterRef("key"), n=OuterRef("made_of")
    )
    return PromptTemplate.objects.filter(connection=connection_id, made_of__gt=0).exclude(Exists(same))


def _print_one(connection_id: int, key: str, count: int) -> None:
    members = Fingerprint.objects.filter(connection=connection_id, alike=key).order_by("-pk")
    newest = members.values_list("pk", flat=True).first() or 0
    template, _ = PromptTemplate.objects.get_or_create(connection_id=connection_id, key=key)
    if (template.made_of, template.newest) == (count, newest):
        return
    sampled = list(members.values_list("pk", flat=True)[:SAMPLED])
    texts = Body.objects.filter(pk__in=sampled).annotate(begins=Substr("system_text", 1, MOST_CHARS))
    tally = Counter[str](texts.values_list("begins", flat=True).iterator())
    prompts = sorted(tally.items(), key=lambda each: (-each[1], each[0]))
    template.parts, template.made_of, template.newest = template_of(prompts).as_json(), count, newest
    template.save(update_fields=["parts", "made_of", "newest"])


def _result(connection_id: int) -> dict[str, int]:
    groups = Term.objects.filter(connection=connection_id, kind__in=KINDS, n__gt=1).count()
    return {"groups": groups, "grouped": Belonging.objects.filter(connection=connection_id).count()}


def connections_of(user: Any) -> Iterator[tuple[Connection, Operation | None]]:
    """The connections that a person may read, with the last time that each was compared."""
    for connection in Connection.objects.readable_by(user).defer("secret").order_by("name"):
        yield connection, last_of(connection)
