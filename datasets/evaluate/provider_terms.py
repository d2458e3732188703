"""What the provider's evals API is asked for, and what of a run it cannot do. Pure.

https://platform.openai.com/docs/api-reference/evals
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from datasets.evaluate.openai_evals import NotCarried, criterion_of
from datasets.evaluate.targets import Target
from datasets.models import Grader
from portal.models import Kind

LINE = "portal_line"  # the column that tells to which item a result belongs
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "max_tokens": "max_completion_tokens",
    "max_completion_tokens": "max_completion_tokens",
    "reasoning_effort": "reasoning_effort",
}
_ROLES = ("system", "developer", "user", "assistant")
_TYPES: Mapping[type, str] = {
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
    list: "array",
    dict: "object",
}
_ID_TAIL = re.compile(r"-[0-9a-fA-F-]{8,}$")


class Place(Protocol):
    """The connection that is asked."""

    @property
    def pk(self) -> Any: ...
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...


class Defined(Protocol):
    """A grader."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def params(self) -> Any: ...


def problems(
    graders: Iterable[Defined], targets: Sequence[Target], place: Place, repetitions: int = 1
) -> Iterator[str]:
    """Why this cannot be run at the provider, in words; nothing if it can."""
    if len(targets) != 1:
        yield "The provider measures one target in a run: choose one."
    if repetitions > 1:
        yield "The provider answers each item once: take one repetition."
    for target in targets:
        if target.is_fresh and target.connection != place.pk:
            yield f"{target.label} is on another connection than {place.name}."
        odd = sorted(set(target.params) - set(_SAMPLING))
        if odd:
            yield f"The provider takes no {odd[0].replace('_', ' ')} there."
    for grader in graders:
        if problem := _problem(grader, place):
            yield f"“{grader.name}” cannot judge there: {problem}"


def _problem(grader: Defined, place: Place) -> str:
    criterion = criterion_of(grader.name, grader.kind, grader.params)
    if isinstance(criterion, NotCarried):
        return criterion.reason or "The evals API has no such grader."
    dated = place.kind == Kind.AZURE_DATED
    if grader.kind == Grader.Kind.PYTHON and dated:
        return "the dated API version runs no Python."
    if grader.params.get("evaluation_metric") == "cosine" and dated:
        return "the dated API version has no cosine."
    asked = grader.params.get("connection")
    if grader.kind in (Grader.Kind.LABEL_MODEL, Grader.Kind.SCORE_MODEL) and asked != place.pk:
        return f"its model is on another connection than {place.name}."
    return ""


def eval_body(
    name: str, metadata: Mapping[str, str], graders: Iterable[Defined], columns: Mapping[str, str]
) -> dict[str, Any]:
    """The body that creates the evaluation; `columns` are those of the items with their JSON types."""
    properties = {column: {"type": kind} if kind else {} for column, kind in columns.items()}
    return {
        "name": name,
        "metadata": dict(metadata),
        "data_source_config": {
            "type": "custom",
            "item_schema": {"type": "object", "properties": properties, "required": [LINE]},
            "include_sample_schema": True,
        },
        "testing_criteria": [criterion_of(grader.name, grader.kind, grader.params) for grader in graders],
    }


def run_body(
    name: str, metadata: Mapping[str, str], target: Target, source: Mapping[str, Any]
) -> dict[str, Any]:
    """The body that starts the run: stored answers are judged as they are, a deployment answers anew."""
    data: dict[str, Any] = {"type": "jsonl", "source": dict(source)}
    if target.is_fresh:
        data |= {
            "type": "completions",
            "model": target.model,
            "input_messages": {"type": "item_reference", "item_reference": "item.input"},
        }
        params = {_SAMPLING[name]: value for name, value in target.params.items() if value is not None}
        if params:
            data["sampling_params"] = params
    return {"name": name, "metadata": dict(metadata), "data_source": data}


def types_of(item: Mapping[str, Any], known: dict[str, str]) -> None:
    """Keep the JSON type of every column; empty where items differ."""
    for column, value in item.items():
        if value is not None:
            kind = _TYPES.get(type(value), "")
            known[column] = kind if known.get(column, kind) == kind else ""


def unsendable(item: Mapping[str, Any]) -> str:
    """Why the provider cannot put this item to a deployment; empty if it can."""
    if item.get("tools"):
        return "offer tools, and the provider takes one set of tools for all items"
    if item.get("response_format"):
        return "ask for a form of the answer, and the provider takes one form for all items"
    for message in item.get("input") or ():
        if message.get("role") not in _ROLES or message.get("tool_calls"):
            return "hold calls of tools, which the provider does not take"
        if not isinstance(message.get("content"), str) and not _is_text(message.get("content")):
            return "hold images or other parts that are no text"
    return ""


def _is_text(content: Any) -> bool:
    return isinstance(content, list) and all(
        isinstance(part, Mapping) and part.get("type") in ("text", "input_text") for part in content
    )


def as_sent(item: Mapping[str, Any], line: int) -> dict[str, Any]:
    """The item with its line, and with messages as the evals API spells them."""
    sent = {**item, LINE: line}
    messages = []
    for message in item.get("input") or ():
        content = message.get("content")
        if isinstance(content, list):
            content = "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
        messages.append({"role": message.get("role"), "content": content or ""})
    return sent | {"input": messages}


def named(result: str, graders: Iterable[str]) -> str | None:
    """Which grader a result is of: its name alone, or with the id that the service puts behind it."""
    names = sorted(graders, key=len, reverse=True)
    if result in names:
        return result
    return next(
        (name for name in names if result.startswith(f"{name}-") and _ID_TAIL.match(result[len(name) :])),
        None,
    )
