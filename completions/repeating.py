"""Code that makes a stored completion again: the same request to the same connection, not stored this time.

https://platform.openai.com/docs/api-reference/chat/create
https://learn.microsoft.com/azure/ai-foundry/openai/reference#chat-completions
"""

import math
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from completions.conversation import Conversation, Message, pick
from completions.literals import TooDeep, needs_json, python_literal, python_string, visible_json
from completions.snippets import OPENAI, key_name, made_client, token_scope
from portal.models import Auth, Connection, Kind
from portal.upstream.addresses import api_root

# What a request may hold beside model and messages, each with the value that is the same as leaving it out.
# https://platform.openai.com/docs/api-reference/chat/create
_PARAMETERS: Final[Mapping[str, Any]] = {
    "temperature": 1,
    "top_p": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "seed": None,
    "max_completion_tokens": None,
    "max_tokens": None,
    "stop": None,
    "logit_bias": None,
    "reasoning_effort": None,
    "verbosity": None,
    "response_format": {"type": "text"},
    "tools": None,
    "tool_choice": "auto",
    "parallel_tool_calls": True,
}
_NOT_KEPT = "Limits of length and stop sequences are not kept upstream; add them if there were any."
_DEPLOYMENT = "On Azure the name of a deployment stands here; the one that was used is not kept."

_DEEP = "Its request is nested too deeply to be written as code."


class CannotRepeat(ValueError):
    """There is no request to repeat; the text says why."""


def request_of(conversation: Conversation) -> dict[str, Any]:
    """The body of the request that made a completion, as far as upstream keeps it."""
    item = conversation.item
    if conversation.messages is None:
        raise CannotRepeat("Its messages are not here yet. They come with the next synchronisation.")
    model = item.get("model")
    made: dict[str, Any] = {
        "model": model if isinstance(model, str) and model else "YOUR-MODEL",
        "messages": [_message(message) for message in conversation.messages],
    }
    for name, default in _PARAMETERS.items():
        value = pick(item, name)
        if value is None or value in (default, [], {}) or not _is_finite(value):
            continue
        if name in ("tool_choice", "parallel_tool_calls") and "tools" not in made:
            continue
        made[name] = value
    user = pick(item, "input_user")
    if isinstance(user, str) and user:
        made["user"] = user
    if len(conversation.choices) > 1:
        made["n"] = len(conversation.choices)
    return made | {"store": False}


def as_python(connection: Connection, conversation: Conversation) -> str:
    """A script for the official client; the key comes from the environment."""
    return python_of(connection, request_of(conversation), _notes(connection, conversation))


def python_of(connection: Connection, request: Mapping[str, Any], notes: Iterable[str] = ()) -> str:
    """The same for a request that is at hand. Raises CannotRepeat."""
    try:
        body = "".join(f"    {name}={python_literal(value, 4)},\n" for name, value in request.items())
    except TooDeep as problem:
        raise CannotRepeat(_DEEP) from problem
    json_too = "import json\n" if needs_json(list(request.values())) else ""
    comments = "".join(f"# {note}\n" for note in notes)
    return (
        f"{comments}{json_too}{made_client(connection)}\n"
        f"completion = client.chat.completions.create(\n{body})\n"
        "for choice in completion.choices:\n"
        "    print(choice.message.content or choice.message.to_json())\n"
    )


def as_curl(connection: Connection, conversation: Conversation) -> str:
    """A command for a POSIX shell; the body is JSON between quotes that the shell does not look into."""
    return curl_of(connection, request_of(conversation), _notes(connection, conversation))


def curl_of(connection: Connection, request: Mapping[str, Any], notes: Iterable[str] = ()) -> str:
    """The same for a request that is at hand. Raises CannotRepeat."""
    comments = "".join(f"# {note}\n" for note in notes)
    command = " \\\n  ".join(
        (
            f"curl {shlex.quote(_address(connection, request['model']))}",
            f"-H {_authorization(connection)}",
            "-H 'Content-Type: application/json'",
            "--data-binary @- <<'JSON'",
        )
    )
    try:
        body = visible_json(request)
    except TooDeep as problem:
        raise CannotRepeat(_DEEP) from problem
    # A line of indented JSON never is the closing word, since text in it holds no line break.
    return f"{comments}{command}\n{body}\nJSON\n"


def _notes(connection: Connection, conversation: Conversation) -> Iterator[str]:
    identity = conversation.item.get("id")
    if isinstance(identity, str):
        yield f"Repeats the stored completion {python_string(identity)}."
    yield _NOT_KEPT
    if connection.kind in (Kind.AZURE_V1, Kind.AZURE_DATED):
        yield _DEPLOYMENT


def _address(connection: Connection, model: str) -> str:
    root = api_root(connection.kind, connection.base_url) or OPENAI
    if connection.kind == Kind.AZURE_DATED:
        deployment = quote(model, safe="", errors="replace")
        version = urlencode({"api-version": connection.api_version})
        return f"{root}/deployments/{deployment}/chat/completions?{version}"
    return f"{root}/chat/completions"


def _authorization(connection: Connection) -> str:
    """A header in double quotes, in which the shell puts the key."""
    if connection.auth in (Auth.KEY, Auth.NONE):
        azure = connection.kind in (Kind.AZURE_V1, Kind.AZURE_DATED)
        return (
            f'"api-key: ${key_name(connection)}"'
            if azure
            else f'"Authorization: Bearer ${key_name(connection)}"'
        )
    scope = shlex.quote(token_scope(connection))
    return (
        f'"Authorization: Bearer $(az account get-access-token --scope {scope} --query accessToken -o tsv)"'
    )


def _message(message: Message) -> dict[str, Any]:
    """A kept message as it was sent: without what upstream added when it answered or stored."""
    raw = message.raw
    made: dict[str, Any] = {"role": message.role}
    parts = raw.get("content_parts") or raw.get("contentParts") or raw.get("content")
    if parts is not None:
        made["content"] = _without_nothing(parts)
    if message.name:
        made["name"] = message.name
    refusal = raw.get("refusal")
    if isinstance(refusal, str) and refusal:
        made["refusal"] = refusal
    if message.tool_call_id:
        made["tool_call_id"] = message.tool_call_id
    calls = pick(raw, "tool_calls")
    if isinstance(calls, list) and calls:
        made["tool_calls"] = _without_nothing(calls)
    legacy = pick(raw, "function_call")
    if isinstance(legacy, dict):
        made["function_call"] = legacy
    audio = raw.get("audio")
    if isinstance(audio, dict) and isinstance(audio.get("id"), str):
        made["audio"] = {"id": audio["id"]}
    if "content" not in made and not {"tool_calls", "function_call", "refusal", "audio"} & made.keys():
        made["content"] = ""
    return made


def _without_nothing(entries: Any) -> Any:
    """Entries without their empty fields, which services write and do not take back."""
    if not isinstance(entries, list):
        return entries
    return [
        {name: value for name, value in each.items() if value is not None} if isinstance(each, dict) else each
        for each in entries
    ]


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
