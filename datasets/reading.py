"""What a line of a version's file says, whatever its purpose: conversations, answers, further fields. Pure.

Lines may come from a file that somebody uploaded, so nothing of their shape is relied on.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from completions.conversation import Message, read_message

Tone = Literal["", "good", "bad"]
_HELD = frozenset({"messages", "input", "preferred_output", "non_preferred_output", "tools", "item"})
_ROLES = {"tool": "Tool result"}


@dataclass(frozen=True, slots=True)
class Talk:
    """Messages that belong together; with a title where a line holds several such."""

    messages: tuple[Message, ...]
    title: str = ""
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """A line as people look at it. `extra` are fields beside the conversation: references, columns."""

    talks: tuple[Talk, ...] = ()
    tools: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def messages(self) -> tuple[Message, ...]:
        """All messages, in the order of the talks."""
        return tuple(message for talk in self.talks for message in talk.messages)

    @property
    def text(self) -> str:
        """What is said, as plain text with its speakers; two lines that say the same have the same."""
        return "\n\n".join(_spoken(self))

    @property
    def said(self) -> str:
        """The same without the speakers, to search in."""
        return "\n".join((*(_said(message) for message in self.messages), *_told(self.extra)))


def parsed(line: bytes) -> dict[str, Any]:
    """The object of a line; an empty one if it holds none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def read(data: Mapping[str, Any]) -> Reading:
    """A line's object, read."""
    if "preferred_output" in data or "non_preferred_output" in data:
        given = _object(data.get("input"))
        talks = (
            Talk(_messages(given.get("messages"))),
            Talk(_messages(data.get("preferred_output")), "Preferred", "good"),
            Talk(_messages(data.get("non_preferred_output")), "Not preferred", "bad"),
        )
        return Reading(talks, _tools(given), _rest(data))
    if isinstance(data.get("messages"), list):
        return Reading((Talk(_messages(data["messages"])),), _tools(data), _rest(data))
    item = _object(data.get("item"))
    asked = item.get("input")
    found = asked if isinstance(asked, list) else [{"role": "user", "content": asked}] if asked else []
    if isinstance(item.get("output"), str):
        found = [*found, {"role": "assistant", "content": item["output"]}]
    extra = {name: value for name, value in item.items() if name not in ("input", "output", "tools")}
    return Reading((Talk(_messages(found)),), _tools(item), {**extra, **_rest(data)})


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _rest(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in _HELD}


def _messages(value: Any) -> tuple[Message, ...]:
    entries = value if isinstance(value, list) else []
    return tuple(read_message(entry, n) for n, entry in enumerate(entries) if isinstance(entry, dict))


def _tools(data: Mapping[str, Any]) -> tuple[str, ...]:
    tools = data.get("tools")
    found = (_object(_object(tool).get("function")) for tool in (tools if isinstance(tools, list) else []))
    return tuple(str(function.get("name", ""))[:80] for function in found if function)


def _spoken(reading: Reading) -> Iterator[str]:
    for talk in reading.talks:
        if talk.title:
            yield f"{talk.title}:"
        for message in talk.messages:
            role = _ROLES.get(message.role, message.role.capitalize())
            yield f"{role}: {_said(message)}"
    yield from _told(reading.extra)


def _told(extra: Mapping[str, Any]) -> Iterator[str]:
    for name, value in extra.items():
        yield f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"


def _said(message: Message) -> str:
    parts = [part.text or f"({part.kind})" for part in message.parts]
    parts += [f"{call.name}({call.arguments})" for call in message.tool_calls]
    parts += [message.refusal] if message.refusal else []
    return "\n".join(parts)
