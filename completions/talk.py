"""A conversation made ready to be shown: who speaks, in which parts, and what the tools answered."""

import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

from completions import raw
from completions.conversation import Conversation, Message, Part, ToolCall, as_json, parse
from completions.models import Body, StoredCompletion
from portal.rendering import PLAIN_CHARACTERS

# A page opens with the beginning and the end of a long conversation; the rest comes when it is asked for, as
# far as the reader's browser bears it.
UNFOLDED_MESSAGES: Final = 60
_PARTS: Final = 200
SURROGATES = re.compile("[\ud800-\udfff]")
# Pictures that a browser shows without running or fetching anything.
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
class Ends:
    """How much of both ends of a conversation is shown."""

    head: int
    tail: int
    characters: int


FOLDED = Ends(head=20, tail=30, characters=1_000_000)
WHOLE = Ends(head=1_500, tail=500, characters=1_000_000)


@dataclass(frozen=True, slots=True)
class Piece:
    """One bubble. `text` is what stands in it; for a link the address, for a block its JSON."""

    kind: Kind
    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call with what the tool answered; `missing` where an answer was due and none is there."""

    id: str
    name: str
    arguments: str
    readable: bool
    answers: tuple[Piece, ...]
    missing: bool = False


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
    orphan: bool = False  # a result without its call
    skipped: int = 0  # messages between this one and the one shown before it

    @property
    def is_silent(self) -> bool:
        return not self.calls and all(
            piece.kind == "text" and not piece.text.strip() for piece in self.pieces
        )


@dataclass(frozen=True, slots=True)
class Matching:
    """Which tool messages answer which calls; a call is named by its message's index and its own number."""

    results: Mapping[tuple[int, int], Sequence[Message]]
    orphans: frozenset[int]
    placed: frozenset[int] = field(default=frozenset())  # messages that stand with their call


class Talk:
    """Everything the drawer shows of one completion; `problem` where its bytes cannot be read."""

    def __init__(self, row: StoredCompletion, body: Body | None) -> None:
        self.row = row
        self.problem = ""
        self.item: Any = None
        self.messages: Any = None
        try:
            if body is None:
                raise ValueError("Its text is not here.")
            self.item, self.messages = raw.read(raw.unpack(body.raw))
        except (zlib.error, ValueError, KeyError, TypeError) as error:
            self.problem = str(error)[:200]

    @cached_property
    def conversation(self) -> Conversation:
        if self.problem:
            return parse({}, [])
        return parse(self.item, self.messages)

    @property
    def pending(self) -> bool:
        return not self.problem and self.messages is None

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        return tuple((name, _short(value)) for name, value in self.conversation.parameters.items())

    @property
    def headline(self) -> tuple[tuple[str, str], ...]:
        """The parameters that are asked about most."""
        names = {"temperature": "Temperature", "seed": "Seed"}
        return tuple((names[name], value) for name, value in self.parameters if name in names)

    @property
    def usage(self) -> tuple[tuple[str, str], ...]:
        return tuple(_flat(self.conversation.item.get("usage")))

    @property
    def tools(self) -> tuple[tuple[str, Any], ...]:
        return tuple((_tool_name(tool), tool) for tool in self.conversation.tools)

    # Who says what.

    @cached_property
    def _matching(self) -> Matching:
        return match_calls(self.conversation.messages or ())

    @property
    def _standing(self) -> list[Message]:
        """The input messages that are shown by themselves, not with the call that they answer."""
        placed = self._matching.placed
        return [message for message in self.conversation.messages or () if message.index not in placed]

    def speeches(self, *, whole: bool = False) -> Iterator[Speech]:
        """The messages in order; the middle of a long conversation only if the `whole` is asked for."""
        messages = self._standing
        fits = whole or len(messages) <= UNFOLDED_MESSAGES
        for skipped, message in both_ends(messages, WHOLE if fits else FOLDED):
            yield self._speech(message, "", skipped)
        for choice in self.conversation.choices:
            yield self._answer(choice.message)

    def speech(self, index: int) -> Speech | None:
        """One message by its number, which is that of its `id`."""
        for message in self.conversation.everything:
            if message.index == index:
                if any(message is choice.message for choice in self.conversation.choices):
                    return self._answer(message)
                return self._speech(message, "")
        return None

    def spoken(self, message: Message, note: str) -> Speech:
        """Another message than those of the conversation, such as a corrected answer."""
        return self._speech(message, note)

    def _answer(self, message: Message) -> Speech:
        choices = self.conversation.choices
        choice = next(each for each in choices if each.message is message)
        notes = [f"choice {choice.index + 1}"] if len(choices) > 1 else []
        if len(choices) == 1 and self.row.completion_tokens is not None:
            notes.append(f"{self.row.completion_tokens:,} tokens")
        return self._speech(message, " · ".join([*notes, choice.finish_reason]).strip(" ·"))

    def _speech(self, message: Message, note: str, skipped: int = 0) -> Speech:
        title, icon = _ROLES.get(message.role, (message.role or "Unknown role", "circle-help"))
        orphan = message.index in self._matching.orphans
        if orphan:
            note = f"Result of a call that is not here · {message.tool_call_id or 'no id'}"
        last = message.index >= len(self.conversation.messages or ())
        return Speech(
            id=f"m{message.index}",
            role=message.role if message.role in _ROLES else "unknown",
            icon=icon,
            title=f"{title} {message.name}".strip(),
            note=note,
            pieces=tuple(_pieces(message)),
            calls=tuple(
                self._call(call, (message.index, n), due=not last)
                for n, call in enumerate(message.tool_calls)
            ),
            orphan=orphan,
            skipped=skipped,
        )

    def _call(self, call: ToolCall, place: tuple[int, int], *, due: bool) -> Call:
        results = self._matching.results.get(place, ())
        return Call(
            id=call.id,
            name=call.name or call.kind,
            arguments=call.arguments,
            readable=call.parsed is not None,
            answers=tuple(piece for message in results for piece in _pieces(message)),
            missing=due and not results,
        )

    # What is copied.

    def text_of(self, index: int) -> str | None:
        """What the copy button of a message gives."""
        for message in self.conversation.everything:
            if message.index == index:
                return plain_text(message)
        return None

    @property
    def answer_text(self) -> str:
        return plain_text(self.conversation.answer) if self.conversation.answer else ""

    @property
    def whole_text(self) -> str:
        """The whole conversation as plain text."""
        return "\n\n".join(
            f"{_ROLES.get(message.role, (message.role, ''))[0]}:\n{plain_text(message)}"
            for message in self.conversation.everything
        )


def plain_text(message: Message) -> str:
    """What a message says, calls of tools included."""
    calls = (f"{call.name}({call.arguments})" for call in message.tool_calls)
    text = "\n".join(piece for piece in (message.text, message.refusal, *calls) if piece)
    return SURROGATES.sub("\ufffd", text)


def match_calls(messages: Sequence[Message]) -> Matching:
    """Give each result to the earliest open call of its id (by name in the old form); ids may come again."""
    waiting: dict[str, list[tuple[int, int]]] = defaultdict(list)
    results: dict[tuple[int, int], list[Message]] = defaultdict(list)
    last: dict[str, tuple[int, int]] = {}
    orphans, placed = set(), set()
    for message in messages:
        if message.role in ("tool", "function"):
            name = message.tool_call_id if message.role == "tool" else f"function {message.name}"
            place = waiting[name].pop(0) if waiting.get(name) else last.get(name)
            if not name or place is None:
                orphans.add(message.index)
            else:
                results[place].append(message)
                placed.add(message.index)
                last[name] = place
        for n, call in enumerate(message.tool_calls):
            waiting[call.id or f"function {call.name}"].append((message.index, n))
    return Matching(results, frozenset(orphans), frozenset(placed))


def both_ends(messages: Sequence[Message], ends: Ends) -> list[tuple[int, Message]]:
    """The first and the last messages, each with how many were left out just before it."""
    head = _fitting(messages, ends.head, ends.characters)
    tail = min(_fitting(messages[::-1], ends.tail, ends.characters), len(messages) - head)
    end = len(messages) - tail
    kept = [(0, message) for message in messages[:head]]
    return kept + [(end - head if n == 0 else 0, message) for n, message in enumerate(messages[end:])]


def _fitting(messages: Sequence[Message], most: int, room: int) -> int:
    """How many of them fit, at least one."""
    for count, message in enumerate(messages[:most]):
        room -= min(len(message.text), PLAIN_CHARACTERS)
        if room < 0 and count:
            return count
    return min(len(messages), most)


def _pieces(message: Message) -> list[Piece]:
    made = [_piece(part) for part in message.parts[:_PARTS]]
    if (rest := len(message.parts) - _PARTS) > 0:
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
        if part.host and part.url.startswith(("https://", "http://")) and not SURROGATES.search(part.url):
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
