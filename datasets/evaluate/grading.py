"""Judge a run's answers in batches, and remember how far that has come."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from datasets.evaluate.graders import Verdict, grade
from datasets.evaluate.items import Items
from datasets.evaluate.storable import storable
from datasets.evaluate.targets import Target
from datasets.models import Call, Example, Grader, Result, Run
from portal import operations
from portal.crashpoints import crashpoint

BATCH = 100

Key = tuple[int, str, int]


def grade_all(work: operations.Working, run: Run, targets: Sequence[Target]) -> bool:
    """Judge every answer that has no verdict yet; False when the step's time is up first."""
    graders = list(run.evaluation.graders.all())
    examples = run.evaluation.version.examples.filter(line__isnull=False).order_by("line")
    cursor = dict(work.operation.cursor)
    total = run.evaluation.version.rows
    with Items(run.evaluation.version) as items:
        while batch := list(examples.filter(line__gt=cursor.get("graded", 0))[:BATCH]):
            if work.cancelled():
                raise operations.Cancelled
            if not work.time_left():
                return False
            results = _judge(run, targets, graders, batch, items)
            cursor["graded"] = batch[-1].line
            with transaction.atomic():
                work.advance(
                    cursor=cursor,
                    step="grading",
                    done=cursor["graded"],
                    total=total,
                    note="Judging the answers",
                )
                Result.objects.bulk_create(results, ignore_conflicts=True)
            crashpoint("run.graded")
    return True


def sample_of(target: Target, item: dict[str, Any], call: Call | None) -> dict[str, Any] | str:
    """What graders call `sample`, or in words why there is no answer to judge."""
    if not target.is_fresh:
        return {"output_text": item.get("output", "")}
    if call is None or call.state != Call.State.DONE:
        text = call.error.get("text") if call is not None else ""
        return f"No answer. {text or 'The call was not made.'}"
    message = call.answer.get("message")
    message = message if isinstance(message, dict) else {}
    tools = message.get("tool_calls")
    return {
        "output_text": call.output_text,
        "output_tools": tools if isinstance(tools, list) else [],
        "choices": [{"message": message, "finish_reason": call.answer.get("finish_reason")}],
    }


def _judge(
    run: Run, targets: Sequence[Target], graders: Sequence[Grader], batch: Sequence[Example], items: Items
) -> list[Result]:
    of_batch = {"run": run, "example__in": [example.pk for example in batch]}
    calls = {(call.example_id, call.target): call for call in Call.objects.filter(**of_batch, grader="")}
    judged: set[Key] = set(Result.objects.filter(**of_batch).values_list("example", "target", "grader"))
    results: list[Result] = []
    for example in batch:
        item = items.of(example)
        for target in targets:
            sample = sample_of(target, item, calls.get((example.pk, target.key)))
            for grader in graders:
                if (example.pk, target.key, grader.pk) in judged:
                    continue
                verdict = (
                    Verdict(None, None, "", sample)
                    if isinstance(sample, str)
                    else grade(grader.kind, grader.params, item, sample)
                )
                results.append(_result(run, example, target, grader, verdict))
    return results


def _result(run: Run, example: Example, target: Target, grader: Grader, verdict: Verdict) -> Result:
    return Result(
        run=run,
        example=example,
        target=target.key,
        grader=grader,
        score=verdict.score,
        passed=verdict.passed,
        reason=storable(verdict.reason),
        error=storable(verdict.error)[:300],
    )
