"""What judges an answer: `string_check` and `text_similarity`, field for field as in OpenAI's graders, and
ready-made checks (datasets.evaluate.checks) as the kind `check`.

https://platform.openai.com/docs/guides/graders
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from datasets.evaluate import checks, template
from datasets.evaluate.metrics import FOLLOWS, METRICS, TooLong, similarity

ANSWER, REFERENCE = "{{ sample.output_text }}", "{{ item.reference }}"
MAX_TEMPLATE = 4_000
ASKING = ("label_model", "score_model", "pairwise")
_SHOWN = 80


@dataclass(frozen=True)
class Verdict:
    """One answer judged. With `error` set it is ungraded: score and passed are None, and it fails nothing."""

    score: float | None
    passed: bool | None
    reason: str
    error: str = ""


NOTHING: Mapping[str, Verdict] = {}


@dataclass(frozen=True)
class Operation:
    """One way of comparing strings: how a person calls it, the test, and how a verdict says it."""

    label: str
    holds: Callable[[str, str], bool]
    yes: str
    no: str


OPERATIONS: Mapping[str, Operation] = {
    "eq": Operation("equals", lambda text, wanted: text == wanted, "equals", "differs from"),
    "ne": Operation("does not equal", lambda text, wanted: text != wanted, "differs from", "equals"),
    "like": Operation("contains", lambda text, wanted: wanted in text, "contains", "does not contain"),
    "ilike": Operation(
        "contains, ignoring case",
        lambda text, wanted: wanted.casefold() in text.casefold(),
        "contains (ignoring case)",
        "does not contain (ignoring case)",
    ),
}


def validate(kind: str, params: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with a grader, by field and in words; empty if it can grade."""
    problems: dict[str, str] = {}
    for field in _templates(kind, params):
        text = params.get(field)
        if not isinstance(text, str) or not text.strip():
            problems[field] = "Say what to compare, for example {{ sample.output_text }}."
        elif len(text) > MAX_TEMPLATE:
            problems[field] = f"At most {MAX_TEMPLATE:,} characters."
        else:
            try:
                template.parse(text)
            except template.Broken as broken:
                problems[field] = str(broken)
    if kind == "string_check":
        if params.get("operation") not in OPERATIONS:
            problems["operation"] = f"One of {', '.join(OPERATIONS)}."
    elif kind == "text_similarity":
        if params.get("evaluation_metric") not in METRICS:
            problems["evaluation_metric"] = f"One of {', '.join(METRICS)}."
        threshold = params.get("pass_threshold")
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
            problems["pass_threshold"] = "A number from 0 to 1."  # noqa: S105  # no password, but a pass mark
    elif kind == "check":
        problems |= _check_problems(params)
    else:
        problems["kind"] = "One of string_check, text_similarity, check."
    return problems


def _templates(kind: str, params: Mapping[str, Any]) -> tuple[str, ...]:
    """The fields of a grader that are templates."""
    if kind != "check":
        return "input", "reference"
    check = checks.CHECKS.get(params.get("check", ""))
    return ("input", "value") if check is not None and check.fills else ("input",)


def _check_problems(params: Mapping[str, Any]) -> dict[str, str]:
    check, value = checks.CHECKS.get(params.get("check", "")), params.get("value", "")
    if check is None:
        return {"check": f"One of {', '.join(checks.CHECKS)}."}
    if not isinstance(value, str) or len(value) > MAX_TEMPLATE:
        return {"value": f"At most {MAX_TEMPLATE:,} characters."}
    if check.asks and not value.strip():
        return {"value": f"{check.asks} is missing."}
    problem = check.problem(value) if check.asks else ""
    return {"value": problem} if problem else {}


def needs_reference(kind: str, params: Mapping[str, Any]) -> bool:
    """Whether a grader looks at `item.reference` at all."""
    paths = (
        part for field in _templates(kind, params) for part in template.parse(str(params.get(field, "")))
    )
    return any(path[:2] == ("item", "reference") for path in paths if isinstance(path, tuple))


def grade(
    kind: str,
    params: Mapping[str, Any],
    item: Mapping[str, Any],
    sample: Mapping[str, Any],
    beside: Mapping[str, Verdict] = NOTHING,
) -> Verdict:
    """Judge one answer. Never raises over what an item holds: what cannot be judged becomes an error.

    `beside` holds the verdicts that do not come about here, by the names of the parts that give them
    (datasets.evaluate.judges); the grader itself is the part without a name.
    """
    if "" in beside:
        return beside[""]
    if kind in ASKING or params.get("evaluation_metric") == "cosine":
        return Verdict(None, None, "", "The judge was not asked.")
    try:
        text = template.render(params["input"], item, sample)
        if kind == "check":
            return _apply(params, text, item, sample)
        wanted = template.render(params["reference"], item, sample)
    except (template.Missing, template.Broken) as problem:
        return Verdict(None, None, "", str(problem)[:300])
    if kind == "string_check":
        return _check(OPERATIONS[params["operation"]], text, wanted)
    if kind == "text_similarity":
        return _compare(params["evaluation_metric"], params["pass_threshold"], text, wanted)
    return Verdict(None, None, "", f"Unknown kind of grader: {kind}"[:300])


def describe(kind: str, params: Mapping[str, Any]) -> str:
    """A grader in one line for people."""
    if kind == "string_check":
        operation = OPERATIONS.get(params.get("operation", ""))
        return f"{params.get('input')} {operation.label if operation else '?'} {params.get('reference')}"
    if kind == "check":
        check = checks.CHECKS.get(params.get("check", ""))
        value = f" {params.get('value')}" if check is not None and check.asks else ""
        return f"{params.get('input')} {check.label if check else '?'}{value}"
    metric = params.get("evaluation_metric", "?")
    return f"{metric} of {params.get('input')} and {params.get('reference')} ≥ {params.get('pass_threshold')}"


def explain(kind: str, params: Mapping[str, Any]) -> str:
    """Which published definition a grader follows; empty where its name says everything."""
    return FOLLOWS.get(params.get("evaluation_metric", ""), "") if kind == "text_similarity" else ""


def _check(operation: Operation, text: str, wanted: str) -> Verdict:
    holds = operation.holds(text, wanted)
    return Verdict(
        float(holds), holds, f"The text {operation.yes if holds else operation.no} {_quote(wanted)}."
    )


def _apply(
    params: Mapping[str, Any], text: str, item: Mapping[str, Any], sample: Mapping[str, Any]
) -> Verdict:
    check = checks.CHECKS[params["check"]]
    value = template.render(params["value"], item, sample) if check.fills else str(params.get("value", ""))
    try:
        holds, reason = check.judge(text, value, sample)
    except checks.Unjudged as problem:
        return Verdict(None, None, "", str(problem))
    return Verdict(float(holds), holds, reason)


def _compare(metric: str, threshold: float, text: str, wanted: str) -> Verdict:
    try:
        score = similarity(metric, text, wanted)
    except TooLong as problem:
        return Verdict(None, None, "", str(problem)[:300])
    passed = score >= threshold
    return Verdict(
        score, passed, f"{metric} is {score:.3f}, {'at least' if passed else 'below'} {threshold:g}."
    )


def _quote(text: str) -> str:
    shown = " ".join(text[: _SHOWN * 2].split())
    return f"“{shown[:_SHOWN]}…”" if len(shown) > _SHOWN else f"“{shown}”"
