"""Models and embeddings."""

import array
import base64
import math
import re

from portal.sandbox.call import Call, Reply
from portal.sandbox.chat import KNOWN_MODELS, resolve_model
from portal.sandbox.draw import digest
from portal.sandbox.kinds import Json
from portal.sandbox.personality import INFER, TUNE, ApiError
from portal.sandbox.state import EMBEDDINGS, TUNABLE

_DIMENSIONS = 1536
_RELEASED = 1744588800  # 2025-04-14


def models(call: Call) -> Reply:
    return Reply({"object": "list", "data": _every_model(call)})


def model(call: Call) -> Reply:
    name = "/".join(call.parts[1:])
    for item in _every_model(call):
        if item["id"] == name:
            return Reply(item)
    if call.personality.azure:
        raise call.personality.not_found("Model", name)
    raise ApiError(404, "model_not_found", f"The model '{name}' does not exist", param="model")


def delete(call: Call) -> Reply:
    call.need(TUNE)
    name = "/".join(call.parts[1:])
    if name not in call.state.tuned(call.now):
        raise call.personality.not_found("Model", name)
    if any(deployment.model == name for deployment in call.state.deployments.values()):
        raise ApiError(409, "conflict", f"The model '{name}' is deployed.")
    call.commit({"change": "model.delete", "id": name})
    return Reply({"object": "model", "id": name, "deleted": True}, effect=f"deleted:{name}")


def _every_model(call: Call) -> list[Json]:
    names = sorted({*KNOWN_MODELS.values(), *TUNABLE, EMBEDDINGS})
    if not call.personality.azure:
        names = sorted({*names, *KNOWN_MODELS})
    found = [_view(call, name, None, None, _RELEASED) for name in names]
    for name, (job, _) in call.state.tuned(call.now).items():
        if name.startswith("ftchkpt") or ":ckpt-" in name:
            continue
        found.append(_view(call, name, job.model, job.id, int(job.finished_at(call.now) or 0)))
    return found


def _view(call: Call, name: str, base: str | None, job: str | None, created: int) -> Json:
    embeds = name.startswith("text-embedding")
    if not call.personality.dated:
        owner = "system" if base is None else "sandbox"
        item: Json = {"id": name, "object": "model", "created": created, "owned_by": owner}
        item["shutdown_date"] = "2027-01-14" if base is None and not embeds else None
        return item
    return {
        "id": name,
        "object": "model",
        "created_at": created,
        "status": "succeeded",
        "model": base,
        "fine_tune": job,
        "capabilities": {
            "fine_tune": name in TUNABLE,
            "inference": True,
            "completion": False,
            "chat_completion": not embeds,
            "embeddings": embeds,
        },
        "lifecycle_status": "generally-available",
        "deprecation": {"fine_tune": 1799884800, "inference": 1810252800},
    }


def embeddings(call: Call) -> Reply:
    """https://platform.openai.com/docs/api-reference/embeddings/create"""
    call.need(INFER)
    body = call.json()
    name = call.deployment or body.get("model")
    if not isinstance(name, str):
        raise ApiError(400, "missing_required_parameter", "you must provide a model parameter", param="model")
    used = EMBEDDINGS if name == EMBEDDINGS and not call.personality.azure else resolve_model(call, name)
    if not used.startswith("text-embedding"):
        raise ApiError(
            400, "OperationNotSupported", "The embeddings operation does not work with the specified model."
        )
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise ApiError(400, "invalid_type", "Invalid 'input': expected a string or strings.", param="input")
    size = body.get("dimensions") or _DIMENSIONS
    if not isinstance(size, int) or not 1 <= size <= _DIMENSIONS:
        raise ApiError(
            400, "invalid_value", f"Invalid 'dimensions': at most {_DIMENSIONS}.", param="dimensions"
        )
    vectors = [vector(text, size) for text in texts]
    count = sum(len(text) // 4 + 1 for text in texts)
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": _base64(found) if body.get("encoding_format") == "base64" else found,
        }
        for index, found in enumerate(vectors)
    ]
    usage = {"prompt_tokens": count, "total_tokens": count}
    return Reply({"object": "list", "data": data, "model": used, "usage": usage})


def vector(text: str, size: int) -> list[float]:
    """Texts that share words point the same way: each word and trigram counts in one hashed place."""
    values = [0.0] * size
    lowered = text.lower()
    for word in re.findall(r"\w+", lowered):
        place = digest("word", word)
        values[place % size] += 1.0 if place >> 63 else -1.0
    for start in range(len(lowered) - 2):
        place = digest("letters", lowered[start : start + 3])
        values[place % size] += 0.3 if place >> 63 else -0.3
    length = math.sqrt(sum(value * value for value in values)) or 1.0
    return [round(value / length, 7) for value in values]


def _base64(values: list[float]) -> str:
    return base64.b64encode(array.array("f", values).tobytes()).decode()
