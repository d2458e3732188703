"""One part of the measurement, in a process of its own: `fill N`, `grade`, `bare` or `run` with an address,
a key, how many calls, and how many at a time.

The last line printed is JSON.
"""

import json
import resource
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402  # models are there only now
from django.core.management import call_command  # noqa: E402

from completions import selection  # noqa: E402
from completions.importing import run as importing  # noqa: E402
from completions.importing import taking  # noqa: E402
from completions.models import StoredCompletion  # noqa: E402
from datasets import asking  # noqa: E402
from datasets.evaluate import pace, setup  # noqa: E402
from datasets.evaluate import run as runs  # noqa: E402
from datasets.evaluate.graders import ANSWER  # noqa: E402
from datasets.evaluate.targets import Target, stored  # noqa: E402
from datasets.models import Call, Evaluation, Result, Run  # noqa: E402
from portal import celery, steps  # noqa: E402
from portal.models import Connection, Operation, User  # noqa: E402
from tests import factories  # noqa: E402

MODEL = "gpt-4o"
GRADER = {
    "name": "Says something",
    "kind": "string_check",
    "params": {"input": ANSWER, "reference": "the", "operation": "ilike"},
}
_WORDS = ("a tide", "a sonnet", "a lathe", "a comet", "a ledger", "a fjord", "a loom", "a kiln", "a quay")


def question(number: int) -> str:
    subject = _WORDS[number % len(_WORDS)]
    return (
        f"Summarise in one sentence what is said about {subject} here. " + f"Part {number} of the text. " * 12
    )


def rows_of(count: int) -> Iterator[dict[str, Any]]:
    """Stored completions with prompts and answers of some hundred characters."""
    for number in range(count):
        answer = f"Part {number} says what the others say of it. " * 5
        message = {"role": "assistant", "content": answer, "refusal": None}
        yield {
            "id": f"chatcmpl-bench-{number:07d}",
            "object": "chat.completion",
            "created": 1_780_000_000 + number,
            "model": "gpt-4o-2024-08-06",
            "metadata": {"part": str(number % 10)},
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 120, "completion_tokens": 60, "total_tokens": 180},
            "messages": [{"role": "user", "content": question(number)}],
        }


def work(operation: Operation) -> None:
    """Every step of it, here."""
    while Operation.objects.live().filter(pk=operation.pk).exists():
        steps.work_on(operation.pk)
    operation.refresh_from_db()
    if operation.state != Operation.State.DONE:
        raise SystemExit(operation.error_text)


def measured(rows: int, seconds: float, cpu: float) -> dict[str, Any]:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": rows, "seconds": seconds, "cpu": cpu, "rate": rows / seconds, "memory": memory}


def fill(count: int) -> dict[str, Any]:
    """An empty place, and so many rows in it."""
    call_command("migrate", verbosity=0)
    user = User.objects.create_superuser("bench")
    path = Path(settings.DATA_DIR) / "rows.jsonl"
    with path.open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows_of(count))
    started, busy = perf_counter(), process_time()
    with path.open("rb") as source:
        taken = taking.take(source, path.name, user)
    work(importing.begin(taken, user, into=None, name="Files"))
    path.unlink()
    return measured(count, perf_counter() - started, process_time() - busy)


def bare(base_url: str, key: str, count: int, concurrency: int) -> dict[str, Any]:
    """The SDK from a pool of threads, its answers thrown away."""
    import openai

    client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0)

    def ask(number: int) -> None:
        messages: Any = [{"role": "user", "content": question(number)}]
        client.chat.completions.create(model=MODEL, messages=messages, store=False)

    started, busy = perf_counter(), process_time()
    with ThreadPoolExecutor(concurrency) as pool:
        for each in [pool.submit(ask, number) for number in range(count)]:
            each.result()
    return measured(count, perf_counter() - started, process_time() - busy)


def evaluation(count: int) -> tuple[Evaluation, User]:
    user = User.objects.get()
    ids = StoredCompletion.objects.order_by("pk").values_list("pk", flat=True)[:count]
    made = setup.begin(selection.freeze(user, ids=list(ids)), "Bench", user)
    setup.set_reference(made, "")
    setup.set_graders(made, [GRADER])
    return made, user


def run(base_url: str, key: str, count: int, concurrency: int) -> dict[str, Any]:
    """A run's calls, from the first to the commit of the last answer; `whole` has items and verdicts too."""
    import openai  # noqa: F401  # a worker has loaded it, and the loop above does before its clock starts

    for module in (pace, asking):
        setattr(module, "MOST", float(concurrency))  # noqa: B010  # imported by name there
    connection = Connection.objects.filter(base_url=base_url).first()
    if connection is None:
        slug = f"provider-{Connection.objects.count()}"
        connection = factories.connection(slug, slug=slug, base_url=base_url, secret=key)
    made, user = evaluation(count)
    took: list[tuple[float, float]] = []
    go = asking.Asking.go

    def timed(self: asking.Asking) -> Any:
        started, busy = perf_counter(), process_time()
        try:
            return go(self)
        finally:
            took.append((perf_counter() - started, process_time() - busy))

    asking.Asking.go = timed  # type: ignore[method-assign]
    started = perf_counter()
    begun = runs.start(made, [Target("first", "fresh", MODEL, connection.pk, MODEL, {})], user)
    finished(begun)
    whole = perf_counter() - started
    answered = Call.objects.filter(run=begun, state=Call.State.DONE).count()
    if answered != count:
        raise SystemExit(f"{answered} of {count} calls were answered")
    seconds, busy = (sum(each) for each in zip(*took, strict=True))
    return measured(count, seconds, busy) | {"whole": whole, "steps": len(took)}


def grade() -> dict[str, Any]:
    """Stored answers under a string check, from the operation's beginning to the report."""
    made, user = evaluation(StoredCompletion.objects.count())
    first = runs.start(made, [stored()], user)
    finished(first)
    started, busy = perf_counter(), process_time()
    second = runs.start(made, [stored()], user)
    finished(second)
    took, busy = perf_counter() - started, process_time() - busy
    return measured(Result.objects.filter(run=second).count(), took, busy)


def finished(begun: Run) -> None:
    """Do what its worker would do, items first."""
    for operation in Operation.objects.live().order_by("id"):
        work(operation)
    begun.refresh_from_db()
    if begun.state != Run.State.DONE:
        raise SystemExit(f"the run ended as {begun.state}")


if __name__ == "__main__":
    celery.app.send_task = lambda *_, **__: None  # the steps are done here
    part, *words = sys.argv[1:]
    if part == "fill":
        print(json.dumps(fill(int(words[0]))))
    elif part == "grade":
        print(json.dumps(grade()))
    else:
        ask = bare if part == "bare" else run
        print(json.dumps(ask(words[0], words[1], int(words[2]), int(words[3]))))
