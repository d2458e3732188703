"""The items of a comparison as files: one a line, with what every column says of it, written while they are
read.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from datasets.evaluate.comparison import Column
from datasets.evaluate.comparison_rows import Row, Shown, Told
from datasets.evaluate.report_export import answered, lines, table, text_of, told, word
from datasets.evaluate.rows import Settled
from datasets.evaluate.thresholds import graders_of
from datasets.models import Grader

Labelled = Sequence[tuple[Column, str]]  # the columns of a comparison, by names that tell them apart


def as_jsonl(shown: Shown, columns: Labelled) -> Iterator[bytes]:
    """Every answer of every column."""
    return lines(_item(row, columns) for row in shown.every())


def as_csv(shown: Shown, columns: Labelled) -> Iterator[bytes]:
    """For each column its verdict and answers, and three fields for each of its graders."""
    graders = [graders_of(column.run) if column.run is not None else [] for column, _ in columns]
    heads = ["item", "source", "prompt", "reference"]
    for (column, label), judging in zip(columns, graders, strict=True):
        heads += [f"{label}: {head}" for head in _heads(column, judging)]
    return table(_unlike(heads), (_cells(row, graders) for row in shown.every()))


def _times(column: Column) -> int:
    """How many answers it has to each item."""
    is_fresh = column.target is not None and column.target.is_fresh
    return column.run.repetitions if is_fresh and column.run is not None else 1


def _heads(column: Column, graders: Sequence[Grader]) -> list[str]:
    heads = ["verdict"]
    for number in range(1, _times(column) + 1):
        heads += ["answer", "problem"] if number == 1 else [f"answer {number}", f"problem {number}"]
    for grader in graders:
        heads += [f"{grader.name}: verdict", f"{grader.name}: score", f"{grader.name}: reason"]
    return heads


def _unlike(heads: Sequence[str]) -> list[str]:
    """The same, with a number where one is there already: fields are found by their heads."""
    made: dict[str, None] = {}
    for head in heads:
        unlike, number = head, 1
        while unlike in made:
            number += 1
            unlike = f"{head} ({number})"
        made[unlike] = None
    return list(made)


def _cells(row: Row, graders: Sequence[Sequence[Grader]]) -> list[object]:
    cells: list[object] = [
        row.line,
        row.row.example.source_key,
        row.row.prompt_text,
        text_of(row.row.item.get("reference")),
    ]
    for each, judging in zip(row.told, graders, strict=True):
        every = each.answer.every if each.answer is not None else ()
        cells.append(each.state)
        for number in range(_times(each.column)):
            if number < len(every):
                cells += [every[number].text, every[number].problem]
            else:
                cells += ["", each.problem if number == 0 else ""]
        settled = {one.grader.pk: one for one in each.settled}
        for grader in judging:
            one = settled.get(grader.pk)
            cells += [word(one), one.score, _reason(one)] if one else ["", None, ""]
    return cells


def _reason(settled: Settled) -> str:
    """Why, of several answers each by its number."""
    reasons = [result.error or result.reason for result in settled.results]
    if len(reasons) == 1:
        return reasons[0]
    return "\n".join(f"{number}: {reason}" for number, reason in enumerate(reasons, 1) if reason)


def _item(row: Row, columns: Labelled) -> dict[str, Any]:
    said = [_column(each, label) for each, (_, label) in zip(row.told, columns, strict=True)]
    return {**told(row.row), "item": row.line, "columns": said}


def _column(each: Told, label: str) -> dict[str, Any]:
    made: dict[str, Any] = {"column": label, "run": each.column.of, "verdict": each.state}
    return made | (answered(each.answer) if each.answer is not None else {"problem": each.problem})
