"""Chat completions: what is asked is checked, answered, streamed, and stored on request."""

import json
from collections.abc import Iterator
from typing import Any

from portal.sandbox import brains
from portal.sandbox.call import Call, Reply, check_metadata
from portal.sandbox.draw import Draw, digest
from portal.sandbox.kinds import Json, text_of
from portal.sandbox.personality import INFER, ApiError
from portal.sandbox.story import tokens

_ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
_SAFE: Json = {
    **{name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")},
    **{name: {"filtered": False, "detected": False} for name in ("jailbreak", "protected_material_text")},
}


def create(call: Call) -> Reply:
    """https://platform.openai.com/docs/api-reference/chat/create"""
    call.need(INFER)
    body = call.json()
    deployment = call.deployment or body.get("model")
    if not isinstance(deployment, str) or not deployment:
        raise ApiError(400, "missing_required_parameter", "you must provide a model parameter", param="model")
    model = resolve_model(call, deployment)
    messages = _check_messages(body.get("messages"))
    metadata = check_metadata(body.get("metadata"))
    if metadata and not body.get("store"):
        raise ApiError(
            400,
            "invalid_value",
            "The 'metadata' parameter is only allowed when 'store' is enabled.",
            param="metadata",
        )
    count = body.get("n") or 1
    if not isinstance(count, int) or not 1 <= count <= 128:
        raise ApiError(400, "invalid_value", "Invalid 'n': expected a value between 1 and 128.", param="n")
    if call.personality.azure and any("sandbox-filter" in text_of(m.get("content")) for m in messages):
        raise ApiError(
            400,
            "content_filter",
            "The response was filtered due to the prompt triggering Azure OpenAI's content management "
            "policy. Please modify your prompt and retry.",
            inner={
                "code": "ResponsibleAIPolicyViolation",
                "content_filter_result": {**_SAFE, "jailbreak": {"filtered": True, "detected": True}},
            },
        )
    completion = _answer(call, body, model, messages, count)
    effect = None
    if body.get("store"):
        row = _to_store(call, body, completion, metadata, messages, deployment)
        call.commit({"change": "completion.add", "row": row})
        effect = f"created:{completion['id']}"
    if call.personality.azure:
        completion["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": _SAFE}]
        for choice in completion["choices"]:
            choice["content_filter_results"] = _SAFE
    if body.get("stream"):
        usage = (body.get("stream_options") or {}).get("include_usage", False)
        stream = _stream(completion, with_usage=bool(usage), azure=call.personality.azure)
        return Reply(effect=effect, content_type="text/event-stream; charset=utf-8", stream=stream)
    return Reply(completion, effect=effect)


def resolve_model(call: Call, name: str) -> str:
    """The model that a deployment's name, or a model's, stands for; ApiError if it cannot be called."""
    state, now = call.state, call.now
    if call.personality.azure:
        deployment = state.deployments.get(name)
        if deployment is None or not deployment.callable_at(now):
            raise ApiError(
                404,
                "DeploymentNotFound",
                "The API deployment for this resource does not exist. If you created the deployment "
                "within the last 5 minutes, please wait a moment and try again.",
            )
        if ".ft-" in deployment.model or deployment.model.startswith("ftchkpt") or deployment.version == "1":
            return deployment.model
        return f"{deployment.model}-{deployment.version}"
    if name.startswith("ft:") and name in state.tuned(now):
        return name
    if name in KNOWN_MODELS and name not in state.gone_models:
        return KNOWN_MODELS[name]
    raise ApiError(
        404,
        "model_not_found",
        f"The model `{name}` does not exist or you do not have access to it.",
        param=None,
    )


KNOWN_MODELS = {
    name: version
    for alias, version in {
        "gpt-4o": "gpt-4o-2024-08-06",
        "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
        "gpt-4.1": "gpt-4.1-2025-04-14",
        "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
        "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    }.items()
    for name in (alias, version)
}


def _check_messages(messages: object) -> list[Json]:
    if not isinstance(messages, list) or not messages:
        raise ApiError(
            400, "invalid_type", "Invalid 'messages': expected a non-empty array.", param="messages"
        )
    called: set[str] = set()
    for position, message in enumerate(messages):
        where = f"messages[{position}]"
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            role = message.get("role") if isinstance(message, dict) else message
            raise ApiError(400, "invalid_value", f"Invalid value: '{role}'.", param=f"{where}.role")
        content = message.get("content")
        calls = message.get("tool_calls")
        refused = message["role"] == "assistant" and message.get("refusal")
        if not (isinstance(content, str | list) or calls or message.get("function_call") or refused):
            text = "Invalid value for 'content': expected a string, got null."
            raise ApiError(400, "invalid_type", text, param=f"{where}.content")
        called.update(c.get("id", "") for c in calls or [] if isinstance(c, dict))
        if message["role"] == "tool" and message.get("tool_call_id") not in called:
            raise ApiError(
                400,
                "",
                "Invalid parameter: messages with role 'tool' must be a response to a preceding message with "
                "'tool_calls'.",
                param=f"{where}.role",
            )
    return messages


def _answer(call: Call, body: Json, model: str, messages: list[Json], count: int) -> Json:
    form = body.get("response_format") or {}
    schema = (form.get("json_schema") or {}).get("schema") if form.get("type") == "json_schema" else None
    may_call = bool(body.get("tools")) and body.get("tool_choice") != "none"
    said = brains.say(call.state.skill_of(model, call.now), messages, tools=may_call, schema=schema)
    content = said.content
    if content is not None and form.get("type") in ("json_object", "json_schema") and not _is_json(content):
        content = json.dumps(
            brains.fill(schema, content, able=False) if schema else {"answer": content}, ensure_ascii=False
        )
    finish = "tool_calls" if said.tool_call else "stop"
    allowed = body.get("max_completion_tokens") or body.get("max_tokens")
    if content is not None and isinstance(allowed, int) and tokens(content) > allowed:
        content, finish = content[: allowed * 4], "length"
    identity = digest(model, json.dumps(messages), call.now, len(call.state.added), call.state.number)
    draw = Draw("chatcmpl", identity)
    calls = None
    if said.tool_call:
        name, arguments = said.tool_call
        function = {"name": _offered(body["tools"], name), "arguments": arguments}
        calls = [{"id": f"call_{draw.number():016x}", "type": "function", "function": function}]
    message: Json = {"role": "assistant", "content": content, "refusal": said.refusal}
    if calls:
        message["tool_calls"] = calls
    asked = sum(tokens(text_of(m.get("content"))) + 4 for m in messages)
    answered = (tokens(content or said.refusal or "") + (20 if calls else 0)) * count
    return {
        "id": "chatcmpl-" + _letters(draw, 29),
        "object": "chat.completion",
        "created": int(call.now),
        "model": model,
        "choices": [
            {"index": i, "message": dict(message), "logprobs": None, "finish_reason": finish}
            for i in range(count)
        ],
        "usage": {
            "prompt_tokens": asked,
            "completion_tokens": answered,
            "total_tokens": asked + answered,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": f"fp_{digest(model):016x}"[:13],
    }


def _offered(tools: Any, wanted: str) -> str:
    """The wanted tool if it is offered, otherwise the first one."""
    names = [t.get("function", {}).get("name", wanted) for t in tools if isinstance(t, dict)]
    return wanted if wanted in names or not names else str(names[0])


def _letters(draw: Draw, length: int) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return "".join(draw.pick(alphabet) for _ in range(length))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _to_store(
    call: Call, body: Json, completion: Json, metadata: dict[str, str], messages: list[Json], deployment: str
) -> Json:
    number = digest(completion["id"], "seed")
    usage = {k: completion["usage"][k] for k in ("prompt_tokens", "completion_tokens", "total_tokens")}
    stored = {
        **completion,
        "choices": [{**c, "message": {"tool_calls": None, **c["message"]}} for c in completion["choices"]],
        "usage": usage,
        "request_id": f"{number:016x}" * 2,
        "metadata": metadata,
        "input_user": body.get("user"),
        "seed": body.get("seed") if body.get("seed") is not None else number - (1 << 63),
        "temperature": body.get("temperature", 1.0),
        "top_p": body.get("top_p", 1.0),
        "presence_penalty": body.get("presence_penalty", 0.0),
        "frequency_penalty": body.get("frequency_penalty", 0.0),
        "tools": body.get("tools"),
        "tool_choice": body.get("tool_choice"),
        "response_format": body.get("response_format"),
    }
    return {
        "id": completion["id"],
        "created": completion["created"],
        "deployment": deployment,
        "completion": stored,
        "messages": messages,
    }


def _stream(completion: Json, *, with_usage: bool, azure: bool) -> Iterator[tuple[float, bytes]]:
    head = {k: completion[k] for k in ("id", "created", "model", "system_fingerprint", "service_tier")}
    head["object"] = "chat.completion.chunk"

    def event(choices: list[Json], **more: Any) -> tuple[float, bytes]:
        data = {**head, "choices": choices, **({"usage": None} if with_usage else {}), **more}
        return 0.0, b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"

    if azure:  # its first chunk carries the verdict on the prompt and nothing else
        verdict = completion["prompt_filter_results"]
        yield event([], id="", model="", object="", created=0, prompt_filter_results=verdict)
    for choice in completion["choices"]:
        index, message = choice["index"], choice["message"]
        yield event([_delta(index, {"role": "assistant", "content": "", "refusal": None})])
        text = message.get("content") or ""
        for start in range(0, len(text), 24):
            yield event([_delta(index, {"content": text[start : start + 24]})])
        if message.get("refusal"):
            yield event([_delta(index, {"refusal": message["refusal"]})])
        for number, called in enumerate(message.get("tool_calls") or []):
            yield event([_delta(index, {"tool_calls": [{"index": number, **called}]})])
        yield event([_delta(index, {}, choice["finish_reason"])])
    if with_usage:
        yield event([], usage=completion["usage"])
    yield 0.0, b"data: [DONE]\n\n"


def _delta(index: int, delta: Json, finish: str | None = None) -> Json:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
