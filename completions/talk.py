"""A conversation made ready to be shown: who speaks, in which parts, and what the tools answered."""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from completions import raw
from completions.conversation import Conversation, Message, Part, ToolCall, as_json, parse
from completions.models import Body, StoredCompletion
from portal.rendering import PLAIN_CHARACTERS

# Pictures that a browser shows without running or fetching anything.
# A page holds the beginning and the end of a conversation, not what would stop the reader's browser.
HEAD_MESSAGES, TAIL_MESSAGES, SIDE_CHARACTERS = 200, 100, 1_000_000
PIECES, COPY_CHARACTERS = 200, 200_000
_SURROGATES = re.compile("[\ud800-\udfff]")
_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]+")
_ROLES = {
    "system": ("System", "settings-2"),
    "developer": ("Developer", "settings-2"),
    "user": ("User", "user"),
    "assistant": ("Assistant", "sparkles"),
    "tool": ("Tool", "wrench"),
    "function": ("Function", "wrench"),
}

Kind = Literal["text", "refusal", "picture", "link", "block"]


@dataclass(frozen=True, slots=True)
class Piece:
    """One bubble. `text` is what stands in it; for a link the address, for a block its JSON."""

    kind: Kind
    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call and, where it is there, what the tool answered."""

    name: str
    arguments: str
    readable: bool
    answers: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Speech:
    """One message on the page."""

    id: str
    role: str
    icon: str
    title: str
    note: str
    pieces: tuple[Piece, ...]
    calls: tuple[Call, ...]
    text: str  # for the copy button; empty where it is too long to be sent twice
    skipped: int = 0  # messages between this one and the one shown before it

    @property
    def is_silent(self) -> bool:
        return not self.pieces and not self.calls


@dataclass(frozen=True, slots=True)
class Talk:
    """Everything the drawer shows of one completion; `problem` where its bytes cannot be read."""

    speeches: tuple[Speech, ...]
    parameters: tuple[tuple[str, str], ...]
    usage: tuple[tuple[str, str], ...]
    tools: tuple[tuple[str, Any], ...]
    pending: bool
    item: Any
    messages: Any
    problem: str = ""


def talk_of(row: StoredCompletion, body: Body | None) -> Talk:
    """Read a stored completion's own bytes; whatever they hold, there is something to show."""
    if body is None:
        return _unreadable("Its text is not here.", None)
    try:
        item, messages = raw.read(raw.unpack(body.raw))
    except (zlib.error, ValueError, KeyError, TypeError) as error:
        return _unreadable(str(error)[:200], None)
    conversation = parse(item, messages)
    return Talk(
        speeches=tuple(_speeches(conversation, row)),
        parameters=tuple((name, _short(value)) for name, value in conversation.parameters.items()),
        usage=tuple(_flat(item.get("usage"))),
        tools=tuple((_tool_name(tool), tool) for tool in conversation.tools),
        pending=messages is None,
        item=item,
        messages=messages,
    )


def _unreadable(problem: str, item: Any) -> Talk:
    return Talk((), (), (), (), pending=False, item=item, messages=None, problem=problem)


def _speeches(conversation: Conversation, row: StoredCompletion) -> list[Speech]:
    answers = {
        message.tool_call_id: message
        for message in conversation.messages or ()
        if message.role == "tool" and message.tool_call_id
    }
    asked = {call.id for message in conversation.everything for call in message.tool_calls if call.id}
    shown = [
        replace(_speech(message, answers, ""), skipped=skipped)
        for skipped, message in _both_ends(
            [
                message
                for message in conversation.messages or ()
                if not (message.role == "tool" and message.tool_call_id in asked)  # stands with its call
            ]
        )
    ]
    several = len(conversation.choices) > 1
    for choice in conversation.choices:
        notes = [f"choice {choice.index + 1}"] if several else []
        if not several and row.completion_tokens is not None:
            notes.append(f"{row.completion_tokens:,} tokens")
        shown.append(_speech(choice.message, answers, " · ".join([*notes, choice.finish_reason]).strip(" ·")))
    return shown


def _both_ends(messages: Sequence[Message]) -> list[tuple[int, Message]]:
    """The first and the last messages, each with how many were left out just before it."""
    head = _fitting(messages, HEAD_MESSAGES)
    tail = min(_fitting(messages[::-1], TAIL_MESSAGES), len(messages) - head)
    end = len(messages) - tail
    kept = [(0, message) for message in messages[:head]]
    return kept + [(end - head if n == 0 else 0, message) for n, message in enumerate(messages[end:])]


def _fitting(messages: Sequence[Message], most: int) -> int:
    """How many of them fit, at least one."""
    room = SIDE_CHARACTERS
    for count, message in enumerate(messages[:most]):
        room -= min(len(message.text), PLAIN_CHARACTERS)
        if room < 0 and count:
            return count
    return min(len(messages), most)


def _speech(message: Message, answers: dict[str, Message], note: str) -> Speech:
    title, icon = _ROLES.get(message.role, (message.role or "Unknown role", "circle-help"))
    pieces = tuple(_pieces(message))
    text = message.text or message.refusal or "\n".join(call.arguments for call in message.tool_calls)
    if message.role == "tool" and message.tool_call_id:
        note = f"answer to a call that is not here · {message.tool_call_id}"
    return Speech(
        id=f"m{message.index}",
        role=message.role if message.role in _ROLES else "unknown",
        icon=icon,
        title=f"{title} {message.name}".strip(),
        note=note,
        pieces=pieces,
        calls=tuple(_call(call, answers) for call in message.tool_calls[:PIECES]),
        text=_SURROGATES.sub("\ufffd", text) if len(text) <= COPY_CHARACTERS else "",
    )


def _pieces(message: Message) -> list[Piece]:
    made = [_piece(part) for part in message.parts[:PIECES]]
    if (rest := len(message.parts) - PIECES) > 0:
        made.append(Piece("text", f"{rest:,} more parts are not shown here."))
    if message.refusal and all(piece.kind != "refusal" for piece in made):
        made.append(Piece("refusal", message.refusal, "Refusal"))
    return made


def _piece(part: Part) -> Piece:
    if part.kind == "text":
        return Piece("text", part.text)
    if part.kind == "refusal":
        return Piece("refusal", part.text, "Refusal")
    if part.kind == "image":
        if _PICTURE.fullmatch(part.url):
            return Piece("picture", part.url)
        if part.host and part.url.startswith(("https://", "http://")) and not _SURROGATES.search(part.url):
            return Piece("link", part.url, part.host)
        return Piece("block", as_json(part.raw), "Image that cannot be shown")
    if part.kind == "unknown":
        kind = part.raw.get("type") if isinstance(part.raw, dict) else None
        named = f" “{kind[:60]}”" if isinstance(kind, str) else ""
        return Piece("block", part.text, f"Part of a kind that is not known{named}")
    title = {"audio": "Audio", "file": "File"}[part.kind]
    return Piece(
        "block", as_json(_cut(part.raw)), f"{title} {part.text}".strip() if part.kind == "file" else title
    )


def _call(call: ToolCall, answers: dict[str, Message]) -> Call:
    answer = answers.get(call.id) if call.id else None
    return Call(
        name=call.name or call.kind,
        arguments=call.arguments,
        readable=call.parsed is not None,
        answers=tuple(_pieces(answer)) if answer else (),
    )


def _cut(value: Any) -> Any:
    """The value with what is too long to read (sound, files) shortened."""
    if isinstance(value, str):
        return value if len(value) <= 400 else f"{value[:200]}… ({len(value):,} characters)"
    if isinstance(value, dict):
        return {key: _cut(each) for key, each in value.items()}
    return value


def _tool_name(tool: Any) -> str:
    details = tool.get("function")
    name = details.get("name") if isinstance(details, dict) else tool.get("name")
    return name if isinstance(name, str) else "tool"


def _flat(usage: Any, before: str = "") -> list[tuple[str, str]]:
    if not isinstance(usage, dict):
        return []
    found: list[tuple[str, str]] = []
    for name, value in usage.items():
        label = f"{before}{name}".replace("_", " ")
        if isinstance(value, dict):
            found += _flat(value, f"{name} ")
        elif value is not None:
            found.append((label, f"{value:,}" if isinstance(value, int) else str(value)))
    return found[:40]


def _short(value: Any) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    text = as_json(value)
    return text if len(text) <= 2000 else f"{text[:2000]}…"


def texts(speeches: Sequence[Speech]) -> str:
    """The whole conversation as plain text, for the copy button."""
    return "\n\n".join(f"{speech.title}:\n{speech.text}" for speech in speeches)
