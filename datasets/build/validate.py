"""Lines of a supervised chat file to a list of problems with their line numbers. Pure.

The names of the format's own checks follow
https://cookbook.openai.com/examples/chat_finetuning_data_prep
"""

import codecs
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

MIN_EXAMPLES = 10
MAX_FILE_BYTES = 512 * 1024 * 1024
MESSAGE_KEYS = frozenset({"role", "content", "name", "tool_calls", "tool_call_id", "function_call", "weight"})
ROLES = frozenset({"system", "user", "assistant", "tool", "function"})
_TOKEN_LIMITS = (("gpt-4.1-nano", 32_768), ("gpt-4.1", 65_536), ("gpt-4o", 65_536), ("o4-mini", 65_536))

WARNINGS = {
    "truncated": "The answer was cut off at its length limit; the model learns to stop there",
    "filtered": "The answer was cut off by a content filter",
    "over_long": "More tokens than the model is trained with; the provider cuts the end off",
    "duplicate": "The same line occurs before",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """`line` counts from 1; 0 means the file as a whole. An `error` makes the provider refuse the file."""

    code: str
    line: int
    text: str
    severity: Literal["error", "warning"] = "error"

    def as_dict(self) -> dict[str, Any]:
        return {"code": self.code, "line": self.line, "text": self.text, "severity": self.severity}


def token_limit(base_model: str) -> int | None:
    """Most tokens of one training row, where the provider says so for this model."""
    return next((limit for name, limit in _TOKEN_LIMITS if base_model.startswith(name)), None)


def warning(code: str, line: int) -> Problem:
    return Problem(code, line, WARNINGS.get(code, code), "warning")


def of_line(number: int, line: bytes) -> list[Problem]:
    """Problems of one line, given as the bytes of the file."""
    if number == 1 and line.startswith(codecs.BOM_UTF8):
        return [Problem("bom", number, "The file starts with a byte order mark")]
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return [Problem("not_utf8", number, "The line is not UTF-8")]
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return [Problem("not_json", number, "The line is not JSON")]
    return [Problem(code, number, words) for code, words in _of_object(value)]


def of_file(examples: int, size: int) -> list[Problem]:
    """Problems of the file as a whole."""
    found = []
    if examples < MIN_EXAMPLES:
        found.append(
            Problem("too_few", 0, f"{examples} examples; a fine-tuning job needs at least {MIN_EXAMPLES}.")
        )
    if size > MAX_FILE_BYTES:
        found.append(Problem("too_large", 0, f"{size:,} bytes; a training file may have {MAX_FILE_BYTES:,}."))
    return found


def _of_object(value: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        yield "data_type", "The line is not a JSON object"
        return
    messages = value.get("messages")
    if not isinstance(messages, list) or not messages:
        yield "missing_messages_list", "There is no list of messages"
        return
    if len(messages) > 2048:
        yield "too_many_messages", "There are more than 2,048 messages"
    for message in messages:
        yield from _of_message(message)
    entries = [message for message in messages if isinstance(message, dict)]
    yield from _of_answers(entries)
    yield from _of_tools(value, entries)


def _of_message(message: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(message, dict) or "role" not in message:
        yield "message_missing_key", "A message has no role"
        return
    calls = message.get("tool_calls") or message.get("function_call")
    if "content" not in message and not calls:
        yield "message_missing_key", "A message has no content"
    strange = sorted(set(message) - MESSAGE_KEYS)
    if strange:
        yield "message_unrecognized_key", f"A message has a key that is not known: {strange[0]!r:.60}"
    if message["role"] not in ROLES:
        yield "unrecognized_role", f"A message has a role that is not known: {message['role']!r:.60}"
    content = message.get("content")
    if not isinstance(content, (str, list)) and not calls:
        yield "missing_content", "A message's content is neither text nor parts"
    if isinstance(content, list):
        yield from _of_parts(content, message["role"])
    if "weight" in message and (message["weight"] not in (0, 1) or isinstance(message["weight"], bool)):
        yield "weight", "A weight is neither 0 nor 1"


def _of_parts(parts: list[Any], role: Any) -> Iterator[tuple[str, str]]:
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "image_url":
            if role != "user":
                yield "image_elsewhere", "An image stands outside the user's messages"
        elif kind != "text":
            yield "unrecognized_part", "A part of a message is neither text nor an image"


def _of_answers(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    answers = [message for message in messages if message.get("role") == "assistant"]
    if not answers:
        yield "example_missing_assistant_message", "There is no answer of the assistant"
        return
    if messages[-1].get("role") != "assistant":
        yield "trailing_message", "The last message is not the assistant's"
    if all(answer.get("weight") == 0 for answer in answers):
        yield "nothing_to_train", "Every answer has weight 0"


def _of_tools(value: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    tools = value.get("tools")
    defined = {name for tool in tools if (name := _tool_name(tool))} if isinstance(tools, list) else set()
    if isinstance(tools, list) and len(tools) > 128:
        yield "too_many_tools", "There are more than 128 tools"
    asked: set[Any] = set()
    for message in messages:
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else []:
            function = call.get("function") if isinstance(call, dict) else None
            if not isinstance(function, dict):
                yield "tool_call", "A tool call names no function"
                continue
            asked.add(call.get("id"))
            if function.get("name") not in defined:
                yield "tool_call_without_tools", "A tool is called that `tools` does not define"
            if not _is_json(function.get("arguments")):
                yield "tool_arguments", "A tool call's arguments are not JSON"
        if message.get("role") == "tool" and message.get("tool_call_id") not in asked:
            yield "tool_id_lost", "A tool's result answers no earlier call"


def _tool_name(tool: Any) -> str:
    function = tool.get("function") if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else ""


def _is_json(text: Any) -> bool:
    if not isinstance(text, str):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
