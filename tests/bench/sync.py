"""Sync beside a bare loop of the SDK that makes the same requests and throws the answers away.

The provider, the loop and the sync each run in a process of their own, so with two processors they share two;
the requests are counted by the provider's journal. Rounds alternate, and the median of the ratios counts.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from tests import servers
from tests.bench.provider import KEY, Provider

ROOT = Path(__file__).resolve().parents[2]


def bare(provider: Provider, concurrency: int) -> dict[str, Any]:
    """One run of the loop; `requests` from the journal."""
    return _measured(provider, ["tests.bench.bare", provider.base_url, KEY, str(concurrency)], {})


def mirror(provider: Provider, concurrency: int) -> dict[str, Any]:
    """One whole sync into an empty embedded mirror."""
    folder = tempfile.mkdtemp(prefix="bench-mirror-")
    environment = {
        "DATA_DIR": folder,
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "SYNC_CONCURRENCY": str(concurrency),
        "UPSTREAM_ALLOW": provider.address,
        "BROKER_URL": "memory://",
        "CACHE_URL": "filesystem:",
        "LOG_LEVEL": "ERROR",
    }
    try:
        return _measured(provider, ["tests.bench.mirror", provider.base_url, KEY, folder], environment)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured(provider: Provider, command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    before = provider.requests()
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=servers.die_with_parent,
    )
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{done.stderr[-2000:]}")
    after = provider.requests()
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    found["requests"] = (after[0] - before[0], after[1] - before[1])
    return found


def compare(*, rows: int, latency_ms: float, concurrency: int, rounds: int) -> tuple[str, float]:
    """One line of the table, and the ratio of requests per second."""
    with Provider(rows=rows, latency_ms=latency_ms) as provider:
        mirror(provider, concurrency)  # the first run of all pays for what everybody shares
        pairs = [(bare(provider, concurrency), mirror(provider, concurrency)) for _ in range(rounds)]
    for loop, ours in pairs:
        if loop["requests"] != ours["requests"]:
            raise SystemExit(f"not the same requests: {loop['requests']} and {ours['requests']}")
    ratio = median(_rate(ours) / _rate(loop) for loop, ours in pairs)
    lists, messages = pairs[0][1]["requests"]
    line = (
        f"{latency_ms:>7.0f} {concurrency:>11} {lists:>6} {messages:>9}"
        f" {median(_rate(loop) for loop, _ in pairs):>11.0f}"
        f" {median(_rate(ours) for _, ours in pairs):>11.0f}"
        f" {median(ours['rows'] / ours['seconds'] for _, ours in pairs):>8.0f} {ratio:>7.0%}"
    )
    return line, ratio


def _rate(run: dict[str, Any]) -> float:
    return float(sum(run["requests"]) / run["seconds"])


def table(*, rows: int, rounds: int) -> bool:
    """Print the comparison; true if what must hold does."""
    print(f"sync beside a bare SDK loop, {rows:,} rows, {rounds} alternating rounds, medians")
    print("latency concurrency  lists  messages  loop req/s  sync req/s   rows/s   ratio")
    fine = True
    for latency, least in ((0.0, 0.7), (50.0, 0.9)):
        for concurrency in (8, 32):
            line, ratio = compare(rows=rows, latency_ms=latency, concurrency=concurrency, rounds=rounds)
            fine &= latency == 0 or ratio >= least
            print(
                f"{line}   {'must' if latency else 'aim'} {least:.0%}{'' if ratio >= least else '  MISSED'}",
                flush=True,
            )
    return fine
