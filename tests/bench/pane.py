"""The pane at ten thousand, a hundred thousand and a million rows: `python -m tests.bench pane [--rows
1000000] [--engine sqlite|postgresql|both] [--keep DIR] [--steps 10000,100000]`.

For every engine and step a mirror is built once, in a folder of its own under --keep (default: `portal-bench`
in the folder for temporary files, or $BENCH_DIR), by the project's own ingest; a run that was broken off goes
on from the rows that are there, and a mirror that is whole is only measured. Results are kept as JSON beside
the mirrors, one file for each engine and step, and `python -m tests.bench.render` writes them into
docs/benchmarks.md.
"""

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from tests import servers
from tests.bench import build
from tests.bench.pane_measure import GROUPS
from tests.bench.pane_places import ENGINES, HOME, ROOT, Engine, Place

READ_ALONE_SECONDS, READ_MEANWHILE_SECONDS = 20, 3600
STEPS = (10_000, 100_000, 1_000_000)


def machine() -> dict[str, Any]:
    """Where it was measured, and which commit."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    ) if Path("/proc/cpuinfo").exists() else platform.processor()  # fmt: skip
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.platform(),
        "commit": commit.stdout.strip(),
        "when": datetime.now(UTC).isoformat(timespec="minutes"),
        "load": round(os.getloadavg()[0], 2),
    }


def kept(home: Path, engine: Engine, rows: int) -> dict[str, Any]:
    """What is known of one engine and step so far."""
    file = result_file(home, engine, rows)
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def result_file(home: Path, engine: Engine, rows: int) -> Path:
    return home / "results" / f"pane-{engine}-{rows}.json"


def keep(home: Path, engine: Engine, rows: int, found: dict[str, Any]) -> None:
    file = result_file(home, engine, rows)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, indent=1))


def grow(place: Place, rows: int) -> dict[str, Any] | None:
    """Build what is missing, the last stretch with a reader beside it; None if nothing was."""
    count = str(build.CONNECTIONS)
    here = place.read("tests.bench.pane_count")
    missing = rows - here["rows"]
    if missing <= 0:
        if not here["whole"]:
            place.read("tests.bench.build", str(rows), count)
        return None
    beside = min(build.STRETCH, rows // 5)
    alone: dict[str, Any] = {"rows": 0, "seconds": 0.0, "stretches": []}
    if missing > beside:
        alone = place.read("tests.bench.build", str(rows), count, str(missing - beside))
    reader_alone = place.read("tests.bench.pane_reader", str(READ_ALONE_SECONDS))
    stop = place.folder / "enough"
    stop.unlink(missing_ok=True)
    reader = place.start("tests.bench.pane_reader", str(READ_MEANWHILE_SECONDS), str(stop))
    last = place.read("tests.bench.build", str(rows), count)
    stop.touch()
    said, _ = reader.communicate(timeout=120)
    stop.unlink(missing_ok=True)
    meanwhile = json.loads(said.splitlines()[-1])
    found = {
        "rows": alone["rows"],
        "seconds": round(alone["seconds"], 1),
        "stretches": alone["stretches"],
        "with_reader": {"rows": last["rows"], "seconds": round(last["seconds"], 1)},
        "reader_alone": reader_alone,
        "reader_meanwhile": meanwhile,
    }
    rate = (alone["rows"] or last["rows"]) / (alone["seconds"] or last["seconds"])
    print(
        f"  ingest {rate:,.0f} rows/s; with a reader {last['rows'] / last['seconds']:,.0f};"
        f" reader's p95 {reader_alone['p95']:.1f} ms alone, {meanwhile['p95']:.1f} ms meanwhile",
        flush=True,
    )
    return found


def run(home: Path, engine: Engine, rows: int, groups: Sequence[str], *, only_build: bool, runs: int) -> None:
    """One step of one engine: build, measure, keep."""
    began = monotonic()
    print(f"\n=== {engine}, {rows:,} rows, in {home / f'{engine}-{rows}'}", flush=True)
    with Place.opened(engine, home / f"{engine}-{rows}") as place:
        found = kept(home, engine, rows)
        if (ingest := grow(place, rows)) is not None:
            found["ingest"] = ingest
            keep(home, engine, rows, found)
        if only_build:
            return
        place.environment["BENCH_RUNS"] = str(runs)
        for group in groups or GROUPS:  # each in a process of its own, and kept as soon as it is there
            measured = place.read("tests.bench.pane_measure", group)
            # Some were measured before; the others stay.
            others = [each for each in found.get("screens", []) if each["group"] != group]
            measured["screens"] = others + measured["screens"]
            measured["memory_mb"] = max(measured["memory_mb"], found.get("memory_mb", 0))
            found |= measured | {"engine": engine, "step": rows, "machine": machine()}
            keep(home, engine, rows, found)
        found["cold"] = place.read("tests.bench.pane_cold")
        keep(home, engine, rows, found)
    missed = sum(1 for each in found["screens"] if each["aim"] and each.get("p95", 0) > each["aim"])
    broken = sum("problem" in each for each in found["screens"])
    print(
        f"  cold start {found['cold']}\n  {len(found['screens'])} screens, {missed} missed their aim,"
        f" {broken} failed; {monotonic() - began:.0f} s; kept in {result_file(home, engine, rows)}",
        flush=True,
    )


def main(arguments: Sequence[str]) -> bool:
    """Every step of every engine that is asked for; false if an engine cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench pane", description=__doc__)
    parser.add_argument("--rows", type=int, default=STEPS[-1], help="the largest step")
    parser.add_argument("--steps", default=",".join(map(str, STEPS)), help="sizes, each a mirror of its own")
    parser.add_argument("--engine", default="both", choices=(*ENGINES, "both"))
    parser.add_argument("--keep", type=Path, default=HOME, help=f"where mirrors and results stay ({HOME})")
    parser.add_argument(
        "--only-build", action="store_true", help="build the mirrors and measure nothing else"
    )
    parser.add_argument(
        "--runs", type=int, default=30, help="warm runs of each screen; fewer for a first look"
    )
    parser.add_argument(
        "groups", nargs="*", metavar="group", help='tables to measure, as "Words"; all without'
    )
    options = parser.parse_args(arguments)
    fine = True
    engines: tuple[Engine, ...] = ENGINES if options.engine == "both" else (options.engine,)
    steps = sorted({*(int(step) for step in options.steps.split(",")), options.rows})
    for engine in engines:
        try:
            for rows in steps:
                if rows <= options.rows:
                    home, only = options.keep.resolve(), options.only_build
                    run(home, engine, rows, options.groups, only_build=only, runs=options.runs)
        except servers.Unavailable as reason:
            print(f"{engine}: NOT RUN. {reason}")
            fine = False
    return fine
