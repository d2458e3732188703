"""What a run's calls took: answers, tokens, times and errors of each target and each judge, as plain data."""

from collections import Counter
from collections.abc import Sequence
from math import ceil
from statistics import median
from typing import Any

from django.db.models import QuerySet

from datasets.evaluate import unread
from datasets.evaluate.judges import judges_of
from datasets.evaluate.report import NO_VERDICT
from datasets.evaluate.targets import Target
from datasets.models import Call, Grader, Run


def answers_of(run: Run, target: Target) -> dict[str, Any]:
    """What came back from one target."""
    told: dict[str, Any] = {"key": target.key, "label": target.label, "kind": target.kind}
    if not target.is_fresh:
        return told
    told |= {"connection": target.connection, "model": target.model}
    return told | _taken(Call.objects.filter(run=run, target=target.key, grader=""))


def judges_in(run: Run, graders: Sequence[Grader]) -> list[dict[str, Any]]:
    """What came back from each judge, by the grader that asks it."""
    names = {grader.pk: grader.name for grader in graders}
    nothing: dict[str, Counter[str]] = {}
    for call, why in unread.unread(run, graders):
        nothing.setdefault(call.grader, Counter())[why] += 1
    return [
        {
            "key": judge.key,
            "label": f"{names[judge.grader]}: {judge.part.name}" if judge.part.name else names[judge.grader],
            "connection": judge.connection,
            "model": judge.model,
        }
        | _with_unread(_taken(Call.objects.filter(run=run, grader=judge.key)), nothing.get(judge.key))
        for judge in judges_of(graders)
    ]


def _with_unread(taken: dict[str, Any], nothing: Counter[str] | None) -> dict[str, Any]:
    """With the answers that were no verdict among the errors."""
    if not nothing:
        return taken
    ((why, _),) = nothing.most_common(1)
    return {**taken, "errors": [*taken["errors"], {"kind": NO_VERDICT, "n": nothing.total(), "text": why}]}


def _taken(calls: "QuerySet[Call]") -> dict[str, Any]:
    states: Counter[str] = Counter()
    tokens: Counter[str] = Counter({"prompt_tokens": 0, "completion_tokens": 0})
    untold = again = 0
    latencies: list[int] = []
    errors: Counter[str] = Counter()
    examples: dict[str, str] = {}
    found = calls.order_by("id").values_list("state", "tries", "answer__usage", "latency_ms", "error")
    for state, tries, usage, latency, error in found.iterator(chunk_size=2000):
        states[state] += 1
        again += max(0, tries - 1)
        amounts = {name: _amount(usage, name) for name in tokens}
        tokens.update(amounts)
        if state == Call.State.DONE:
            untold += not any(amounts.values())
            if latency is not None:
                latencies.append(latency)
        if state == Call.State.FAILED:
            kind = str(error.get("kind", "unexpected"))
            errors[kind] += 1
            examples.setdefault(kind, str(error.get("text", "")))
    latencies.sort()
    return {
        "answered": states[Call.State.DONE],
        "failed": states[Call.State.FAILED],
        "missing": states[Call.State.PENDING] + states[Call.State.SENT],
        "tokens": dict(tokens),
        "again": again,  # asked once more after an error that may pass, such as none in time
        "untold": untold,  # answers that came without a word on what they used
        "latency": _times(latencies),
        "errors": [{"kind": kind, "n": n, "text": examples[kind]} for kind, n in errors.most_common()],
    }


def _amount(usage: Any, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40 else 0


def _times(ordered: Sequence[int]) -> dict[str, int | None]:
    """The median, and within how long 95 of 100 came: the smallest such time."""
    if not ordered:
        return {"p50": None, "p95": None}
    return {"p50": round(median(ordered)), "p95": ordered[ceil(0.95 * len(ordered)) - 1]}
