"""A run's rows as files: every item with its answers and verdicts, written while they are read."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from datasets.evaluate.row_filters import Filter
from datasets.evaluate.rows import Answer, Row, Said, Settled, every_row
from datasets.models import Grader, Result, Run
from portal import tables

FORMS = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}
LINES = 50  # that are sent at a time


def as_jsonl(run: Run, chosen: Filter) -> Iterator[bytes]:
    """One item a line, with every answer of every target."""
    return lines(
        {**told(row), "targets": [answered(each) for each in row.answers]} for row in every_row(run, chosen)
    )


def as_csv(run: Run, chosen: Filter) -> Iterator[bytes]:
    """One answer a line; three columns for each grader. No field begins a formula."""
    graders = list(run.evaluation.graders.all())
    return table(
        _heads(graders),
        (
            _cells(row, answer, said, graders)
            for row in every_row(run, chosen)
            for answer in row.answers
            for said in answer.every
        ),
    )


def lines(objects: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """JSON Lines, some at a time."""
    left = iter(objects)
    while some := list(islice(left, LINES)):
        text = "".join(f"{json.dumps(each, ensure_ascii=False)}\n" for each in some)
        yield text.encode("utf-8", "replace")


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """CSV, some rows at a time."""
    # A mark, so that spreadsheets read the file as what it is.
    yield b"\xef\xbb\xbf" + tables.rows([heads])
    left = iter(rows)
    while some := list(islice(left, LINES)):
        yield tables.rows(some)


def _heads(graders: list[Grader]) -> list[str]:
    heads = ["item", "source", "prompt", "reference", "target", "model", "repetition", "answer", "problem"]
    heads += ["tokens_in", "tokens_out", "latency_ms", "error_kind"]
    for grader in graders:
        heads += [f"{grader.name}: verdict", f"{grader.name}: score", f"{grader.name}: reason"]
    return heads


def _cells(row: Row, answer: Answer, said: Said, graders: list[Grader]) -> list[object]:
    call = said.call
    usage = _usage(said)
    cells: list[object] = [
        row.example.line,
        row.example.source_key,
        row.prompt_text,
        text_of(row.item.get("reference")),
        answer.target.label,
        answer.target.model,
        said.repetition + 1,
        said.text,
        said.problem,
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        call.latency_ms if call else None,
        call.error.get("kind") if call else None,
    ]
    found = {result.grader_id: result for result in said.results}
    for grader in graders:
        result = found.get(grader.pk)
        cells += [word(result), result.score, result.error or result.reason] if result else ["", None, ""]
    return cells


def told(row: Row) -> dict[str, Any]:
    """An item without its answers."""
    return {
        "item": row.example.line,
        "source": row.example.source_key,
        "input": row.item.get("input", []),
        "reference": row.item.get("reference"),
        "metadata": row.item.get("metadata"),
    }


def answered(answer: Answer) -> dict[str, Any]:
    """What one target said to an item, each time, and what the graders say of that."""
    return {
        "target": answer.target.label,
        "kind": answer.target.kind,
        "model": answer.target.model,
        "verdicts": [
            {"grader": one.grader.name, "verdict": word(one), "score": one.score} for one in answer.settled
        ],
        "answers": [_said(said) for said in answer.every],
    }


def _said(said: Said) -> dict[str, Any]:
    made: dict[str, Any] = {"text": said.text}
    if said.problem:
        made["problem"] = said.problem
    if said.call is not None:
        made |= {
            "message": said.call.answer.get("message"),
            "finish_reason": said.call.answer.get("finish_reason"),
            "usage": _usage(said),
            "latency_ms": said.call.latency_ms,
        }
        if said.call.error:
            made["error"] = said.call.error
    made["verdicts"] = [
        {
            "grader": result.grader.name,
            "verdict": word(result),
            "score": result.score,
            "reason": result.reason,
            "error": result.error,
        }
        for result in said.results
    ]
    return made


def word(verdict: Result | Settled) -> str:
    """What a grader says, in a word."""
    if verdict.passed is None or verdict.score is None:
        return "ungraded" if verdict.passed is None else "passed" if verdict.passed else "failed"
    if verdict.grader.kind == Grader.Kind.PAIRWISE:
        return "preferred" if verdict.score > 0.5 else "tie" if verdict.score == 0.5 else "not preferred"
    return "passed" if verdict.passed else "failed"


def _usage(said: Said) -> dict[str, Any]:
    usage = said.call.answer.get("usage") if said.call is not None else None
    return usage if isinstance(usage, dict) else {}


def text_of(value: Any) -> str:
    """A text as it is, everything else as JSON; nothing for none."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)
