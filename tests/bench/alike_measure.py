"""One part of the measurement, in a process of its own: `plant`, `kind KIND`, `whole`, `again` or `later`.

The last line printed is JSON.
"""

import json
import resource
import sys
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import django

django.setup()

import numpy as np  # noqa: E402  # models are there only now
from django.core.management import call_command  # noqa: E402
from django.db import transaction  # noqa: E402

from completions import absorbing, belonging, bulk, fingerprints, raw  # noqa: E402
from completions.duplicates import (  # noqa: E402
    BANDS,
    NEAR,
    Firsts,
    bands_of,
    chain,
    exact_key,
    jaccard,
    shape_of,
    shingles,
    thread_roots,
)
from completions.models import Belonging, Body, Fingerprint, StoredCompletion, Term  # noqa: E402
from completions.prompt_templates import outline  # noqa: E402
from portal import celery, steps  # noqa: E402
from portal.models import Connection, Operation  # noqa: E402

EVERY, LATER = 20, 1_000
NAMES = ("Anna", "Bao", "Chidi", "Dolores", "Emre", "Farah", "Goran", "Hana")


def rows() -> Any:
    return StoredCompletion.objects.exclude(messages_state="pending").order_by("pk")


def plant() -> dict[str, int]:
    """Make some completions like the one before them; returns how many of each kind."""
    call_command("migrate", verbosity=0)
    absorbing.keep_small()
    ids = list(rows().values_list("pk", flat=True))
    planted = {"same": 0, "near": 0, "thread": 0}
    kinds = {5: "same", 10: "near", 15: "thread"}
    for first in range(0, len(ids), 2_000):
        with transaction.atomic():
            written = []
            for at in range(max(first, 1), min(first + 2_000, len(ids))):
                kind = kinds.get(at % EVERY)
                if kind is not None:
                    written.append((ids[at], _like(Body.objects.get(pk=ids[at - 1]), kind, at)))
                    planted[kind] += 1
            bulk.update(Body, written)
    return planted


def _like(body: Any, kind: str, at: int) -> dict[str, Any]:
    item, messages = raw.read(raw.unpack(bytes(body.raw)))
    messages = messages or []
    system, prompt, answer = body.system_text, body.prompt_text, body.answer_text
    if kind == "near":
        answer = f"{answer} Anything else?"
        item["choices"][0]["message"]["content"] = answer
    elif kind == "thread":
        more = f"And what of number {at}?"
        messages = [*messages, {"role": "assistant", "content": answer}, {"role": "user", "content": more}]
        answer = f"Number {at} is another one."
        prompt = "\n\n".join([prompt, body.answer_text, more])
        item["choices"][0]["message"]["content"] = answer
    if kind != "same":
        system = f"You are the assistant of {NAMES[at // EVERY % len(NAMES)]}. Be brief, and never guess."
        messages = [{"role": "system", "content": system}, *(m for m in messages if m["role"] != "system")]
    page = json.dumps({"object": "list", "data": messages, "has_more": False}).encode()
    return {
        "raw": raw.pack(json.dumps(item).encode(), [page]),
        "system_text": system, "prompt_text": prompt, "answer_text": answer,
    }  # fmt: skip


def bodies() -> Iterator[Any]:
    for first in range(0, len(ids := list(rows().values_list("pk", flat=True))), belonging.READ):
        yield from Body.objects.filter(pk__in=ids[first : first + belonging.READ]).order_by("pk")


def kind(name: str) -> dict[str, Any]:
    """Read all completions and find the groups of one kind alone, in memory; `read` only reads and parses."""
    absorbing.keep_small()
    started = perf_counter()
    keys: dict[int, Any] = {}
    if name == "near":
        keys = _near()
    elif name == "thread":
        keys = _threads()
    elif name == "alike":
        reader = fingerprints.Reader(0)
        for body in bodies():
            if key := outline(body.system_text):
                keys[body.pk] = reader.alike(key, body.system_text, [])
    else:
        for body in bodies():
            conversation = fingerprints.conversation_of(body)
            if name == "same":
                keys[body.pk] = exact_key(conversation)
    distinct, counts = np.unique(np.array(list(keys.values()), str), return_counts=True)
    several = counts > 1
    return {
        "kind": name, "seconds": perf_counter() - started, "memory": peak(),
        "groups": int(np.count_nonzero(several & (distinct != ""))), "rows": int(counts[several].sum()),
    }  # fmt: skip


def _near() -> dict[int, Any]:
    none = np.empty(0, np.int64)
    firsts, keys = Firsts(none, none, np.empty((0, BANDS), np.uint32)), dict[int, Any]()
    for body in bodies():
        runs = shingles(body.prompt_text, body.answer_text)
        shape, bands = shape_of(runs), bands_of(runs)

        def is_near(pk: int, runs: Any = runs) -> bool:
            other = Body.objects.only("prompt_text", "answer_text").get(pk=pk)
            return jaccard(shingles(other.prompt_text, other.answer_text), runs) >= NEAR

        first = firsts.near(shape, bands, is_near)
        if first is None:
            firsts.add(body.pk, shape, bands)
        keys[body.pk] = body.pk if first is None else first
    return keys


def _threads() -> dict[int, Any]:
    whole, owners, earlier = list[int](), list[int](), list[int]()
    ids = list(rows().values_list("pk", flat=True))
    for at, body in enumerate(bodies()):
        number, before = chain(fingerprints.conversation_of(body))
        whole.append(number)
        earlier += before
        owners += [at] * len(before)
    created = np.array(list(rows().values_list("created", flat=True)), np.int64)
    arrays = [np.array(each, np.int64) for each in (whole, owners, earlier)]
    return dict(zip(ids, thread_roots(created, *arrays).tolist(), strict=True))


def whole() -> dict[str, Any]:
    """The operation itself, from the beginning to the end."""
    celery.app.send_task = lambda *_, **__: None  # the steps are done here
    started, made = perf_counter(), []
    for connection in Connection.objects.order_by("pk"):
        operation = belonging.begin(connection)
        while Operation.objects.live().filter(pk=operation.pk).exists():
            steps.work_on(operation.pk)
        operation.refresh_from_db()
        if operation.state != Operation.State.DONE:
            raise SystemExit(operation.error_text)
        made.append(operation)
    seconds = perf_counter() - started
    found = {kind: Term.objects.filter(kind=kind, n__gt=1).count() for kind in belonging.KINDS}
    return {
        "seconds": seconds, "memory": peak(), "rows": Fingerprint.objects.count(), "found": found,
        "grouped": Belonging.objects.count(),
    }  # fmt: skip


def later() -> dict[str, Any]:
    """The operation after a thousand completions have come."""
    newest = list(Fingerprint.objects.order_by("-pk").values_list("pk", flat=True)[:LATER])
    Fingerprint.objects.filter(pk__in=newest).delete()
    return whole()


def peak() -> float:
    """The most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    part, *words = sys.argv[1:]
    parts = {"plant": plant, "kind": kind, "whole": whole, "again": whole, "later": later}
    print(json.dumps(parts[part](*words)))  # type: ignore[operator]  # each takes its own words
