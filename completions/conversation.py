"""Raw answers of upstream to a conversation that one can show, search and train on.

Pure and tolerant: everything here was written by a model, a user or a service newer than this code, so any
field may be missing, null or of another type. What is not understood is kept as an `unknown` part.
Shapes: https://platform.openai.com/docs/api-reference/chat/object and
https://learn.microsoft.com/azure/ai-foundry/openai/how-to/stored-completions
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal
from urllib.parse import urlsplit

PartKind = Literal["text", "image", "audio", "file", "refusal", "unknown"]
PREVIEW_CHARS = 160
KNOWN_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
PARAMETERS = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "response_format",
    "tool_choice",
    "service_tier",
    "system_fingerprint",
    "input_user",
)
_CAMEL = re.compile(r"_([a-z])")


def pick(source: Mapping[str, Any], name: str) -> Any:
    """A field by its snake_case name, or by the camelCase one that some API versions send."""
    if name in source:
        return source[name]
    return source.get(_camel(name))


@cache
def _camel(name: str) -> str:
    return _CAMEL.sub(lambda match: match.group(1).upper(), name)


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a message's content. `url` is a data: or http(s) address, `host` names a remote one."""

    kind: PartKind
    text: str = ""
    url: str = ""
    host: str = ""
    raw: Any = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that a model asked for. `arguments` is the text it wrote, `parsed` its JSON or None."""

    id: str
    kind: str
    name: str
    arguments: str
    parsed: Any = None
    raw: Any = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message; `index` counts from 0 over the whole conversation, choices after the input."""

    index: int
    role: str
    parts: tuple[Part, ...]
    name: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    refusal: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "\n".join(part.text for part in self.parts if part.kind == "text" and part.text)

    @property
    def has_image(self) -> bool:
        return any(part.kind == "image" for part in self.parts)

    @property
    def is_known(self) -> bool:
        return self.role in KNOWN_ROLES and all(part.kind != "unknown" for part in self.parts)


@dataclass(frozen=True, slots=True)
class Choice:
    index: int
    message: Message
    finish_reason: str


@dataclass(frozen=True, slots=True)
class Texts:
    """The plain text of a conversation by who wrote it, as search indexes it."""

    system: str = ""
    prompt: str = ""
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Input messages (None while they are pending), choices, and what the request asked for."""

    messages: tuple[Message, ...] | None
    choices: tuple[Choice, ...]
    tools: tuple[Mapping[str, Any], ...]
    parameters: Mapping[str, Any]
    item: Mapping[str, Any]

    @property
    def answer(self) -> Message | None:
        """The first choice's message, which is what is reviewed, trained on and measured."""
        return self.choices[0].message if self.choices else None

    @property
    def finish_reason(self) -> str:
        return self.choices[0].finish_reason if self.choices else ""

    @property
    def turns(self) -> int | None:
        return None if self.messages is None else sum(message.role == "user" for message in self.messages)

    @property
    def has_image(self) -> bool | None:
        return None if self.messages is None else any(message.has_image for message in self.messages)

    @property
    def tool_calls(self) -> int:
        """Calls asked for by the model, in the answers and in the earlier assistant turns."""
        return sum(len(message.tool_calls) for message in self.everything)

    @property
    def refused(self) -> bool:
        return self.answer is not None and bool(self.answer.refusal)

    @property
    def everything(self) -> tuple[Message, ...]:
        return (*(self.messages or ()), *(choice.message for choice in self.choices))

    @property
    def unknown(self) -> tuple[Message, ...]:
        """Messages with a role or a part that this version does not understand."""
        return tuple(message for message in self.everything if not message.is_known)

    def texts(self) -> Texts:
        messages = self.messages or ()
        return Texts(
            system=_joined(message for message in messages if message.role in ("system", "developer")),
            prompt=_joined(message for message in messages if message.role not in ("system", "developer")),
            answer=_joined(choice.message for choice in self.choices),
        )

    def previews(self) -> tuple[str, str]:
        """The last user message and the answer, on one line, at most PREVIEW_CHARS characters each."""
        asked = next((message for message in reversed(self.messages or ()) if message.role == "user"), None)
        if asked is None and self.messages:
            asked = self.messages[-1]
        return _preview(asked), _preview(self.answer)


def parse(item: Mapping[str, Any], messages: Sequence[Mapping[str, Any]] | None) -> Conversation:
    """Read one stored completion and (unless pending) its input messages."""
    read = None if messages is None else tuple(read_message(entry, n) for n, entry in enumerate(messages))
    offset = len(read or ())
    entries = item.get("choices")
    choices = tuple(
        _read_choice(entry, position, offset + position)
        for position, entry in enumerate(entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
    )
    tools = item.get("tools")
    return Conversation(
        messages=read,
        choices=tuple(sorted(choices, key=lambda choice: choice.index)),
        tools=tuple(tool for tool in tools if isinstance(tool, dict)) if isinstance(tools, list) else (),
        parameters={name: value for name in PARAMETERS if (value := pick(item, name)) is not None},
        item=item,
    )


def read_message(entry: Mapping[str, Any], index: int) -> Message:
    """One message of the input or of a choice, from any API version."""
    parts = entry.get("content_parts") or entry.get("contentParts") or entry.get("content")
    refusal = entry.get("refusal")
    read = tuple(_read_parts(parts))
    refused = refusal if isinstance(refusal, str) else ""
    if not refused:
        refused = "\n".join(part.text for part in read if part.kind == "refusal")
    return Message(
        index=index,
        role=_text(entry.get("role")) or "unknown",
        parts=read + tuple(_read_audio(entry.get("audio"))),
        name=_text(entry.get("name")),
        tool_calls=tuple(_read_tool_calls(entry)),
        tool_call_id=_text(pick(entry, "tool_call_id")),
        refusal=refused,
        raw=entry,
    )


def _read_choice(entry: Mapping[str, Any], position: int, index: int) -> Choice:
    message = entry.get("message")
    number = entry.get("index")
    return Choice(
        index=number if isinstance(number, int) and not isinstance(number, bool) else position,
        message=read_message({"role": "assistant", **(message if isinstance(message, dict) else {})}, index),
        finish_reason=_text(pick(entry, "finish_reason")),
    )


def _read_parts(content: Any) -> Iterable[Part]:
    if content is None:
        return
    if isinstance(content, str):
        yield Part("text", text=content, raw=content)
    elif isinstance(content, list):
        for part in content:
            yield _read_part(part)
    else:
        yield _unknown(content)


def _read_part(part: Any) -> Part:
    if isinstance(part, str):
        return Part("text", text=part, raw=part)
    if not isinstance(part, dict):
        return _unknown(part)
    kind = part.get("type")
    if kind in ("text", "input_text", "output_text") and isinstance(part.get("text"), str):
        return Part("text", text=part["text"], raw=part)
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return Part("refusal", text=part["refusal"], raw=part)
    if kind in ("image_url", "image", "input_image"):
        source = part.get("image_url")
        url = source.get("url") if isinstance(source, dict) else source
        if isinstance(url, str):
            return Part("image", url=url, host=_host(url), raw=part)
    if kind == "input_audio":
        return Part("audio", raw=part)
    if kind == "file":
        details = part.get("file")
        name = _text(details.get("filename")) if isinstance(details, dict) else ""
        return Part("file", text=name, raw=part)
    return _unknown(part)


def _read_audio(audio: Any) -> Iterable[Part]:
    if isinstance(audio, dict):
        yield Part("audio", text=_text(audio.get("transcript")), raw=audio)


def _read_tool_calls(entry: Mapping[str, Any]) -> Iterable[ToolCall]:
    calls = pick(entry, "tool_calls")
    for call in calls if isinstance(calls, list) else []:
        if not isinstance(call, dict):
            continue
        kind = _text(call.get("type")) or "function"
        details = call.get(kind)
        details = details if isinstance(details, dict) else {}
        arguments = details.get("arguments", details.get("input"))
        yield _tool_call(_text(call.get("id")), kind, _text(details.get("name")), arguments, call)
    legacy = pick(entry, "function_call")
    if isinstance(legacy, dict):
        yield _tool_call("", "function", _text(legacy.get("name")), legacy.get("arguments"), legacy)


def _tool_call(identity: str, kind: str, name: str, arguments: Any, raw: Any) -> ToolCall:
    text = arguments if isinstance(arguments, str) else "" if arguments is None else as_json(arguments)
    try:
        parsed = json.loads(text) if text else None
    except (ValueError, RecursionError):
        parsed = None
    return ToolCall(id=identity, kind=kind, name=name, arguments=text, parsed=parsed, raw=raw)


def _unknown(value: Any) -> Part:
    return Part("unknown", text=as_json(value), raw=value)


def as_json(value: Any) -> str:
    """Indented JSON for people to read; never fails, also where the value is too deep to be written."""
    try:
        return json.dumps(value, ensure_ascii=False, indent=2, default=str)
    except (ValueError, RecursionError):
        return "(nested too deeply to be shown)"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _host(url: str) -> str:
    if url.startswith("data:"):
        return ""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _joined(messages: Iterable[Message]) -> str:
    return "\n\n".join(text for message in messages if (text := _searchable(message)))


def _searchable(message: Message) -> str:
    calls = (f"{call.name} {call.arguments}".strip() for call in message.tool_calls)
    return "\n".join(piece for piece in (message.text, message.refusal, *calls) if piece)


def _preview(message: Message | None) -> str:
    if message is None:
        return ""
    text = message.text[: PREVIEW_CHARS * 8] or message.refusal
    if not text and message.tool_calls:
        call = message.tool_calls[0]
        text = f"{call.name}({call.arguments[:PREVIEW_CHARS]})"
    if not text and message.has_image:
        text = "(image)"
    return " ".join(text.split(None, PREVIEW_CHARS))[:PREVIEW_CHARS]  # that many words are long enough
