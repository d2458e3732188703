"""A run whose report has everything: three answers to each item, a judge of 1 to 5, a preference, slices."""

import random
from typing import Any

from completions.models import StoredCompletion
from datasets.evaluate import tally
from datasets.evaluate.judges import judges_of
from datasets.models import Call, Example, Run
from portal.models import Connection, Price, User
from tests.datasets import measured
from tests.datasets.compared import built, fresh, said, stored
from tests.datasets.measured import CLOSE, EQUAL

ITEMS = 36
CATEGORIES = ("billing", "refund", "orders")


def judged(connection: Connection) -> list[dict[str, Any]]:
    """A judge that gives 1 to 5, and one that prefers."""
    asks = {"connection": connection.pk, "model": "judge"}
    message = {"role": "user", "content": "Rate {{ sample.output_text }}"}
    return [
        {
            "name": "Alike",
            "kind": "score_model",
            "params": {**asks, "input": [message], "range": [1, 5], "pass_threshold": 4},
        },
        {"name": "Better", "kind": "pairwise", "params": {**asks, "criteria": "Helpful."}},
    ]


def completions(connection: Connection) -> list[StoredCompletion]:
    """Every third is about a refund; no two have the same number."""
    rows = []
    for number in range(ITEMS):
        metadata = {"category": CATEGORIES[number % 3], "number": str(number), "answer": "Yes."}
        rows.append(
            measured.row(connection, number, metadata=metadata, model="gpt-4o" if number % 2 else "gpt-4.1")
        )
    return rows


def reported(user: User, connection: Connection, *, repetitions: int = 3, hostile: str = "") -> Run:
    """Stored answers are good throughout; the student is bad at refunds, and of two minds about the first."""
    made = built(
        user,
        completions(connection),
        reference="meta:answer",
        graders=[EQUAL, CLOSE, *judged(connection)],
    )
    draw = random.Random(5)
    student, base = fresh(connection, "first", "student"), fresh(connection, "second", "base")

    def times(verdict: Any) -> list[Any]:
        return [verdict] * repetitions

    def refund(number: int) -> bool:
        return CATEGORIES[number % 3] == "refund"

    def scores(mean: float) -> list[Any]:
        values = [min(5.0, max(1.0, round(draw.gauss(mean, 1), 1))) for _ in range(ITEMS)]
        return [times((value, value >= 4)) for value in values]

    verdicts: dict[tuple[str, str], Any] = {
        ("stored", "Equal"): ["p"] * ITEMS,
        ("stored", "Close"): [[(0.9, True)]] * ITEMS,
        ("stored", "Alike"): [[(4.0 + number % 2, True)] for number in range(ITEMS)],
        ("first", "Equal"): [times("f" if refund(n) and n % 4 else "p") for n in range(ITEMS)],
        ("first", "Close"): [times((0.8, True)) for _ in range(ITEMS)],
        ("first", "Alike"): scores(4.4),
        ("first", "Better"): [times(((0.0, False), (0.5, True), (1.0, True))[n % 3]) for n in range(ITEMS)],
        ("second", "Equal"): [times("p" if draw.random() < 0.5 else "f") for _ in range(ITEMS)],
        ("second", "Close"): [times((round(draw.random(), 2), draw.random() < 0.5)) for _ in range(ITEMS)],
        ("second", "Alike"): scores(2.8),
        ("second", "Better"): [times((0.0, False)) for _ in range(ITEMS)],
    }
    if repetitions > 1:
        verdicts["first", "Equal"][0] = ["p", "f", "p"][:repetitions]
    run = said(made, [stored(), student, base], verdicts, repetitions=repetitions)
    _ask_judges(run)
    _fail_one(run)
    if hostile:
        run.results.filter(grader__name="Alike", target="first").update(reason=hostile)
        Call.objects.filter(run=run, grader="", target="first").update(output_text=hostile)
    for kind in (Price.Kind.INPUT, Price.Kind.OUTPUT):
        Price.objects.create(model="student", kind=kind, amount="2", as_of="2026-11-01")
    run.summary = tally.summarise(run)
    run.save()
    return run


def _ask_judges(run: Run) -> None:
    judge = judges_of(run.evaluation.graders.all())[0]
    Call.objects.bulk_create(
        Call(
            run=run,
            example=example,
            target="first",
            grader=judge.key,
            state=Call.State.DONE,
            output_text='{"reason": "As it should be.", "result": 4}',
            answer={"usage": {"prompt_tokens": 200, "completion_tokens": 30}},
            latency_ms=80,
        )
        for example in Example.objects.filter(version=run.evaluation.version_id)
    )


def _fail_one(run: Run) -> None:
    call = Call.objects.filter(run=run, target="second", grader="").last()
    call.state, call.error = Call.State.FAILED, {"kind": "content_filter", "text": "The filter stopped it."}
    call.answer, call.output_text, call.latency_ms = {}, "", None
    call.save()
