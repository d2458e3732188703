"""Every test, on every engine: `python -m tests [arguments for pytest]`, which is what `make test` runs.

Eight runs, each with a data folder of its own, some at a time: everything but the browser on SQLite with the
embedded broker, in three shares; the tests marked `engines` again in two, each on a PostgreSQL and a Redis or
Valkey that are started for it, but for those that `make faults` runs there; and the browser tests on SQLite
in three. What cannot be had is named and counted as skipped.
The last line is `N passed, N failed, N skipped`.
"""

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import IO
from xml.etree import ElementTree

from tests import faults, obtain, servers

AT_A_TIME = 5  # runs: in each of them much is waiting, for workers, the browser or the disk
# Names of files that a run leaves to the others, so that none is the last for long.
COMPLETIONS = ("tests/portal/*", "tests/datasets/*", "tests/browser/*", "tests/test_*.py")
SHARES = {
    "completions": COMPLETIONS,
    "datasets": ("tests/portal/*", "tests/completions/*", "tests/browser/*", "tests/test_*.py"),
    "all others": ("tests/completions/*", "tests/datasets/*"),
}  # on SQLite
ENGINES = {
    "completions": COMPLETIONS,
    "all others": ("tests/completions/*",),
}  # on PostgreSQL
FAULTS = ("tests/*/test_faults*.py",)  # on SQLite here; on both engines, with many seeds, by `make faults`
BROWSED = {
    "files a-d": ("tests/*/test_[e-z]*.py",),
    "files e-l": ("tests/*/test_[a-dm-z]*.py",),
    "files m-z": ("tests/*/test_[a-l]*.py",),
}
ROOT = Path(__file__).resolve().parent.parent
NO_TESTS_COLLECTED = 5


@dataclass
class Outcome:
    """What one run of pytest counted."""

    where: str
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    broken: bool = False


def run(where: str, arguments: list[str], environment: dict[str, str], output: IO[str]) -> Outcome:
    """Run pytest, its output to `output`, and read what it counted."""
    began = monotonic()
    print(f"\n=== {where}\n", file=output, flush=True)
    with tempfile.TemporaryDirectory(prefix="portal-report-") as folder:
        report = Path(folder) / "report.xml"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--durations=10", f"--junitxml={report}", *arguments],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=servers.die_with_parent,
            check=False,
        )
        outcome = Outcome(where, monotonic() - began, broken=done.returncode not in (0, NO_TESTS_COLLECTED))
        if report.exists():
            read(report, outcome)
    if outcome.broken and not outcome.counts["failed"]:
        outcome.counts["failed"] += 1  # it ended before it could count
    return outcome


def read(report: Path, outcome: Outcome) -> None:
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314  # written by pytest a moment ago
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            ended = "failed"
        elif skip is not None:
            ended = "skipped"
            outcome.skipped[skip.get("message", "")] += 1
        else:
            ended = "passed"
        outcome.counts[ended] += 1


def only(marked: str, arguments: list[str]) -> list[str]:
    """The caller's arguments for tests marked so; a mark that the caller asks for must hold as well."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-m", dest="asked")
    known, rest = parser.parse_known_args(arguments)
    return ["-m", f"({marked}) and ({known.asked})" if known.asked else marked, *rest]


def count(arguments: list[str]) -> int:
    """How many tests these arguments would have run."""
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return sum("::" in line for line in found.stdout.splitlines())


def without(left: Sequence[str]) -> list[str]:
    """The arguments that leave files of these names to other runs."""
    return [f"--ignore-glob={name}" for name in left]


def on_sqlite(share: str, arguments: list[str], output: IO[str]) -> Outcome:
    broker = servers.version_of_valkey() or "no broker"
    where = f"SQLite {sqlite3.sqlite_version}, {broker} on a socket, {share}"
    return run(where, [*without(SHARES[share]), *only("not browser", arguments)], {}, output)


def in_browser(
    chromium: tuple[str, dict[str, str]], part: str, arguments: list[str], output: IO[str]
) -> Outcome:
    name, environment = chromium
    arguments = [*without(BROWSED[part]), *only("browser", arguments)]
    return run(f"the same, in {name}, {part}", arguments, environment, output)


def on_postgres(share: str, arguments: list[str], output: IO[str]) -> Outcome:
    left = [f"--deselect={test}" for test in faults.KILLS]
    marked = [*without((*ENGINES[share], *FAULTS)), *left, *only("engines", arguments)]
    started: list[servers.Server] = []
    try:
        for start in (servers.start_postgres, servers.start_valkey):
            started.append(start())
        database, broker = started
        return run(
            f"{database.version}, {broker.version} on TCP, {share}",
            marked,
            {"DATABASE_URL": database.url, "BROKER_URL": broker.url},
            output,
        )
    except servers.Unavailable as reason:
        outcome = Outcome(f"PostgreSQL and Redis/Valkey, {share}: NOT RUN. {reason}")
        missed = count(marked)
        outcome.counts["skipped"] = missed
        outcome.skipped[str(reason)] = missed
        return outcome
    finally:
        for server in reversed(started):
            server.stop()


def line(counts: Counter[str]) -> str:
    return f"{counts['passed']:5} passed {counts['failed']:4} failed {counts['skipped']:4} skipped"


def main(arguments: list[str]) -> int:
    obtain.postgres()
    obtain.bubblewrap()
    chromium = obtain.chromium()
    first, *shares = SHARES
    others: list[Callable[[list[str], IO[str]], Outcome]] = [  # the longest first
        partial(on_postgres, "completions"),
        *(partial(on_sqlite, share) for share in shares),
        *(partial(in_browser, chromium, part) for part in BROWSED),
        partial(on_postgres, "all others"),
    ]
    with ThreadPoolExecutor(AT_A_TIME) as pool, ExitStack() as files:
        running = pool.submit(on_sqlite, first, arguments, sys.stdout)
        later = list[tuple[Future[Outcome], IO[str]]]()
        for job in others:
            output = files.enter_context(tempfile.TemporaryFile("w+"))
            later.append((pool.submit(job, arguments, output), output))
        outcomes = [running.result()]
        for running, told in later:
            outcomes.append(running.result())
            told.seek(0)
            print(told.read(), end="", flush=True)
    total: Counter[str] = Counter()
    print("\n=== what ran where")
    for outcome in outcomes:
        total += outcome.counts
        print(f"{line(outcome.counts)}  {outcome.seconds:5.0f} s  {outcome.where}")
        for reason, times in outcome.skipped.items():
            print(f"      skipped {times}: {reason}")
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return 1 if any(outcome.broken for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
