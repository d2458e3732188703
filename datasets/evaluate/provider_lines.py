"""The items of a run at the provider: looked through once, then sent in the body or as a file."""

import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from datasets.evaluate import provider_terms
from datasets.evaluate.grading import sample_of
from datasets.evaluate.items import Items
from datasets.evaluate.targets import Target
from datasets.models import Example, Run

INLINE = 256 * 1024  # bytes of rows that travel in the body of the call
ROWS_AT_ONCE = 1000
NAMED = 5  # items that an error names
SPOOL = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Survey:
    """What will be sent; `refused` counts the reasons why items cannot be put to a deployment there, and
    `lines` names the first items of each.
    """

    rows: int
    size: int
    columns: dict[str, str]
    refused: Counter[str]
    lines: Mapping[str, list[int]]


def survey(run: Run, target: Target) -> Survey:
    rows = size = 0
    columns: dict[str, str] = {provider_terms.LINE: "number"}
    refused: Counter[str] = Counter()
    lines: defaultdict[str, list[int]] = defaultdict(list)
    with Items(run.evaluation) as items:
        for example in examples_of(run):
            item = items.of(example)
            if target.is_fresh and not item.get("unsendable") and (why := provider_terms.unsendable(item)):
                refused[why] += 1
                if len(lines[why]) < NAMED:
                    lines[why].append(example.line or 0)
                continue
            row = row_of(target, item, example)
            if isinstance(row, str):
                continue
            provider_terms.types_of(row["item"], columns)
            rows, size = rows + 1, size + len(_line(row))
    return Survey(rows, size, columns, refused, lines)


def row_of(target: Target, item: dict[str, Any], example: Example) -> dict[str, Any] | str:
    """An item as the API takes it, or in words why it is not sent."""
    sent = provider_terms.as_sent(item, example.line or 0)
    if target.is_fresh:
        reason = item.get("unsendable")
        return f"This conversation cannot be sent again. {reason}." if reason else {"item": sent}
    sample = sample_of(target, item, None)
    if isinstance(sample, str):
        return sample
    tools = {"output_tools": sample["output_tools"]} if sample.get("output_tools") else {}
    answer = {"role": "assistant", "content": sample.get("output_text", "")}
    choices = [{"index": 0, "message": answer, "finish_reason": "stop"}]
    parsed = {"output_json": sample["output_json"]} if "output_json" in sample else {}
    return {
        "item": sent,
        "sample": {"output_text": sample.get("output_text", ""), "choices": choices, **tools, **parsed},
    }


def rows(run: Run, target: Target) -> Iterator[dict[str, Any]]:
    """Every row that is sent, in the order of the items."""
    with Items(run.evaluation) as items:
        for example in examples_of(run):
            row = row_of(target, items.of(example), example)
            if not isinstance(row, str):
                yield row


def file_of(run: Run, target: Target) -> IO[bytes]:
    """The same as the file that is uploaded; the caller closes it."""
    file = tempfile.SpooledTemporaryFile(max_size=SPOOL)  # noqa: SIM115  # closed by whoever sends it
    for row in rows(run, target):
        file.write(_line(row))
    file.seek(0)
    return file


def examples_of(run: Run) -> Iterator[Example]:
    """The items in order, read in batches so that a step may write between them."""
    found = Example.objects.filter(version=run.evaluation.version, line__isnull=False).order_by("line")
    after = 0
    while batch := list(found.filter(line__gt=after)[:ROWS_AT_ONCE]):
        yield from batch
        after = batch[-1].line or 0


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"
