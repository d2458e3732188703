"""What tests of the mirror share: make it, wait for it, and compare it with what upstream holds."""

import json
import os
import random
from collections import Counter
from collections.abc import Sequence
from time import monotonic, sleep
from typing import Any

import pytest

from completions import raw, schedule, search
from completions.conversation import Texts
from completions.models import Body, Posting, Quarantine, StoredCompletion, SyncPass, SyncState, Term
from completions.terms import names_of
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
    held: dict[int, set[tuple[str, str, str]]] = {}
    for pk, *name in Posting.objects.filter(term__connection=connection).values_list(
        "completion_id", "term__kind", "term__key", "term__value"
    ):
        held.setdefault(pk, set()).add((name[0], name[1], name[2]))
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
            frozenset(held.get(row.pk, set())),
        )
    return rows


def check_whole(connection: Connection) -> None:
    """Whatever happened: every row has its body, terms are counted to the letter, words find their rows."""
    rows = list(StoredCompletion.objects.filter(connection=connection))
    bodies = {body.pk: body for body in Body.objects.filter(completion__connection=connection)}
    assert set(bodies) == {row.pk for row in rows}
    expected: Counter[tuple[str, str, str]] = Counter()
    postings = set()
    for row in rows:
        for name in names_of(row.metadata, row.model, row.flags):
            expected[name] += 1
            postings.add((name, row.created, row.pk))
    counted = {
        (term.kind, term.key, term.value): term.n
        for term in Term.objects.filter(connection=connection)
        if term.n
    }
    assert counted == dict(expected)
    found = {
        ((posting.term.kind, posting.term.key, posting.term.value), posting.created, posting.completion_id)
        for posting in Posting.objects.filter(term__connection=connection).select_related("term")
    }
    assert found == postings
    for row in rows:
        body = bodies[row.pk]
        texts = Texts(body.system_text, body.prompt_text, body.answer_text)
        word = next(iter(search.words(texts.answer or texts.prompt)), None)
        if word is not None:
            term = search.term(word)
            assert term is not None
            here = search.among([row.pk], search.TextQuery((term,)))
            assert bool(here) == (row.messages_state != "pending"), row.upstream_id


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
