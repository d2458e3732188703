"""Graders on a few rows before a run: what they would say, and for fresh targets what the model answers."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from datasets.asking import Unsendable, in_words
from datasets.evaluate.calls import ask
from datasets.evaluate.graders import Verdict, grade
from datasets.evaluate.setup import Tried, rows_to_try
from datasets.evaluate.targets import Target
from datasets.models import Evaluation
from portal.models import Connection
from portal.upstream import Upstream, UpstreamError, connect

SECONDS = 25.0  # a person waits for it


@dataclass(frozen=True)
class Trial:
    """One row: its answer (or why there is none) and each grader's verdict."""

    tried: Tried
    text: str
    problem: str
    verdicts: tuple[tuple[str, Verdict], ...]


def try_on(evaluation: Evaluation, target: Target, graders: Sequence[dict[str, Any]]) -> list[Trial]:
    """The graders on the first rows. A fresh target is really asked, once for each row, with store:false."""
    rows = rows_to_try(evaluation)
    if target.is_fresh:
        answers = _ask_all(target, rows)
    else:
        answers = [(str(tried.item["output"]) if tried.item else "", "") for tried in rows]
    return [
        Trial(tried, text, tried.refusal or problem, _verdicts(tried, text, graders) if not problem else ())
        for tried, (text, problem) in zip(rows, answers, strict=True)
    ]


def _verdicts(tried: Tried, text: str, graders: Sequence[dict[str, Any]]) -> tuple[tuple[str, Verdict], ...]:
    if tried.item is None:
        return ()
    item, sample = tried.item, {"output_text": text}
    return tuple(
        (grader["name"], grade(grader["kind"], grader["params"], item, sample)) for grader in graders
    )


def _ask_all(target: Target, rows: Sequence[Tried]) -> list[tuple[str, str]]:
    connection: Connection = Connection.objects.filter(pk__in=[target.connection]).get()
    try:
        with connect(connection) as upstream, ThreadPoolExecutor(max(1, len(rows))) as pool:
            return list(pool.map(lambda tried: _ask_one(upstream, target, tried), rows))
    except UpstreamError as error:
        return [("", in_words(error))] * len(rows)


def _ask_one(upstream: Upstream, target: Target, tried: Tried) -> tuple[str, str]:
    if tried.item is None:
        return "", tried.refusal
    try:
        return ask(upstream, target, tried.item, SECONDS).text, ""
    except UpstreamError as error:
        return "", in_words(error)
    except Unsendable as problem:
        return "", str(problem)
