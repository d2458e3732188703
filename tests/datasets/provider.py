"""What the sandbox saw and holds, its faults, and worker processes that may be killed at a crash point."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from datasets.finetune.launch import KIND
from portal.models import Connection, Operation
from portal.sandbox import Sandbox
from portal.sandbox.management import RESOURCE_GROUP, SUBSCRIPTION
from portal.upstream import JobInfo, connect
from tests import factories
from tests.portal.sandbox_client import control
from tests.workers import database_url

__all__ = ["advance", "azure", "control", "created", "faults", "jobs", "posts", "restart", "worker_process"]
JOBS = "/fine_tuning/jobs"
WORK = """
import django
django.setup()
from tests.datasets.material import drain
drain(20)
"""


def azure(sandbox: Sandbox, **fields: Any) -> Connection:
    """A connection to the Azure resource by its key, which may do all but deploy."""
    values = {
        "base_url": sandbox.base_url("azure-v1"),
        "secret": "sandbox-azure-v1-key",
        "management_url": f"{sandbox.url}/management",
        "subscription_id": SUBSCRIPTION,
        "resource_group": RESOURCE_GROUP,
        "account_name": "azure-v1",
    }
    return factories.connection(**values | fields)


def openai(sandbox: Sandbox, **fields: Any) -> Connection:
    return factories.connection(
        kind="openai", base_url=sandbox.base_url("openai"), secret="sandbox-openai-key", **fields
    )


def faults(sandbox: Sandbox, *rules: dict[str, Any]) -> None:
    control(sandbox, "POST", "/faults", {"faults": list(rules)})


def advance(sandbox: Sandbox, seconds: float) -> None:
    control(sandbox, "POST", "/clock", {"advance": seconds})


def posts(sandbox: Sandbox, path: str = JOBS, method: str = "POST") -> int:
    """How many requests to this path arrived, whatever came of them."""
    return sum(
        entry["method"] == method and entry["path"].endswith(path) for entry in sandbox.journal.entries()
    )


def created(sandbox: Sandbox, what: str = "created:ftjob") -> list[str]:
    """Effects of this kind, in order: each is one thing that was really made."""
    return [
        entry["effect"]
        for entry in sandbox.journal.entries()
        if str(entry.get("effect", "")).startswith(what)
    ]


def jobs(connection: Connection) -> list[JobInfo]:
    with connect(connection) as upstream:
        return list(upstream.list_jobs())


def worker_process(crash: str = "", **environment: str) -> "subprocess.Popen[bytes]":
    """A process that does what a worker does, and dies at `crash` as by kill -9."""
    log = Path(tempfile.mkdtemp(prefix="crash-", dir=os.environ["DATA_DIR"])) / "log"
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-c", WORK],
            env=os.environ | {"DATABASE_URL": database_url(), "PORTAL_CRASH": crash} | environment,
            cwd=Path(__file__).parents[2],
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def crash_at(point: str) -> None:
    """Work in a process of its own until it dies at the crash point."""
    process = worker_process(point)
    assert process.wait(60) == 137, f"it did not pass {point}"
    restart()


def restart() -> None:
    """What the supervisor does when it saw a worker die: its leases are free."""
    Operation.objects.filter(state=Operation.State.RUNNING).update(lease_until="2020-01-01T00:00:00Z")


def wait_until(holds: Callable[[], Any], seconds: float = 20) -> None:
    deadline = monotonic() + seconds
    while not holds():
        assert monotonic() < deadline, "it did not happen"
        sleep(0.05)


def launch_operation() -> Operation:
    operation: Operation = Operation.objects.filter(kind=KIND).latest("id")
    return operation
