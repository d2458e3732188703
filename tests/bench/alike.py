"""What it costs to find what belongs together: `python -m tests.bench alike [--rows N] [--keep DIR]`.

Takes a copy of the mirror that `python -m tests.bench pane` made, which stays as it is; every twentieth
completion of the copy is made a duplicate, another one a near-duplicate, another the next turn of the one
before it. Results go to results/alike-sqlite-N.json.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.bench import render, work_table
from tests.bench.pane import machine
from tests.bench.pane_places import HOME, Place

MODULE = "tests.bench.alike_measure"


def main(arguments: Sequence[str]) -> bool:
    """Copy, plant, measure; True if everything that was planted was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench alike", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--keep", type=Path, default=HOME)
    options = parser.parse_args(arguments)
    source = options.keep.resolve() / f"sqlite-{options.rows}"
    folder = options.keep.resolve() / f"alike-sqlite-{options.rows}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        for name in ("portal.sqlite3", "field-key"):
            shutil.copy2(source / name, folder / name)
        with Place.opened("sqlite", folder) as place:
            planted = place.read(MODULE, "plant")
            kinds = [place.read(MODULE, "kind", kind) for kind in ("read", "same", "near", "alike", "thread")]
            whole, again = place.read(MODULE, "whole"), place.read(MODULE, "again")
            later = place.read(MODULE, "later")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result = {
        "rows": options.rows, "machine": machine(), "planted": planted, "kinds": kinds,
        "whole": whole, "again": again, "later": later,
    }  # fmt: skip
    results = options.keep.resolve() / "results"
    results.mkdir(exist_ok=True)
    (results / f"alike-sqlite-{options.rows}.json").write_text(json.dumps(result, indent=1))
    print("\n".join(work_table.alike(options.keep.resolve())))
    render.write(render.DOCUMENT, options.keep.resolve())
    return all(whole["found"][kind] >= planted[kind] for kind in ("same", "near", "thread"))
