"""What the provider found out about each item, as the rows that a run here would have. Pure but for models.

Everything in it was written by others: what cannot be read is counted or becomes an error of its item, and
never stops the others.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from datasets.evaluate.provider_terms import LINE, named
from datasets.evaluate.storable import score as storable_score
from datasets.evaluate.storable import storable
from datasets.evaluate.targets import Target
from datasets.models import Call, Example, Grader, Result, Run
from portal.upstream import Item

NO_VERDICT = "The provider gave no verdict for this item."
NO_ANSWER = "The provider gave no answer for this item."
LONGEST_REASON = 2_000
_USAGE = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens")


@dataclass
class Read:
    """Rows to write; `strange` counts what belongs to no item or to no grader."""

    calls: list[Call] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    strange: int = 0


def read(run: Run, target: Target, graders: Sequence[Grader], items: Sequence[Item]) -> Read:
    """A page of output items."""
    found = Read()
    told = [(_line_of(item.value), item.value) for item in items]
    lines = {line for line, _ in told if line is not None}
    examples = {
        example.line: example
        for example in Example.objects.filter(version=run.evaluation.version, line__in=lines)
    }
    for line, value in told:
        example = examples.get(line)
        if example is None or value is None:
            found.strange += 1
            continue
        error = _error_of(value)
        if target.is_fresh:
            found.calls.append(_call(run, target, example, value, error))
        _judged(found, run, target, graders, example, value, error)
    return found


def ungraded(run: Run, target: Target, grader: Grader, example: Example, why: str) -> Result:
    """The row of a grader that said nothing of an item."""
    return Result(run=run, example=example, target=target.key, grader=grader, error=storable(why)[:300])


def unanswered(run: Run, target: Target, example: Example, why: str) -> Call:
    """The row of an answer that did not come."""
    return Call(
        run=run,
        example=example,
        target=target.key,
        state=Call.State.FAILED,
        tries=1,
        error={"kind": "provider", "text": storable(why)[:600]},
    )


def _line_of(value: Mapping[str, Any] | None) -> int | None:
    item = value.get("datasource_item") if value is not None else None
    line = item.get(LINE) if isinstance(item, dict) else None
    if isinstance(line, float) and line.is_integer():
        line = int(line)
    return line if isinstance(line, int) and not isinstance(line, bool) and 0 < line < 2**31 else None


def _error_of(value: Mapping[str, Any]) -> str:
    sample = value.get("sample")
    error = sample.get("error") if isinstance(sample, dict) else None
    if not isinstance(error, dict):
        return ""
    said = [error[name] for name in ("message", "code") if isinstance(error.get(name), str) and error[name]]
    return said[0][:500] if said else ""


def _call(run: Run, target: Target, example: Example, value: Mapping[str, Any], error: str) -> Call:
    sample = value.get("sample")
    text = _text_of(sample)
    if text is None:
        return unanswered(run, target, example, f"{NO_ANSWER} {error}".strip())
    assert isinstance(sample, dict)
    message: dict[str, Any] = {"role": "assistant", "content": text}
    usage = sample.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Call(
        run=run,
        example=example,
        target=target.key,
        state=Call.State.DONE,
        tries=1,
        output_text=storable(text),
        answer=storable(
            {
                "message": message,
                "finish_reason": _short(sample.get("finish_reason")),
                "model": _short(sample.get("model")),
                "usage": {name: usage[name] for name in _USAGE if _is_count(usage.get(name))},
            }
        ),
    )


def _text_of(sample: Any) -> str | None:
    """What was answered; None where nothing was."""
    output = sample.get("output") if isinstance(sample, dict) else None
    texts = []
    for message in output if isinstance(output, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else [content]:
            text = part.get("text") if isinstance(part, dict) else part
            if isinstance(text, str):
                texts.append(text)
    return "".join(texts) if texts else None


def _judged(
    found: Read,
    run: Run,
    target: Target,
    graders: Sequence[Grader],
    example: Example,
    value: Mapping[str, Any],
    error: str,
) -> None:
    by_name = {grader.name: grader for grader in graders}
    told: dict[str, Mapping[str, Any]] = {}
    results = value.get("results")
    for result in results if isinstance(results, list) else ():
        name = result.get("name") if isinstance(result, dict) else None
        known = named(name, by_name) if isinstance(name, str) else None
        if known is None or known in told:
            found.strange += 1
            continue
        told[known] = result
    for name, grader in by_name.items():
        verdict = told.get(name)
        if verdict is None or not isinstance(verdict.get("passed"), bool):
            found.results.append(ungraded(run, target, grader, example, f"{NO_VERDICT} {error}".strip()))
            continue
        found.results.append(
            Result(
                run=run,
                example=example,
                target=target.key,
                grader=grader,
                score=_score(verdict.get("score")),
                passed=verdict["passed"],
                reason=storable(_reason(verdict))[:LONGEST_REASON],
            )
        )


def _score(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        score = float(value)
    except OverflowError:
        return None
    return storable_score(score) if math.isfinite(score) else None


def _reason(result: Mapping[str, Any]) -> str:
    """What a model that judged said for it; a reason within JSON is taken out of it."""
    text = (_text_of(result.get("sample")) or "")[: LONGEST_REASON * 4]
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(said, dict):
        return text
    parts = [said[name] for name in ("result", "label", "score", "reason") if _is_plain(said.get(name))]
    return ": ".join(str(part) for part in parts) or text


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40


def _short(value: Any) -> str:
    return value[:120] if isinstance(value, str) else ""


def usage_of(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What each model used, as the run says, fit to be kept."""
    kept = []
    for entry in list(entries)[:50]:
        counts = {name: entry[name] for name in (*_USAGE, "invocation_count") if _is_count(entry.get(name))}
        kept.append({"model": storable(_short(entry.get("model_name"))), **counts})
    return kept
