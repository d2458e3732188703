"""The pane beside its peers, as a table."""

import json
from pathlib import Path

from tests.bench.markdown import table
from tests.bench.peers import QUESTIONS, compared


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
