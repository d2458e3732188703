"""What one completion looks like in a file: a line of JSON, or a row of a table."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from completions import raw
from completions.conversation import Message, Part, parse
from completions.exporting.rows import Entry, Needs
from completions.models import Export

Form = Export.Form
# Legal inside a JSON string, but readers that split with str.splitlines() take them for line ends.
_LINE_ENDS = (("\u2028", "\\u2028"), ("\u2029", "\\u2029"), ("\x85", "\\u0085"))


class LeftOut(Exception):
    """The completion cannot be written in this form; `str` says why."""


def stored(entry: Entry, *, reviews: bool) -> bytes:
    """The completion as the API lists it, with its messages and what people said beside it."""
    try:
        item, messages = entry.read
    except raw.Unreadable:
        raise LeftOut("what upstream sent cannot be read") from None
    data: dict[str, Any] = dict(item)
    if messages is not None:
        data["messages"] = messages
    if reviews and (review := entry.review):
        data["review"] = review
    return as_line(data)


def chat(entry: Entry, *, reviews: bool) -> bytes:
    """The conversation with its answer last, as chat models are asked and trained."""
    try:
        item, messages = entry.read
    except raw.Unreadable:
        raise LeftOut("what upstream sent cannot be read") from None
    found = parse(item, messages)
    if not found.messages:
        raise LeftOut("its messages are not here")
    answer = found.answer
    if answer is None or not (answer.text or answer.refusal or answer.tool_calls):
        raise LeftOut("it has no answer")
    data: dict[str, Any] = {"messages": [*(_message(each) for each in found.messages), _message(answer)]}
    if found.tools:
        data["tools"] = list(found.tools)
    if reviews and (review := entry.review):
        data["review"] = review
    return as_line(data)


def as_line(data: Mapping[str, Any]) -> bytes:
    """One line of JSONL, whatever is in it: half characters stay escapes, what is no number becomes null."""
    try:
        text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        for end, escaped in _LINE_ENDS:
            if end in text:
                text = text.replace(end, escaped)
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(_finite(data), separators=(",", ":")).encode() + b"\n"
    except RecursionError:
        raise LeftOut("it is nested too deeply") from None
    except ValueError:
        return as_line(_finite(data))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def _message(message: Message) -> dict[str, Any]:
    made: dict[str, Any] = {"role": message.role}
    if message.name:
        made["name"] = message.name
    content = _content(message.parts)
    if content is not None or not (message.tool_calls or message.refusal):
        made["content"] = content if content is not None else ""
    if message.refusal:
        made["refusal"] = message.refusal
    if message.tool_calls:
        made["tool_calls"] = [
            {
                "id": call.id,
                "type": call.kind,
                call.kind: {
                    "name": call.name,
                    ("input" if call.kind == "custom" else "arguments"): call.arguments,
                },
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        made["tool_call_id"] = message.tool_call_id
    return made


def _content(parts: Sequence[Part]) -> Any:
    """Text alone as a text, anything else as the parts that upstream sent."""
    told = [part for part in parts if part.kind != "refusal"]
    if not told:
        return None
    if all(part.kind == "text" for part in told):
        return told[0].text if len(told) == 1 else [{"type": "text", "text": part.text} for part in told]
    return [{"type": "text", "text": part.text} if part.kind == "text" else part.raw for part in told]


# Tables.

Cell = Callable[[Entry], Any]


def _moment(seconds: int | None) -> str:
    if seconds is None:
        return ""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def _answer(entry: Entry) -> str:
    if entry.use_correction and entry.correction is not None:
        item, messages = entry.read
        return parse(item, messages).texts().answer
    return str(entry.row["answer_text"])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if value else ""


def _plain(name: str) -> Cell:
    return lambda entry: entry.row[name]


def _said(name: str) -> Cell:
    return lambda entry: entry.said[name] if entry.said is not None else ""


COLUMNS: dict[str, tuple[str, Cell]] = {
    "id": ("Id", _plain("upstream_id")),
    "connection": ("Connection", _plain("connection__slug")),
    "created": ("Created", lambda entry: _moment(entry.row["created"])),
    "model": ("Model", _plain("model")),
    "system": ("System message", _plain("system_text")),
    "prompt": ("Prompt", _plain("prompt_text")),
    "answer": ("Answer", _answer),
    "finish_reason": ("Finish reason", _plain("finish_reason")),
    "prompt_tokens": ("Prompt tokens", _plain("prompt_tokens")),
    "completion_tokens": ("Answer tokens", _plain("completion_tokens")),
    "total_tokens": ("Tokens", _plain("total_tokens")),
    "turns": ("Turns", _plain("turns")),
    "tool_calls": ("Tool calls", _plain("tool_calls")),
    "language": ("Language", _plain("language")),
    "temperature": ("Temperature", _plain("temperature")),
    "response_format": ("Response format", _plain("response_format")),
    "request_id": ("Request id", _plain("request_id")),
    "metadata": ("Metadata (JSON)", lambda entry: _json(entry.row["metadata"])),
    "flags": ("Flags", lambda entry: ", ".join(entry.row["flags"] or ())),
}
REVIEW_COLUMNS: dict[str, tuple[str, Cell]] = {
    "review": ("Review", lambda entry: (entry.said["state"] if entry.said else "") or "unreviewed"),
    "rating": ("Rating", _said("rating")),
    "labels": ("Labels (JSON)", lambda entry: _json(entry.answers)),
    "reviewers": ("Reviewers", lambda entry: ", ".join(entry.said["reviewers"]) if entry.said else ""),
    "reviewed": ("Reviewed", lambda entry: _moment(entry.said["reviewed"]) if entry.said else ""),
    "correction": ("Correction (JSON)", lambda entry: _json(entry.correction)),
    "notes": ("Notes", lambda entry: "\n".join(str(note["text"]) for note in entry.notes)),
}
FIRST_CHOICE = ("id", "created", "model", "prompt", "answer", "total_tokens", "metadata")
# Columns that hold numbers, for files whose columns have types.
NUMBERS = frozenset(("prompt_tokens", "completion_tokens", "total_tokens", "turns", "tool_calls"))
DECIMALS = frozenset(("temperature",))


def columns_of(options: Mapping[str, Any]) -> list[tuple[str, Cell]]:
    """The columns of a table as names and what stands in them, those of the reviews last."""
    chosen = [name for name in options.get("columns", ()) if name in COLUMNS] or list(FIRST_CHOICE)
    made = [(name, COLUMNS[name][1]) for name in COLUMNS if name in chosen]
    if options.get("reviews"):
        made += [(name, cell) for name, (_, cell) in REVIEW_COLUMNS.items()]
    return made


def needs_of(form: str, options: Mapping[str, Any]) -> Needs:
    """What has to be read for this form."""
    table = form in (Form.TABLE, Form.PARQUET)
    reviews, corrected = bool(options.get("reviews")), bool(options.get("corrections"))
    names = {name for name, _ in columns_of(options)} if table else set()
    return Needs(
        light=table,
        raw=not table or (corrected and "answer" in names),
        texts=bool(names & {"system", "prompt", "answer"}),
        reviews=reviews,
        corrected=corrected,
    )
