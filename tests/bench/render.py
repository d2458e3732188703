"""Write what was measured into docs/benchmarks.md: `python -m tests.bench.render [--keep DIR] [FILE]`.

Each table stands between two comments with its name; everything else in the document stays as it is. A table
whose results are not there keeps what it says.
"""

import argparse
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.bench import agreement_table, datasets_table, evaluate_table
from tests.bench.pane_places import ENGINES, HOME, ROOT
from tests.bench.peers import QUESTIONS, compared

DOCUMENT = ROOT / "docs" / "benchmarks.md"
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
GROUPS = (
    "Pages", "One filter", "Two old connections", "Several", "Words", "Scans", "Counts", "Around", "Drawer",
    "Selection", "Template",
)  # fmt: skip
# How much slower a screen may be with ten times as many rows.
GROWTH = {"Pages": 1.5, "One filter": 1.5, "Two old connections": 1.5, "Words": 2.0}
Result = dict[str, Any]


def results(home: Path) -> dict[str, list[Result]]:
    """What was measured of the pane, by engine, smallest first."""
    found: dict[str, list[Result]] = {}
    for engine in ENGINES:
        files = (home / "results").glob(f"pane-{engine}-*.json")
        read = [json.loads(file.read_text()) for file in files]
        found[engine] = sorted((each for each in read if "screens" in each), key=lambda each: each["step"])
    return found


def table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    """A table in markdown."""
    made = [header, ["---"] * len(header), *lines]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in made] + [""]


def ms(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def named(step: int) -> str:
    if step % 1000:
        return f"{step:,}"
    return f"{step // 1_000_000}M" if step % 1_000_000 == 0 else f"{step // 1000}k"


def conditions(found: dict[str, list[Result]]) -> list[str]:
    """Where and with what it was measured."""
    every = [each for steps in found.values() for each in steps]
    if not every:
        return []
    last = max(every, key=lambda each: each["machine"]["when"])
    machine = last["machine"]
    engines = ", ".join(sorted({each["versions"]["engine"] for each in every}))
    commits = ", ".join(sorted({each["machine"]["commit"] for each in every}))
    return [
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GiB,"
        f" {machine['system']}.",
        f"Versions: {engines}, Python {last['versions']['python']}, Django {last['versions']['django']},"
        f" numpy {last['versions']['numpy']}; commit {commits}; {machine['when'][:10]}.",
        "",
    ]


def screens(engine: str, steps: list[Result]) -> list[str]:
    """Every screen at every size."""
    if not steps:
        return []
    last, before = steps[-1], steps[-2] if len(steps) > 1 else None
    made: list[str] = []
    for group in GROUPS:
        lines = [line for line in last["screens"] if line["group"] == group]
        if not lines:
            continue
        header = [
            group, *(f"{named(each['step'])} median" for each in steps), f"{named(last['step'])} p95", "aim",
            "growth", "SQL", "queries", "rows", "x bare SQL", "",
        ]  # fmt: skip
        made += table(header, [_screen(line, steps, before) for line in lines])
    return [f"### {NAMES[engine]}: screens", "", *made]


def _find(result: Result, line: Result) -> Result | None:
    return next(
        (
            each
            for each in result["screens"]
            if (each["group"], each["name"]) == (line["group"], line["name"])
        ),
        None,
    )


def _screen(line: Result, steps: list[Result], before: Result | None) -> list[str]:
    same = [_find(each, line) for each in steps]
    medians = [ms(each["median"]) if each and "median" in each else "" for each in same]
    if "problem" in line:
        return [line["name"], *medians, "failed", f"{line['aim']}", "", "", "", "", "", line["problem"]]
    earlier = _find(before, line) if before else None
    growth = line["median"] / earlier["median"] if earlier and earlier.get("median") else None
    notes = []
    if line["aim"] and line["p95"] > line["aim"]:
        notes.append("**missed**")
    most = GROWTH.get(line["group"])
    if growth and most and growth > most:
        notes.append(f"**grows** (aim {most})")
    if line["runs"] < 30:
        notes.append(f"{line['runs']} runs")
    return [
        line["name"], *medians, ms(line["p95"]), f"{line['aim']}" if line["aim"] else "",
        f"{growth:.2f}" if growth else "", ms(line.get("sql")), str(line.get("queries", "")),
        line.get("matched", ""), f"{line['median'] / line['bare']:.1f}" if line.get("bare") else "",
        ", ".join(notes),
    ]  # fmt: skip


def worst(engine: str, steps: list[Result]) -> list[str]:
    """What the search over combinations found at the largest size."""
    lines = []
    for result in steps:
        for kind, aim in (("worst", 60), ("worst_words", 60)):
            if not (found := result.get(kind)):
                continue
            each = max(found["worst"], key=lambda one: one.get("p95", 0.0))
            p95 = each.get("p95", 0.0)
            lines.append(
                [named(result["step"]), "with a word" if kind == "worst_words" else "without words",
                 str(found["tried"]), ms(found["median"]), ms(each.get("median")), ms(p95), str(aim),
                 each.get("matched", ""), f"`{each['q']}`", "**missed**" if p95 > aim else ""]
            )  # fmt: skip
    if not lines:
        return []
    header = [
        "rows",
        "",
        "tried",
        "median of all",
        "worst median",
        "worst p95",
        "aim",
        "matches",
        "filter",
        "",
    ]
    return [f"### {NAMES[engine]}: the worst of up to five conditions", "", *table(header, lines)]


def sizes(found: dict[str, list[Result]]) -> list[str]:
    """Index budgets."""
    lines = []
    for engine, steps in found.items():
        for result in steps:
            if not (size := result.get("sizes")):
                continue
            text = size["text"]
            cells = [f"{NAMES[engine]}, {named(result['step'])}", f"{text / 1e6:,.0f} MB"]
            notes = []
            for group in ("columns", "words"):
                share, aim = size["groups"][group] / text, size["aims"][group]
                cells.append(f"{share:.1%} (aim {aim:.0%})")
                if share > aim:
                    notes.append(f"**{group} missed**")
            cells += [f"{size['groups'][group] / text:.1%}" for group in ("rows", "bodies")]
            largest = ", ".join(
                f"{each['name'].removeprefix('completions_')} {each['bytes'] / 1e6:,.0f} MB"
                for each in size["tables"][:5]
            )
            lines.append([*cells, largest, ", ".join(notes)])
    header = ["", "text", "terms and indexes", "words", "rows", "bodies", "largest", ""]
    return table(header, lines) if lines else []


def ingest(found: dict[str, list[Result]]) -> list[str]:
    """How fast a mirror grows, and what a reader notices of it; and the first requests of a process."""
    lines = []
    for engine, steps in found.items():
        for result in steps:
            cold = result.get("cold", {})
            firsts = ", ".join(f"{name} {ms(took)}" for name, took in cold.get("first", {}).items())
            cells = ["", "", "", "", "", ""]
            notes = []
            if made := result.get("ingest"):
                alone, beside = made["reader_alone"]["p95"], made["reader_meanwhile"]["p95"]
                rate = made["rows"] / made["seconds"] if made["rows"] else 0.0
                slowest = min(made["stretches"], default=0)
                with_reader = made["with_reader"]["rows"] / made["with_reader"]["seconds"]
                cells = [f"{rate:,.0f}", f"{slowest:,}", f"{with_reader:,.0f}", ms(alone), ms(beside),
                         f"{beside / alone:.1f}" if alone else ""]  # fmt: skip
                if rate and rate < 2000:
                    notes.append("**ingest missed**")
                if alone and beside > 2 * alone:
                    notes.append("**reader missed**")
            start = f"start {ms(cold.get('start'))}, {firsts}" if cold else ""
            lines.append([f"{NAMES[engine]}, {named(result['step'])}", *cells, start, ", ".join(notes)])
    header = [
        "", "rows/s (aim 2,000)", "slowest 50k", "with a reader", "reader's p95 alone", "meanwhile",
        "ratio (aim 2)", "fresh process, first requests", "",
    ]  # fmt: skip
    return table(header, lines) if lines else []


def peers(home: Path) -> list[str]:
    """The peers, at the largest number of rows that was tried."""
    files = sorted((home / "results").glob("peers-*.json"), key=lambda file: int(file.stem.split("-")[1]))
    if not files:
        return []
    found = json.loads(files[-1].read_text())
    asked = [
        found[name]
        for name in ("Completions Portal", "Arize Phoenix", "MLflow")
        if "answers" in found.get(name, {})
    ]
    if not asked or asked[0]["title"] != "Completions Portal":
        return []
    about = table(
        ["", "version", "rows/s taken", "memory", "disk", "state when asked"],
        [
            [each["title"], each["version"],
             f"{each['filled']['rows'] / each['filled']['seconds']:,.0f}" if each["filled"]["rows"] else "",
             f"{each['memory'] / 1e6:,.0f} MB", f"{each['disk'] / 1e6:,.0f} MB",
             "took the rows" if each["filled"]["fresh"] and each is not asked[0] else "started again"]
            for each in asked
        ],
    )  # fmt: skip
    missing = [
        f"{name}: not run, {found[name]['problem']}"
        for name in ("Arize Phoenix", "MLflow")
        if "problem" in found.get(name, {})
    ]
    lines = [[name, *cells] for name, cells in compared(found)]
    header = [
        f"{found['rows']:,} rows, {len(QUESTIONS)} questions",
        "Completions Portal",
        "Arize Phoenix",
        "MLflow",
    ]
    return [*about, *missing, *([""] if missing else []), *table(header, lines)]


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


def write(document: Path, home: Path) -> list[str]:
    """Fill every place of the document that has results; the names of those filled."""
    found = results(home)
    parts: dict[str, Callable[[], list[str]]] = {
        "pane-machine": lambda: conditions(found),
        "pane-sqlite": lambda: [*screens("sqlite", found["sqlite"]), *worst("sqlite", found["sqlite"])],
        "pane-postgresql": lambda: [
            *screens("postgresql", found["postgresql"]),
            *worst("postgresql", found["postgresql"]),
        ],
        "pane-ingest": lambda: ingest(found),
        "pane-sizes": lambda: sizes(found),
        "peers": lambda: peers(home),
        "alike": lambda: alike(home),
        "bulk": lambda: bulk(home),
        "transfer": lambda: transfer(home),
        "export": lambda: exports(home),
        "next": lambda: next_row(home),
        "datasets": lambda: datasets_table.of(home),
        "evaluate": lambda: evaluate_table.of(home),
        "agreement": lambda: agreement_table.of(home),
    }
    text, filled = document.read_text(), []
    for name, make in parts.items():
        made = "\n".join(make()).strip("\n")
        place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        if made and place.search(text):
            text = place.sub(lambda found, made=made: f"{found[1]}\n{made}\n\n{found[2]}", text)  # type: ignore[misc]
            filled.append(name)
    document.write_text(text)
    return filled


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.render", description=__doc__)
    parser.add_argument("--keep", type=Path, default=HOME)
    parser.add_argument("document", nargs="?", type=Path, default=DOCUMENT)
    options = parser.parse_args(arguments)
    filled = write(options.document, options.keep.resolve())
    print(f"{options.document}: {', '.join(filled) or 'nothing was measured yet'}")


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
