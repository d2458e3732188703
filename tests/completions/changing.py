"""What tests of changes upstream share: orders, what the provider was asked, and workers that are killed."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from django.conf import settings
from django.core.files.storage import storages
from django.db import transaction

from completions import selection
from completions.models import ChangeOrder, FrozenSelection, StoredCompletion
from portal.models import Connection, Operation, User
from portal.sandbox import Sandbox
from tests import factories
from tests.completions.mirroring import step
from tests.portal.sandbox_client import control
from tests.workers import database_url

WORK = """
import sys
import django
django.setup()
from django.conf import settings
from django.test.utils import override_settings
from portal import operations, steps
operations.app.send_task = lambda *args, **options: None
artifacts = settings.STORAGES["artifacts"]
artifacts = artifacts | {"OPTIONS": artifacts["OPTIONS"] | {"location": sys.argv[2]}}
with override_settings(STORAGES=settings.STORAGES | {"artifacts": artifacts}):
    while steps.work_on(int(sys.argv[1])):
        pass
"""


def own_folder(told: Any, folder: Path) -> None:
    """Artifacts of one test alone."""
    options = told.STORAGES["artifacts"]["OPTIONS"] | {"location": str(folder)}
    told.STORAGES = told.STORAGES | {"artifacts": told.STORAGES["artifacts"] | {"OPTIONS": options}}


def copies(
    connection: Connection, sandbox: Sandbox, personality: str, count: int, *, metadata: bool = True
) -> list[StoredCompletion]:
    """The newest rows upstream as rows here, without reading them all."""
    ids = control(sandbox, "GET", f"/state?resource={personality}&ids=1")["ids"][-count:]
    held = {name: metadata_of(sandbox, name, personality) if metadata else {} for name in ids}
    with transaction.atomic():
        return [factories.make_completion(connection, upstream_id=name, metadata=held[name]) for name in ids]


def metadata_of(sandbox: Sandbox, upstream_id: str, personality: str = "azure-v1") -> dict[str, str]:
    """What the provider holds now."""
    found = control(sandbox, "GET", f"/state?resource={personality}&id={upstream_id}")
    held: dict[str, str] = found["completion"].get("metadata") or {}
    return held


def frozen(person: User, rows: Sequence[StoredCompletion], q: str = "") -> FrozenSelection:
    """A selection of these, as the bulk bar makes one."""
    if q:
        return selection.freeze(person, q=q, everything=True)
    return selection.freeze(person, ids=[row.pk for row in rows])


def work_off(made: ChangeOrder, seconds: float = 30) -> Operation:
    """Do the order's operation here until it has ended, waits included."""
    made.refresh_from_db()
    assert made.operation_id is not None
    deadline = monotonic() + seconds
    while (operation := Operation.objects.get(pk=made.operation_id)).is_live:
        assert monotonic() < deadline, f"{operation} {operation.note} {operation.error_text}"
        step(operation)
    made.refresh_from_db()
    return operation


def worker(operation_id: int, crash: str = "") -> "subprocess.Popen[bytes]":
    """A process that does the operation, and dies at the crash point if one is given."""
    folder = settings.STORAGES["artifacts"]["OPTIONS"]["location"]
    return subprocess.Popen(
        [sys.executable, "-c", WORK, str(operation_id), folder],
        env=os.environ | {"DATABASE_URL": database_url(), "PORTAL_CRASH": crash},
    )


def wait_until(holds: Any, seconds: float = 20) -> None:
    deadline = monotonic() + seconds
    while not holds():
        assert monotonic() < deadline, "it did not happen"
        sleep(0.01)


def free_leases() -> None:
    """What the supervisor does when it saw a worker die."""
    Operation.objects.filter(state=Operation.State.RUNNING).update(lease_until="2020-01-01T00:00:00Z")


def answers(sandbox: Sandbox, method: str) -> Counter[tuple[str, int]]:
    """How often each id was answered with each status, by the provider's own journal."""
    entries, after = [], 0
    while True:
        told = control(sandbox, "GET", f"/journal?method={method}&after={after}")
        entries += told["entries"]
        if told["next"] == after:
            break
        after = told["next"]
    return Counter(
        (entry["path"].split("/")[3], entry["status"])
        for entry in entries
        if entry["path"].startswith("/chat/completions/")
    )


def receipt_of(made: ChangeOrder) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The head and the lines of an order's receipt."""
    with storages["artifacts"].open(made.receipt, "rb") as file:
        head, *lines = [json.loads(line) for line in file.read().splitlines()]
    return head, lines
