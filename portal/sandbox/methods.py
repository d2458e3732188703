"""Training methods: which models have them, what their hyperparameters may be, and what a grader must be.

https://platform.openai.com/docs/api-reference/fine-tuning/create
https://platform.openai.com/docs/api-reference/graders
"""

import re
from collections.abc import Iterator
from typing import Any

from portal.sandbox.formats import DPO, REINFORCEMENT, SUPERVISED
from portal.sandbox.kinds import Json
from portal.sandbox.personality import ApiError

_COMMON: dict[str, tuple[type, float, float]] = {  # type, more than (or from, of a whole number), up to
    "n_epochs": (int, 1, 50),
    "batch_size": (int, 1, 256),
    "learning_rate_multiplier": (float, 0, float("inf")),
}
_NUMBERS: dict[str, dict[str, tuple[type, float, float]]] = {
    SUPERVISED: {**_COMMON, "prompt_loss_weight": (float, 0, 1)},
    DPO: {**_COMMON, "beta": (float, 0, 2), "l2_multiplier": (float, 0, float("inf"))},
    REINFORCEMENT: {
        **_COMMON,
        "compute_multiplier": (float, 0.00001, 10),
        "eval_interval": (int, 1, float("inf")),
        "eval_samples": (int, 1, float("inf")),
    },
}
_EFFORTS = ("default", "low", "medium", "high")
_REASONING = ("o4-mini", "gpt-5")
_NOT_BY_PAIRS = ("gpt-4o-mini",)
_SIMILARITIES = {
    "fuzzy_match", "bleu", "gleu", "meteor", "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l",
}  # fmt: skip
_OPERATIONS = {"eq", "ne", "like", "ilike"}
_TEMPLATE = re.compile(r"\{\{\s*(\w+)(?:\.(\w+))?")
_FORMULA = re.compile(r"[\w\s.+\-*/^(),]+")
_FUNCTIONS = {"min", "max", "abs", "floor", "ceil", "exp", "sqrt", "log"}


def read(body: Json, model: str) -> Json:
    """The method of a create call, checked; the old form has hyperparameters alone."""
    method: Any = body.get("method")
    if method is None:
        method = {"type": SUPERVISED, SUPERVISED: {"hyperparameters": body.get("hyperparameters") or {}}}
    kind = method.get("type") if isinstance(method, dict) else None
    if kind not in _NUMBERS:
        raise _invalid("method.type", f"Invalid 'method.type': '{kind}'.")
    if not _trains(model, kind):
        raise _invalid("model", f"The specified base model '{model}' does not support fine-tuning by {kind}.")
    options = method.get(kind) or {}
    where = f"method.{kind}"
    if not isinstance(options, dict):
        raise _invalid(where, f"Invalid '{where}': expected an object.")
    _check_numbers(options.get("hyperparameters") or {}, kind, f"{where}.hyperparameters")
    if kind == REINFORCEMENT:
        if not options.get("grader"):
            raise ApiError(
                400, "missing_required_parameter", f"Missing required parameter: '{where}.grader'.",
                param=f"{where}.grader",
            )  # fmt: skip
        _check_grader(options["grader"], f"{where}.grader")
        if not body.get("validation_file"):
            raise ApiError(
                400, "missing_required_parameter",
                "Missing required parameter: 'validation_file', which reinforcement fine-tuning needs.",
                param="validation_file",
            )  # fmt: skip
    return dict(method)


def _trains(model: str, kind: str) -> bool:
    base = model.removeprefix("ft:")
    if kind == REINFORCEMENT:
        return base.startswith(_REASONING)
    return not base.startswith(_REASONING) and not (kind == DPO and base.startswith(_NOT_BY_PAIRS))


def _invalid(param: str, words: str) -> ApiError:
    return ApiError(400, "invalidPayload", words, param=param)


def _check_numbers(given: Any, kind: str, where: str) -> None:
    if not isinstance(given, dict):
        raise _invalid(where, f"Invalid '{where}': expected an object.")
    for name, value in given.items():
        param = f"{where}.{name}"
        if name == "reasoning_effort" and kind == REINFORCEMENT:
            if value not in _EFFORTS:
                raise _invalid(param, f"Invalid '{name}': expected one of {', '.join(_EFFORTS)}.")
            continue
        if name not in _NUMBERS[kind]:
            raise _invalid(param, f"Unknown parameter: '{param}'.")
        if value == "auto":
            continue
        of, least, most = _NUMBERS[kind][name]
        is_number = isinstance(value, int if of is int else int | float) and not isinstance(value, bool)
        if not is_number or not (least <= value if of is int else least < value) or value > most:
            raise _invalid(param, f"Invalid '{name}': expected {least:g} to {most:g} or 'auto'.")


# Graders.


def _check_grader(grader: Any, where: str, *, inner: bool = False) -> None:
    kind = grader.get("type") if isinstance(grader, dict) else None
    wanted = {
        "string_check": ("name", "input", "reference", "operation"),
        "text_similarity": ("name", "input", "reference", "evaluation_metric"),
        "score_model": ("name", "model", "input"),
        "python": ("name", "source"),
        "multi": ("name", "graders", "calculate_output"),
    }.get(str(kind))
    if wanted is None or (inner and kind == "multi"):
        raise _invalid(f"{where}.type", f"Invalid grader type: '{kind}'.")
    for name in wanted:
        if not grader.get(name):
            raise _invalid(f"{where}.{name}", f"Missing required parameter: '{where}.{name}'.")
    if kind == "string_check" and grader["operation"] not in _OPERATIONS:
        raise _invalid(f"{where}.operation", f"Invalid operation: '{grader['operation']}'.")
    if kind == "text_similarity" and grader["evaluation_metric"] not in _SIMILARITIES:
        raise _invalid(f"{where}.evaluation_metric", f"Invalid metric: '{grader['evaluation_metric']}'.")
    if kind == "python" and "def grade(" not in str(grader["source"]):
        raise _invalid(f"{where}.source", "The source must define grade(sample, item).")
    if kind == "multi":
        _check_multi(grader, where)
        return
    for namespace, _ in _holes(grader):
        if namespace not in ("item", "sample"):
            raise _invalid(where, f"Unknown namespace in a template: '{namespace}'.")


def _check_multi(grader: Json, where: str) -> None:
    parts, formula = grader["graders"], str(grader["calculate_output"])
    if not isinstance(parts, dict):
        raise _invalid(f"{where}.graders", "Expected an object of graders by name.")
    for name, part in parts.items():
        _check_grader(part, f"{where}.graders.{name}", inner=True)
    unknown = set(re.findall(r"[A-Za-z_]\w*", formula)) - parts.keys() - _FUNCTIONS
    if unknown or not _FORMULA.fullmatch(formula):
        raise _invalid(f"{where}.calculate_output", f"Invalid formula: '{formula}'.")


def _holes(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield from ((hole[1], hole[2] or "") for hole in _TEMPLATE.finditer(value))
    elif isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _holes(entry)


def fields(method: Json) -> set[str]:
    """The fields of an item that the grader's templates look at."""
    grader = (method.get(REINFORCEMENT) or {}).get("grader") or {}
    parts: Json = grader["graders"] if grader.get("type") == "multi" else {"": grader}
    texts = [part for part in parts.values() if part.get("type") != "python"]
    return {name for namespace, name in _holes(texts) if namespace == "item" and name}
