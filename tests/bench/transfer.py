"""Export and import of many rows: `python -m tests.bench transfer [--rows N] [--keep DIR]`.

A private embedded mirror is filled by an import, then exported in each form; beside it a bare loop fetches
the same rows, makes JSON of them and writes it. Each runs in a process of its own, and rounds alternate.
Results go to results/transfer-sqlite-N.json.
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
from tests.bench import render
from tests.bench.pane import machine
from tests.bench.pane_places import HOME

ROOT = Path(__file__).resolve().parents[2]
FORMS = ("stored", "chat", "table")
AIM = 0.6


def main(arguments: Sequence[str]) -> bool:
    """Import, export, compare; True if the export keeps up with the bare loop."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench transfer", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, default=HOME)
    options = parser.parse_args(arguments)
    home = options.keep.resolve()
    folder = Path(tempfile.mkdtemp(prefix="bench-transfer-"))
    try:
        imported = _run(folder, "import", str(options.rows))
        again = _run(folder, "again", str(options.rows))
        bare, stored = [], []
        for _ in range(options.rounds):
            bare.append(_run(folder, "bare"))
            stored.append(_run(folder, "export", "stored"))
        others = {form: _run(folder, "export", form) for form in FORMS[1:]}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result = {
        "rows": options.rows, "machine": machine(), "import": imported, "again": again,
        "bare": _middle(bare), "stored": _middle(stored), **others,
    }  # fmt: skip
    results = home / "results"
    results.mkdir(parents=True, exist_ok=True)
    (results / f"transfer-sqlite-{options.rows}.json").write_text(json.dumps(result, indent=1))
    print("\n".join(render.transfer(home)))
    render.write(render.DOCUMENT, home)
    return bool(result["stored"]["rate"] >= AIM * result["bare"]["rate"])


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
        [sys.executable, "-m", "tests.bench.transfer_measure", *words],
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
