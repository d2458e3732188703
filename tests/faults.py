"""The fault matrix with many seeds: `python -m tests.faults --seeds 20`, which is what `make faults` runs.

Each seed decides where and how often the faults strike. Every row runs on SQLite and on a PostgreSQL that is
started for this; the table at the end says, by row of the matrix, how many of its tests passed on each.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from xml.etree import ElementTree

from tests import obtain, servers

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("tests/**/test_faults*.py"))
# Tests of kills that take longest: like the files above, `make test` leaves them to this on PostgreSQL.
KILLS = (
    "tests/completions/test_belonging.py::test_a_killed_worker_loses_nothing",
    "tests/completions/test_bulk_review.py::test_a_worker_that_dies_in_the_middle_is_made_up_for_and_nothing_is_said_twice",
    "tests/completions/test_deleting.py::test_five_hundred_are_deleted_once_each_though_the_worker_is_killed_twice",
)
_ROWS = re.compile(r"test_rows?((?:_\d+)+)_")

Table = dict[int, dict[str, Counter[str]]]


def rows_of(name: str) -> list[int]:
    """The rows of the matrix that a test stands for, from its name."""
    found = _ROWS.match(name)
    return [int(number) for number in found[1].strip("_").split("_")] if found else []


def run(engine: str, seed: int, environment: dict[str, str], arguments: Sequence[str], table: Table) -> bool:
    """One round of every row; true if all passed."""
    with tempfile.TemporaryDirectory(prefix="portal-faults-") as folder:
        report = Path(folder) / "report.xml"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *FILES, *KILLS, *arguments],
            cwd=ROOT,
            env=os.environ | environment | {"FAULT_SEED": str(seed)},
            check=False,
        )
        if not report.exists():
            return False
        for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314  # written by pytest a moment ago
            failed = case.find("failure") is not None or case.find("error") is not None
            ended = "failed" if failed else "skipped" if case.find("skipped") is not None else "passed"
            for row in rows_of(case.get("name", "")):
                table[row][engine][ended] += 1
    return done.returncode == 0


def show(table: Table, engines: Sequence[str]) -> None:
    """The table, one line for each row of the matrix."""
    print("\nrow  " + "".join(f"{engine:>34}" for engine in engines))
    for row in sorted(table):
        cells = []
        for engine in engines:
            counts = table[row][engine]
            skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
            cells.append(
                f"{counts['passed']} of {counts['passed'] + counts['failed']} passed{skipped}".rjust(34)
            )
        print(f"{row:>3}  " + "".join(cells))


def main(argv: Sequence[str]) -> int:
    """Run the matrix; 0 if every test of every seed passed on every engine that there is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    options, arguments = parser.parse_known_args(argv)
    table: Table = defaultdict(lambda: defaultdict(Counter))
    engines: dict[str, dict[str, str]] = {"SQLite": {}}
    started: list[servers.Server] = []
    began, fine = monotonic(), True
    try:
        try:
            obtain.postgres()
            for start in (servers.start_postgres, servers.start_valkey):
                started.append(start())
            engines["PostgreSQL"] = {"DATABASE_URL": started[0].url, "BROKER_URL": started[1].url}
        except servers.Unavailable as reason:
            print(f"PostgreSQL: NOT RUN. {reason}")
        for seed in range(1, options.seeds + 1):
            for engine, environment in engines.items():
                print(f"\n=== seed {seed}, {engine}", flush=True)
                fine &= run(engine, seed, environment, arguments, table)
    finally:
        for server in reversed(started):
            server.stop()
    show(table, list(engines))
    print(
        f"\n{options.seeds} seeds, {monotonic() - began:.0f} s, {'all passed' if fine else 'NOT ALL PASSED'}"
    )
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
