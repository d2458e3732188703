"""The three formats of training files, line by line: what a service says to a line that it cannot train on.

https://platform.openai.com/docs/api-reference/fine-tuning/chat-input
https://platform.openai.com/docs/api-reference/fine-tuning/preference-input
https://platform.openai.com/docs/api-reference/fine-tuning/reinforcement-input
"""

import json
from collections.abc import Sequence
from typing import Any

from portal.sandbox.kinds import Json

SUPERVISED, DPO, REINFORCEMENT = "supervised", "dpo", "reinforcement"
_ROLES = {"system", "user", "assistant", "tool", "function"}
_MESSAGE_KEYS = {"role", "content", "name", "tool_calls", "tool_call_id", "function_call", "weight"}
_EXAMPLE_KEYS = {"messages", "tools", "parallel_tool_calls", "functions"}
_PAIR_KEYS = {"input", "preferred_output", "non_preferred_output"}
_PICTURES = (
    "data:image/png;",
    "data:image/jpeg;",
    "data:image/jpg;",
    "data:image/webp;",
    "https://",
    "http://",
)
_MOST_PICTURES = 64


def method_of(example: Json) -> str:
    """The method that a line seems to be for."""
    if "preferred_output" in example or "non_preferred_output" in example:
        return DPO
    messages = example.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    asks = isinstance(last, dict) and last.get("role") == "user"
    return REINFORCEMENT if asks else SUPERVISED


def read(line: bytes) -> tuple[str | None, Json | None]:
    """(what is wrong with the line, the object); no object if it is none."""
    try:
        example = json.loads(line.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return "is not valid JSON in UTF-8", None
    if not isinstance(example, dict):
        return "is not a JSON object", None
    return None, example


def _refuse(name: str) -> Any:
    raise ValueError(name)


def problem_of(example: Json, method: str, *, pictures_in_pairs: bool = True) -> str | None:
    """Why a line cannot be used for the method."""
    if method == DPO:
        return _pair(example) or (None if pictures_in_pairs or not _pictures(example) else "holds an image")
    return {SUPERVISED: _supervised, REINFORCEMENT: _reinforcement}[method](example)


def _supervised(example: Json) -> str | None:
    unknown = set(example) - _EXAMPLE_KEYS
    if unknown and isinstance(example.get("messages"), list):
        return f"has unrecognized keys {sorted(unknown)}"
    found = _talk(example.get("messages"), example, set())
    if found:
        return found
    messages = example["messages"]
    if not any(m["role"] == "assistant" and m.get("weight") != 0 for m in messages):
        return "has no assistant message to learn from"
    return "ends with a message that is not the assistant's" if messages[-1]["role"] != "assistant" else None


def _reinforcement(example: Json) -> str | None:
    found = _talk(example.get("messages"), example, set(), roles=_ROLES | {"developer"})
    if found:
        return found
    return "must end with a message of the user" if example["messages"][-1]["role"] != "user" else None


def _pair(example: Json) -> str | None:
    unknown = set(example) - _PAIR_KEYS
    if unknown:
        return f"has unrecognized keys {sorted(unknown)}"
    given = example.get("input")
    if not isinstance(given, dict):
        return "has no 'input' object"
    unknown = set(given) - _EXAMPLE_KEYS
    if unknown:
        return f"has unrecognized keys {sorted(unknown)} in 'input'"
    called: set[str] = set()
    found = _talk(given.get("messages"), given, called)
    if found:
        return f"'input' {found}"
    for name in ("preferred_output", "non_preferred_output"):
        output = example.get(name)
        found = _talk(output, given, set(called), roles={"assistant", "tool"})
        if found:
            return f"'{name}' {found}"
        if not any(message["role"] == "assistant" for message in output or ()):
            return f"'{name}' has no assistant message"
    return None


def _talk(messages: Any, holder: Json, called: set[str], roles: set[str] = _ROLES) -> str | None:
    """What is wrong with a list of messages; `called` gathers the calls that tools may answer."""
    if not isinstance(messages, list) or not messages:
        return "has no list of messages"
    if len(messages) > 2048:
        return "has more than 2048 messages"
    tools = holder.get("tools")
    if tools is not None and not _are_tools(tools):
        return "has malformed tools"
    if "parallel_tool_calls" in holder and not (isinstance(holder["parallel_tool_calls"], bool) and tools):
        return "has 'parallel_tool_calls' that is not a boolean beside tools"
    has_tools = bool(tools or holder.get("functions"))
    for position, message in enumerate(messages):
        found = _message(message, called, roles, has_tools=has_tools)
        if found:
            return f"message {position} {found}"
    return "has too many images" if _pictures({"messages": messages}) > _MOST_PICTURES else None


def _are_tools(tools: Any) -> bool:
    if not isinstance(tools, list) or len(tools) > 128:
        return False
    functions = [tool.get("function") if isinstance(tool, dict) else None for tool in tools]
    return all(isinstance(function, dict) and isinstance(function.get("name"), str) for function in functions)


def _message(message: Any, called: set[str], roles: set[str], *, has_tools: bool) -> str | None:
    if not isinstance(message, dict) or str(message.get("role")) not in roles:
        return "has no known role" if roles >= _ROLES else "has a role that an output cannot have"
    unknown = set(message) - _MESSAGE_KEYS
    if unknown:
        return f"has unrecognized keys {sorted(unknown)}"
    calls, content = message.get("tool_calls"), message.get("content")
    if not isinstance(content, str | list) and not (calls or message.get("function_call")):
        return "has no content"
    weight = message.get("weight", 1)
    if "weight" in message and (
        message["role"] != "assistant" or isinstance(weight, bool) or weight not in (0, 1)
    ):
        return "has a weight that is not 0 or 1 on an assistant message"
    if calls:
        if not has_tools:
            return "calls a tool, but the example defines none"
        if not isinstance(calls, list) or not all(_is_call(call) for call in calls):
            return "has malformed tool calls"
        called.update(call["id"] for call in calls)
    if message["role"] == "tool" and str(message.get("tool_call_id")) not in called:
        return "answers a tool call that was not made"
    return _content(content, message["role"]) if isinstance(content, list) else None


def _is_call(call: Any) -> bool:
    function = call.get("function") if isinstance(call, dict) else None
    return (
        isinstance(function, dict) and isinstance(call.get("id"), str) and _is_json(function.get("arguments"))
    )


def _is_json(text: Any) -> bool:
    try:
        json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _content(parts: Sequence[Any], role: str) -> str | None:
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            continue
        image = part.get("image_url") if kind == "image_url" else None
        url = image.get("url") if isinstance(image, dict) else None
        if not isinstance(url, str):
            return "has a part that is neither text nor an image"
        if role != "user":
            return "has an image, which only a user's message can have"
        if not url.startswith(_PICTURES):
            return "has an image of a type that is not supported"
    return None


def _pictures(example: Json) -> int:
    given = example.get("input")
    talks = [example.get("messages"), given.get("messages") if isinstance(given, dict) else None]
    contents = [message.get("content") for talk in talks if talk for message in talk]
    return sum(
        part.get("type") == "image_url" for parts in contents if isinstance(parts, list) for part in parts
    )
