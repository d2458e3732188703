"""Runs beside a bare loop of the SDK: `python -m tests.bench evaluate [--calls N] [--rows N] [--rounds N]`.

The stand-in provider, the loop and the run are processes of their own, so with two processors they share two.
The loop asks from a pool of threads and throws its answers away; the run keeps a row for every call. Rounds
alternate, and the medians of calls per second count. Then stored answers are judged by a string check, from
the operation's beginning to the report. Results go to results/evaluate-sqlite-N.json.
"""

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import evaluate_table, render
from tests.bench.apart import middle, run
from tests.bench.pane import machine
from tests.bench.pane_places import HOME
from tests.bench.provider import KEY, Provider

MEASURE = "tests.bench.evaluate_measure"
WARM_UP = "200"


def main(arguments: Sequence[str]) -> bool:
    """Fill, ask, judge, compare; True if what must hold does."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench evaluate", description=__doc__)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, default=HOME)
    options = parser.parse_args(arguments)
    home = options.keep.resolve()
    folder = Path(tempfile.mkdtemp(prefix="bench-evaluate-"))
    os.environ["OPERATION_STEP_SECONDS"] = "600"  # one step, as the loop is one
    try:
        run(folder, MEASURE, "fill", str(options.rows))
        asked = [
            compare(folder, latency, concurrency, options.calls, options.rounds)
            for latency in (50, 0)
            for concurrency in (8, 32)
        ]
        judged = middle([run(folder, MEASURE, "grade") for _ in range(options.rounds)])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result: dict[str, Any] = {
        "machine": machine(),
        "asked": asked,
        "judged": judged,
        "rounds": options.rounds,
    }
    results = home / "results"
    results.mkdir(parents=True, exist_ok=True)
    (results / f"evaluate-sqlite-{options.calls}.json").write_text(json.dumps(result, indent=1))
    print("\n".join(evaluate_table.of(home)))
    render.write(render.DOCUMENT, home)
    return evaluate_table.keeps_up(result)


def compare(folder: Path, latency: int, concurrency: int, calls: int, rounds: int) -> dict[str, Any]:
    """One line of the table."""
    loops, runs = [], []
    with Provider(rows=10, latency_ms=latency) as provider:
        os.environ["UPSTREAM_ALLOW"] = provider.address
        where = (provider.base_url, KEY)
        # The first run of all pays for what everybody shares.
        run(folder, MEASURE, "run", *where, WARM_UP, str(concurrency))
        for _ in range(rounds):
            loops.append(run(folder, MEASURE, "bare", *where, str(calls), str(concurrency)))
            runs.append(run(folder, MEASURE, "run", *where, str(calls), str(concurrency)))
    return {
        "latency": latency,
        "concurrency": concurrency,
        "calls": calls,
        "bare": middle(loops),
        "run": middle(runs),
        "ratio": median(ours["rate"] for ours in runs) / median(loop["rate"] for loop in loops),
    }
