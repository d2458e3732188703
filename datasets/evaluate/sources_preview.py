"""The first items of a file with their columns, before it is taken and after."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, cast

from completions.importing.lines import lines
from datasets import received
from datasets.build import files
from datasets.build.lines import in_words
from datasets.evaluate.items import Items
from datasets.evaluate.shape import BESIDE, INPUT, OUTPUT, REFERENCE, is_name
from datasets.evaluate.sources_seen import BYTES, first_of
from datasets.models import DatasetVersion, Evaluation
from datasets.received_lines import Given, Taker

SHOWN: Final = 3
LOOKED_AT: Final = 200
MOST_COLUMNS: Final = 60
LONGEST: Final = 400  # characters of a value
# What people call them, the likeliest first.
USUAL: Final[Mapping[str, Sequence[str]]] = {
    INPUT: ("input", "messages", "prompt", "question", "query", "instruction", "text"),
    OUTPUT: ("output", "output_text", "completion", "response", "answer"),
    REFERENCE: ("reference", "expected", "ideal", "ground_truth", "reference_answer", "target", "label"),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """One item: the number of its line, and the beginning of each column."""

    number: int
    cells: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Preview:
    """What the first lines hold. `problems` are (line, why it is left out)."""

    columns: Sequence[str]
    rows: Sequence[Shown]
    problems: Sequence[tuple[int, str]]
    looked: int
    error: str = ""

    def guess(self, role: str) -> str:
        """The column that is likely the input, the output or the reference; empty if none is."""
        return next((name for name in USUAL[role] if name in self.columns), "")


def of_upload(version: DatasetVersion) -> Preview:
    """What would be taken of a file that was uploaded, and what would not."""
    found, problems, looked = [], [], 0
    takes = Taker(version)
    try:
        file = files.artifacts().open(version.source.get("path", ""), "rb")
    except (OSError, ValueError):
        return Preview((), (), (), 0, "The uploaded file is gone. Upload it again.")
    with file:
        for line in islice(lines(cast(Any, file), most=received.LONGEST_LINE), LOOKED_AT):
            if line.start > BYTES:
                break
            taken = takes(Given(line.number, line.end, line.data))
            if taken is None:
                continue
            looked += 1
            if taken.example.excluded_reason:
                why = next((problem.text for problem in taken.problems), "")
                problems.append((line.number, why or in_words(taken.example.excluded_reason)))
            else:
                found.append((line.number, json.loads(taken.data)))
    return _preview(found, problems, looked)


def of_version(evaluation: Evaluation) -> Preview:
    """The first items of a version that is built."""
    with Items(evaluation) as items:
        found = [(example.line or 0, items.line(example)) for example in first_of(evaluation, LOOKED_AT)]
    return _preview(found, (), len(found))


def _preview(
    found: Sequence[tuple[int, dict[str, Any]]], problems: Sequence[tuple[int, str]], looked: int
) -> Preview:
    read = [(number, dict(_columns(line))) for number, line in found]
    names = dict.fromkeys(name for _, item in read for name in item if is_name(name))
    columns = list(names)[:MOST_COLUMNS]
    rows = [
        Shown(number, [(name[:80], _text(value)) for name, value in item.items()][:MOST_COLUMNS])
        for number, item in read[:SHOWN]
    ]
    return Preview(columns, rows, problems, looked)


def _columns(line: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What a person may point at."""
    item, sample = line.get("item"), line.get("sample")
    held = item if isinstance(item, dict) else {}
    for name, value in held.items():
        if name in (INPUT, OUTPUT) or name not in BESIDE:
            yield name, value
    if OUTPUT not in held and isinstance(sample, dict) and isinstance(sample.get("output_text"), str):
        yield OUTPUT, sample["output_text"]


def _text(value: Any) -> str:
    """The beginning of a value; of a conversation what is said last."""
    if (
        isinstance(value, list)
        and value
        and all(isinstance(entry, dict) and "role" in entry for entry in value)
    ):
        said = value[-1].get("content")
        more = len(value) - 1
        before = f"After {more} message{'s' * (more != 1)}, " if more else ""
        value = f"{before}{value[-1]['role']}: {said if isinstance(said, str) else json.dumps(said)}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text[:LONGEST] + ("…" if len(text) > LONGEST else "")
