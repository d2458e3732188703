"""Our graders as testing criteria of OpenAI's evals API, and back. Pure.

https://platform.openai.com/docs/api-reference/evals/create
https://platform.openai.com/docs/guides/graders
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from datasets.evaluate import openai_evals_checks as checks
from datasets.evaluate.carry import Carried, NotCarried, clipped, number_of, text_of
from datasets.evaluate.graders import MOST_INNER
from datasets.evaluate.judging import SAMPLING
from datasets.models import Grader

__all__ = ["CRITERIA", "Carried", "NotCarried", "criterion_of", "grader_of", "lost_of"]

Kind = Grader.Kind
CRITERIA = {
    Kind.STRING_CHECK: ("input", "reference", "operation"),
    Kind.TEXT_SIMILARITY: ("input", "reference", "evaluation_metric", "pass_threshold"),
    Kind.LABEL_MODEL: ("model", "input", "labels", "passing_labels"),
    Kind.SCORE_MODEL: ("model", "input", "range", "pass_threshold", "sampling_params"),
    Kind.PYTHON: ("source", "image_tag", "pass_threshold"),
}
HALF = 0.5  # what an answer passes from where nothing was said
_ROLES = ("user", "assistant", "system", "developer")
_ELSEWHERE = {
    Kind.PAIRWISE: "The evals API judges one answer at a time and has no preference between two.",
    Kind.MULTI: "The evals API takes no grader of several; only fine-tuning does.",
}


def criterion_of(name: str, kind: str, params: Mapping[str, Any]) -> dict[str, Any] | NotCarried:
    """A grader as the API takes it in `testing_criteria`, or why it has no equal there."""
    if kind == Kind.CHECK:
        source = checks.source_of(params)
        if isinstance(source, NotCarried):
            return source
        return {"type": "python", "name": name, "source": source, "pass_threshold": HALF}
    if kind not in CRITERIA:
        return NotCarried(_ELSEWHERE.get(Kind(kind), "") if kind in Kind.values else f"Unknown kind: {kind}")
    criterion: dict[str, Any] = {"type": str(kind), "name": name}
    for field in CRITERIA[Kind(kind)]:
        if params.get(field) not in (None, {}, ""):
            criterion[field] = params[field]
    if kind in (Kind.LABEL_MODEL, Kind.SCORE_MODEL):
        criterion["input"] = [
            {**message, "content": _written(message["content"])} for message in params["input"]
        ]
    if kind == Kind.PYTHON:
        criterion.setdefault("pass_threshold", HALF)
    return criterion


def lost_of(kind: str, params: Mapping[str, Any]) -> list[str]:
    """What of a grader that can be carried is not said in its criterion, in words."""
    lost = []
    if kind == Kind.CHECK:
        lost.append("The API has no such check: it is carried as Python that does the same.")
    if kind == Kind.TEXT_SIMILARITY and params.get("evaluation_metric") == "cosine":
        lost.append(f"The API chooses the model of the embeddings; here it is {params.get('model')}.")
    if kind == Kind.LABEL_MODEL and any(
        v is not None for v in (params.get("sampling_params") or {}).values()
    ):
        lost.append("A judge that labels takes no sampling parameters there.")
    return lost


def grader_of(criterion: Any) -> Carried | NotCarried:
    """One of the API's `testing_criteria`, or a grader of fine-tuning, in our kinds.

    Who judges is left open: a model is named, its connection is not. What is carried can still be refused by
    graders.validate.
    """
    if not isinstance(criterion, Mapping):
        return NotCarried("It is no JSON object.")
    kind = text_of(criterion.get("type"))
    read = _READ.get(kind)
    if read is None:
        return NotCarried(
            f"There is no grader of the type “{kind[:60]}” here." if kind else "It has no type."
        )
    carried = read(criterion)
    if isinstance(carried, NotCarried):
        return carried
    known = {
        "id",
        "name",
        "type",
        *(CRITERIA[Kind(kind)] if kind in CRITERIA else ("graders", "calculate_output")),
    }
    further = sorted(str(field)[:40] for field in criterion if field not in known)
    return carried.noting(f"Left out: {', '.join(further[:6])}.") if further else carried


def _named(criterion: Mapping[str, Any]) -> str:
    return clipped(text_of(criterion.get("name")), text_of(criterion.get("type")))


def _string_check(criterion: Mapping[str, Any]) -> Carried | NotCarried:
    return _copied(criterion, Kind.STRING_CHECK)


def _text_similarity(criterion: Mapping[str, Any]) -> Carried | NotCarried:
    carried = _copied(criterion, Kind.TEXT_SIMILARITY)
    if criterion.get("evaluation_metric") == "cosine" and isinstance(carried, Carried):
        carried = carried.noting("Say which model makes the embeddings.")
    return carried


def _label_model(criterion: Mapping[str, Any]) -> Carried | NotCarried:
    return _judge(criterion, Kind.LABEL_MODEL)


def _score_model(criterion: Mapping[str, Any]) -> Carried | NotCarried:
    carried = _judge(criterion, Kind.SCORE_MODEL)
    if isinstance(carried, NotCarried):
        return carried
    params, notes = dict(carried.params), list(carried.notes)
    sampling = params.pop("sampling_params", None)
    if isinstance(sampling, Mapping):
        told = {name: sampling[name] for name in SAMPLING if sampling.get(name) is not None}
        params |= {"sampling_params": told} if told else {}
        further = sorted(str(name)[:40] for name in sampling if name not in SAMPLING)
        if further:
            notes.append(f"Sampling parameters left out: {', '.join(further[:6])}.")
    if "range" not in params:
        params["range"] = [0, 1]
    if "pass_threshold" in criterion:
        return Carried(carried.name, carried.kind, params, tuple(notes))
    ends = params["range"] if isinstance(params["range"], Sequence) else ()
    low, high = (number_of(end) for end in ends) if len(ends) == 2 else (None, None)
    if low is None or high is None:
        return NotCarried("Its range is not two numbers.")
    params["pass_threshold"] = (low + high) / 2
    notes.append(f"It said not from which score an answer passes: {params['pass_threshold']:g} is set.")
    return Carried(carried.name, carried.kind, params, tuple(notes))


def _python(criterion: Mapping[str, Any]) -> Carried | NotCarried:
    carried = _copied(criterion, Kind.PYTHON)
    if isinstance(carried, Carried) and carried.params["pass_threshold"] == HALF:
        check = checks.check_of(carried.params["source"])
        if check is not None:
            return Carried(carried.name, Kind.CHECK, check, carried.notes)
    if isinstance(carried, Carried) and "image_tag" in carried.params:
        params = {name: value for name, value in carried.params.items() if name != "image_tag"}
        note = "Its image is left out: it runs on the Python of this installation."
        return Carried(carried.name, carried.kind, params, (*carried.notes, note))
    return carried


def _multi(criterion: Mapping[str, Any]) -> Carried | NotCarried:
    graders, notes = criterion.get("graders"), []
    if not isinstance(graders, Mapping) or not graders:
        return NotCarried("It holds no graders.")
    if len(graders) > MOST_INNER:
        return NotCarried(f"It holds more than {MOST_INNER} graders.")
    inner: dict[str, Any] = {}
    for called, entry in graders.items():
        part = grader_of(entry)
        if isinstance(part, Carried) and part.kind == Kind.MULTI:
            part = NotCarried("It holds several itself.")
        if isinstance(part, NotCarried):
            return NotCarried(f"“{str(called)[:60]}” within it cannot be carried: {part.reason}")
        inner[str(called)] = {"kind": part.kind, "params": dict(part.params)}
        notes += [f"{str(called)[:60]}: {note}" for note in part.notes]
    formula = text_of(criterion.get("calculate_output"))
    if not formula:
        return NotCarried("It has no formula (calculate_output).")
    notes.append(f"It said not from which result an answer passes: {HALF:g} is set.")
    params = {"graders": inner, "calculate_output": formula, "pass_threshold": HALF}
    return Carried(_named(criterion), Kind.MULTI, params, tuple(notes))


def _copied(criterion: Mapping[str, Any], kind: Kind) -> Carried | NotCarried:
    """A grader with the fields of its kind as they are; a missing pass mark is set, and said."""
    fields = CRITERIA[kind]
    params = {field: criterion[field] for field in fields if criterion.get(field) is not None}
    for field in fields:
        if field in ("pass_threshold", "image_tag"):
            continue
        if not isinstance(params.get(field), str):
            return NotCarried(f"Its “{field}” is no text.")
    notes = []
    if "pass_threshold" in fields:
        if "pass_threshold" not in params:
            params["pass_threshold"] = HALF
            notes.append(f"It said not from which score an answer passes: {HALF:g} is set.")
        elif number_of(params["pass_threshold"]) is None:
            return NotCarried("Its “pass_threshold” is no number.")
    return Carried(_named(criterion), kind, params, tuple(notes))


def _judge(criterion: Mapping[str, Any], kind: Kind) -> Carried | NotCarried:
    params = {field: criterion[field] for field in CRITERIA[kind] if criterion.get(field) is not None}
    if not isinstance(params.get("model"), str):
        return NotCarried("It names no model.")
    if kind == Kind.LABEL_MODEL:
        for field in ("labels", "passing_labels"):
            labels = params.get(field)
            if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
                return NotCarried(f"Its “{field}” are no texts.")
    elif "pass_threshold" in params and number_of(params["pass_threshold"]) is None:
        return NotCarried("Its “pass_threshold” is no number.")
    messages = params.get("input")
    if not isinstance(messages, list) or not messages:
        return NotCarried("It asks nothing: “input” holds no messages.")
    asked = []
    for message in messages:
        read = _message(message)
        if isinstance(read, NotCarried):
            return read
        asked.append(read)
    return Carried(_named(criterion), kind, params | {"input": asked})


def _message(message: Any) -> dict[str, Any] | NotCarried:
    if not isinstance(message, Mapping) or message.get("role") not in _ROLES:
        return NotCarried("One of its messages has none of the roles of a message.")
    content = message.get("content")
    if isinstance(content, str):
        return {"role": message["role"], "content": content}
    parts = []
    for part in content if isinstance(content, list) else [content]:
        read = _part(part)
        if isinstance(read, NotCarried):
            return read
        parts.append(read)
    return {"role": message["role"], "content": parts}


def _written(content: Any) -> Any:
    """A content whose texts have the name of the API; here they may be plain, or be called text."""
    if not isinstance(content, list):
        return content
    texts = [{"type": "input_text", "text": part} if isinstance(part, str) else part for part in content]
    return [part | {"type": "input_text"} if part["type"] == "text" else part for part in texts]


def _part(part: Any) -> dict[str, Any] | NotCarried:
    if isinstance(part, str):
        return {"type": "input_text", "text": part}
    if isinstance(part, Mapping):
        kind = part.get("type")
        if kind in ("input_text", "output_text") and isinstance(part.get("text"), str):
            return {"type": kind, "text": part["text"]}
        if kind == "input_image" and isinstance(part.get("image_url"), str):
            detail = {"detail": part["detail"]} if part.get("detail") in ("high", "low", "auto") else {}
            return {"type": kind, "image_url": part["image_url"], **detail}
        if kind == "input_audio":
            return NotCarried("Judges are played no sounds here.")
    return NotCarried("One of its messages holds something that is neither text nor an image.")


_READ: Mapping[str, Callable[[Mapping[str, Any]], Carried | NotCarried]] = {
    "string_check": _string_check,
    "text_similarity": _text_similarity,
    "label_model": _label_model,
    "score_model": _score_model,
    "python": _python,
    "multi": _multi,
}
