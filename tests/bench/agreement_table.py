"""How far metrics and statistics are from those they follow, as tables."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.markdown import table

METRIC_HEADER = ("metric", "follows", "pairs", "largest difference")
TEST_HEADER = ("statistic", "follows", "cases", "largest relative difference")
DRAWN_HEADER = ("drawn", "rounds", "counted", "share", "should be")


def of(home: Path) -> list[str]:
    """The tables, if it was measured."""
    file = home / "results" / "agreement.json"
    if not file.exists():
        return []
    found = json.loads(file.read_text())
    return [
        f"Commit {found['machine']['commit']}; {found['machine']['when'][:10]}.",
        "",
        *table(METRIC_HEADER, [_compared(line) for line in found["metrics"]]),
        *table(TEST_HEADER, [_compared(line) for line in found["tests"]]),
        *table(
            DRAWN_HEADER,
            [
                [what, f"{rounds:,}", counted, f"{100 * share:.1f} %", should]
                for what, rounds, counted, share, should in found["drawn"]
            ],
        ),
    ]


def _compared(line: Sequence[Any]) -> list[str]:
    name, follows, cases, found = line
    return [name, follows, f"{cases:,}", "none to six places" if found == 0 else f"{found:.0e}"]
