"""A real Celery worker and beat, as processes of their own, on the database and broker of the test."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic, sleep

from django.db import connection

from tests.servers import die_with_parent


def database_url() -> str:
    """The address of the test's database, for another process."""
    details = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{details['NAME']}"
    return f"postgres://{details['USER']}@{details['HOST']}:{details['PORT']}/{details['NAME']}"


class Worker:
    """One worker process with its pool, and a beat beside it; each can be killed and started again."""

    def __init__(self, concurrency: int = 2) -> None:
        self.concurrency = concurrency
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="portal-worker-"))
        self.log = self.folder / "log"

    @property
    def pid(self) -> int:
        """The main process of the worker: what an operation's lease names."""
        return self.processes["worker"].pid

    def start(self) -> "Worker":
        """Start what is not running, and return once the worker takes tasks."""
        if not self._runs("worker"):
            already = self.text().count(" ready.")
            self._spawn(
                "worker",
                [
                    "worker",
                    "--concurrency",
                    str(self.concurrency),
                    "--without-gossip",
                    "--without-mingle",
                    "-l",
                    "INFO",
                ],
            )
            self.wait_for(lambda: self.text().count(" ready.") > already)
        if not self._runs("beat"):
            self._spawn("beat", ["beat", "--pidfile=", "-s", str(self.folder / "schedule")])
        return self

    def kill(self) -> None:
        """kill -9 of the worker and its whole pool, as a power cut would; beat goes on."""
        self._end("worker", signal.SIGKILL)

    def stop(self) -> None:
        """End both, the worker after its current tasks."""
        self._end("beat", signal.SIGTERM)
        self._end("worker", signal.SIGTERM)

    def destroy(self) -> None:
        """End both at once, for when a test is over."""
        self._end("beat", signal.SIGKILL)
        self._end("worker", signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def text(self) -> str:
        """Everything both have written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_for(self, holds: "object", seconds: float = 30) -> None:
        """Poll until `holds()` is true, or fail with the end of the log."""
        assert callable(holds)
        deadline = monotonic() + seconds
        while monotonic() < deadline:
            if holds():
                return
            sleep(0.05)
        raise AssertionError(f"not within {seconds} s; the worker's log ends:\n{self.text()[-3000:]}")

    def _runs(self, name: str) -> bool:
        return name in self.processes and self.processes[name].poll() is None

    def _spawn(self, name: str, arguments: list[str]) -> None:
        with self.log.open("ab") as output:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "portal", *arguments],
                env=os.environ | {"DATABASE_URL": database_url(), "LOG_LEVEL": "INFO"},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def _end(self, name: str, how: signal.Signals) -> None:
        process = self.processes.pop(name, None)
        if process is None:
            return
        if how == signal.SIGKILL:
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(process.pid, signal.SIGKILL)  # whatever of its pool is left
        except ProcessLookupError:
            pass
        process.wait()
