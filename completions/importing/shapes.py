"""What a line says, whatever shape its file has: a stored completion and the messages that led to it.

Pure: no database, no settings. A line that says no such thing is Unusable, with the reason in plain words.
"""

import csv
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from completions.models.transfer import Import
from completions.readings import Reading, Unstorable, identity, read

Shape = Import.Shape
LONGEST = 8 * 1024 * 1024  # bytes of one line
csv.field_size_limit(LONGEST)  # of the whole process; Python's own bound is 128 KiB

# What a column of a table can be, in the order in which people are asked.
ROLES = {
    "": "Leave out",
    "prompt": "Prompt",
    "answer": "Answer",
    "system": "System message",
    "messages": "Messages (JSON)",
    "id": "Id",
    "created": "Created",
    "model": "Model",
    "metadata": "Metadata",
}
ONCE = frozenset(ROLES) - {"", "metadata"}
_GUESSES = {
    "prompt": ("prompt", "question", "input", "user", "instruction", "query"),
    "answer": ("answer", "completion", "response", "output", "assistant", "reply"),
    "system": ("system", "system_prompt", "system_message"),
    "messages": ("messages", "conversation"),
    "id": ("id", "upstream_id", "completion_id"),
    "created": ("created", "created_at", "timestamp", "time", "date"),
    "model": ("model", "deployment"),
}
_REQUEST = ("request", "input", "prompt")
_RESPONSE = ("response", "output", "completion", "answer")
_NOT_ASKED = frozenset(("messages", "stream", "stream_options", "store", "user"))  # kept nowhere upstream
MILLISECONDS = 10**11  # a number beyond this counts milliseconds


class Unusable(ValueError):
    """No row can be made of the line; the text says why."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A row to be. `created` is None where the file does not say when; `exact` is the item as it was."""

    id: str
    item: Mapping[str, Any]
    messages: Sequence[Mapping[str, Any]] | None
    created: int | None
    exact: bytes | None = None

    def at(self, created: int) -> "Draft":
        """The same with a moment, where it had none."""
        return replace(self, created=created, item={**self.item, "created": created})

    def reading(self) -> Reading | Unstorable:
        """The row as the mirror takes it."""
        item = self.exact if self.exact is not None else _bytes(self.item)
        if self.messages is None:
            return read(item, self.item, pages=None, messages=None, state="gone")
        page = _bytes({"object": "list", "data": self.messages, "has_more": False})
        return read(item, self.item, pages=[page], messages=self.messages, state="ok")


def draft(data: bytes, shape: str, mapping: Mapping[str, Any]) -> Draft:
    """What a line says. Raises Unusable."""
    text = decoded(data)
    try:
        if shape == Shape.TABLE:
            return _table(text, mapping)
        value = json_of(text)
        if not isinstance(value, dict):
            raise Unusable("is JSON, but no object")
        if shape == Shape.PAIRS:
            return _pair(value)
        return _tuning(value) if shape == Shape.TUNING else _stored(value, data)
    except RecursionError:
        raise Unusable("is nested too deeply") from None


def decoded(data: bytes) -> str:
    """The line as text. Raises Unusable for what is no UTF-8."""
    if b"\x00" in data:
        raise Unusable("holds a NUL byte")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Unusable(
            f"is not UTF-8 (byte 0x{data[error.start]:02X} at position {error.start + 1}); "
            "Latin-1 or Windows-1252 must be saved as UTF-8"
        ) from None


def json_of(text: str) -> Any:
    """The line as JSON. Raises Unusable."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise Unusable(f"is not JSON: {error.msg} at character {error.pos + 1}") from None
    except ValueError:
        raise Unusable("is not JSON: a number in it has too many digits") from None


def shape_of(some: Iterable[bytes]) -> Import.Shape | None:
    """What most of these lines look like; None if they are nothing that is known."""
    votes: Counter[Import.Shape] = Counter()
    first: bytes | None = None
    for data in some:
        first = first if first is not None else data
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            continue
        if not isinstance(value, dict):
            continue
        if isinstance(value.get("choices"), list):
            votes[Shape.STORED] += 1
        elif _first(value, _REQUEST) is not None and _first(value, _RESPONSE) is not None:
            votes[Shape.PAIRS] += 1
        elif isinstance(value.get("messages"), list):
            votes[Shape.TUNING] += 1
    if votes:
        return votes.most_common(1)[0][0]
    if first is not None and not first.lstrip().startswith((b"{", b"[")):
        return Shape.TABLE
    return None


def _stored(value: dict[str, Any], line: bytes) -> Draft:
    if not isinstance(value.get("choices"), list):
        raise Unusable("has no choices, so it is no stored completion")
    messages = value.get("messages")
    if isinstance(messages, dict):
        messages = messages.get("data")
    if messages is not None and not isinstance(messages, list):
        raise Unusable("has messages that are no list")
    item = {name: each for name, each in value.items() if name not in ("messages", "review")}
    whole = len(item) == len(value)
    return _draft(item, messages, exact=line if whole else None)


def _pair(value: dict[str, Any]) -> Draft:
    request, response = _first(value, _REQUEST), _first(value, _RESPONSE)
    if request is None:
        raise Unusable("has no request")
    if response is None:
        raise Unusable("has no response")
    request, response = _inside(request), _inside(response)
    asked = request if isinstance(request, dict) else {"messages": request}
    messages = _messages(asked.get("messages", asked.get("input", asked.get("prompt"))))
    item = {name: each for name, each in asked.items() if name not in _NOT_ASKED}
    for name in ("input", "prompt"):
        item.pop(name, None)
    if isinstance(response, dict) and isinstance(response.get("choices"), list):
        item |= {name: each for name, each in response.items() if each is not None}
    elif isinstance(response, dict) and ("role" in response or "content" in response):
        item["choices"] = _choices(response)
    elif isinstance(response, str):
        item["choices"] = _choices({"content": response})
    else:
        raise Unusable("has a response without choices")
    for name in ("id", "created", "model"):
        if name in value:
            item.setdefault(name, value[name])
    if "custom_id" in value:
        item.setdefault("id", value["custom_id"])
    if isinstance(value.get("metadata"), dict):
        item["metadata"] = {**value["metadata"], **(item.get("metadata") or {})}
    return _draft(item, messages)


def _tuning(value: dict[str, Any]) -> Draft:
    messages = value.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Unusable("has no messages")
    if not all(isinstance(each, dict) for each in messages):
        raise Unusable("has a message that is no object")
    if messages[-1].get("role") != "assistant":
        raise Unusable("has no answer: its last message is not the assistant's")
    item = {name: each for name, each in value.items() if name != "messages"}
    return _draft({**item, "choices": _choices(messages[-1])}, messages[:-1])


def _table(text: str, mapping: Mapping[str, Any]) -> Draft:
    names, roles = mapping["names"], mapping["columns"]
    try:
        fields = next(csv.reader([text], delimiter=mapping["delimiter"], strict=True))
    except csv.Error as error:
        raise Unusable(f"is no row of a table: {error}") from None
    except StopIteration:
        raise Unusable("is no row of a table: nothing is in it") from None
    if len(fields) != len(names):
        raise Unusable(f"has {len(fields)} fields where the header has {len(names)}")
    held = {role: field for role, field in zip(roles, fields, strict=True) if role in ONCE}
    metadata = {
        str(name)[:64]: field
        for name, role, field in zip(names, roles, fields, strict=True)
        if role == "metadata" and field
    }
    messages: list[dict[str, Any]] | None = None
    if held.get("messages"):
        messages = _messages(json_of(held["messages"]))
    elif "prompt" in held:
        messages = [{"role": "user", "content": held["prompt"]}]
    if messages is not None and held.get("system"):
        messages = [{"role": "system", "content": held["system"]}, *messages]
    answer = held.get("answer", "")
    if not answer and messages and "answer" not in held and messages[-1].get("role") == "assistant":
        choices = _choices(messages.pop())
    elif answer:
        choices = _choices({"content": answer})
    else:
        raise Unusable("has no answer")
    item: dict[str, Any] = {name: held[name] for name in ("id", "created", "model") if held.get(name)}
    return _draft({**item, **({"metadata": metadata} if metadata else {}), "choices": choices}, messages)


def guessed(names: Sequence[str]) -> list[str]:
    """What the columns of a table probably are; one that nobody can tell becomes metadata."""
    taken: set[str] = set()
    roles = []
    for name in names:
        word = re.sub(r"\W+", "_", name.strip().casefold())
        role = next((role for role, words in _GUESSES.items() if word in words), "metadata")
        role = "metadata" if role in taken else role
        taken |= {role} & ONCE
        roles.append(role)
    return roles


def delimiter_of(header: str) -> str:
    """The character that stands most often in the header, of those that tables use."""
    return max(",;\t|", key=header.count)


def _draft(item: dict[str, Any], messages: Sequence[Any] | None, *, exact: bytes | None = None) -> Draft:
    created = item.get("created")
    if created is None or created == "":
        moment = None
    elif (moment := moment_of(created)) is None:
        raise Unusable("has a creation time that is no time")
    elif created != moment or isinstance(created, bool):
        item, exact = {**item, "created": moment}, None
    if item.get("id") in (None, ""):
        item = {name: each for name, each in item.items() if name != "id"}
        told = json.dumps([item, messages], sort_keys=True).encode()
        item, exact = {"id": f"file-{hashlib.sha256(told).hexdigest()[:32]}", **item}, None
    elif identity(item) is None:
        raise Unusable("has an id that cannot be kept: it must be a text of at most 200 characters")
    if moment is None:
        exact = None
    if messages is not None and not all(isinstance(each, dict) for each in messages):
        raise Unusable("has a message that is no object")
    return Draft(item["id"], item, messages, moment, exact)


def moment_of(value: Any) -> int | None:
    """Unix seconds of a number (also of milliseconds) or of an ISO 8601 text."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            try:
                found = datetime.fromisoformat(value.strip())
            except ValueError:
                return None
            value = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**62:
        return None
    return int(value / 1000 if abs(value) >= MILLISECONDS else value)


def _first(value: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((value[name] for name in names if value.get(name) is not None), None)


def _inside(value: Any) -> Any:
    """What a batch file wraps into `body`."""
    return value["body"] if isinstance(value, dict) and isinstance(value.get("body"), dict) else value


def _messages(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise Unusable("has a request without messages")
    return list(value)


def _choices(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    reason = "tool_calls" if message.get("tool_calls") else "stop"
    return [{"index": 0, "finish_reason": reason, "message": {"role": "assistant", **message}}]


def _bytes(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which only its escape can stand for
        return json.dumps(value).encode()


def why_not(mapping: Mapping[str, Any]) -> str:
    """What is wrong with what the columns of a table are said to be; empty if nothing is."""
    counted = Counter(mapping["columns"])
    if twice := next((role for role in ONCE if counted[role] > 1), ""):
        return f"Two columns cannot both be “{ROLES[twice]}”."
    if not counted["answer"] and not counted["messages"]:
        return "One column has to be the answer, or the messages with the answer last."
    return ""
