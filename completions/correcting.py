"""Corrections: what of an answer can be written anew, from and to what a person types, and what comes of it.

The value of a correction stands in its ReviewEvent: `{"text": …, "tool_calls": [{"name", "arguments"} …]}`.
What is null stays as the answer has it. The original is never touched; `corrected` gives whoever trains,
measures or exports the conversation as it should have been.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from completions import arguments, reviewing
from completions.conversation import Conversation, Message, parse, pick, read_message
from completions.models import ReviewEvent, ReviewState, StoredCompletion
from completions.reviewing import Said, Written
from portal.hidden import count_hidden

LONGEST: Final = 500_000

Value = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One text of an answer that can be written anew: what is said, or the arguments of a call."""

    name: str
    title: str
    text: str
    is_json: bool = False
    problem: str = ""

    @property
    def shown(self) -> str:
        return as_typed(self.text)

    @property
    def hidden(self) -> int:
        """How many characters of it nobody sees in a field."""
        return count_hidden(self.shown)


class Flawed(ValueError):
    """What was typed cannot be taken; `problems` says why, by the name of the field."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = problems


# What there is to correct.


def original(conversation: Conversation) -> Value | None:
    """The answer as the value of a correction that changes nothing; None if there is no answer."""
    answer = conversation.answer
    if answer is None:
        return None
    calls = [
        {"name": _storable(call.name), "arguments": _storable(call.arguments)} for call in answer.tool_calls
    ]
    text = _storable(answer.text) if answer.text or not calls else None
    return {"text": text, "tool_calls": calls or None}


def fields(
    value: Value, conversation: Conversation, problems: Mapping[str, str] | None = None
) -> list[Field]:
    """What an editor shows of a value."""
    problems = problems or {}
    made = [Field("text", "Answer", value["text"] or "", problem=problems.get("text", ""))]
    calls = value["tool_calls"] or []
    for number, call in enumerate(calls):
        name, title = f"arguments-{number}", call["name"] or "call"
        is_json = _takes_json(conversation.answer, number)
        made.append(Field(name, title, call["arguments"], is_json, problems.get(name, "")))
    return made


def _takes_json(answer: Message | None, number: int) -> bool:
    """Whether a call takes JSON; tools of kind custom take any text."""
    calls = answer.tool_calls if answer is not None else ()
    return number >= len(calls) or calls[number].kind != "custom"


# What is typed.


def as_typed(text: str) -> str:
    """The text as a browser shows and sends it: line feeds only, nothing that HTML cannot hold."""
    return _storable(text).replace("\r\n", "\n").replace("\r", "\n")


def _storable(text: str) -> str:
    """The text without what neither UTF-8 nor PostgreSQL can hold: half characters and NUL."""
    return text.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def typed(given: Mapping[str, str], held: Value, first: Value, conversation: Conversation) -> Value:
    """The value of what was typed; a field that was left as it was keeps every character of its text.

    `held` is what the editor began with, `first` the original. Raises Flawed.
    """
    problems: dict[str, str] = {}
    texts: dict[str, str] = {}
    known = {each.name: each.text for each in fields(first, conversation)}
    for each in fields(held, conversation):
        text = given.get(each.name, each.shown)
        kept = next(
            (old for old in (each.text, known.get(each.name)) if old is not None and _same(text, old)), None
        )
        texts[each.name] = _storable(kept) if kept is not None else _with_ends_of(each.text, as_typed(text))
        if len(text) > LONGEST:
            problems[each.name] = f"This may have {LONGEST:,} characters."
        elif each.is_json and kept is None:
            try:
                arguments.check(as_typed(text))
            except arguments.Unreadable as problem:
                problems[each.name] = str(problem)
    calls = [
        {"name": call["name"], "arguments": texts[f"arguments-{number}"]}
        for number, call in enumerate(held["tool_calls"] or [])
    ]
    if not texts["text"].strip() and not calls:
        problems.setdefault("text", "An answer cannot be empty. Reject it if nothing should be said.")
    if problems:
        raise Flawed(problems)
    text = texts["text"]
    return {"text": None if not text and held["text"] is None else text, "tool_calls": calls or None}


def _with_ends_of(old: str, text: str) -> str:
    """The text with line ends as `old` has them, if those are all of the Windows kind."""
    windows = "\r\n" in old and old.count("\n") == old.count("\r\n")
    return text.replace("\n", "\r\n") if windows else text


def _same(text: str, old: str) -> bool:
    return as_typed(text) == as_typed(old)


# What is written down.


def holding(row: StoredCompletion) -> ReviewEvent | None:
    """The correction that holds of a completion."""
    states = ReviewState.objects.select_related("correction__author").filter(pk=row.pk)
    state = states.only("correction").first()
    return None if state is None else state.correction


def versions(row: StoredCompletion, most: int) -> list[ReviewEvent]:
    """What was written and taken away, the newest first."""
    events = ReviewEvent.objects.filter(completion=row, kind=ReviewEvent.Kind.CORRECTION)
    return list(events.select_related("author").order_by("-pk")[:most])


def save(row: StoredCompletion, value: Value, first: Value, author: Any, seen: int | None) -> Written:
    """Write a correction down, or take it away where it says what the original does.

    `seen` is the correction that its author saw, None for the original. Raises reviewing.Overtaken if
    somebody else has written meanwhile.
    """
    changed = any(value[name] is not None and value[name] != first[name] for name in ("text", "tool_calls"))
    said = Said(ReviewEvent.Kind.CORRECTION, value if changed else None)
    return reviewing.record(row, [said], author, seen=seen)


# What comes of it.


def corrected(conversation: Conversation, value: Value | None) -> Conversation:
    """The conversation with the first answer as it was corrected; the same one without a correction."""
    if value is None or conversation.answer is None:
        return conversation
    item = corrected_item(conversation.item, value)
    offset = len(conversation.messages or ())
    choices = tuple(
        replace(choice, message=replace(choice.message, index=choice.message.index + offset))
        for choice in parse(item, None).choices
    )
    return replace(conversation, choices=choices, item=item)


def corrected_item(item: Mapping[str, Any], value: Value) -> Mapping[str, Any]:
    """The stored completion as upstream would list it, had the answer been the corrected one."""
    entries = item.get("choices")
    if not isinstance(entries, list):
        return item
    places = [
        (_number(entry, place), place) for place, entry in enumerate(entries) if isinstance(entry, dict)
    ]
    if not places:
        return item
    _, first = min(places)
    entry = entries[first]
    message = entry.get("message")
    written = {**entry, "message": _rewritten(message if isinstance(message, dict) else {}, value)}
    return {**item, "choices": [*entries[:first], written, *entries[first + 1 :]]}


def _number(entry: Mapping[str, Any], place: int) -> int:
    number = entry.get("index")
    return number if isinstance(number, int) and not isinstance(number, bool) else place


def _rewritten(message: Mapping[str, Any], value: Value) -> dict[str, Any]:
    made = dict(message)
    if value["text"] is not None:
        parts = message.get("content_parts") or message.get("contentParts") or message.get("content")
        kept = [part for part in parts if not _is_said(part)] if isinstance(parts, list) else []
        for name in ("content_parts", "contentParts"):
            made.pop(name, None)
        made["content"] = [{"type": "text", "text": value["text"]}, *kept] if kept else value["text"]
        if made.get("refusal") is not None:
            made["refusal"] = None
    if value["tool_calls"] is not None:
        _rewrite_calls(made, list(value["tool_calls"]))
    return made


def _is_said(part: Any) -> bool:
    read = read_message({"content": [part]}, 0).parts
    return all(each.kind in ("text", "refusal") for each in read)


def _rewrite_calls(message: dict[str, Any], calls: list[dict[str, str]]) -> None:
    """Put the calls of a correction in the place of those that the message has, in their order."""
    listed = pick(message, "tool_calls")
    name = "toolCalls" if "tool_calls" not in message and "toolCalls" in message else "tool_calls"
    legacy = message.get("function_call", message.get("functionCall"))
    old = [call for call in listed if isinstance(call, dict)] if isinstance(listed, list) else []
    if isinstance(legacy, dict) and len(calls) > len(old):
        key = "function_call" if "function_call" in message else "functionCall"
        last = calls.pop()
        message[key] = {**legacy, **_named(last), "arguments": last["arguments"]}
    if calls or old:
        message[name] = [_call(old[n] if n < len(old) else {}, call, n) for n, call in enumerate(calls)]


def _call(old: Mapping[str, Any], call: Mapping[str, str], number: int) -> dict[str, Any]:
    kind = old.get("type")
    kind = kind if isinstance(kind, str) and kind else "function"
    details = old.get(kind)
    details = details if isinstance(details, dict) else {}
    takes = "input" if "input" in details and "arguments" not in details else "arguments"
    identity = {} if old else {"id": f"call_corrected_{number + 1}"}
    return {**identity, **old, "type": kind, kind: {**details, **_named(call), takes: call["arguments"]}}


def _named(call: Mapping[str, str]) -> dict[str, str]:
    return {"name": call["name"]} if call["name"] else {}
