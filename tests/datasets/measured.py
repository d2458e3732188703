"""Rows that models can be measured on, evaluations of them, and what the sandbox saw of it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from completions.models import StoredCompletion
from datasets.evaluate import run as runs
from datasets.evaluate import setup
from datasets.evaluate.graders import ANSWER, REFERENCE
from datasets.evaluate.targets import Target
from datasets.models import Evaluation, Run
from portal.models import Connection, User
from portal.sandbox import Sandbox
from portal.sandbox.draw import Draw
from portal.sandbox.kinds import POSE, Problem, text_of
from tests import factories
from tests.datasets import material

EQUAL = {
    "name": "Equal",
    "kind": "string_check",
    "params": {"input": ANSWER, "reference": REFERENCE, "operation": "eq"},
}
CLOSE = {
    "name": "Close",
    "kind": "text_similarity",
    "params": {
        "input": ANSWER,
        "reference": REFERENCE,
        "evaluation_metric": "rouge_l",
        "pass_threshold": 0.7,
    },
}
TEACHER, STUDENT = "gpt-4o", "gpt-4o-mini"


def problem(number: int) -> Problem:
    """One question of the story."""
    return POSE["summary"](Draw("measured", number))


def row(connection: Connection, number: int, **fields: Any) -> StoredCompletion:
    """A question of the story with its good answer; `expected` in the metadata is the short reference."""
    posed = problem(number)
    values: dict[str, Any] = {
        "prompt": f"{text_of(posed.content)}\n\nRequest {number}.",  # no two alike
        "answer": posed.answer,
        "metadata": {"expected": posed.expected, "answer": posed.answer},
    }
    return factories.make_completion(connection, **(values | fields))


def rows(connection: Connection, count: int) -> list[StoredCompletion]:
    return [row(connection, number) for number in range(count)]


def evaluation(
    user: User,
    chosen: Iterable[StoredCompletion],
    *,
    reference: str = "answer",
    graders: Sequence[dict[str, Any]] = (CLOSE,),
) -> Evaluation:
    """An evaluation as the wizard leaves it, before its first run."""
    made = setup.begin(material.frozen(user, chosen), "Summaries", user)
    setup.set_reference(made, reference)
    setup.set_graders(made, list(graders))
    return Evaluation.objects.get(pk=made.pk)


def fresh(connection: Connection, model: str = TEACHER, key: str = "first", **params: Any) -> Target:
    return Target(key, "fresh", model, connection.pk, model, params)


def ran(made: Evaluation, targets: Sequence[Target], user: User) -> Run:
    """A run that was started and worked on until it ended."""
    run = runs.start(made, targets, user)
    material.drain()
    run.refresh_from_db()
    return run


def asked(sandbox: Sandbox) -> Counter[str]:
    """How often each request for an answer came, by the digest of its body."""
    return Counter(entry["body_digest"] for entry in _chats(sandbox))


def answered(sandbox: Sandbox) -> Counter[str]:
    """The same for those that were answered."""
    return Counter(entry["body_digest"] for entry in _chats(sandbox) if entry["status"] == 200)


def _chats(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [
        entry
        for entry in sandbox.journal.entries()
        if entry["method"] == "POST" and entry["path"].endswith("/chat/completions")
    ]


def asked_again(sandbox: Sandbox) -> int:
    """How many requests for an answer had been made before, word for word."""
    return sum(times - 1 for times in asked(sandbox).values())


def stored_upstream(sandbox: Sandbox) -> int:
    """How many completions were added to what the sandbox keeps."""
    return sum(
        str(entry.get("effect", "")).startswith("created:chatcmpl") for entry in sandbox.journal.entries()
    )
