"""A grader of ours as an assertion of Promptfoo, where there is one that means the same. Pure.

https://www.promptfoo.dev/docs/configuration/expected-outputs/
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from datasets.evaluate import promptfoo_judges as judges
from datasets.evaluate import promptfoo_schema
from datasets.evaluate.carry import NotCarried
from datasets.evaluate.checks import CHECKS
from datasets.evaluate.promptfoo_kinds import (
    AMONG,
    FINISH,
    HOLDS,
    METRICS,
    NEGATED,
    OPERATIONS,
    REFUSES,
    SCHEMA,
    STARTS,
)
from datasets.evaluate.promptfoo_python import unwrapped
from datasets.evaluate.promptfoo_syntax import BLANKS, reads_otherwise
from datasets.evaluate.promptfoo_text import ANSWER, Untold, variables_of
from datasets.models import Grader

Kind = Grader.Kind
OPTIONS: Final = "options"  # of an assertion that judges facts; they are for all assertions to take
_PARTS: Final = re.compile(r"(1 - )?(max|min)\((\w+(?:, \w+)*)\)\Z")

Assertion = dict[str, Any]


def _options(passing: Sequence[str]) -> dict[str, Any]:
    return {"factuality": {name: float(letter in passing) for letter, name in judges.FACTS.items()}}


USUAL_OPTIONS: Final[Mapping[str, Any]] = _options(judges.AGREEING)


def assertion_of(name: str, kind: str, params: Mapping[str, Any]) -> Assertion | NotCarried:
    """A grader as an entry of `assert`, or why none means the same."""
    try:
        told = _told(kind, params)
    except Untold as problem:
        return NotCarried(str(problem))
    if "{{" in name or "{%" in name:
        return told
    return {"type": told.pop("type"), "metric": name, **told}


def lost_of(kind: str, params: Mapping[str, Any]) -> list[str]:
    """What is not quite the same in the assertion that a grader becomes, in words."""
    if kind == Kind.MULTI:
        parts = list(params["graders"].values())
        return list(dict.fromkeys(note for part in parts for note in lost_of(part["kind"], part["params"])))
    if kind == Kind.TEXT_SIMILARITY:
        return [
            note for metric, _, note in METRICS.values() if note and metric == params["evaluation_metric"]
        ]
    if kind == Kind.CHECK:
        return _lost_of_check(str(params["check"]), str(params.get("value", "")))
    if kind in (Kind.LABEL_MODEL, Kind.SCORE_MODEL):
        return ["Promptfoo asks in its own words."]
    if kind == Kind.PYTHON:
        return ["Of the sample, Promptfoo hands over the text of the answer alone."]
    return []


def _lost_of_check(name: str, value: str) -> list[str]:
    if name == "regex":
        return [BLANKS] if "\\s" in value.casefold() else []
    if name == SCHEMA:
        return [promptfoo_schema.FORMATS] if promptfoo_schema.names_formats(_schema(value)) else []
    return {"starts": [STARTS], "answers": [REFUSES]}.get(name, [])


def _told(kind: str, params: Mapping[str, Any]) -> Assertion:
    if kind == Kind.MULTI:
        return _several(params)
    if kind == Kind.CHECK and not CHECKS[str(params["check"])].reads:  # it has no text
        return _check(str(params["check"]), str(params.get("value", "")))
    if kind in (Kind.STRING_CHECK, Kind.TEXT_SIMILARITY, Kind.CHECK):
        text = str(params["input"])
        if kind == Kind.STRING_CHECK and text == FINISH and params["operation"] == "eq":
            return {"type": "finish-reason", "value": params["reference"]}
        if text.replace(" ", "") != ANSWER.replace(" ", ""):
            raise Untold("Promptfoo asserts something of the whole answer; this looks at another text.")
    if kind == Kind.STRING_CHECK:
        return _string(params)
    if kind == Kind.TEXT_SIMILARITY:
        return _similarity(params)
    if kind == Kind.CHECK:
        return _check(str(params["check"]), str(params.get("value", "")))
    if kind == Kind.PYTHON:
        if any(sign in params["source"] for sign in ("{{", "{%", "{#")):
            raise Untold("Promptfoo would read commands in its source.")
        return {"type": "python", "value": unwrapped(params["source"]), "threshold": params["pass_threshold"]}
    if kind == Kind.PAIRWISE:
        raise Untold("A preference between two answers is no assertion of one.")
    return _judge(kind, params)


def _string(params: Mapping[str, Any]) -> Assertion:
    text, operation = variables_of(params["reference"]), params["operation"]
    if operation == "ne":
        return {"type": "not-equals", "value": text}
    return {"type": next(said for said, ours in OPERATIONS.items() if ours == operation), "value": text}


def _similarity(params: Mapping[str, Any]) -> Assertion:
    metric = params["evaluation_metric"]
    said = next((said for said, (ours, *_) in METRICS.items() if ours == metric), None)
    if said is None:
        raise Untold(f"Promptfoo has no assertion that measures {metric}.")
    told = {
        "type": said,
        "value": variables_of(params["reference"]),
        "threshold": params["pass_threshold"],
    }
    if metric == "cosine" and params.get("model"):
        told["provider"] = f"openai:embedding:{params['model']}"
    return told


def _check(name: str, value: str) -> Assertion:
    if name in ("json", "xml"):
        return {"type": f"is-{name}"}
    if name == SCHEMA:
        return {"type": "is-json", "value": _schema(value)}
    if name == "starts":
        return {"type": "starts-with", "value": variables_of(value)}
    if name == "regex":
        if reads_otherwise(value):
            raise Untold("Its expression uses what JavaScript reads otherwise than RE2.")
        if "{{" in value or "{%" in value or "{#" in value:
            raise Untold("Promptfoo would read commands in its expression.")
        return {"type": "regex", "value": value}
    if name in ("max_words", "min_words"):
        return {"type": "word-count", "value": {name[:3]: int(value)}}
    if name == "answers":
        return {"type": "not-is-refusal"}
    raise Untold("Promptfoo has no such check.")


def _schema(value: str) -> Any:
    try:
        schema = json.loads(value)
    except (ValueError, RecursionError):
        raise Untold("Its schema is no JSON.") from None
    if not isinstance(schema, dict):
        raise Untold("Its schema is no JSON object.")
    if unread := promptfoo_schema.unread_there(schema):
        raise Untold(unread)
    return {name: inner for name, inner in schema.items() if name != "$schema"}  # it knows of draft 07 alone


def _judge(kind: str, params: Mapping[str, Any]) -> Assertion:
    found = judges.asked_of(kind, params)
    if found is None:
        raise Untold("Promptfoo's judges ask in words of their own; this prompt has no equal.")
    said, text = found
    told: Assertion = {"type": said, "value": variables_of(text)}
    if kind == Kind.SCORE_MODEL:
        told["threshold"] = params["pass_threshold"]
    if said == "factuality":
        told[OPTIONS] = _options(params["passing_labels"])
    if params.get("model"):
        told["provider"] = f"openai:chat:{params['model']}"
    return told


def _several(params: Mapping[str, Any]) -> Assertion:
    parts, formula, threshold = params["graders"], params["calculate_output"], params["pass_threshold"]
    if formula == NEGATED and list(parts) == ["it"]:
        inner = parts["it"]
        if inner["kind"] == Kind.MULTI:
            raise Untold(_SEVERAL)
        told = _told(inner["kind"], inner["params"])
        scored = inner["kind"] in (Kind.TEXT_SIMILARITY, Kind.SCORE_MODEL)
        expected = round(1 - float(inner["params"]["pass_threshold"]), 12) if scored else HOLDS
        if threshold != expected or inner["kind"] == Kind.PYTHON:
            raise Untold(_SEVERAL)
        said = str(told["type"])
        return told | {"type": said.removeprefix("not-") if said.startswith("not-") else f"not-{said}"}
    listed = _PARTS.match(formula)
    if listed is None or listed[3].split(", ") != list(parts):
        raise Untold(_SEVERAL)
    told = _alike([_told(part["kind"], part["params"]) for part in parts.values()], listed[2], threshold)
    return told | {"type": f"not-{told['type']}"} if listed[1] else told


_SEVERAL: Final = "Promptfoo has no assertion that calculates from several."


def _alike(told: list[Assertion], function: str, threshold: Any) -> Assertion:
    """One assertion with a list of values for several that differ in nothing else."""
    values = [entry.get("value") for entry in told]
    rest = [{key: value for key, value in entry.items() if key != "value"} for entry in told]
    if [entry["type"] for entry in told] == ["word-count", "word-count"] and function == "min":
        if threshold == HOLDS and [list(value or ()) for value in values] == [["min"], ["max"]]:
            low, high = told[0]["value"]["min"], told[1]["value"]["max"]
            return {"type": "word-count", "value": low if low == high else {"min": low, "max": high}}
        raise Untold(_SEVERAL)
    if any(entry != rest[0] for entry in rest) or not all(isinstance(value, str) for value in values):
        raise Untold(_SEVERAL)
    if function == "max" and rest[0].get("threshold") == threshold:
        return rest[0] | {"value": values}
    for said, (operation, called) in AMONG.items():
        plain = next(name for name, ours in OPERATIONS.items() if ours == operation)
        if rest[0] == {"type": plain} and called == function and threshold == HOLDS:
            return {"type": said, "value": values}
    raise Untold(_SEVERAL)
