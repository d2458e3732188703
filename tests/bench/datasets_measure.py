"""One part of the measurement, in a process of its own: `fill N`, `bare`, or `build RECIPE [ROWS]`.

The last line printed is JSON.
"""

import json
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402  # models are there only now
from django.core.management import call_command  # noqa: E402

from completions import absorbing, raw, selection  # noqa: E402
from completions.importing import run as importing  # noqa: E402
from completions.importing import taking  # noqa: E402
from completions.models import Body  # noqa: E402
from completions.querysets import holding  # noqa: E402
from datasets import distill  # noqa: E402
from datasets.build import build  # noqa: E402
from datasets.recipe import PERSONAL, Cap, Personal, Recipe, Sample, Split  # noqa: E402
from portal import celery, steps  # noqa: E402
from portal.models import Operation, User  # noqa: E402
from tests.bench.rows import rows as made_up  # noqa: E402

AT_ONCE = 500
SAME, NEAR = 7, 13  # of twenty rows, the ones that say what the row before them says, or nearly so
RECIPES = {
    "plain": Recipe(),
    "personal": Recipe(personal=Personal(tuple(PERSONAL))),
    "split": Recipe(split=Split(5, 5, even="model")),
    "same": Recipe(duplicates="exact"),
    "near": Recipe(duplicates="near"),
    "everything": Recipe(
        drop=("refusal", "truncated", "filtered", "empty", "error", "not_json"),
        duplicates="near",
        cap=Cap("model", 1_000_000),
        sample=Sample(1_000_000),
        split=Split(5, 5, unit="near", even="model"),
    ),
}


def work(operation: Operation) -> None:
    """Every step of it, here."""
    while Operation.objects.live().filter(pk=operation.pk).exists():
        steps.work_on(operation.pk)
    operation.refresh_from_db()
    if operation.state != Operation.State.DONE:
        raise SystemExit(operation.error_text)


def measured(rows: int, seconds: float, cpu: float, size: int) -> dict[str, Any]:
    return {
        "rows": rows,
        "seconds": seconds,
        "cpu": cpu,
        "rate": rows / seconds,
        "bytes": size,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def rows_of(count: int) -> Iterator[dict[str, Any]]:
    """Stored completions, some of them duplicates of the one before."""
    before: dict[str, Any] = {}
    for at, made in enumerate(made_up(count)):
        row = {**json.loads(made.item), "messages": json.loads(made.page)["data"]}
        if at % 20 in (SAME, NEAR):
            row |= {name: before[name] for name in ("choices", "messages")}
        if at % 20 == NEAR:
            choices = json.loads(json.dumps(row["choices"]))
            said = choices[0]["message"]
            said["content"] = f"{said.get('content') or ''} Number {at} of all."
            row["choices"] = choices
        yield row
        before = row


def fill(count: int) -> dict[str, Any]:
    """An empty place, and so many rows in it."""
    call_command("migrate", verbosity=0)
    user = User.objects.create_superuser("bench")
    path = Path(settings.DATA_DIR) / "rows.jsonl"
    with path.open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows_of(count))
    started, busy = perf_counter(), process_time()
    with path.open("rb") as source:
        taken = taking.take(source, path.name, user)
    work(importing.begin(taken, user, into=None, name="Files"))
    size = path.stat().st_size
    path.unlink()
    return measured(count, perf_counter() - started, process_time() - busy, size)


def bare() -> dict[str, Any]:
    """Fetch, make JSON, write: what no build can do without."""
    absorbing.keep_small()
    ids = list(Body.objects.order_by("-completion__created", "-pk").values_list("pk", flat=True))
    started, busy = perf_counter(), process_time()
    with tempfile.TemporaryFile(dir=settings.DATA_DIR) as file:
        for first in range(0, len(ids), AT_ONCE):
            some = ids[first : first + AT_ONCE]
            blobs = dict(Body.objects.filter(holding(some)).values_list("pk", "raw"))
            for pk in some:
                item, messages = raw.read(raw.unpack(blobs[pk]))
                line = {"messages": [*(messages or ()), item["choices"][0]["message"]]}
                text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
                file.write(text.encode(errors="replace") + b"\n")
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
    return measured(len(ids), perf_counter() - started, process_time() - busy, size)


def make(name: str, rows: int | None = None) -> dict[str, Any]:
    """A whole build, from the operation's beginning to the published file."""
    user = User.objects.get()
    if rows is None:
        frozen = selection.freeze(user, everything=True)
    else:
        frozen = selection.freeze(user, ids=Body.objects.order_by("pk").values_list("pk", flat=True)[:rows])
    version = distill.start(frozen, user, f"Bench {name}", RECIPES[name])
    started, busy = perf_counter(), process_time()
    work(build.begin(version, user))
    took, busy = perf_counter() - started, process_time() - busy
    version.refresh_from_db()
    if version.state != version.State.READY:
        raise SystemExit(version.refusal)
    return measured(frozen.count, took, busy, version.size) | {"left_out": version.counts["left_out"]}


if __name__ == "__main__":
    celery.app.send_task = lambda *_, **__: None  # the steps are done here
    part, *words = sys.argv[1:]
    if part == "fill":
        print(json.dumps(fill(int(words[0]))))
    elif part == "bare":
        print(json.dumps(bare()))
    else:
        print(json.dumps(make(words[0], int(words[1]) if words[1:] else None)))
