"""kill -9 of the worker, then of the supervisor, at five points of a sync: `python -m tests.bench.kills`.

The mirror must equal an undisturbed run's row by row, and what was asked for again is counted by the
provider's journal: at most what was in flight, about a page, for each kill.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from tests import servers
from tests.bench.memory import tree
from tests.bench.provider import KEY, Provider

ROOT = Path(__file__).resolve().parents[2]
ROWS = 2000
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
# Messages in flight or read ahead when the process dies; nothing else is asked for twice.
IN_FLIGHT = 102


class Site:
    """`manage.py up` on an empty data folder."""

    def __init__(self, provider: Provider) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bench-kills-"))
        self.environment = os.environ | {
            "DATA_DIR": str(self.folder),
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "UPSTREAM_ALLOW": provider.address,
            "OPERATION_TICK_SECONDS": "1",
            "OPERATION_LEASE_SECONDS": "6",
            "SCHEDULE_SECONDS": "5",
            "LOG_LEVEL": "WARNING",
        }
        begin = [sys.executable, "-m", "tests.bench.begin", provider.base_url, KEY]
        subprocess.run(begin, cwd=ROOT, env=self.environment, check=True, stderr=subprocess.DEVNULL)
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

    def rows(self) -> int:
        return int(self._ask("SELECT count(*) FROM completions_storedcompletion")[0][0])

    def ended(self) -> bool:
        live = "SELECT count(*) FROM portal_operation WHERE state IN ('ready', 'running', 'waiting')"
        return int(self._ask(live)[0][0]) == 0

    def _ask(self, sql: str) -> list[Any]:
        database = f"file:{self.folder / 'portal.sqlite3'}?mode=ro"
        with closing(sqlite3.connect(database, uri=True)) as connection:
            return connection.execute(sql).fetchall()

    def wait(self, holds: Callable[[], bool], seconds: float = 180) -> None:
        deadline = monotonic() + seconds
        while not holds():
            if monotonic() > deadline:
                log = (self.folder / "up.log").read_text()
                raise SystemExit(f"not within {seconds:.0f} s:\n{log[-3000:]}")
            sleep(0.01)

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
                    os.kill(one, signal.SIGKILL)
                return
        raise SystemExit("there is no worker to kill")

    def kill_supervisor(self) -> None:
        """kill -9 of the supervisor; nothing that it started may live on."""
        children = tree(self.process.pid)[1:]
        self.process.kill()
        self.process.wait()
        self.wait(lambda: not any(_lives(pid) for pid in children), 30)
        self.process = self.start()

    def digest(self) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.digest"],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def run(provider: Provider, who: str) -> tuple[dict[str, Any], int, int]:
    """(what the mirror holds, messages asked for, kills) of one sync in which `who` is killed."""
    before = provider.requests()[1]
    site = Site(provider)
    kills = 0
    try:
        for share in SHARES if who else ():
            enough = share * ROWS
            site.wait(lambda enough=enough: site.rows() >= enough)  # type: ignore[misc]  # bound now on purpose
            met = site.rows()
            (site.kill_worker if who == "worker" else site.kill_supervisor)()
            kills += 1
            print(f"  killed the {who} at {met:,} of {ROWS:,} rows", flush=True)
        site.wait(lambda: site.rows() >= ROWS and site.ended())
        return site.digest(), provider.requests()[1] - before, kills
    finally:
        site.stop()


def main() -> int:
    fine = True
    with Provider(rows=ROWS, latency_ms=10) as provider:
        calm, asked, _ = run(provider, "")
        print(f"undisturbed: {calm['rows']:,} rows, {asked:,} requests, digest {calm['digest'][:16]}")
        for who in ("worker", "supervisor"):
            found, asked, kills = run(provider, who)
            repeated = asked - ROWS
            same = found["digest"] == calm["digest"]
            within = repeated <= kills * IN_FLIGHT
            fine &= same and within
            print(
                f"{who} killed {kills} times: {found['rows']:,} rows, digest {found['digest'][:16]}"
                f" {'equal' if same else 'DIFFERENT'}; {repeated} messages requests repeated,"
                f" {repeated / kills:.0f} per kill, allowed {IN_FLIGHT}{'' if within else ': TOO MANY'}"
            )
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
