"""Builds of large datasets: `python -m tests.bench datasets [--rows N] [--rounds N] [--keep DIR]`.

A private embedded mirror is filled; one row of twenty says what the one before it says, another nearly so.
Versions are built by several recipes, each in a process of its own, beside a bare loop that fetches the same
rows, makes JSON of them and writes it. Results go to results/datasets-sqlite-N.json.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench import datasets_table, render
from tests.bench.apart import middle, run
from tests.bench.pane import machine
from tests.bench.pane_places import HOME

MEASURE = "tests.bench.datasets_measure"
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
        run(folder, MEASURE, "fill", str(options.rows))
        small = run(folder, MEASURE, "build", "plain", str(options.rows // 10))
        bare, plain = [], []
        for _ in range(options.rounds):
            bare.append(run(folder, MEASURE, "bare"))
            plain.append(run(folder, MEASURE, "build", "plain"))
        others = {name: run(folder, MEASURE, "build", name) for name in RECIPES}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result: dict[str, Any] = {
        "rows": options.rows, "machine": machine(), "small": small, "bare": middle(bare),
        "plain": middle(plain), **others,
    }  # fmt: skip
    results = home / "results"
    results.mkdir(parents=True, exist_ok=True)
    (results / f"datasets-sqlite-{options.rows}.json").write_text(json.dumps(result, indent=1))
    print("\n".join(datasets_table.of(home)))
    render.write(render.DOCUMENT, home)
    return datasets_table.keeps_up(result) and datasets_table.stays_small(result)
