"""Every text of a conversation, with its place; and the conversation with each of them written anew. Pure.

What looks like JSON (arguments of a call, a tool's result, an answer in JSON) is taken apart, so that each of
its strings and numbers is a text of its own and the whole stays valid JSON.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from completions.conversation import PARAMETERS, Choice, Conversation, Message, Part, ToolCall, as_json, pick

# Takes the place, the text and the name that it has in JSON, if any; gives the text that stands there now.
Change = Callable[[str, str, str], str]

DEEPEST: Final = 3  # JSON within a string of JSON, and so on
_TOKEN: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9][0-9.eE+-]*', re.DOTALL)
_COLON: Final = re.compile(r"\s*:")
_NAMES: Final = frozenset({"id", "tool_call_id", "type", "role", "object", "model", "name", "finish_reason"})
_BINARY: Final = frozenset({"data", "file_data"})


def changed(conversation: Conversation, change: Change) -> Conversation:
    """The conversation with every text as `change` gives it; itself if nothing changed."""
    messages = conversation.messages
    if messages is not None:
        messages = tuple(_message(each, f"messages[{at}]", change) for at, each in enumerate(messages))
    choices = tuple(_choice(each, f"choices[{at}]", change) for at, each in enumerate(conversation.choices))
    tools = tuple(changed_value(each, f"tools[{at}]", change) for at, each in enumerate(conversation.tools))
    item = conversation.item
    wanted = pick(item, "response_format")
    if isinstance(wanted, Mapping):
        answered = changed_value(wanted, "response_format", change)
        if answered is not wanted:
            item = {**item, "response_format": answered}
    olds = (*(conversation.messages or ()), *conversation.choices, *conversation.tools, conversation.item)
    news = (*(messages or ()), *choices, *tools, item)
    if all(old is new for old, new in zip(olds, news, strict=True)):
        return conversation
    # What was counted and named stays; everything that people or models wrote is written anew.
    kept = {"usage", "id", "created", "model", "object", "response_format"}
    unseen = _unseen(change)
    item = {
        key: value if key in kept else changed_value(value, "", unseen, kept=_kept_in(key))
        for key, value in item.items()
    }
    parameters = {name: value for name in PARAMETERS if (value := pick(item, name)) is not None}
    return Conversation(messages, choices, tools, parameters, item)


def _kept_in(key: str) -> frozenset[str]:
    """Names under which nothing is changed; in metadata every name is one of people."""
    return frozenset() if key == "metadata" else _NAMES


def _unseen(change: Change) -> Change:
    """The same change for copies of a text; their place is not told again."""
    return lambda _, text, key: change("", text, key)


def _choice(choice: Choice, where: str, change: Change) -> Choice:
    message = _message(choice.message, where, change)
    return choice if message is choice.message else replace(choice, message=message)


def _message(message: Message, where: str, change: Change) -> Message:
    parts = tuple(_part(part, f"{where}.content[{at}]", change) for at, part in enumerate(message.parts))
    calls = tuple(
        _call(each, f"{where}.tool_calls[{at}]", change) for at, each in enumerate(message.tool_calls)
    )
    name = change(f"{where}.name", message.name, "") if message.name else ""
    own = not any(part.kind == "refusal" for part in message.parts)  # else it is the text of that part
    refusal = message.refusal
    if refusal:
        refusal = changed_text(refusal, f"{where}.refusal" if own else "", change)
    same = all(old is new for old, new in zip(message.parts, parts, strict=True))
    same = same and all(old is new for old, new in zip(message.tool_calls, calls, strict=True))
    if same and (name, refusal) == (message.name, message.refusal):
        return message
    raw = changed_value(message.raw, "", _unseen(change))
    if message.name:
        raw = {**raw, "name": name}
    return replace(message, parts=parts, tool_calls=calls, name=name, refusal=refusal, raw=raw)


def _part(part: Part, where: str, change: Change) -> Part:
    if part.kind in ("text", "refusal"):
        text = changed_text(part.text, where, change)
        if text == part.text:
            return part
        return replace(part, text=text, raw=changed_value(part.raw, "", _unseen(change)))
    raw = changed_value(part.raw, where, change)
    if raw is part.raw:
        return part
    unseen = _unseen(change)
    text = as_json(raw) if part.kind == "unknown" else changed_text(part.text, "", unseen)
    return replace(part, text=text, url=changed_value(part.url, "", unseen), raw=raw)


def _call(call: ToolCall, where: str, change: Change) -> ToolCall:
    arguments = changed_text(call.arguments, f"{where}.arguments", change)
    if arguments == call.arguments:
        return call
    try:
        parsed = json.loads(arguments) if call.parsed is not None else None
    except (ValueError, RecursionError):
        parsed = None
    raw = changed_value(call.raw, "", _unseen(change))
    return replace(call, arguments=arguments, parsed=parsed, raw=raw)


def changed_value(
    value: Any, where: str, change: Change, key: str = "", *, kept: frozenset[str] = _NAMES
) -> Any:
    """JSON with every text in it changed; itself if nothing changed. Embedded files are no texts.

    What stands under a name of `kept` stays: it names a thing of the API rather than says something.
    """
    if isinstance(value, str):
        if key in _BINARY or value.startswith("data:"):
            return value
        text = changed_text(value, where, change, key)
        return value if text == value else text
    if isinstance(value, Mapping):
        made = {
            name: each
            if name in kept
            else changed_value(each, f"{where}.{name}"[:300], change, str(name), kept=kept)
            for name, each in value.items()
        }
        return value if all(made[name] is each for name, each in value.items()) else made
    if isinstance(value, (list, tuple)):
        some = [
            changed_value(each, f"{where}[{at}]", change, key, kept=kept) for at, each in enumerate(value)
        ]
        return value if all(old is new for old, new in zip(value, some, strict=True)) else some
    return value


def changed_text(text: str, where: str, change: Change, key: str = "", depth: int = 0) -> str:
    """The text as `change` gives it, or string by string and number by number where it is JSON."""
    if depth == DEEPEST or not _is_json(text):
        return change(where, text, key)
    made: list[str] = []
    at, name = 0, key
    for number, match in enumerate(_TOKEN.finditer(text)):
        token, inner = match[0], f"{where}:{number}" if where else ""
        if token[0] != '"':
            new = change(inner, token, name)
            new = token if new == token else json.dumps(new)
        else:
            said = json.loads(token, strict=False)
            new = changed_text(said, inner, change, name, depth + 1)
            new = token if new == said else json.dumps(new, ensure_ascii=token.isascii())
            if _COLON.match(text, match.end()):
                name = said
        made += text[at : match.start()], new
        at = match.end()
    return "".join((*made, text[at:]))


def _is_json(text: str) -> bool:
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
