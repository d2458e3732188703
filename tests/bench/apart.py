"""Parts of a measurement, each in a process of its own on one private data folder."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests import servers
from tests.bench.pane_places import ROOT

Figures = dict[str, Any]


def run(folder: Path, module: str, *words: str) -> Figures:
    """Run a module on the folder; what it prints last is JSON with `rate` (rows/s) and `memory` (MB)."""
    environment = os.environ | {
        "DATA_DIR": str(folder),
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "BROKER_URL": "memory://",
        "CACHE_URL": "filesystem:",
        "LOG_LEVEL": "ERROR",
    }
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=servers.die_with_parent,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr[-2000:]}")
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    print(" ".join(words), f"{found['rate']:,.0f} rows/s, {found['memory']:,.0f} MB", flush=True)
    return found


def middle(runs: Sequence[Figures]) -> Figures:
    """The run of the median speed."""
    wanted = median(each["rate"] for each in runs)
    return min(runs, key=lambda each: abs(float(each["rate"]) - wanted))
