"""Rows, selections and versions to build and train on, made without a network; a worker's loop in-process."""

import json
from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import count
from time import monotonic, sleep
from typing import Any

from django.utils import timezone

from completions import raw, selection
from completions.models import Body, FrozenSelection, MessagesState, StoredCompletion
from datasets import distill
from datasets.build import build
from datasets.models import DatasetVersion, FineTune
from datasets.recipe import Recipe
from portal import steps
from portal.models import Connection, Operation, User

_numbers = count(1)
NOTHING = Recipe()  # changes and drops nothing
SUBJECTS = ("a tide", "a sonnet", "a lathe", "a comet", "a ledger", "a fjord", "a loom")


def stored(
    connection: Connection,
    *,
    question: str | None = None,
    answer: str | None = None,
    finish: str = "stop",
    usage: bool = True,
    pending: bool = False,
    messages: Sequence[dict[str, Any]] | None = None,
    **message: Any,
) -> StoredCompletion:
    """One row of the mirror with its body, as a sync would have left it."""
    number = next(_numbers)
    question = question if question is not None else f"What is {SUBJECTS[number % 7]}? ({number})"
    answer = answer if answer is not None else f"It is number {number} of the things that one may ask about."
    item: dict[str, Any] = {
        "id": f"chatcmpl-{number:06d}",
        "object": "chat.completion",
        "created": 1_780_000_000 + number,
        "model": "gpt-4o-2024-08-06",
        "metadata": {"category": "docs-test"},
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": answer, "refusal": None, **message},
            }
        ],
        "usage": {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42} if usage else None,
    }
    entries = messages or [
        {"id": "m0", "role": "system", "content": "Answer in one sentence."},
        {"id": "m1", "role": "user", "content": question},
    ]
    pages = None if pending else [json.dumps({"object": "list", "data": entries}).encode()]
    row: StoredCompletion = StoredCompletion.objects.create(
        connection=connection,
        upstream_id=item["id"],
        created=item["created"],
        model=item["model"],
        prompt_preview=question[:160],
        answer_preview=answer[:160],
        metadata=item["metadata"],
        finish_reason=finish,
        messages_state=MessagesState.PENDING if pending else MessagesState.OK,
        digest="0" * 64,
    )
    Body.objects.create(
        completion=row,
        prompt_text=question,
        answer_text=answer,
        raw=raw.pack(json.dumps(item).encode(), pages),
    )
    return row


def many(connection: Connection, rows: int) -> list[StoredCompletion]:
    return [stored(connection) for _ in range(rows)]


def frozen(user: User, rows: Iterable[StoredCompletion]) -> FrozenSelection:
    """A selection of these rows, as the confirmation dialog makes it."""
    made: FrozenSelection = selection.freeze(user, ids=[row.pk for row in rows])
    return made


def draft(user: User, rows: Iterable[StoredCompletion], recipe: Recipe = NOTHING) -> DatasetVersion:
    return distill.start(frozen(user, rows), user, "Summaries", recipe)


def built(user: User, rows: Iterable[StoredCompletion], recipe: Recipe = NOTHING) -> DatasetVersion:
    """A version with its file."""
    version = draft(user, rows, recipe)
    build.begin(version, user)
    drain(kinds=[build.KIND])
    version.refresh_from_db()
    return version


def prepared(user: User, connection: Connection, rows: int = 12, **fields: Any) -> FineTune:
    """A job that is set up but not launched, on a version that is built."""
    version = draft(user, many(connection, rows))
    version, tune = distill.choose_model(version, user, connection, "gpt-4.1-mini-2025-04-14")
    build.begin(version, user)
    drain(kinds=[build.KIND])
    for name, value in fields.items():
        setattr(tune, name, value)
    tune.save()
    tune.refresh_from_db()
    return tune


def drain(seconds: float = 30, *, kinds: Sequence[str] = ()) -> None:
    """Do what a worker does until nothing is left, without waiting for what is due later."""
    deadline = monotonic() + seconds
    while monotonic() < deadline:
        live = Operation.objects.filter(state__in=Operation.LIVE)
        live = live.filter(kind__in=kinds) if kinds else live
        ready = list(live.order_by("id").values_list("pk", flat=True))
        if not ready:
            return
        Operation.objects.filter(pk__in=ready, state=Operation.State.WAITING).update(
            next_run_at=timezone.now() - timedelta(days=1)
        )
        for pk in ready:
            steps.work_on(pk)
        sleep(0.02)
    raise AssertionError(f"still going: {[str(operation) for operation in live]}")


def step(kind: str) -> Operation:
    """One step of the newest operation of this kind, due or not."""
    operation: Operation = Operation.objects.filter(kind=kind).latest("id")
    Operation.objects.filter(pk=operation.pk, state=Operation.State.WAITING).update(
        next_run_at=timezone.now() - timedelta(days=1)
    )
    steps.work_on(operation.pk)
    operation.refresh_from_db()
    return operation
