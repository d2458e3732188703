"""What was measured of groups, bulk work, imports, exports and the next row, as tables."""

import json
from pathlib import Path

from tests.bench.markdown import ms, named, table


def alike(home: Path) -> list[str]:
    """What it costs to find what belongs together, at the largest number of rows that was tried."""
    every = (home / "results").glob("alike-sqlite-*.json")
    files = sorted(every, key=lambda file: int(file.stem.split("-")[2]))
    if not files:
        return []
    found = json.loads(files[-1].read_text())
    titles = {
        "read": "reading and parsing alone", "same": "exact duplicates", "near": "near-duplicates",
        "alike": "system prompts", "thread": "conversations",
    }  # fmt: skip
    lines = [
        [titles[each["kind"]], f"{each['seconds']:,.0f}", f"{each['memory']:,.0f} MB",
         *([f"{each['groups']:,}", f"{each['rows']:,}"] if each["kind"] != "read" else ["", ""])]
        for each in found["kinds"]
    ]  # fmt: skip
    for title, name in (
        ("the operation, all of them, with its writing", "whole"),
        ("again, nothing has come", "again"),
        ("again, 1,000 have come", "later"),
    ):
        each = found[name]
        groups = f"{sum(each['found'].values()):,}"
        lines.append(
            [title, f"{each['seconds']:,.0f}", f"{each['memory']:,.0f} MB", groups, f"{each['grouped']:,}"]
        )
    machine, planted = found["machine"], found["planted"]
    made = ", ".join(f"{n:,} {titles[kind]}" for kind, n in planted.items())
    return [
        f"Machine: {machine['processor']}, {machine['cores']} cores, SQLite; commit {machine['commit']};"
        f" {machine['when'][:10]}. Planted: {made}.",
        "",
        *table([f"{found['rows']:,} rows", "seconds", "peak memory", "groups", "rows in groups"], lines),
    ]


def bulk(home: Path) -> list[str]:
    """Labelling every row with a kill in the middle, and what a reader notices of it."""
    lines = []
    for file in sorted((home / "results").glob("bulk-sqlite-*.json")):
        found = json.loads(file.read_text())
        alone, beside = found["alone"], found["meanwhile"]
        ratio = beside["p95"] / alone["p95"]
        lines.append(
            [
                f"SQLite, {named(found['rows'])}",
                f"{found['killed_at']:,}",
                "yes" if found["exact"] else "**no**",
                f"{found['rate']:,.0f}",
                f"{ms(alone['median'])} / {ms(alone['p95'])}",
                f"{ms(beside['median'])} / {ms(beside['p95'])}",
                f"{ratio:.1f}",
                "**missed**" if ratio > 2 else "",
            ]
        )
    header = [
        "", "killed at", "exact", "rows/s", "page alone, median / p95", "meanwhile", "ratio of p95 (aim 2)",
        "",
    ]  # fmt: skip
    return table(header, lines) if lines else []


def transfer(home: Path) -> list[str]:
    """Export beside a bare loop, and import, at the largest number of rows that was tried."""
    every = (home / "results").glob("transfer-sqlite-*.json")
    files = sorted(every, key=lambda file: int(file.stem.split("-")[2]))
    if not files:
        return []
    found = json.loads(files[-1].read_text())
    machine, bare = found["machine"], found["bare"]["rate"]
    titles = {
        "bare": "bare loop: fetch, make JSON, write", "stored": "export: stored completions (JSONL)",
        "chat": "export: chat examples (JSONL)", "table": "export: table (CSV)",
        "import": "import: all lines new", "again": "import of the same file again",
    }  # fmt: skip
    lines = []
    for name, title in titles.items():
        each = found[name]
        exported = name in ("stored", "chat", "table")
        share = f"{each['rate'] / bare:.0%}" if exported else ""
        cpu = f" ({found['bare']['cpu'] / each['cpu']:.0%} by processor time)" if exported else ""
        note = " (aim 60%)" if name == "stored" else ""
        missed = " **missed**" if name == "stored" and each["rate"] < 0.6 * bare else ""
        lines.append(
            [title, f"{each['rate']:,.0f}", f"{each['bytes'] / 1e6:,.0f} MB", f"{each['memory']:,.0f} MB",
             f"{share}{cpu}{note}{missed}"]
        )  # fmt: skip
    return [
        f"Machine: {machine['processor']}, {machine['cores']} cores, SQLite; commit {machine['commit']};"
        f" {machine['when'][:10]}.",
        "",
        *table([f"{found['rows']:,} rows", "rows/s", "file", "peak memory", "of the bare loop"], lines),
    ]


NEXT_MS = 150  # until the next completion is there


def next_row(home: Path) -> list[str]:
    """How soon the next completion is there in a browser."""
    files = sorted((home / "results").glob("next-sqlite-*.json"))
    if not files:
        return []
    found = json.loads(files[-1].read_text())
    titles = {
        "read": "J, half a second after the last",
        "hurried": "J at once after J, nothing fetched ahead",
        "judged": "A, and J once the state shows it",
    }
    return table(
        [f"{found['rows']:,} rows, SQLite", "median ms", f"p95 ms (aim {NEXT_MS})", "times"],
        [
            [title, f"{found[name]['median']:,.0f}",
             f"{found[name]['p95']:,.0f}{' **missed**' if found[name]['p95'] > NEXT_MS else ''}",
             str(found[name]["runs"])]
            for name, title in titles.items()
        ],
    )  # fmt: skip


TIMES_PHOENIX = 20  # as fast as its export ours is meant to be


def exports(home: Path) -> list[str]:
    """Our export beside Arize Phoenix's, at the largest number of rows that was tried."""
    every = (home / "results").glob("export-*.json")
    files = sorted(every, key=lambda file: int(file.stem.split("-")[1]))
    if not files:
        return []
    found = json.loads(files[-1].read_text())
    mine, theirs = found["ours"], found["phoenix"]
    times = mine["rate"] / theirs["rate"]
    missed = " **missed**" if times < TIMES_PHOENIX else ""
    end = "" if theirs["whole"] else ", then stopped"
    return table(
        [f"{found['rows']:,} rows", "rows/s", "rows, seconds", "file"],
        [
            ["Completions Portal", f"{mine['rate']:,.0f} = {times:,.1f} x (aim {TIMES_PHOENIX} x){missed}",
             f"{mine['rows']:,} in {mine['seconds']:,.1f} s", f"{mine['bytes'] / 1e6:,.0f} MB"],
            ["Arize Phoenix", f"{theirs['rate']:,.0f}",
             f"{theirs['rows']:,} in {theirs['seconds']:,.1f} s{end}", f"{theirs['bytes'] / 1e6:,.0f} MB"],
        ],
    )  # fmt: skip
