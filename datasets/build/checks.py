"""What is looked at in one line, by purpose. Pure.

Each check yields (code, words): a code of datasets.build.format_rules, and words, which are empty where those
of the rule say it all.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from datasets.build import keys, patterns
from datasets.build.convert import IMAGE_TYPES, MAX_IMAGE_BYTES, MAX_IMAGES, MAX_MESSAGES, MAX_TOOLS
from datasets.build.rules import declines
from datasets.models import Purpose

Found = Iterator[tuple[str, str]]

MESSAGE_KEYS: Final = frozenset(
    {"role", "content", "name", "tool_calls", "tool_call_id", "function_call", "weight"}
)
LINE_KEYS: Final = {
    Purpose.SUPERVISED: frozenset({"messages", "tools", "parallel_tool_calls", "functions"}),
    Purpose.PREFERENCE: frozenset({"input", "preferred_output", "non_preferred_output"}),
}
INPUT_KEYS: Final = frozenset({"messages", "tools", "parallel_tool_calls"})
OUTPUTS: Final = ("preferred_output", "non_preferred_output")
# The names of an older format.
OLD_OUTPUTS: Final = {
    "preferred_completion": "preferred_output",
    "non_preferred_completion": "non_preferred_output",
}
ROLES: Final = frozenset({"system", "user", "assistant", "tool", "function"})
REASONING_ROLES: Final = ROLES | {"developer"}
_SHORTEST_KEY: Final = 20  # characters without a space; looking closely is slow, and most texts have none
_BREAKS: Final = ("\u2028", "\u2029", "\x85")


def of_text(text: str, value: Any) -> Found:
    """What only the text of a line shows, not what it means."""
    if any(character in text for character in _BREAKS):
        yield "line_separator", ""
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except (UnicodeEncodeError, RecursionError):
            yield "half_character", ""


def of_supervised(value: Mapping[str, Any]) -> Found:
    yield from _of_keys(value, LINE_KEYS[Purpose.SUPERVISED])
    messages = value.get("messages")
    if not isinstance(messages, list) or not messages:
        yield "missing_messages_list", ""
        return
    yield from _of_messages(messages, ROLES)
    entries = [message for message in messages if isinstance(message, dict)]
    yield from _of_answers(entries)
    yield from _of_tools(value, entries)


def of_preference(value: Mapping[str, Any]) -> Found:
    if OLD_OUTPUTS.keys() & value.keys():
        yield "old_outputs", ""
    yield from _of_keys(value, LINE_KEYS[Purpose.PREFERENCE] | OLD_OUTPUTS.keys())
    given = value.get("input")
    if not isinstance(given, dict):
        yield "missing_input", ""
        given = {}
    else:
        yield from _of_keys(given, INPUT_KEYS)
    messages = given.get("messages")
    if isinstance(messages, list) and messages:
        yield from _of_messages(messages, ROLES)
    else:
        yield "missing_messages_list", ""
        messages = []
    for name in OUTPUTS:
        yield from _of_output(value, name, given, [entry for entry in messages if isinstance(entry, dict)])
    if value.get(OUTPUTS[0]) and value.get(OUTPUTS[0]) == value.get(OUTPUTS[1]):
        yield "same_output", ""
    if has_images(value):
        yield "image_in_pair", ""


def _of_output(
    value: Mapping[str, Any], name: str, given: Mapping[str, Any], asked: list[dict[str, Any]]
) -> Found:
    output = value.get(name)
    if not isinstance(output, list) or not output:
        yield "missing_output", f"There is no list of messages as {name}"
        return
    yield from _of_messages(output, ROLES)
    entries = [message for message in output if isinstance(message, dict)]
    if any(message.get("role") not in ("assistant", "tool") for message in entries):
        yield "output_role", ""
    answers = [message for message in entries if message.get("role") == "assistant"]
    if not answers:
        yield "example_missing_assistant_message", ""
    elif any(_is_blank(answer) for answer in answers):
        yield "empty_text", ""
    if name == OUTPUTS[0] and answers and declines(_text(answers[-1])):
        yield "refusal", ""
    yield from _of_tools(given, [*asked, *entries])


def of_reinforcement(value: Mapping[str, Any]) -> Found:
    messages = value.get("messages")
    if not isinstance(messages, list) or not messages:
        yield "missing_messages_list", ""
        return
    yield from _of_messages(messages, REASONING_ROLES)
    entries = [message for message in messages if isinstance(message, dict)]
    if not entries or entries[-1].get("role") != "user":
        yield "last_not_user", ""
    yield from _of_tools(value, entries)


def of_item(value: Mapping[str, Any]) -> Found:
    if not isinstance(value.get("item"), dict):
        yield "missing_item", ""


CHECKS: Final[Mapping[str, Callable[[Mapping[str, Any]], Found]]] = {
    Purpose.SUPERVISED: of_supervised,
    Purpose.PREFERENCE: of_preference,
    Purpose.REINFORCEMENT: of_reinforcement,
    Purpose.EVALUATION: of_item,
}


def talks(value: Mapping[str, Any]) -> Iterator[list[Any]]:
    """Every list of messages in a line, whatever its purpose."""
    for holder in (value, value.get("input"), value.get("item")):
        if isinstance(holder, dict):
            for name in ("messages", "input", *OUTPUTS):
                messages = holder.get(name)
                if isinstance(messages, list):
                    yield [message for message in messages if isinstance(message, dict)]


def has_images(value: Mapping[str, Any]) -> bool:
    """Whether a part of a message is an image."""
    return any(
        isinstance(part, dict) and part.get("type") == "image_url"
        for messages in talks(value)
        for message in messages
        if isinstance(message.get("content"), list)
        for part in message["content"]
    )


def seems_personal(value: Mapping[str, Any]) -> bool:
    """Whether an e-mail address, a key or a password stands in a line: a quick look, not a search."""
    for messages in talks(value):
        for message in messages:
            text = _text(message)
            if "@" in text and next(patterns.emails(text), None) is not None:
                return True
            if _may_hold_a_key(text) and next(keys.secrets(text), None) is not None:
                return True
    return False


def _may_hold_a_key(text: str) -> bool:
    if "assword" in text:
        return True
    marked = "_" in text or "-" in text or "AKIA" in text or "AIza" in text or "eyJ" in text
    return marked and max(map(len, text.split()), default=0) >= _SHORTEST_KEY


# Messages.


def _of_keys(value: Mapping[str, Any], known: frozenset[str] | set[str]) -> Found:
    strange = sorted(value.keys() - known)
    if strange:
        yield "unrecognized_key", f"The line has a key that is not known: {strange[0]!r:.60}"
    elif any(entry is None for entry in value.values()):
        yield "null_value", ""


def _of_messages(messages: Sequence[Any], roles: frozenset[str]) -> Found:
    if len(messages) > MAX_MESSAGES:
        yield "too_many_messages", ""
    images = 0
    for message in messages:
        if not isinstance(message, dict) or "role" not in message:
            yield "message_missing_key", "A message has no role"
            continue
        yield from _of_message(message, roles)
        content = message.get("content")
        if isinstance(content, list):
            yield from _of_parts(content, message["role"])
            images += sum(isinstance(part, dict) and part.get("type") == "image_url" for part in content)
    if images > MAX_IMAGES:
        yield "too_many_images", ""


def _of_message(message: Mapping[str, Any], roles: frozenset[str]) -> Found:
    calls = message.get("tool_calls") or message.get("function_call")
    content, role = message.get("content"), message["role"]
    if "content" not in message and not calls:
        yield "message_missing_key", "A message has no content"
    if not message.keys() <= MESSAGE_KEYS:
        strange = min(message.keys() - MESSAGE_KEYS)
        yield "message_unrecognized_key", f"A message has a key that is not known: {strange!r:.60}"
    if None in message.values():
        yield "null_value", ""
    if not isinstance(role, str) or role not in roles:
        yield "unrecognized_role", f"A message has a role that is not known: {role!r:.60}"
    if not isinstance(content, (str, list)) and not calls:
        yield "missing_content", ""
    if "weight" in message and not (
        role == "assistant" and type(message["weight"]) is int and message["weight"] in (0, 1)
    ):
        yield "weight", ""
    if message.get("function_call") or role == "function":
        yield "old_functions", ""


def _of_parts(parts: list[Any], role: Any) -> Found:
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "image_url":
            if role != "user":
                yield "image_elsewhere", ""
            yield from _of_image(part.get("image_url"))
        elif kind != "text" or not isinstance(part.get("text"), str):
            yield "unrecognized_part", ""


def _of_image(image: Any) -> Found:
    url = image.get("url") if isinstance(image, dict) else None
    if not isinstance(url, str):
        yield "unrecognized_part", "An image has no address"
    elif not url.startswith("data:"):
        yield "remote_image", ""
    elif not url.startswith((*IMAGE_TYPES, "data:image/jpg;base64,")):
        yield "image_type", ""
    elif len(url) * 3 // 4 > MAX_IMAGE_BYTES:
        yield "image_too_large", ""


def _of_answers(messages: Sequence[Mapping[str, Any]]) -> Found:
    answers = [message for message in messages if message.get("role") == "assistant"]
    if not answers:
        yield "example_missing_assistant_message", ""
        return
    if messages[-1].get("role") != "assistant":
        yield "trailing_message", ""
    trained = [answer for answer in answers if answer.get("weight") != 0]
    if not trained:
        yield "nothing_to_train", ""
    elif any(_is_blank(answer) for answer in trained):
        yield "empty_text", ""
    elif declines(_text(trained[-1])):
        yield "refusal", ""


def _is_blank(answer: Mapping[str, Any]) -> bool:
    calls = answer.get("tool_calls") or answer.get("function_call")
    content = answer.get("content")
    return not calls and isinstance(content, (str, list)) and not _text(answer).strip()


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(
        part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)
    )


# Tools.


def _of_tools(value: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> Found:
    tools = value.get("tools")
    named = [tool_name(tool) for tool in tools] if isinstance(tools, list) else []
    if (tools is not None and not isinstance(tools, list)) or not all(named):
        yield "tool_definition", ""
    if len(named) > MAX_TOOLS:
        yield "too_many_tools", ""
    if value.get("functions"):
        yield "old_functions", ""
    parallel = value.get("parallel_tool_calls")
    if parallel is not None and not (isinstance(parallel, bool) and tools):
        yield "parallel_tool_calls", ""
    asked: set[str] = set()
    for message in messages:
        calls = message.get("tool_calls")
        if calls and not isinstance(calls, list):
            yield "tool_call", ""
        for call in calls if isinstance(calls, list) else []:
            yield from _of_call(call, named, asked)
        if message.get("role") == "tool" and str(message.get("tool_call_id")) not in asked:
            yield "tool_id_lost", ""


def _of_call(call: Any, named: Sequence[str], asked: set[str]) -> Found:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(call.get("id"), str):
        yield "tool_call", ""
        return
    asked.add(call["id"])
    if function.get("name") not in named:
        yield "tool_call_without_tools", ""
    if not _is_json(function.get("arguments")):
        yield "tool_arguments", ""


def tool_name(tool: Any) -> str:
    """The name of the function that a tool is; empty if it is none."""
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
