"""What a grader that asks a model must say before it can be asked. Pure.

https://platform.openai.com/docs/guides/graders#model-graders
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeGuard

from datasets.evaluate import template

KINDS: Final = ("label_model", "score_model", "pairwise")
COSINE: Final = "cosine"
ROLES: Final = ("system", "developer", "user", "assistant")
EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh")
MOST_MESSAGES: Final = 6
MOST_LABELS: Final = 30
LONGEST_LABEL: Final = 100
LONGEST_MESSAGE: Final = 20_000
LONGEST_CRITERIA: Final = 4_000
_SAMPLED: Final = {  # the lowest and the highest value of what a judge is asked with
    "seed": (-(2**53), 2**53),
    "top_p": (0, 1),
    "temperature": (0, 2),
    "max_completions_tokens": (1, 200_000),
}
_WHOLE: Final = ("seed", "max_completions_tokens")


def asks(kind: str, params: Mapping[str, Any]) -> bool:
    """Whether these rules are those of the grader."""
    return kind in KINDS or (kind == "text_similarity" and params.get("evaluation_metric") == COSINE)


def problems(kind: str, params: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong, by field and in words; empty if the judge can be asked."""
    found: dict[str, str] = {}
    connection, model = params.get("connection"), params.get("model")
    if isinstance(connection, bool) or not isinstance(connection, int) or not 0 < connection < 2**63:
        found["connection"] = "Choose the connection whose model judges."
    if not isinstance(model, str) or not 0 < len(model.strip()) <= 300:
        found["model"] = "Name the deployment or model that judges."
    if kind == "label_model":
        found |= _input_problems(params.get("input")) | _label_problems(params)
    elif kind == "score_model":
        found |= _input_problems(params.get("input")) | _range_problems(params)
    elif kind == "pairwise":
        if wrong := template_problem(params.get("criteria"), LONGEST_CRITERIA):
            found["criteria"] = wrong
        if not isinstance(params.get("both_orders", False), bool):
            found["both_orders"] = "Yes or no."
    else:
        for name in ("input", "reference"):
            if wrong := template_problem(params.get(name), LONGEST_MESSAGE):
                found[name] = wrong
        if not is_number(params.get("pass_threshold")) or not 0 <= params["pass_threshold"] <= 1:
            found["pass_threshold"] = "A number from 0 to 1."  # noqa: S105  # no password, but a pass mark
    return found | _sampling_problems(params.get("sampling_params"))


def template_problem(text: Any, longest: int) -> str:
    """Why a text cannot be filled in; empty if it can."""
    if not isinstance(text, str) or not text.strip():
        return "Write a text, for example {{ sample.output_text }}."
    if len(text) > longest:
        return f"At most {longest:,} characters."
    try:
        template.parse(text)
    except template.Broken as broken:
        return str(broken)
    return ""


def is_number(value: Any) -> TypeGuard[int | float]:
    """A finite number that is no truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _input_problems(messages: Any) -> dict[str, str]:
    if not isinstance(messages, list) or not 1 <= len(messages) <= MOST_MESSAGES:
        return {"input": f"From one to {MOST_MESSAGES} messages."}
    for place, wrong in message_problems(messages).items():
        return {"input": f"Message {place + 1}: {wrong}"}
    return {}


def message_problems(messages: list[Any]) -> dict[int, str]:
    """What is wrong with each message that cannot be sent, by its place from 0 on."""
    found = ((place, next(_problems_of(message), "")) for place, message in enumerate(messages))
    return {place: wrong for place, wrong in found if wrong}


def _problems_of(message: Any) -> Iterator[str]:
    if not isinstance(message, Mapping) or message.get("role") not in ROLES:
        yield f"The role is one of {', '.join(ROLES)}."
        return
    content = message.get("content")
    parts = content if isinstance(content, list) else [content]
    if not parts:
        yield "There is no text."
    for part in parts:
        text = part
        if isinstance(part, Mapping):
            if part.get("type") not in ("input_text", "output_text", "text", "input_image"):
                yield "A part is an input_text, an output_text or an input_image."
                continue
            text = part.get("image_url" if part["type"] == "input_image" else "text")
        if wrong := template_problem(text, LONGEST_MESSAGE):
            yield wrong


def _label_problems(params: Mapping[str, Any]) -> dict[str, str]:
    labels, passing = params.get("labels"), params.get("passing_labels")
    if not _are_texts(labels) or not 2 <= len(labels) <= MOST_LABELS:
        return {"labels": f"From 2 to {MOST_LABELS} labels, at most {LONGEST_LABEL} characters each."}
    if len({label.strip().casefold() for label in labels}) < len(labels):
        return {"labels": "Two labels are the same but for capitals and blanks."}
    if not _are_texts(passing) or not passing:
        return {"passing_labels": "Say which of the labels pass."}
    if unknown := next((label for label in passing if label not in labels), ""):
        return {"passing_labels": f"“{unknown[:40]}” is none of the labels."}
    return {}


def _are_texts(values: Any) -> TypeGuard[list[str]]:
    return isinstance(values, list) and all(
        isinstance(value, str) and 0 < len(value.strip()) <= LONGEST_LABEL for value in values
    )


def _range_problems(params: Mapping[str, Any]) -> dict[str, str]:
    ends = params.get("range", [0, 1])
    if not isinstance(ends, list | tuple) or len(ends) != 2 or not all(map(is_number, ends)):
        return {"range": "Two numbers: the lowest and the highest score."}
    low, high = ends
    if not low < high:
        return {"range": "The highest score must be above the lowest."}
    threshold = params.get("pass_threshold")
    if not is_number(threshold) or not low <= float(threshold or 0) <= high:
        return {"pass_threshold": f"A score from {low:g} to {high:g}."}
    return {}


def _sampling_problems(sampling: Any) -> dict[str, str]:
    if sampling is None:
        return {}
    if not isinstance(sampling, Mapping):
        return {"sampling_params": f"Of {', '.join((*_SAMPLED, 'reasoning_effort'))}."}
    for name, value in sampling.items():
        if value is None:
            continue
        if name == "reasoning_effort":
            if not isinstance(value, str) or not 0 < len(value) <= 20:
                return {"sampling_params": f"reasoning_effort is one of {', '.join(EFFORTS)}."}
        elif name not in _SAMPLED:
            return {
                "sampling_params": f"{name!s:.40} is none of {', '.join((*_SAMPLED, 'reasoning_effort'))}."
            }
        else:
            low, high = _SAMPLED[name]
            if not is_number(value) or not low <= value <= high or (name in _WHOLE and value != int(value)):
                return {"sampling_params": f"{name} is a number from {low:,} to {high:,}."}
    return {}
