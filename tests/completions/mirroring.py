"""What tests of the mirror share: make it, wait for it, and compare it with what upstream holds."""

import json
import os
import random
import struct
from collections import Counter
from collections.abc import Sequence
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest

from completions import columns, raw, schedule, search
from completions.columns.segment import MARKS, WHOLE
from completions.conversation import Texts
from completions.models import (
    Belonging,
    Body,
    Label,
    Quarantine,
    ReviewState,
    StoredCompletion,
    SyncPass,
    SyncState,
    Term,
)
from completions.search.index import among
from completions.terms import NAMED, Name, field_of, names_of
from portal import steps
from portal.models import Connection, Operation
from portal.sandbox import Sandbox
from portal.upstream import pager, patience
from tests.portal.sandbox_client import control

LIST = "/chat/completions"
MESSAGES = "/chat/completions/*/messages"


def chance() -> random.Random:
    """Where and how often faults strike: always the same, unless FAULT_SEED says otherwise."""
    return random.Random(int(os.environ.get("FAULT_SEED", "7")))


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Steps are done here and nobody listens for rings; pauses between tries are short."""
    patch.setattr("portal.operations.app.send_task", lambda *args, **options: None)
    for module in (patience, pager):
        patch.setattr(module, "sleep", lambda seconds: sleep(seconds / 20))


def drain(connection: Connection, seconds: float = 60) -> None:
    """Do every live operation of the connection here, waits included, until none is left."""
    deadline = monotonic() + seconds
    while True:
        live = Operation.objects.live().filter(connection=connection).order_by("next_run_at", "id").first()
        if live is None:
            return
        assert monotonic() < deadline, f"still {live}: {live.note} {live.error_text}"
        if live.state == Operation.State.WAITING:
            Operation.objects.filter(pk=live.pk).update(next_run_at=None, state=Operation.State.READY)
        if not steps.work_on(live.pk):
            sleep(0.05)


def step(operation: Operation) -> Operation:
    """One step of it, also if it is waiting; the row as it is afterwards."""
    Operation.objects.filter(pk=operation.pk, state=Operation.State.WAITING).update(
        state=Operation.State.READY
    )
    steps.work_on(operation.pk)
    operation.refresh_from_db()
    return operation


def mirror(connection: Connection) -> None:
    """A whole first sync."""
    schedule.sync_now(connection, None)
    drain(connection)


def look(connection: Connection) -> Operation:
    """An incremental pass, to its end."""
    operation = schedule.sync_now(connection, None)
    drain(connection)
    operation.refresh_from_db()
    return operation


def swept(connection: Connection) -> Operation:
    """A sweep, to its end."""
    operation = schedule.sweep_now(connection, None)
    drain(connection)
    operation.refresh_from_db()
    return operation


def state(connection: Connection, sync_pass: SyncPass) -> SyncState:
    found: SyncState = SyncState.objects.get(connection=connection, sync_pass=sync_pass)
    return found


def upstream_ids(sandbox: Sandbox, resource: str = "azure-v1") -> list[str]:
    found: list[str] = control(sandbox, "GET", f"/state?resource={resource}&ids=1")["ids"]
    return found


def plant(sandbox: Sandbox, resource: str = "azure-v1", **body: Any) -> str:
    """Store one completion upstream as given; returns its id."""
    added: list[str] = control(sandbox, "POST", "/state", {"resource": resource, "op": "add", **body})["ids"]
    return added[0]


def delete(sandbox: Sandbox, ids: Sequence[str], resource: str = "azure-v1") -> None:
    control(sandbox, "POST", "/state", {"resource": resource, "op": "delete", "ids": list(ids)})


def requests(sandbox: Sandbox) -> Counter[str]:
    """Requests by what they asked for, and by status where that was an error."""
    counted: Counter[str] = Counter()
    for entry in control(sandbox, "GET", "/journal/counts")["counts"]:
        name = "messages" if entry["route"].endswith("/messages") else "list"
        if entry["method"] != "GET" or LIST not in entry["route"]:
            name = "other"
        elif entry["route"].endswith("/{chatcmpl}"):
            name = "get"
        counted[name] += entry["count"]
        if entry["status"] >= 400:
            counted[f"{entry['status']}"] += entry["count"]
    return counted


def snapshot(connection: Connection) -> dict[str, tuple[Any, ...]]:
    """The mirror row by row, without what differs between two runs by nature (arrival numbers and times)."""
    bodies = {body.pk: body for body in Body.objects.filter(completion__connection=connection)}
    named = names(connection)
    rows = {}
    for row in StoredCompletion.objects.filter(connection=connection):
        body = bodies[row.pk]
        unpacked = raw.unpack(body.raw)
        rows[row.upstream_id] = (
            row.created,
            row.model,
            row.prompt_preview,
            row.answer_preview,
            json.dumps(row.metadata, sort_keys=True),
            row.prompt_tokens,
            row.completion_tokens,
            row.total_tokens,
            row.finish_reason,
            row.request_id,
            row.turns,
            row.tool_calls,
            row.has_image,
            row.refused,
            row.answer_length,
            row.messages_state,
            tuple(row.flags),
            row.digest,
            row.gone_at is None,
            body.system_text,
            body.prompt_text,
            body.answer_text,
            unpacked.item,
            unpacked.pages,
            row.language,
            row.temperature,
            row.response_format,
            row.answer_is_json,
            row.tools,
            frozenset(named[pk] for pk in held_by(row)),
        )
    return rows


def names(connection: Connection) -> dict[int, Name]:
    """Every term of the connection by its id."""
    return {term.pk: (term.kind, term.key, term.value) for term in Term.objects.filter(connection=connection)}


def held_by(row: StoredCompletion) -> list[int]:
    """The ids of fields and terms that the row names, in pairs."""
    return _unpacked(row.terms)


def beside(connection: Connection) -> dict[int, tuple[ReviewState | None, list[int], set[Name]]]:
    """By completion: what was said of it, the ids of fields and terms that this names, and what it names."""
    labels = {str(label.pk): label.name for label in Label.objects.filter(connection=connection)}
    found: dict[int, tuple[ReviewState | None, list[int], set[Name]]] = {}
    for state in ReviewState.objects.filter(connection=connection):
        said = {("review", "", state.state), ("rating", "", state.rating)}
        said |= {("label", labels[key], value) for key, values in state.labels.items() for value in values}
        said |= {("reviewer", "", name) for name in state.reviewers}
        found[state.pk] = state, _unpacked(state.terms), {name for name in said if name[2]}
    for group in Belonging.objects.filter(connection=connection):
        state, held, names = found.get(group.pk, (None, [], set()))
        like = {(kind, "", getattr(group, kind)) for kind in ("same", "near", "alike", "thread")}
        found[group.pk] = state, held + _unpacked(group.terms), names | {name for name in like if name[2]}
    return found


def _unpacked(terms: Any) -> list[int]:
    blob = bytes(terms or b"")
    return list(struct.unpack(f"<{len(blob) // 4}I", blob))


def check_whole(connection: Connection) -> None:
    """Whatever happened: every row has its body, terms are counted to the letter, words find their rows."""
    rows = list(StoredCompletion.objects.filter(connection=connection))
    bodies = {body.pk: body for body in Body.objects.filter(completion__connection=connection)}
    assert set(bodies) == {row.pk for row in rows}
    named = names(connection)
    around = beside(connection)
    expected: Counter[Name] = Counter()
    for row in rows:
        of_row = names_of({name: getattr(row, name) for name in NAMED})
        held = held_by(row)
        pairs = list(zip(held[::2], held[1::2], strict=True))
        assert pairs == sorted(set(pairs)), row.upstream_id
        assert {(named[field], named[term]) for field, term in pairs} == {
            (field_of(name), name) for name in of_row
        }
        _, said, of_review = around.get(row.pk, (None, [], set()))
        assert {(named[field], named[term]) for field, term in zip(said[::2], said[1::2], strict=True)} == {
            (field_of(name), name) for name in of_review
        }
        every = of_row | of_review
        expected.update(every)
        expected.update({field_of(name) for name in every})
    counted = {
        (term.kind, term.key, term.value): term.n
        for term in Term.objects.filter(connection=connection)
        if term.n
    }
    assert counted == dict(expected)
    check_columns(connection, columns.Store())
    for row in rows:
        body = bodies[row.pk]
        texts = Texts(body.system_text, body.prompt_text, body.answer_text)
        word = next(iter(search.words(texts.answer or texts.prompt)), None)
        if word is not None:
            term = search.term(word)
            assert term is not None
            here = among(np.array([row.pk]), search.TextQuery((term,)))
            assert bool(here[0]) == (row.messages_state != "pending"), row.upstream_id


def check_columns(connection: Connection, store: columns.Store) -> None:
    """What a process holds in memory is what the rows say, each once."""
    held = store.current([connection.pk])[connection.pk]
    found: list[tuple[Any, ...]] = []
    for part in held.parts:
        segment = part.segment
        pairs: dict[int, list[int]] = {}
        for at, key in enumerate(segment.keys.tolist()):
            for place in segment.rows[segment.starts[at] : segment.starts[at + 1]].tolist():
                pairs.setdefault(place, []).extend((key >> 32, key & 0xFFFFFFFF))
        lives = [True] * len(segment) if part.alive is None else part.alive.tolist()
        listed = list(zip(segment.created.tolist(), segment.ids.tolist(), strict=True))
        assert listed == sorted(listed, reverse=True)
        for place in range(len(segment)):
            if lives[place]:
                numbers = {name: int(values[place]) for name, values in segment.numbers.items()}
                smallest = {name: int(np.iinfo(values.dtype).min) for name, values in segment.numbers.items()}
                heat = float(segment.temperature[place])
                found.append(
                    (
                        int(segment.ids[place]),
                        int(segment.created[place]),
                        tuple(None if numbers[name] == smallest[name] else numbers[name] for name in WHOLE),
                        None if heat != heat else heat,
                        {name for name, bit in MARKS.items() if int(segment.marks[place]) & bit},
                        _sorted(pairs.get(place, [])),
                    )
                )
    around = beside(connection)
    told = [
        (
            row.pk,
            row.created,
            tuple(getattr(said if name == "reviewed" else row, name, None) for name in WHOLE),
            row.temperature,
            {
                name
                for name, holds in (
                    ("image", row.has_image),
                    ("refusal", row.refused),
                    ("gone", row.gone_at is not None),
                    ("pending", row.messages_state == "pending"),
                    ("json", row.answer_is_json),
                    ("tools", row.tool_calls),
                    ("request", row.request_id),
                    ("correction", said is not None and said.correction_id),
                    ("note", said is not None and said.notes),
                    ("disagreement", said is not None and said.disputed),
                )
                if holds
            },
            _sorted(held_by(row) + terms),
        )
        for row in StoredCompletion.objects.filter(connection=connection)
        for said, terms, _ in [around.get(row.pk, (None, [], set()))]
    ]
    found.sort(key=lambda row: row[0])
    told.sort(key=lambda row: row[0])
    differing = (
        [row for row in found if row not in told][:3],
        [row for row in told if row not in found][:3],
        len(found) - len(told),
    )
    assert differing == ([], [], 0), differing
    assert len(held) == len(told)


def _sorted(held: list[int]) -> list[tuple[int, int]]:
    return sorted(zip(held[::2], held[1::2], strict=True))


def check_equal(connection: Connection, sandbox: Sandbox, resource: str = "azure-v1") -> None:
    """Every id upstream is here exactly once, or in quarantine, and all is whole."""
    rows = {row.upstream_id: row for row in StoredCompletion.objects.filter(connection=connection)}
    aside = set(
        Quarantine.objects.filter(connection=connection, upstream_id__isnull=False).values_list(
            "upstream_id", flat=True
        )
    )
    ids = upstream_ids(sandbox, resource)
    assert sorted(ids) == sorted(
        [name for name, row in rows.items() if row.gone_at is None] + list(aside - set(rows))
    )
    check_whole(connection)
