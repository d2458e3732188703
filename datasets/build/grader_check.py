"""What is wrong with the grader of a reinforcement job, field by field, before the provider is asked. Pure.

https://platform.openai.com/docs/api-reference/graders
https://platform.openai.com/docs/guides/graders
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from datasets.evaluate import formula as formulas
from datasets.evaluate import python_source, template

Found = Iterator[str]

OPERATIONS: Final = ("eq", "ne", "like", "ilike")
METRICS: Final = (
    "fuzzy_match", "bleu", "gleu", "meteor", "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l",
)  # fmt: skip
SAMPLE: Final = ("output_text", "output_json", "output_tools", "output_audio", "choices", "model")
ROLES: Final = ("user", "assistant", "system", "developer")
_KEYS: Final = {
    "string_check": {"input", "reference", "operation"},
    "text_similarity": {"input", "reference", "evaluation_metric", "pass_threshold"},
    "score_model": {"model", "input", "range", "sampling_params", "pass_threshold"},
    "python": {"source", "image_tag", "pass_threshold"},
    "multi": {"graders", "calculate_output"},
}


def problems_of(grader: Any, fields: Collection[str] | None = None) -> Found:
    """In words, what keeps it from grading; `fields` are what an item has, None where that is not known."""
    yield from _of_grader(grader, fields, "", inner=False)


def _of_grader(grader: Any, fields: Collection[str] | None, where: str, *, inner: bool) -> Found:
    if not isinstance(grader, Mapping):
        yield f"{where}A grader is a JSON object with a type."
        return
    kind = str(grader.get("type"))
    check = _CHECKS.get(kind)
    if check is None or (inner and kind == "multi"):
        names = [name for name in _CHECKS if not (inner and name == "multi")]
        yield f"{where}The type is one of {', '.join(names)}."
        return
    if not _is_text(grader.get("name")):
        yield f"{where}It needs a name."
    strange = sorted(map(str, grader.keys() - _KEYS[kind] - {"type", "name"}))
    if strange:
        yield f"{where}A grader of this type has no field {strange[0]!r:.60}."
    for words in check(grader, fields):
        yield f"{where}{words}"


def _of_string_check(grader: Mapping[str, Any], fields: Collection[str] | None) -> Found:
    for name in ("input", "reference"):
        yield from _of_template(name, grader.get(name), fields)
    if grader.get("operation") not in OPERATIONS:
        yield f"The operation is one of {', '.join(OPERATIONS)}."


def _of_similarity(grader: Mapping[str, Any], fields: Collection[str] | None) -> Found:
    for name in ("input", "reference"):
        yield from _of_template(name, grader.get(name), fields)
    if grader.get("evaluation_metric") == "cosine":
        yield "The metric cosine is for evaluations only."
    elif grader.get("evaluation_metric") not in METRICS:
        yield f"The metric is one of {', '.join(METRICS)}."


def _of_score_model(grader: Mapping[str, Any], fields: Collection[str] | None) -> Found:
    if not _is_text(grader.get("model")):
        yield "It needs the model that scores."
    messages = grader.get("input")
    if not isinstance(messages, list) or not messages:
        yield "The input is a list of messages."
        messages = []
    for message in messages:
        if not isinstance(message, Mapping) or message.get("role") not in ROLES:
            yield f"Every message of the input has a role: {', '.join(ROLES)}."
            continue
        texts = list(_texts(message.get("content")))
        if not texts:
            yield "A message of the input says nothing."
        for text in texts:
            yield from _of_template("input", text, fields)
    span = grader.get("range")
    if span is not None and not (
        isinstance(span, list) and len(span) == 2 and all(map(_is_number, span)) and span[0] < span[1]
    ):
        yield "The range is two numbers, the lower first."
    if not isinstance(grader.get("sampling_params", {}), Mapping):
        yield "The sampling parameters are a JSON object."


def _of_python(grader: Mapping[str, Any], fields: Collection[str] | None) -> Found:
    yield from python_source.problems(grader.get("source"), fields)


def _of_multi(grader: Mapping[str, Any], fields: Collection[str] | None) -> Found:
    parts, formula = grader.get("graders"), grader.get("calculate_output")
    if not isinstance(parts, Mapping) or not parts:
        yield "The graders are a JSON object, each under its name."
        parts = {}
    for name, part in parts.items():
        if not str(name).isidentifier():
            yield f"The formula cannot name a grader {name!r:.60}: letters, digits and _ only."
        yield from _of_grader(part, fields, f"“{name:.40}”: ", inner=True)
    if not _is_text(formula):
        yield "calculate_output is the formula that makes one score of all."
        return
    yield from formulas.problems(str(formula), parts)


_CHECKS: Final[Mapping[str, Callable[[Mapping[str, Any], Collection[str] | None], Found]]] = {
    "string_check": _of_string_check,
    "text_similarity": _of_similarity,
    "score_model": _of_score_model,
    "python": _of_python,
    "multi": _of_multi,
}


def fields_of(grader: Any) -> set[str]:
    """The fields of an item that the grader's templates name; those that its Python reads are not certain."""
    if not isinstance(grader, Mapping):
        return set()
    if grader.get("type") == "multi":
        parts = grader.get("graders")
        return set().union(*map(fields_of, parts.values())) if isinstance(parts, Mapping) else set()
    texts = [grader.get("input"), grader.get("reference")]
    found: set[str] = set()
    for text in (text for entry in texts for text in _texts(entry)):
        try:
            found |= {str(path[1]) for path in _paths(text) if path[0] == "item"}
        except template.Broken:
            continue
    return found


def _paths(text: str) -> list[template.Path]:
    return [part for part in template.parse(text) if not isinstance(part, str)]


def _of_template(name: str, text: Any, fields: Collection[str] | None) -> Found:
    if not _is_text(text):
        yield f"The {name} is a text, for example {{{{ sample.output_text }}}}."
        return
    try:
        paths = _paths(text)
    except template.Broken as problem:
        yield f"The {name}: {problem}"
        return
    for path in paths:
        spelt = template.spell(path)
        if path[0] == "sample" and path[1] not in SAMPLE:
            yield f"The {name} names {spelt:.60}; a sample has {', '.join(SAMPLE)}."
        elif path[0] == "item" and fields is not None and path[1] not in fields:
            yield f"The {name} names {spelt:.60}, which no row has."


def _texts(value: Any) -> Iterator[str]:
    """The texts of a message's content, of parts too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for entry in value:
            yield from _texts(entry)
    elif isinstance(value, Mapping):
        yield from _texts(value.get("content", value.get("text")))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
