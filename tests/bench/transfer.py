"""Export and import of many rows: `python -m tests.bench transfer [--rows N] [--keep DIR]`.

A private embedded mirror is filled by an import, then exported in each form; beside it a bare loop fetches
the same rows, makes JSON of them and writes it. Each runs in a process of its own, and rounds alternate.
Results go to results/transfer-sqlite-N.json.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench import render, work_table
from tests.bench.apart import middle, run
from tests.bench.pane import machine
from tests.bench.pane_places import HOME

ROOT = Path(__file__).resolve().parents[2]
FORMS = ("stored", "chat", "table")
AIM = 0.6
MEASURE = "tests.bench.transfer_measure"


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
        imported = run(folder, MEASURE, "import", str(options.rows))
        again = run(folder, MEASURE, "again", str(options.rows))
        bare, stored = [], []
        for _ in range(options.rounds):
            bare.append(run(folder, MEASURE, "bare"))
            stored.append(run(folder, MEASURE, "export", "stored"))
        others = {form: run(folder, MEASURE, "export", form) for form in FORMS[1:]}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result = {
        "rows": options.rows, "machine": machine(), "import": imported, "again": again,
        "bare": middle(bare), "stored": middle(stored), **others,
    }  # fmt: skip
    results = home / "results"
    results.mkdir(parents=True, exist_ok=True)
    (results / f"transfer-sqlite-{options.rows}.json").write_text(json.dumps(result, indent=1))
    print("\n".join(work_table.transfer(home)))
    render.write(render.DOCUMENT, home)
    return bool(result["stored"]["rate"] >= AIM * result["bare"]["rate"])
