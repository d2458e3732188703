"""What validation found in a version, kind by kind, in words."""

from typing import Any

from datasets.build import validate
from datasets.build.lines import in_words
from datasets.models import DatasetVersion

LINES_SHOWN = 12


def problems_in_words(version: DatasetVersion) -> list[dict[str, Any]]:
    """Each kind of problem with its count and the first lines where it occurs."""
    lines: dict[str, list[int]] = {}
    for problem in version.problems:
        lines.setdefault(problem["code"], []).append(problem["line"])
    return [
        {
            "code": code,
            "text": validate.WARNINGS.get(code, in_words(code)),
            "count": count,
            "lines": lines.get(code, [])[:LINES_SHOWN],
            "more": max(count - LINES_SHOWN, 0),
        }
        for code, count in sorted(version.counts.get("problems", {}).items(), key=lambda each: -each[1])
    ]
