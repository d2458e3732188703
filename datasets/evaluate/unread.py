"""Judges' answers that came and are no verdict: found by reading them again, and put back to be asked."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from datasets.evaluate import judging
from datasets.evaluate.judges import judges_of
from datasets.keeping import keep
from datasets.models import Call, Grader, Result, Run

AT_ONCE, KEPT_AT_ONCE = 1_000, 500
_COUNTED = ("prompt_tokens", "completion_tokens")


def unread(run: Run, graders: Sequence[Grader]) -> Iterator[tuple[Call, str]]:
    """Each of them with why it is no verdict. Only answers that a grader left ungraded are looked at."""
    judges = {judge.key: judge for judge in judges_of(graders)}
    ungraded = Result.objects.filter(
        run=run, score=None, grader__in={judge.grader for judge in judges.values()}
    )
    came = Call.objects.filter(
        run=run, grader__in=judges, state=Call.State.DONE, example__in=ungraded.values("example")
    ).order_by("pk")
    last = 0
    while batch := list(came.filter(pk__gt=last)[:AT_ONCE]):  # whoever is told of them may change their rows
        last = batch[-1].pk
        for call in batch:
            part = judges[call.grader].part
            verdict = judging.verdict(part, call.answer, call.output_text, call.order)
            if verdict.score is None:
                yield call, verdict.error


def put_back(run: Run, graders: Sequence[Grader]) -> list[int]:
    """Let them be asked again, in a transaction; the examples that they are about. What they used stays
    on their rows, as it was paid for.
    """
    examples: list[int] = []
    found = (call for call, _ in unread(run, graders))
    while calls := list(islice(found, KEPT_AT_ONCE)):
        for call in calls:
            call.state, call.tries, call.error = Call.State.PENDING, 0, {}
            call.output_text, call.latency_ms = "", None
            call.answer = {"usage": call.answer.get("usage") or {}}
            examples.append(call.example_id)
        keep(calls, ["state", "tries", "error", "output_text", "latency_ms", "answer"])
    return examples


def with_earlier(usage: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """What a call used together with what it used before it was asked again."""
    added = {name: _count(usage, name) + _count(earlier, name) for name in _COUNTED}
    return {**usage, **{name: tokens for name, tokens in added.items() if tokens}}


def _count(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40 else 0
