"""Runs with verdicts as a test states them: nobody is called, and every number can be counted by hand."""

from collections.abc import Mapping, Sequence

from django.utils import timezone

from completions.models import StoredCompletion
from datasets.build import build
from datasets.evaluate import tally
from datasets.evaluate.targets import Target, stored
from datasets.models import Call, Evaluation, Result, Run
from portal.models import Connection, User
from tests.datasets import material, measured

Said = tuple[float | None, bool | None]  # score, passed
PASS: Said = (1.0, True)
FAIL: Said = (0.0, False)
NONE: Said = (None, None)
LETTERS = {"p": PASS, "f": FAIL, "u": NONE}


def built(user: User, chosen: Sequence[StoredCompletion], **options: object) -> Evaluation:
    """An evaluation whose items are written."""
    made = measured.evaluation(user, chosen, **options)  # type: ignore[arg-type]  # as it takes them
    build.begin(made.version, user)
    material.drain()
    found: Evaluation = Evaluation.objects.select_related("version").get(pk=made.pk)
    return found


def fresh(connection: Connection, key: str, model: str) -> Target:
    return Target(key, "fresh", model, connection.pk, model)


def said(
    made: Evaluation,
    targets: Sequence[Target],
    verdicts: Mapping[tuple[str, str], Sequence[Sequence[Said] | str]],
    *,
    repetitions: int = 1,
) -> Run:
    """A run that is done: by target and grader, for each item one verdict for each of its answers.

    A verdict is a letter (p, f, u), several answers a word of them.
    """
    last = made.runs.count()
    run: Run = Run.objects.create(
        evaluation=made,
        number=last + 1,
        targets=[target.as_dict() for target in targets],
        repetitions=repetitions,
        state=Run.State.DONE,
        finished=timezone.now(),
    )
    run.connections.set({*made.connections.all(), *(t.connection for t in targets if t.connection)})
    examples = list(made.version.examples.filter(line__isnull=False).order_by("line"))
    graders = {grader.name: grader for grader in made.graders.all()}
    results, calls = [], []
    for target in targets:
        for number, example in enumerate(examples):
            for repetition in range(repetitions if target.is_fresh else 1):
                if target.is_fresh:
                    calls.append(
                        Call(
                            run=run,
                            example=example,
                            target=target.key,
                            repetition=repetition,
                            state=Call.State.DONE,
                            output_text=f"{target.label} says {number} in its own words.",
                            answer={
                                "message": {"content": "as above"},
                                "finish_reason": "stop",
                                "usage": {"prompt_tokens": 100, "completion_tokens": 20},
                            },
                            latency_ms=100 + number,
                        )
                    )
                for name, grader in graders.items():
                    of_item = verdicts.get((target.key, name), ())
                    if number >= len(of_item) or repetition >= len(of_item[number]):
                        continue
                    one = of_item[number][repetition]
                    score, passed = LETTERS[one] if isinstance(one, str) else one
                    error = "There is no item.reference." if passed is None else ""
                    results.append(
                        Result(
                            run=run,
                            example=example,
                            target=target.key,
                            repetition=repetition,
                            grader=grader,
                            score=score,
                            passed=passed,
                            reason="As the test says.",
                            error=error,
                        )
                    )
    Call.objects.bulk_create(calls)
    Result.objects.bulk_create(results)
    run.summary = tally.summarise(run)
    run.save()
    return run


__all__ = ["FAIL", "LETTERS", "NONE", "PASS", "built", "fresh", "said", "stored"]
