"""What the bodies of evaluations and their runs must be; everything else is refused before it is made."""

import json
from typing import Any

from portal.sandbox.call import Call
from portal.sandbox.kinds import Json
from portal.sandbox.personality import ApiError

_METRICS = {
    "fuzzy_match", "bleu", "gleu", "meteor", "cosine",
    "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l",
}  # fmt: skip
_FIELDS = {
    "string_check": ("input", "reference", "operation"),
    "text_similarity": ("input", "reference", "evaluation_metric", "pass_threshold"),
    "label_model": ("model", "input", "labels", "passing_labels"),
    "score_model": ("model", "input"),
    "python": ("source",),
}
_SAMPLING = {
    "temperature", "top_p", "seed", "max_completion_tokens", "max_tokens", "reasoning_effort",
    "response_format", "tools",
}  # fmt: skip
MOST_INLINE = 4 * 1024 * 1024


def _invalid(param: str, words: str) -> ApiError:
    return ApiError(400, "invalidPayload", words, param=param)


def config(given: Any) -> Json:
    """As it is shown afterwards: the schema wrapped, under another name than it was sent."""
    kind = given.get("type") if isinstance(given, dict) else None
    if kind in ("logs", "stored_completions"):
        return {"type": kind, "metadata": given.get("metadata") or {}, "schema": {"type": "object"}}
    if kind != "custom":
        raise _invalid("data_source_config.type", f"Invalid 'data_source_config.type': '{kind}'.")
    schema = given.get("item_schema")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise _invalid("data_source_config.item_schema", "'item_schema' must be the schema of an object.")
    parts: Json = {"item": schema}
    if given.get("include_sample_schema"):
        parts["sample"] = {"type": "object"}
    return {
        "type": "custom",
        "schema": {"type": "object", "properties": parts, "required": list(parts)},
    }


def criteria(given: Any, *, dated: bool) -> list[Json]:
    if not isinstance(given, list) or not given:
        raise _invalid("testing_criteria", "'testing_criteria' must hold at least one criterion.")
    for number, criterion in enumerate(given):
        where = f"testing_criteria[{number}]"
        kind = criterion.get("type") if isinstance(criterion, dict) else None
        if kind not in _FIELDS or (kind == "python" and dated):
            raise _invalid(f"{where}.type", f"Invalid type of testing criterion: '{kind}'.")
        for name in ("name", *_FIELDS[kind]):
            if criterion.get(name) in (None, "", []):
                raise _invalid(f"{where}.{name}", f"Missing required parameter: '{where}.{name}'.")
        if kind == "string_check" and criterion["operation"] not in ("eq", "ne", "like", "ilike"):
            raise _invalid(f"{where}.operation", f"Invalid operation: '{criterion['operation']}'.")
        metric = criterion.get("evaluation_metric")
        if kind == "text_similarity" and (metric not in _METRICS or (metric == "cosine" and dated)):
            raise _invalid(f"{where}.evaluation_metric", f"Invalid metric: '{metric}'.")
        if kind == "label_model" and not {*criterion["passing_labels"]} <= {*criterion["labels"]}:
            raise _invalid(f"{where}.passing_labels", "'passing_labels' must be among 'labels'.")
        unknown = {*criterion} - {"type", "name", *_FIELDS[kind], *_FURTHER.get(kind, ())}
        if unknown:
            raise _invalid(where, f"Unknown parameter: '{where}.{min(unknown)}'.")
    if len({criterion["name"] for criterion in given}) < len(given):
        raise _invalid("testing_criteria", "Names of testing criteria must differ.")
    return [dict(criterion) for criterion in given]


_FURTHER = {
    "score_model": ("range", "pass_threshold", "sampling_params"),
    "python": ("image_tag", "pass_threshold"),
}


def data_source(call: Call, given: Any) -> tuple[Json, list[Json]]:
    """A run's source as it is shown, without the rows; and the rows."""
    kind = given.get("type") if isinstance(given, dict) else None
    if kind not in ("jsonl", "completions"):
        raise _invalid("data_source.type", f"Invalid 'data_source.type': '{kind}'.")
    rows = _rows(call, given.get("source"))
    if not rows:
        raise _invalid("data_source.source", "The source holds no rows.")
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not isinstance(row.get("item"), dict):
            raise _invalid("data_source.source", f"Row {number + 1} holds no item.")
    if kind == "completions":
        asked = given.get("input_messages")
        named = isinstance(asked, dict) and asked.get("type") == "item_reference"
        if not isinstance(given.get("model"), str) or not named:
            raise _invalid("data_source.input_messages", "'model' and 'input_messages' are required.")
        unknown = {*(given.get("sampling_params") or {})} - _SAMPLING
        if unknown:
            raise _invalid("data_source.sampling_params", f"Unknown parameter: '{min(unknown)}'.")
    source = given["source"]
    shown = (
        {"type": "file_id", "id": source["id"]} if source["type"] == "file_id" else {"type": source["type"]}
    )
    return {**given, "source": shown}, rows


def _rows(call: Call, source: Any) -> list[Any]:
    kind = source.get("type") if isinstance(source, dict) else None
    if kind == "file_content" and isinstance(source.get("content"), list):
        if call.request.size > MOST_INLINE:
            raise ApiError(413, "invalidPayload", "The body is too large; upload a file instead.")
        return list(source["content"])
    if kind != "file_id":
        raise _invalid("data_source.source.type", f"Invalid 'source.type': '{kind}'.")
    file = call.state.files.get(str(source.get("id")))
    if file is None or file.purpose != "evals":
        raise _invalid("data_source.source.id", f"No file for evals has the id '{source.get('id')}'.")
    if file.status(call.now) != "processed":
        raise _invalid("data_source.source.id", f"The file '{file.id}' has not finished importing.")
    path = call.state.folder / file.id
    return [
        json.loads(line)
        for line in path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines()
        if line.strip()
    ]
