"""Label every row of a mirror with a kill -9 in the middle, and what a reader notices of it:
`python -m tests.bench bulk`. Works on a copy of the pane benchmark's mirror of 100,000 rows on SQLite.
"""

import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, sleep

from tests.bench.pane_places import HOME, ROOT, Place

STEP = 100_000


def main(arguments: Sequence[str]) -> bool:
    """Measure it, write the result where `render` finds it; true if nothing was lost or said twice."""
    if arguments:
        raise SystemExit("The bulk benchmark has no options.")
    source = HOME / f"sqlite-{STEP}"
    if not (source / "portal.sqlite3").exists():
        print(f"There is no mirror in {source}: `python -m tests.bench pane --rows {STEP}` builds it.")
        return False
    with tempfile.TemporaryDirectory(prefix="bulk-bench-") as name:
        folder = Path(name) / "mirror"
        shutil.copytree(source, folder)
        with Place.opened("sqlite", folder) as place:
            found = measure(place)
    (HOME / "results").mkdir(exist_ok=True)
    (HOME / "results" / f"bulk-sqlite-{STEP}.json").write_text(json.dumps(found))
    print(json.dumps(found, indent=1))
    return bool(found["exact"])


def measure(place: Place) -> dict[str, object]:
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=place.environment, check=True
    )
    alone = place.read("tests.bench.pane_reader", "6")
    begun = place.read("tests.bench.bulk_work", "begin")
    rows = begun["rows"]
    stop = place.folder / "stop"
    reader = place.start("tests.bench.pane_reader", "120", str(stop))
    first = place.start("tests.bench.bulk_work", "work")
    until = monotonic() + 60
    while _done(place.folder, begun["operation"]) < rows // 2 and monotonic() < until:
        sleep(0.05)
    first.kill()
    first.wait()
    killed_at = _done(place.folder, begun["operation"])
    ended = place.read("tests.bench.bulk_work", "work")
    stop.touch()
    meanwhile = json.loads(reader.communicate()[0].splitlines()[-1])
    exact = (
        ended["state"] == "done"
        and ended["result"] == {"changed": rows, "same": 0, "stay": 0, "refused": {}}
        and rows == ended["events"] == ended["completions"] == ended["labelled"]
    )
    return {
        "rows": rows, "killed_at": killed_at, "exact": exact, "rate": ended["rows"] / ended["seconds"],
        "alone": alone, "meanwhile": meanwhile,
    }  # fmt: skip


def _done(folder: Path, operation: int) -> int:
    with sqlite3.connect(f"file:{folder / 'portal.sqlite3'}?mode=ro", uri=True) as database:
        return int(
            database.execute("SELECT done FROM portal_operation WHERE id = ?", [operation]).fetchone()[0]
        )
