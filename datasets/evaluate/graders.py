"""What judges an answer: OpenAI's graders field for field, and ready-made checks as the kind `check`. Pure.

Models and Python graders give their verdicts elsewhere, and hand them in (`beside`).
https://platform.openai.com/docs/guides/graders
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from datasets.evaluate import checks, judge_rules, python_source, template
from datasets.evaluate import formula as formulas
from datasets.evaluate.metrics import FOLLOWS, METRICS, TooLong, similarity

ANSWER, REFERENCE = "{{ sample.output_text }}", "{{ item.reference }}"
MAX_TEMPLATE = 4_000
ASKING = ("label_model", "score_model", "pairwise")
# What a grader of several takes, and how many of them.
INNER = ("string_check", "text_similarity", "check", "label_model", "score_model", "python")
MOST_INNER = 8
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
    if kind == "python":
        problem = next(python_source.problems(params.get("source")), "")
        return ({"source": problem} if problem else {}) | _threshold_problems(params)
    if kind == "multi":
        return _multi_problems(params) | _threshold_problems(params)
    if judge_rules.asks(kind, params):
        return judge_rules.problems(kind, params)
    problems: dict[str, str] = {}
    for field, most in _templates(kind, params).items():
        text = params.get(field)
        if not isinstance(text, str) or not text.strip():
            problems[field] = "Say what to compare, for example {{ sample.output_text }}."
        elif len(text) > most:
            problems[field] = f"At most {most:,} characters."
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
        problems["kind"] = f"One of string_check, text_similarity, check, python, multi, {', '.join(ASKING)}."
    return problems


def _templates(kind: str, params: Mapping[str, Any]) -> dict[str, int]:
    """The fields of a grader that are templates, and how long each may be."""
    if kind in ("python", "multi", *ASKING):
        return {}
    if kind != "check":
        return {"input": MAX_TEMPLATE, "reference": MAX_TEMPLATE}
    check = checks.CHECKS.get(params.get("check", ""))
    if check is None:
        return {"input": MAX_TEMPLATE}
    return ({"input": MAX_TEMPLATE} if check.reads else {}) | (
        {"value": check.longest} if check.fills else {}
    )


def _check_problems(params: Mapping[str, Any]) -> dict[str, str]:
    check, value = checks.CHECKS.get(params.get("check", "")), params.get("value", "")
    if check is None:
        return {"check": f"One of {', '.join(checks.CHECKS)}."}
    if not isinstance(value, str) or len(value) > check.longest:
        return {"value": f"At most {check.longest:,} characters."}
    if check.asks and not value.strip():
        return {"value": f"{check.asks} is missing."}
    problem = check.problem(value) if check.asks else ""
    return {"value": problem} if problem else {}


def _multi_problems(params: Mapping[str, Any]) -> dict[str, str]:
    problems: dict[str, str] = {}
    parts = params.get("graders")
    if not isinstance(parts, Mapping) or not 1 <= len(parts) <= MOST_INNER:
        problems["graders"] = f"From one to {MOST_INNER} graders, each under its name."
        parts = {}
    for name, part in parts.items():
        found = _part_problem(name, part)
        if found:
            problems.setdefault("graders", f"“{name!s:.40}”: {found}")
    formula = params.get("calculate_output")
    if not isinstance(formula, str) or not formula.strip():
        problems["calculate_output"] = "Say how one score is made of all, for example (first + second) / 2."
    elif wrong := formulas.problems(formula, parts):
        problems["calculate_output"] = wrong[0]
    return problems


def _part_problem(name: Any, part: Any) -> str:
    if not isinstance(name, str) or not formulas.can_say(name):
        return "A name that the formula can say: letters, digits and _, and none of a function."
    if not isinstance(part, Mapping) or part.get("kind") not in INNER:
        return f"The kind is one of {', '.join(INNER)}."
    params = part.get("params")
    if not isinstance(params, Mapping):
        return "Its fields are missing."
    return next(iter(validate(str(part["kind"]), params).values()), "")


def _threshold_problems(params: Mapping[str, Any]) -> dict[str, str]:
    """Of a grader whose scores have no range of their own."""
    threshold = params.get("pass_threshold")
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not math.isfinite(threshold):
        return {"pass_threshold": "The score from which on an answer passes, a number."}
    return {}


def needs_reference(kind: str, params: Mapping[str, Any]) -> bool:
    """Whether a grader looks at `item.reference` at all."""
    if kind == "multi":
        return any(needs_reference(part["kind"], part["params"]) for part in params["graders"].values())
    if kind == "python":
        return "reference" in python_source.fields_of(params.get("source"))
    paths = (part for text in _texts(kind, params) for part in template.parse(text))
    return any(path[:2] == ("item", "reference") for path in paths if isinstance(path, tuple))


def _texts(kind: str, params: Mapping[str, Any]) -> Iterator[str]:
    """Every template of a grader."""
    if kind not in ASKING:
        yield from (str(params.get(field, "")) for field in _templates(kind, params))
        return
    yield str(params.get("criteria", ""))
    for message in params.get("input", ()):
        content = message.get("content", "")
        for part in content if isinstance(content, list) else [content]:
            yield (
                str(part.get("text") or part.get("image_url") or "")
                if isinstance(part, Mapping)
                else str(part)
            )


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
    if kind == "multi":
        return _together(params, item, sample, beside)
    if kind == "python":
        return Verdict(None, None, "", "The source was not run.")
    if kind in ASKING or params.get("evaluation_metric") == "cosine":
        return Verdict(None, None, "", "The judge was not asked.")
    try:
        if kind == "check":
            return _apply(params, item, sample)
        text = template.render(params["input"], item, sample)
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
    given, threshold = params.get("input"), params.get("pass_threshold")
    match kind:
        case "string_check":
            operation = OPERATIONS.get(params.get("operation", ""))
            return f"{given} {operation.label if operation else '?'} {params.get('reference')}"
        case "check":
            check = checks.CHECKS.get(params.get("check", ""))
            if check is None:
                return f"{given} ?"
            value = " ".join(str(params.get("value")).split())
            shown = f" {value[:_SHOWN]}{'…' if len(value) > _SHOWN else ''}" if check.asks else ""
            return f"{given if check.reads else 'The answer'} {check.label}{shown}"
        case "label_model":
            labels, passing = params.get("labels", ()), params.get("passing_labels", ())
            word = "passes" if len(passing) == 1 else "pass"
            return f"{params.get('model')} chooses from {', '.join(labels)}; {', '.join(passing)} {word}"
        case "score_model":
            low, high = params.get("range") or (0, 1)
            return f"{params.get('model')} gives {low:g} to {high:g} ≥ {threshold}"
        case "pairwise":
            return f"{params.get('model')} prefers by: {str(params.get('criteria'))[:200]}"
        case "python":
            return f"Python, {len(str(params.get('source')).splitlines())} lines ≥ {threshold}"
        case "multi":
            return f"{params.get('calculate_output')} of {', '.join(params.get('graders', ()))} ≥ {threshold}"
    return f"{params.get('evaluation_metric', '?')} of {given} and {params.get('reference')} ≥ {threshold}"


def explain(kind: str, params: Mapping[str, Any]) -> str:
    """Which published definition a grader follows; empty where its name says everything."""
    return FOLLOWS.get(params.get("evaluation_metric", ""), "") if kind == "text_similarity" else ""


def _check(operation: Operation, text: str, wanted: str) -> Verdict:
    holds = operation.holds(text, wanted)
    return Verdict(
        float(holds), holds, f"The text {operation.yes if holds else operation.no} {_quote(wanted)}."
    )


def _together(
    params: Mapping[str, Any],
    item: Mapping[str, Any],
    sample: Mapping[str, Any],
    beside: Mapping[str, Verdict],
) -> Verdict:
    """One verdict of several; where one of them is missing, there is none."""
    scores: dict[str, float] = {}
    for name, part in params["graders"].items():
        its = {"": beside[name]} if name in beside else NOTHING
        verdict = grade(part["kind"], part["params"], item, sample, its)
        if verdict.score is None:
            return Verdict(None, None, "", f"{name}: {verdict.error}"[:300])
        scores[name] = verdict.score
    try:
        worked_out = formulas.work_out(params["calculate_output"], scores)
    except formulas.Unsolved as problem:
        return Verdict(None, None, "", str(problem))
    # Parts of 0.7, 0.2 and 0.1 are one together, which sums of binary fractions miss by a hair.
    score = float(f"{worked_out:.12g}")
    passed, wanted = score >= params["pass_threshold"], params["pass_threshold"]
    told = ", ".join(f"{name} {value:.3g}" for name, value in scores.items())
    return Verdict(score, passed, f"{told}: {score:.3g} is {'at least' if passed else 'below'} {wanted:g}.")


def _apply(params: Mapping[str, Any], item: Mapping[str, Any], sample: Mapping[str, Any]) -> Verdict:
    check = checks.CHECKS[params["check"]]
    text = template.render(params["input"], item, sample) if check.reads else ""
    fill = template.render_json if check.is_json else template.render
    value = fill(params["value"], item, sample) if check.fills else str(params.get("value", ""))
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
