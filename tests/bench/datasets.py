"""Builds of large datasets: `python -m tests.bench datasets [--rows N] [--rounds N] [--keep DIR]`.

A private embedded mirror is filled; one row of twenty says what the one before it says, another nearly so.
Versions are built by several recipes, each in a process of its own, beside a bare loop that fetches the same
rows, makes JSON of them and writes it. Results go to results/datasets-sqlite-N.json.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests import servers
from tests.bench import datasets_table, render
from tests.bench.pane import machine
from tests.bench.pane_places import HOME, ROOT

RECIPES = ("same", "near", "split", "everything", "personal")


def main(arguments: Sequence[str]) -> bool:
    """Fill, build, compare; True if memory stays the same and the builds keep up with the bare loop."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench datasets", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, default=HOME)
    options = parser.parse_args(arguments)
    home = options.keep.resolve()
    folder = Path(tempfile.mkdtemp(prefix="bench-datasets-"))
    try:
        _run(folder, "fill", str(options.rows))
        small = _run(folder, "build", "plain", str(options.rows // 10))
        bare, plain = [], []
        for _ in range(options.rounds):
            bare.append(_run(folder, "bare"))
            plain.append(_run(folder, "build", "plain"))
        others = {name: _run(folder, "build", name) for name in RECIPES}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result: dict[str, Any] = {
        "rows": options.rows, "machine": machine(), "small": small, "bare": _middle(bare),
        "plain": _middle(plain), **others,
    }  # fmt: skip
    results = home / "results"
    results.mkdir(parents=True, exist_ok=True)
    (results / f"datasets-sqlite-{options.rows}.json").write_text(json.dumps(result, indent=1))
    print("\n".join(datasets_table.of(home)))
    render.write(render.DOCUMENT, home)
    return datasets_table.keeps_up(result) and datasets_table.stays_small(result)


def _middle(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The run of the median speed."""
    wanted = median(each["rate"] for each in runs)
    return min(runs, key=lambda each: abs(float(each["rate"]) - wanted))


def _run(folder: Path, *words: str) -> dict[str, Any]:
    environment = os.environ | {
        "DATA_DIR": str(folder),
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "BROKER_URL": "memory://",
        "CACHE_URL": "filesystem:",
        "LOG_LEVEL": "ERROR",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.datasets_measure", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=servers.die_with_parent,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(" ".join(words), f"{found['rate']:,.0f} rows/s, {found['memory']:,.0f} MB", flush=True)
    return found
