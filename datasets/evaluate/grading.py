"""Judge a run's answers in batches, and remember how far that has come."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from datasets.evaluate import judging, samples
from datasets.evaluate.graders import Verdict, grade
from datasets.evaluate.items import Items
from datasets.evaluate.judges import Judge, is_judged, judges_of
from datasets.evaluate.python_graders import Boxes, refusal
from datasets.evaluate.storable import score as storable_score
from datasets.evaluate.storable import storable
from datasets.evaluate.targets import Target
from datasets.evaluate.thresholds import graders_of
from datasets.models import Call, Example, Grader, Result, Run
from portal import operations
from portal.crashpoints import crashpoint

BATCH = 100

Answered = tuple[int, str, int]  # example, target, repetition


def grade_all(work: operations.Working, run: Run, targets: Sequence[Target]) -> bool:
    """Judge every answer that has no verdict yet; False when the step's time is up first."""
    graders = graders_of(run)
    if off := refusal(graders):
        raise operations.Failed("python_off", off)
    examples = run.evaluation.version.examples.filter(line__isnull=False).order_by("line")
    cursor = dict(work.operation.cursor)
    total = run.evaluation.version.rows
    with Items(run.evaluation) as items, Boxes() as boxes:
        while batch := list(examples.filter(line__gt=cursor.get("graded", 0))[:BATCH]):
            if work.cancelled():
                raise operations.Cancelled
            if not work.time_left():
                return False
            results, last = _judge(work, run, targets, graders, batch, items, boxes)
            cursor["graded"] = last.line
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
        if not isinstance(item.get("output"), str):
            return "No answer. The item has no stored one."
        return samples.stored(item)
    if call is None or call.state != Call.State.DONE:
        text = call.error.get("text") if call is not None else ""
        return f"No answer. {text or 'The call was not made.'}"
    answer = call.answer
    return samples.fresh(
        item, call.output_text, answer.get("message"), answer.get("finish_reason"), target.params
    )


def _judge(
    work: operations.Working,
    run: Run,
    targets: Sequence[Target],
    graders: Sequence[Grader],
    batch: Sequence[Example],
    items: Items,
    boxes: Boxes,
) -> tuple[list[Result], Example]:
    """The verdicts on a batch, or on as much of it as there is time for, and its last example so far."""
    of_batch = {"run": run, "example__in": [example.pk for example in batch]}
    answers: dict[Answered, Call] = {}
    said: dict[tuple[str, Answered], list[Call]] = {}
    for call in Call.objects.filter(**of_batch).order_by("order"):
        answered = call.example_id, call.target, call.repetition
        if call.grader:
            said.setdefault((call.grader, answered), []).append(call)
        else:
            answers[answered] = call
    done: set[tuple[int, str, int, int]] = set(
        Result.objects.filter(**of_batch).values_list("example", "target", "repetition", "grader")
    )
    judges: dict[int, list[Judge]] = {}
    for judge in judges_of(graders):
        judges.setdefault(judge.grader, []).append(judge)
    keys = [target.key for target in targets]
    results: list[Result] = []
    for example in batch:
        item = items.of(example)
        for target, repetition in answers_of(run, targets):
            answered = example.pk, target.key, repetition
            sample = sample_of(target, item, answers.get(answered))
            for grader in graders:
                if (*answered, grader.pk) in done or not is_judged(grader, target.key, keys):
                    continue
                if isinstance(sample, str):
                    verdict = Verdict(None, None, "", sample)
                else:
                    beside = {
                        judge.part.name: verdict_of(judge, said.get((judge.key, answered), ()))
                        for judge in judges.get(grader.pk, ())
                    }
                    beside |= boxes.beside(grader.kind, grader.params, item, sample)
                    verdict = grade(grader.kind, grader.params, item, sample, beside)
                results.append(_result(run, answered, grader, verdict))
        if not work.time_left():
            break
    return results, example


def answers_of(run: Run, targets: Sequence[Target]) -> list[tuple[Target, int]]:
    """Every target with each repetition of its answer; what is stored is there once."""
    return [
        (target, repetition)
        for target in targets
        for repetition in range(run.repetitions if target.is_fresh else 1)
    ]


def verdict_of(judge: Judge, calls: Sequence[Call]) -> Verdict:
    """What a judge said about one answer, of one call or of one for each order."""
    if not calls:
        return Verdict(None, None, "", "The judge was not asked.")
    verdicts = [_said(judge, call) for call in calls]
    return judging.both(*verdicts) if len(verdicts) == 2 else verdicts[0]


def _said(judge: Judge, call: Call) -> Verdict:
    if call.state != Call.State.DONE:
        return Verdict(
            None, None, "", f"No verdict. {call.error.get('text') or 'The call was not made.'}"[:300]
        )
    return judging.verdict(judge.part, call.answer, call.output_text, call.order)


def _result(run: Run, answered: Answered, grader: Grader, verdict: Verdict) -> Result:
    example, target, repetition = answered
    return Result(
        run=run,
        example_id=example,
        target=target,
        repetition=repetition,
        grader=grader,
        score=storable_score(verdict.score),
        passed=verdict.passed,
        reason=storable(verdict.reason),
        error=storable(verdict.error)[:300],
    )
