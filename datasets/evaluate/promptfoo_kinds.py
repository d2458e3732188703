"""One assertion of Promptfoo as a grader of ours, or why it cannot be one. Pure.

https://www.promptfoo.dev/docs/configuration/expected-outputs/
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import re2

from datasets.evaluate import promptfoo_judges as judges
from datasets.evaluate import promptfoo_left, promptfoo_schema
from datasets.evaluate.carry import Carried, NotCarried, clipped, number_of, text_of
from datasets.evaluate.graders import MOST_INNER
from datasets.evaluate.promptfoo_python import wrapped
from datasets.evaluate.promptfoo_syntax import BLANKS, count_of, reads_otherwise, separated
from datasets.evaluate.promptfoo_text import ANSWER, read
from datasets.models import Grader

Kind = Grader.Kind
HOLDS: Final = 0.5  # from which a formula over passed (1) and failed (0) passes
MOST_TEXTS: Final = MOST_INNER
LONGEST_LIST: Final = 200
FINISH: Final = "{{ sample.choices[0].finish_reason }}"
SCHEMA: Final = "schema"
NEGATED: Final = "1 - it"
OPERATIONS: Final = {"equals": "eq", "contains": "like", "icontains": "ilike"}
AMONG: Final = {
    "contains-any": ("like", "max"),
    "contains-all": ("like", "min"),
    "icontains-any": ("ilike", "max"),
    "icontains-all": ("ilike", "min"),
}
# The metric, what passes where nothing is said, and what is told of it.
METRICS: Final = {
    "rouge-n": (
        "rouge_1",
        0.75,
        "Promptfoo counts how much of the reference is met; here it is the F-measure.",
    ),
    "bleu": ("bleu", 0.5, "Promptfoo's BLEU splits words otherwise; scores can differ."),
    "gleu": ("gleu", 0.5, "Promptfoo's GLEU splits words otherwise; scores can differ."),
    "meteor": ("meteor", 0.5, "Promptfoo's METEOR also matches synonyms; here only words and stems."),
    "similar": ("cosine", 0.75, ""),
    "similar:cosine": ("cosine", 0.75, ""),
}
STARTS: Final = "Blanks before the answer do not count here."
REFUSES: Final = "How a refusal is told differs: here by the field for it and by how English ones begin."
_KNOWN = frozenset({"type", "value", "threshold", "metric", "weight", "provider", "description"})

NO_OPTIONS: Final[Mapping[str, Any]] = {}

Made = tuple[Kind, dict[str, Any], tuple[str, ...]]
Said = Mapping[str, Any]


def grader_of(assertion: Any, options: Mapping[str, Any] = NO_OPTIONS) -> Carried | NotCarried:
    """An assertion in our kinds. `options` are those of its test: who judges where the assertion names
    nobody (`provider`), and which categories of facts pass (`factuality`).

    What is carried can still be refused by graders.validate.
    """
    if not isinstance(assertion, Mapping):
        return NotCarried("It is no object with a type.")
    said = text_of(assertion.get("type"))
    negated = said.startswith("not-")
    base = said.removeprefix("not-")
    if not said:
        return NotCarried("It has no type.")
    for field, reason in promptfoo_left.FIELDS.items():
        if assertion.get(field):
            return NotCarried(reason)
    make = _MAKERS.get(base)
    if make is None:
        return NotCarried(promptfoo_left.reason_of(base))
    provider = assertion.get("provider") or options.get("provider")
    made = make(base, {**assertion, "provider": provider, "factuality": options.get("factuality")})
    if isinstance(made, NotCarried):
        return made
    if negated:
        made = negation(base, made)
        if isinstance(made, NotCarried):
            return made
    kind, params, notes = made
    return Carried(_name(said, assertion), kind, params, (*notes, *_left_over(assertion)))


def negation(base: str, made: Made) -> Made | NotCarried:
    """What passes where `made` fails."""
    kind, params, notes = made
    if kind == Kind.STRING_CHECK and params["operation"] == "eq":
        return kind, params | {"operation": "ne"}, notes
    if base == "is-refusal":
        inner: dict[str, Any] = params["graders"]["it"]
        return Kind.CHECK, inner["params"], notes
    if kind == Kind.MULTI:
        formula = str(params["calculate_output"])
        if base not in AMONG or not formula.startswith(("max(", "min(")):
            return NotCarried("The opposite of several graders together cannot be said here.")
        return kind, params | {"calculate_output": f"1 - {formula}"}, notes
    threshold = HOLDS
    if kind in (Kind.TEXT_SIMILARITY, Kind.SCORE_MODEL):
        threshold = 1 - float(params["pass_threshold"])
        notes = (*notes, "A score at the threshold itself passes here as well.")
    elif kind == Kind.PYTHON:
        return NotCarried("The opposite of Python code cannot be said here; turn it round in the code.")
    graders = {"it": {"kind": str(kind), "params": params}}
    return (
        Kind.MULTI,
        {"graders": graders, "calculate_output": NEGATED, "pass_threshold": round(threshold, 12)},
        notes,
    )


def together(parts: Sequence[tuple[Kind, dict[str, Any]]], function: str, threshold: float) -> Made:
    """Several graders, of whose scores the highest (`max`) or the lowest (`min`) counts."""
    names = [f"text_{number}" for number in range(1, len(parts) + 1)]
    graders = {
        name: {"kind": str(kind), "params": params} for name, (kind, params) in zip(names, parts, strict=True)
    }
    formula = f"{function}({', '.join(names)})"
    return Kind.MULTI, {"graders": graders, "calculate_output": formula, "pass_threshold": threshold}, ()


def string(operation: str, reference: str, text: str = ANSWER) -> tuple[Kind, dict[str, Any]]:
    return Kind.STRING_CHECK, {"input": text, "reference": reference, "operation": operation}


def check(name: str, value: str = "") -> tuple[Kind, dict[str, Any]]:
    return Kind.CHECK, {"input": ANSWER, "check": name, "value": value}


def _string(base: str, said: Said) -> Made | NotCarried:
    text = read(said.get("value"))
    if isinstance(text, NotCarried):
        return text
    if not text.strip():
        return NotCarried("It says no text to compare with.")
    return (*string(OPERATIONS[base], text), ())


def _among(base: str, said: Said) -> Made | NotCarried:
    value = said.get("value")
    if isinstance(value, str):
        if "{{" in value:
            return NotCarried("Its texts are a variable; how many they are is only known for each test.")
        value = separated(value)
    texts = _texts(value, LONGEST_LIST)
    if isinstance(texts, NotCarried):
        return texts
    operation, function = AMONG[base]
    if len(texts) > MOST_TEXTS:
        return _listed(operation, function, texts)
    if len(texts) == 1:
        return (*string(operation, texts[0]), ())
    return together([string(operation, text) for text in texts], function, HOLDS)


def _listed(operation: str, function: str, texts: list[str]) -> Made | NotCarried:
    """More texts than a grader has parts: any of them is found by one expression."""
    if function == "min" or any("{{" in text for text in texts):
        return NotCarried(f"It lists more than {MOST_TEXTS} texts.")
    expression = "|".join(re2.escape(text) for text in texts)
    written = f"(?i:{expression})" if operation == "ilike" else expression
    return (*check("regex", written), ("Its texts are one expression here.",))


def _texts(value: Any, most: int = MOST_TEXTS) -> list[str] | NotCarried:
    if not isinstance(value, list) or not value:
        return NotCarried("It lists no texts.")
    if len(value) > most:
        return NotCarried(f"It lists more than {most} texts.")
    texts = []
    for entry in value:
        text = read(entry)
        if isinstance(text, NotCarried):
            return text
        if not text.strip():
            return NotCarried("One of its texts is empty.")
        texts.append(text)
    return texts


def _starts(_: str, said: Said) -> Made | NotCarried:
    text = read(said.get("value"))
    return text if isinstance(text, NotCarried) else (*check("starts", text), (STARTS,))


def _regex(_: str, said: Said) -> Made | NotCarried:
    value = said.get("value")
    if not isinstance(value, str) or not value:
        return NotCarried("It has no expression.")
    if "{{" in value or value.startswith("file://"):
        return NotCarried("Its expression holds variables; here an expression is one for all items.")
    if reads_otherwise(value):
        return NotCarried("Its expression holds what JavaScript and RE2 read in two ways.")
    notes = (BLANKS,) if "\\s" in value.casefold() else ()
    return (*check("regex", value), notes)


def _json(_: str, said: Said) -> Made | NotCarried:
    value = said.get("value")
    if value is None:
        return (*check("json"), ())
    if not isinstance(value, Mapping):
        return NotCarried("Its schema is in a file or a variable.")
    if unread := promptfoo_schema.unread_here(value):
        return NotCarried(unread)
    notes = (promptfoo_schema.FORMATS,) if promptfoo_schema.names_formats(value) else ()
    return (*check(SCHEMA, json.dumps(value, ensure_ascii=False, default=str)), notes)


def _xml(_: str, said: Said) -> Made | NotCarried:
    if said.get("value") is not None:
        return NotCarried("Elements that an XML document must have are not checked here.")
    return (*check("xml"), ())


def _refusal(_: str, said: Said) -> Made | NotCarried:
    kind, params = check("answers")
    graders = {"it": {"kind": str(kind), "params": params}}
    return Kind.MULTI, {"graders": graders, "calculate_output": NEGATED, "pass_threshold": HOLDS}, (REFUSES,)


def _words(_: str, said: Said) -> Made | NotCarried:
    value = said.get("value")
    low, high = (value.get("min"), value.get("max")) if isinstance(value, Mapping) else (value, value)
    counts = [count_of(each) for each in (low, high)]
    if all(count is None for count in counts) or any(
        count is None and each is not None for count, each in zip(counts, (low, high), strict=True)
    ):
        return NotCarried("Its number of words is no whole number.")
    parts = [
        check(name, count)
        for name, count in zip(("min_words", "max_words"), counts, strict=True)
        if count is not None
    ]
    return (*parts[0], ()) if len(parts) == 1 else together(parts, "min", HOLDS)


def _finish(_: str, said: Said) -> Made | NotCarried:
    reason = said.get("value")
    if not isinstance(reason, str) or "{{" in reason or not reason.strip():
        return NotCarried("It names no reason to end.")
    return (
        *string("eq", reason.strip().casefold(), FINISH),
        ("Only of fresh answers it is known how they ended.",),
    )


def _metric(base: str, said: Said) -> Made | NotCarried:
    metric, usual, note = METRICS[base]
    threshold = _threshold(said, usual)
    if isinstance(threshold, NotCarried):
        return threshold
    value = said.get("value")
    texts = _texts(value if isinstance(value, list) else [value])
    if isinstance(texts, NotCarried):
        return texts
    further = {"model": _model(said.get("provider"))} if metric == "cosine" and said.get("provider") else {}
    parts = [
        (
            Kind.TEXT_SIMILARITY,
            {
                "input": ANSWER,
                "reference": text,
                "evaluation_metric": metric,
                "pass_threshold": threshold,
                **further,
            },
        )
        for text in texts
    ]
    notes = (note,) if note else ()
    if len(parts) == 1:
        return (*parts[0], notes)
    kind, params, _ = together(parts, "max", threshold)
    return kind, params, notes


def _judged(base: str, said: Said) -> Made | NotCarried:
    text = read(said.get("value"))
    if isinstance(text, NotCarried):
        return text
    if not text.strip():
        return NotCarried("It says nothing to judge by.")
    threshold = None
    if said.get("threshold") is not None or base == "g-eval":
        told = _threshold(said, 0.7)
        if isinstance(told, NotCarried):
            return told
        threshold = told
    notes: tuple[str, ...] = ()
    if base == "llm-rubric":
        made = judges.rubric(text, threshold)
    elif base == "model-graded-closedqa":
        made = judges.criterion(text)
    elif base == "g-eval":
        assert threshold is not None
        made, notes = judges.g_eval(text, threshold), ("The steps are derived anew for each answer.",)
    else:
        made, notes = judges.factuality(text, _passing(said)), _degrees(said)
    kind, params = made
    if said.get("provider"):
        params = params | {"model": _model(said["provider"])}
    return kind, params, notes


def _facts(said: Said) -> Mapping[str, Any]:
    scores = said.get("factuality")
    return scores if isinstance(scores, Mapping) else {}


def _passing(said: Said) -> list[str]:
    scores = _facts(said)
    return [
        letter
        for letter, name in judges.FACTS.items()
        if (number_of(scores.get(name)) or 0 if name in scores else letter in judges.AGREEING)
    ]


def _degrees(said: Said) -> tuple[str, ...]:
    between = any(number_of(score) not in (0, 1) for score in _facts(said).values())
    return ("Its scores between 0 and 1 count as passed.",) if between else ()


def _python(_: str, said: Said) -> Made | NotCarried:
    code = said.get("value")
    if not isinstance(code, str) or not code.strip():
        return NotCarried("It holds no code.")
    if code.startswith("file://"):
        return NotCarried("Its code is in a file, which is not part of the configuration.")
    if any(sign in code for sign in ("{{", "{%", "{#")):
        return NotCarried("Its code holds variables that Promptfoo fills in before it runs.")
    threshold = number_of(said.get("threshold"))
    source, notes = wrapped(code, threshold)
    return Kind.PYTHON, {"source": source, "pass_threshold": HOLDS if threshold is None else threshold}, notes


def _threshold(said: Said, usual: float) -> float | NotCarried:
    threshold = said.get("threshold")
    if threshold is None:
        return usual
    number = number_of(threshold)
    if number is None or not 0 <= number <= 1:
        return NotCarried("Its threshold is no number from 0 to 1.")
    return float(number)


def _model(provider: Any) -> str:
    """The model in the name of a provider: `openai:chat:gpt-4o` asks gpt-4o."""
    named = provider.get("id") if isinstance(provider, Mapping) else provider
    return text_of(named).rpartition(":")[2][:300]


def _name(said: str, assertion: Said) -> str:
    metric = text_of(assertion.get("metric"))
    if metric and "{{" not in metric:
        return clipped(metric, said)
    value = assertion.get("value")
    if isinstance(value, list):
        value = ", ".join(entry for entry in value if isinstance(entry, str))
    shown = text_of(value) if number_of(value) is None else str(value)
    return clipped(f"{said}: {shown}" if shown and "\n" not in shown else said, said)


def _left_over(assertion: Said) -> list[str]:
    notes = []
    if assertion.get("weight") not in (None, 1):
        notes.append("Its weight is left out: every grader counts by itself.")
    further = sorted(str(field)[:40] for field in assertion if field not in _KNOWN)
    if further:
        notes.append(f"Left out: {', '.join(further[:6])}.")
    return notes


_MAKERS: Mapping[str, Callable[[str, Said], Made | NotCarried]] = {
    **dict.fromkeys(OPERATIONS, _string),
    **dict.fromkeys(AMONG, _among),
    **dict.fromkeys(METRICS, _metric),
    "starts-with": _starts,
    "regex": _regex,
    "is-json": _json,
    "is-xml": _xml,
    "is-refusal": _refusal,
    "word-count": _words,
    "finish-reason": _finish,
    "llm-rubric": _judged,
    "model-graded-closedqa": _judged,
    "factuality": _judged,
    "model-graded-factuality": _judged,
    "g-eval": _judged,
    "python": _python,
}
CARRIED = tuple(_MAKERS)
