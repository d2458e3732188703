"""What was measured of runs, as a table."""

import json
from pathlib import Path
from typing import Any

from tests.bench.markdown import table

MUST, AIM, JUDGED = 0.9, 0.7, 2000  # of the loop's calls/s at 50 ms and at none; items/s
HEADER = ("latency", "at a time", "bare loop, calls/s", "run, calls/s", "of the loop", "by processor time")


def keeps_up(result: dict[str, Any]) -> bool:
    """Whether what must hold does; at no latency it is an aim."""
    asked = all(line["ratio"] >= MUST for line in result["asked"] if line["latency"])
    return asked and bool(result["judged"]["rate"] >= JUDGED)


def of(home: Path) -> list[str]:
    """Runs beside a bare loop, with the most calls that were tried."""
    every = (home / "results").glob("evaluate-sqlite-*.json")
    files = sorted(every, key=lambda file: int(file.stem.split("-")[2]))
    if not files:
        return []
    found = json.loads(files[-1].read_text())
    machine, judged = found["machine"], found["judged"]
    missed = "" if judged["rate"] >= JUDGED else " **missed**"
    return [
        f"{found['asked'][0]['calls']:,} calls, {found['rounds']} alternating rounds, medians. Machine:"
        f" {machine['processor']}, {machine['cores']} cores, SQLite, load {machine['load']} at the end;"
        f" commit {machine['commit']}; {machine['when'][:10]}.",
        "",
        *table(HEADER, [_line(line) for line in found["asked"]]),
        f"A string check over {judged['rows']:,} stored answers: {judged['rate']:,.0f} items/s from the start"
        f" to the report (must {JUDGED:,}){missed}, {judged['rows'] / judged['cpu']:,.0f} by processor time.",
    ]


def _line(line: dict[str, Any]) -> list[str]:
    bare, run = line["bare"], line["run"]
    least, word = (MUST, "must") if line["latency"] else (AIM, "aim")
    missed = "" if line["ratio"] >= least else " **missed**"
    return [
        f"{line['latency']} ms", str(line["concurrency"]), f"{bare['rate']:,.0f}", f"{run['rate']:,.0f}",
        f"{line['ratio']:.0%} ({word} {least:.0%}){missed}", f"{bare['cpu'] / run['cpu']:.0%}",
    ]  # fmt: skip
