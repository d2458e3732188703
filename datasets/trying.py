"""Try a model: one prompt, several models side by side, nothing stored upstream."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from time import monotonic
from typing import Any
from uuid import uuid4

from django.urls import reverse

from completions import raw
from completions.conversation import ToolCall, parse, read_message
from completions.models import Body, StoredCompletion
from completions.repeating import CannotRepeat, curl_of, python_of
from datasets.build import files
from datasets.models import DatasetVersion, Deployment, Example
from datasets.prompts import Prompt, of_conversation, of_line
from portal import prices, spending
from portal.models import Connection
from portal.spending_subjects import subject
from portal.upstream import ChatAnswer, UpstreamError, connect

SECONDS = 45.0  # a person waits for it
LOOKED_AT = 2_000  # rows counted to say who the teacher was
SUBJECT = "datasets.try"
MOST_TOKENS = 4_000  # that an answer is taken to have at most where nobody limits it
TITLES = {"student": "Student", "teacher": "Teacher", "base": "Base model"}
_DATE = re.compile(r"-\d{4}-?\d{2}-?\d{2}$")


@dataclass(frozen=True)
class Side:
    """One model beside the others. `guessed` says that `model` may not be a name that answers."""

    key: str
    title: str
    connection: int
    model: str
    guessed: bool = False
    asked: bool = True  # to begin with


@dataclass(frozen=True)
class Said:
    """What one model answered to the prompt, or why it did not."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    refusal: str = ""
    finish_reason: str = ""
    milliseconds: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    model: str = ""
    problem: str = ""
    hint: str = ""
    cost: Decimal | None = None
    listings: tuple[tuple[str, str, str], ...] = field(default=())  # name, title, code

    @property
    def price(self) -> str:
        """What it cost, in words; empty where nobody entered a price."""
        return "" if self.cost is None else prices.money(self.cost)

    @property
    def is_cut(self) -> bool:
        return self.finish_reason == "length"


def sides_of(deployment: Deployment, may_use: set[int]) -> list[Side]:
    """The student, the model whose answers it learnt from, and the one that it was before.

    `may_use` are the connections that the person may act on; the student's own is among them.
    """
    found = [Side("student", TITLES["student"], deployment.connection_id, deployment.name)]
    tune = deployment.fine_tune
    version = tune.version if tune is not None else None
    teacher = teacher_of(version) if version is not None else None
    if teacher is not None and teacher[1] not in may_use:
        teacher = teacher[0], deployment.connection_id
    model, connection = teacher if teacher is not None else ("", deployment.connection_id)
    found.append(_named("teacher", model, connection, asked=bool(model)))
    base = tune.base_model if tune is not None else ""
    found.append(_named("base", base, deployment.connection_id, asked=False))
    return found


def _named(key: str, model: str, connection_id: int, *, asked: bool) -> Side:
    """A side by its model. On Azure only names of deployments answer: one of ours, or the usual one."""
    connection = Connection.objects.filter(pk__in=[connection_id]).get()
    if not model or not connection.is_azure:
        return Side(key, TITLES[key], connection_id, model, asked=asked)
    ready = Deployment.objects.filter(connection=connection, model=model, state=Deployment.State.READY)
    known = ready.order_by("-id").values_list("name", flat=True).first()
    return Side(key, TITLES[key], connection_id, known or _DATE.sub("", model), known is None, asked)


def teacher_of(version: DatasetVersion) -> tuple[str, int] | None:
    """The model that gave most of the answers in a version, and the connection they came from."""
    rows = version.examples.filter(line__isnull=False, completion__isnull=False).order_by("position")
    pairs = rows.values_list("completion__model", "completion__connection")[:LOOKED_AT]
    counted = Counter((model, connection) for model, connection in pairs if model)
    return counted.most_common(1)[0][0] if counted else None


def ask(
    deployment: Deployment,
    connection: Connection,
    model: str,
    prompt: Prompt,
    options: dict[str, Any],
    user: Any,
) -> Said:
    """One answer, within the connection's budget. Whatever goes wrong is part of what is said."""
    billed = billed_as(connection, model)
    provider = prices.provider_of(connection)
    subject = f"{deployment.pk}/{uuid4().hex[:24]}"
    expected = _expected(prompt), options.get("max_completion_tokens", MOST_TOKENS)
    try:
        spending.reserve(
            connection, SUBJECT, subject, f"Try {model}", prices.cost(billed, provider, *expected), user
        )
    except spending.OverBudget as problem:
        return Said(problem=str(problem))
    said, sent = _asked(connection, model, prompt, options)
    if not sent:
        spending.release(SUBJECT, subject)
        return said
    if said.problem:
        # Nobody knows what it cost: what was kept for it counts.
        cost = prices.cost(billed, provider, *expected)
    else:
        cost = prices.cost(billed, provider, said.prompt_tokens or expected[0], said.completion_tokens or 0)
    spending.settle(SUBJECT, subject, cost)
    return said if said.problem else replace(said, cost=cost)


def billed_as(connection: Connection, model: str) -> str:
    """The model whose price a name has: behind a deployment of ours stands a model."""
    named = Deployment.objects.filter(connection=connection, name=model).select_related("fine_tune")
    known: Deployment | None = named.order_by("-id").first()
    if known is None:
        return model
    # A checkpoint's name says nothing about what it was made from.
    base: str = known.fine_tune.base_model if known.fine_tune is not None else known.model
    return base if known.model.startswith(("ftchkpt", "ftckpt")) else known.model


def _expected(prompt: Prompt) -> int:
    """Tokens of the prompt, as a rough number: one for every three characters."""
    return len(json.dumps([list(prompt.messages), dict(prompt.extras)], ensure_ascii=False)) // 3 + 10


def _asked(connection: Connection, model: str, prompt: Prompt, options: dict[str, Any]) -> tuple[Said, bool]:
    """What came of the one request, and whether it may have cost something."""
    began = monotonic()
    request = {"model": model, "messages": list(prompt.messages), **prompt.extras, **options}
    try:
        with connect(connection) as upstream:
            answer = upstream.chat(
                model,
                request["messages"],
                store=False,
                timeout=SECONDS,
                **{**prompt.extras, **options},
            )
    except UpstreamError as error:
        said = Said(problem=error.message or error.kind, hint=error.hint, milliseconds=_since(began))
        return said, error.outcome_unknown
    return _said(answer, _since(began), _listings(connection, request)), True


def _since(began: float) -> int:
    return round((monotonic() - began) * 1000)


def _said(answer: ChatAnswer, milliseconds: int, listings: tuple[tuple[str, str, str], ...]) -> Said:
    message = read_message({"role": "assistant", **answer.message}, 0)
    return Said(
        text=message.text,
        calls=message.tool_calls,
        refusal=message.refusal,
        finish_reason=answer.finish_reason,
        milliseconds=milliseconds,
        prompt_tokens=_count(answer.usage.get("prompt_tokens")),
        completion_tokens=_count(answer.usage.get("completion_tokens")),
        model=answer.model,
        listings=listings,
    )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40 else None


def _listings(connection: Connection, request: dict[str, Any]) -> tuple[tuple[str, str, str], ...]:
    body = request | {"store": False}
    try:
        return (
            ("python", "Python", python_of(connection, body)),
            ("curl", "curl", curl_of(connection, body)),
        )
    except CannotRepeat:
        return ()


@subject(SUBJECT, "a question to models")
def addresses(user: Any, ids: Sequence[str]) -> Mapping[str, str]:
    """Where what was spent on trying a deployment is seen."""
    found = Deployment.objects.readable_by(user).filter(pk__in=ids).values_list("pk", flat=True)
    return {str(pk): reverse("datasets:deployment", args=[pk]) for pk in found}


# Where a prompt comes from.


def prompt_of_completion(row: StoredCompletion) -> Prompt:
    """What a stored completion was asked. Raises CannotRepeat."""
    body = Body.objects.only("raw").filter(pk=row.pk).first()
    if body is None:
        raise CannotRepeat("Its bytes are not here.")
    try:
        item, messages = raw.read(raw.unpack(body.raw))
    except raw.Unreadable as problem:
        raise CannotRepeat("Its bytes cannot be read.") from problem
    return of_conversation(parse(item, messages))


def test_part(version: DatasetVersion) -> tuple[int, int]:
    """First line and number of rows to try on: those that the model has not learnt from, if there are any."""
    for name in ("test", "validation"):
        part = version.part(name)
        if part is not None and part.rows:
            return part.first_line, part.rows
    return 1, version.rows


def prompt_of_row(version: DatasetVersion, line: int) -> Prompt:
    """What a row of a built version asks. Raises CannotRepeat."""
    example: Example | None = version.examples.filter(line=line).first()
    if example is None or not version.path:
        raise CannotRepeat("There is no such row.")
    try:
        with files.open_file(version) as file:
            file.seek(example.offset)
            data = json.loads(file.read(example.length))
    except (OSError, ValueError, RecursionError) as problem:
        raise CannotRepeat("The row cannot be read from its file.") from problem
    return of_line(data) if isinstance(data, dict) else Prompt()
