"""What was measured of builds, as a table."""

import json
from pathlib import Path
from typing import Any

from tests.bench.markdown import table

AIM, MOST_GROWTH = 0.5, 1.15
HEADER = ("", "rows/s", "MB/s", "seconds", "peak memory", "of the bare loop", "duplicates left out")
DUPLICATES = {"duplicate": "same", "near_duplicate": "near"}
TITLES = {
    "bare": "bare loop: fetch, make JSON, write",
    "plain": "build: every row, nothing cleaned",
    "same": "build: exact duplicates go",
    "near": "build: near-duplicates go",
    "split": "build: three splits, even over models",
    "everything": "build: every rule that drops, near-duplicates, cap, sample, splits by near-duplicates",
    "personal": "build: personal data replaced",
}


def keeps_up(result: dict[str, Any]) -> bool:
    return bool(result["plain"]["rate"] >= AIM * result["bare"]["rate"])


def stays_small(result: dict[str, Any]) -> bool:
    """Whether ten times as many rows take hardly more memory."""
    return bool(result["plain"]["memory"] <= MOST_GROWTH * result["small"]["memory"])


def of(home: Path) -> list[str]:
    """Builds beside a bare loop, at the largest number of rows that was tried."""
    every = (home / "results").glob("datasets-sqlite-*.json")
    files = sorted(every, key=lambda file: int(file.stem.split("-")[2]))
    if not files:
        return []
    found = json.loads(files[-1].read_text())
    machine = found["machine"]
    growth = found["plain"]["memory"] / found["small"]["memory"]
    missed = "" if stays_small(found) else " **missed**"
    return [
        f"{found['rows']:,} rows. Machine: {machine['processor']}, {machine['cores']} cores, SQLite;"
        f" commit {machine['commit']}; {machine['when'][:10]}.",
        "",
        *table(HEADER, [_line(found, name) for name in TITLES]),
        f"Peak memory with a tenth of the rows: {found['small']['memory']:,.0f} MB; with all of them"
        f" {growth:.2f} times that (at most {MOST_GROWTH}){missed}.",
    ]


def _line(found: dict[str, Any], name: str) -> list[str]:
    each, bare = found[name], found["bare"]
    share = "" if name == "bare" else f"{each['rate'] / bare['rate']:.0%}"
    share += "" if name == "bare" else f" ({bare['cpu'] / each['cpu']:.0%} by processor time)"
    if name == "plain":
        share += f" (aim {AIM:.0%})" + ("" if keeps_up(found) else " **missed**")
    left_out = each.get("left_out", {})
    duplicates = [f"{left_out[code]:,} {word}" for code, word in DUPLICATES.items() if code in left_out]
    return [
        TITLES[name], f"{each['rate']:,.0f}", f"{each['bytes'] / 1e6 / each['seconds']:.1f}",
        f"{each['seconds']:,.1f}", f"{each['memory']:,.0f} MB", share, ", ".join(duplicates),
    ]  # fmt: skip
