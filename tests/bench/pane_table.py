"""What was measured of the pane, as tables."""

import json
from pathlib import Path
from typing import Any

from tests.bench.markdown import ms, named, table
from tests.bench.pane_places import ENGINES

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
