"""Peak memory of the worker's processes, summed, while a small and a large mirror are made."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep

from tests import servers
from tests.bench.provider import KEY, Provider

ROOT = Path(__file__).resolve().parents[2]
MOST_GROWTH = 1.15


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for parent in found:
        try:
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        except FileNotFoundError:
            continue
        found += [int(child) for child in children]
    return found


def resident_mb(pids: list[int]) -> float:
    """Memory that these hold together; what they share is counted once, by its proportional share."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total / 1024


def peak_of(rows: int) -> tuple[float, float]:
    """(peak in MB, rows per second) of a real worker that mirrors this many rows."""
    folder = Path(tempfile.mkdtemp(prefix="bench-memory-"))
    broker = servers.start_valkey(folder / "broker.sock")
    try:
        with Provider(rows=rows) as provider:
            environment = os.environ | {
                "DATA_DIR": str(folder),
                "DJANGO_SETTINGS_MODULE": "portal.settings",
                "UPSTREAM_ALLOW": provider.address,
                "BROKER_URL": broker.url,
                "LOG_LEVEL": "ERROR",
            }
            return _run(environment, provider, folder)
    finally:
        broker.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _run(environment: dict[str, str], provider: Provider, folder: Path) -> tuple[float, float]:
    begin = [sys.executable, "-m", "tests.bench.begin", provider.base_url, KEY]
    subprocess.run(begin, cwd=ROOT, env=environment, check=True)
    with (folder / "log").open("wb") as log:
        celery = [sys.executable, "-m", "celery", "-A", "portal"]
        quiet = ["--without-gossip", "--without-mingle", "-c", "2", "-l", "ERROR"]
        worker = subprocess.Popen(
            [*celery, "worker", *quiet],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
            preexec_fn=servers.die_with_parent,
        )
        beat = subprocess.Popen(
            [*celery, "beat", "--pidfile=", "-s", str(folder / "schedule"), "-l", "ERROR"],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
            preexec_fn=servers.die_with_parent,
        )
    peak, began = 0.0, monotonic()
    try:
        while not _ended(folder / "portal.sqlite3"):
            if worker.poll() is not None:
                raise SystemExit((folder / "log").read_text()[-2000:])
            peak = max(peak, resident_mb(tree(worker.pid)))
            sleep(0.2)
    finally:
        for process in (beat, worker):
            process.terminate()
            process.wait()
    return peak, provider.rows / (monotonic() - began)


def _ended(database: Path) -> bool:
    """Whether nothing is left to do; ends the program if something went wrong."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        states = dict(connection.execute("SELECT state, count(*) FROM portal_operation GROUP BY state"))
    if states.get("failed"):
        raise SystemExit("an operation failed")
    return not any(states.get(live) for live in ("ready", "running", "waiting"))


def table(small: int, large: int) -> bool:
    """Print both peaks; true if the large one is near enough to the small one."""
    print(
        f"\npeak memory of the worker's processes (proportional share, summed), {small:,} and {large:,} rows"
    )
    peaks = []
    for rows in (small, large):
        peak, speed = peak_of(rows)
        peaks.append(peak)
        print(f"{rows:>9,} rows {peak:>8.0f} MB {speed:>8.0f} rows/s with a worker and a broker", flush=True)
    growth = peaks[1] / peaks[0]
    print(f"ratio {growth:.2f}, must be at most {MOST_GROWTH}{'' if growth <= MOST_GROWTH else '  MISSED'}")
    return growth <= MOST_GROWTH
