"""`manage.py up` on an empty data folder, whose worker or supervisor is killed while it works."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from tests import servers
from tests.bench.memory import tree
from tests.bench.provider import Provider

ROOT = Path(__file__).resolve().parents[2]


class Site:
    """A site that uses `provider`; `begin` is the module, and its arguments, that prepares the database."""

    def __init__(
        self, provider: Provider, begin: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bench-kills-"))
        self.environment = os.environ | {
            "DATA_DIR": str(self.folder),
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "UPSTREAM_ALLOW": provider.address,
            "OPERATION_TICK_SECONDS": "1",
            "OPERATION_LEASE_SECONDS": "6",
            "SCHEDULE_SECONDS": "5",
            "LOG_LEVEL": "WARNING",
            **(environment or {}),
        }
        self.call(*begin)
        self.log = (self.folder / "up.log").open("ab")
        self.process = self.start()

    def start(self) -> "subprocess.Popen[bytes]":
        port = str(servers.free_port())
        command = [sys.executable, "manage.py", "up", "--port", port, "--data-dir", str(self.folder)]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=self.environment,
            stdout=self.log,
            stderr=self.log,
            preexec_fn=servers.die_with_parent,
        )

    def begin(self, *words: str) -> "subprocess.Popen[str]":
        """A module in a process of its own, as a request of the web server would do it."""
        return subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=ROOT,
            env=self.environment | {"LOG_LEVEL": "ERROR"},  # that no broker runs yet is known
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=servers.die_with_parent,
        )

    def call(self, *words: str) -> str:
        """The same to its end; what it printed."""
        process = self.begin(*words)
        said, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"{' '.join(words)} ended with status {process.returncode}")
        return said

    def read(self, *words: str) -> dict[str, Any]:
        """The same, where the last line printed is JSON."""
        found: dict[str, Any] = json.loads(self.call(*words).splitlines()[-1])
        return found

    def ask(self, sql: str) -> list[Any]:
        """Rows straight from the database, without taking part in anything."""
        database = f"file:{self.folder / 'portal.sqlite3'}?mode=ro"
        with closing(sqlite3.connect(database, uri=True)) as connection:
            return connection.execute(sql).fetchall()

    def count(self, sql: str) -> int:
        return int(self.ask(f"SELECT count(*) FROM {sql}")[0][0])  # noqa: S608  # a benchmark's own words

    def rows(self) -> int:
        return self.count("completions_storedcompletion")

    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self.count("portal_operation WHERE state IN ('ready', 'running', 'waiting')") == 0

    def wait(
        self, holds: Callable[[], bool], seconds: float = 180, *, what: str = "", pause: float = 0.01
    ) -> None:
        deadline = monotonic() + seconds
        while not holds():
            if monotonic() > deadline:
                log = (self.folder / "up.log").read_text()
                raise SystemExit(f"not within {seconds:.0f} s: {what}\n{log[-3000:]}")
            sleep(pause)

    def kill_worker(self) -> None:
        """kill -9 of the worker's main process and of its children, as they would die together in a power
        cut.
        """
        for pid in tree(self.process.pid):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except FileNotFoundError:
                continue
            if b"worker" in words:
                for one in tree(pid):
                    with suppress(ProcessLookupError):
                        os.kill(one, signal.SIGKILL)
                return
        raise SystemExit("there is no worker to kill")

    def kill_supervisor(self) -> None:
        """kill -9 of the supervisor; nothing that it started may live on."""
        children = tree(self.process.pid)[1:]
        self.process.kill()
        self.process.wait()
        self._all_gone(children)
        self.process = self.start()

    def kill(self, who: str) -> None:
        (self.kill_worker if who == "worker" else self.kill_supervisor)()

    def stop(self) -> None:
        """End it as an operator would; nothing may be left behind."""
        children = tree(self.process.pid)[1:]
        self.process.terminate()
        self.process.wait()
        self._all_gone(children)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _all_gone(self, children: Sequence[int]) -> None:
        self.wait(lambda: not any(_lives(pid) for pid in children), 30, what="every child is gone")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
