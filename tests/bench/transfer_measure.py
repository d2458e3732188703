"""One part of the measurement, in a process of its own: `import N`, `again N`, `bare` or `export FORM`.

The last line printed is JSON.
"""

import json
import os
import resource
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402  # models are there only now
from django.core.management import call_command  # noqa: E402

from completions import absorbing, raw, selection  # noqa: E402
from completions.exporting import run as exporting  # noqa: E402
from completions.importing import run as importing  # noqa: E402
from completions.importing import taking  # noqa: E402
from completions.models import Body  # noqa: E402
from completions.querysets import holding  # noqa: E402
from portal import celery, steps  # noqa: E402
from portal.models import Connection, Operation, User  # noqa: E402
from tests.bench.rows import rows as made_up  # noqa: E402

AT_ONCE = 500


def work(operation: Operation) -> None:
    """Every step of it, here."""
    while Operation.objects.live().filter(pk=operation.pk).exists():
        steps.work_on(operation.pk)
    operation.refresh_from_db()
    if operation.state != Operation.State.DONE:
        raise SystemExit(operation.error_text)


def measured(rows: int, seconds: float, cpu: float, size: int) -> dict[str, Any]:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "rows": rows,
        "seconds": seconds,
        "cpu": cpu,
        "rate": rows / seconds,
        "bytes": size,
        "memory": memory,
    }


def file_of(rows: int) -> Path:
    """The file that is imported, written once."""
    path = Path(settings.DATA_DIR) / f"rows-{rows}.jsonl"
    if not path.exists():
        with path.open("w") as file:
            for made in made_up(rows):
                messages = json.loads(made.page)["data"]
                file.write(json.dumps({**json.loads(made.item), "messages": messages}) + "\n")
    return path


def take(rows: int) -> dict[str, Any]:
    """Import the file, from the upload to the last row."""
    path, user = file_of(rows), User.objects.get()
    into = Connection.objects.filter(name="Files").first()
    started, busy = perf_counter(), process_time()
    with path.open("rb") as file:
        source = taking.take(file, path.name, user)
    operation = importing.begin(source, user, into=into, name="Files")
    work(operation)
    took, busy = perf_counter() - started, process_time() - busy
    source.refresh_from_db()
    expected = "same" if into is not None else "new"
    if source.counts[expected] != rows:
        raise SystemExit(f"{source.counts}")
    return measured(rows, took, busy, path.stat().st_size)


def bare() -> dict[str, Any]:
    """Fetch, make JSON, write: what no export can do without."""
    absorbing.keep_small()
    ids = list(Body.objects.order_by("-completion__created", "-pk").values_list("pk", flat=True))
    started, busy = perf_counter(), process_time()
    with tempfile.TemporaryFile(dir=settings.DATA_DIR) as file:
        for first in range(0, len(ids), AT_ONCE):
            some = ids[first : first + AT_ONCE]
            blobs = dict(Body.objects.filter(holding(some)).values_list("pk", "raw"))
            for pk in some:
                item, messages = raw.read(raw.unpack(blobs[pk]))
                item["messages"] = messages
                file.write(json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
    return measured(len(ids), perf_counter() - started, process_time() - busy, size)


def export(form: str) -> dict[str, Any]:
    """The whole operation, from the frozen selection to the artifact with its checksum."""
    call_command("migrate", verbosity=0)
    user, _ = User.objects.get_or_create(username="bench", defaults={"is_superuser": True})
    frozen = selection.freeze(user, everything=True)
    started, busy = perf_counter(), process_time()
    made = exporting.begin(frozen, user, form, {"reviews": False, "corrections": False})
    assert made.operation is not None
    work(made.operation)
    took, busy = perf_counter() - started, process_time() - busy
    made.refresh_from_db()
    if made.rows != frozen.count:
        raise SystemExit(f"{made.rows} of {frozen.count}: {made.left_out}")
    return measured(made.rows, took, busy, made.size)


if __name__ == "__main__":
    celery.app.send_task = lambda *_, **__: None  # the steps are done here
    part, *words = sys.argv[1:]
    if part == "import":
        call_command("migrate", verbosity=0)
        User.objects.create_superuser("bench")
        file_of(int(words[0]))
    if part in ("import", "again"):
        print(json.dumps(take(int(words[0]))))
    else:
        print(json.dumps(bare() if part == "bare" else export(words[0])))
