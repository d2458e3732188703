"""One stored completion as upstream sent it, made fit to store: read, repaired, and every repair named.

Pure: no database, no settings. Whatever the bytes hold, the answer is a Reading or an Unstorable, never an
exception; `raw` keeps the bytes untouched.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from completions import conversation, raw, spoken
from completions.conversation import Texts
from completions.search.tokens import fits

MessagesHere = Literal["pending", "ok", "gone", "failed"]
LARGEST = 2**63 - 1
# Text of one column that is kept beside the bytes for search: what an index can hold, with some room.
TEXT_CHARS = 1_000_000
PAIRS = 64  # upstream allows 16 pairs of metadata
# A metadata key and value as terms: together they fit an index row of either engine.
KEY_BYTES, VALUE_CHARS, VALUE_BYTES = 400, 1000, 2000
FORMAT_CHARS, TOOL_CHARS, TOOLS = 20, 200, 128
_SUSPICIOUS_TEXT = re.compile(rb"\\u0000|\\u[dD][89a-fA-F]")
_SUSPICIOUS = re.compile(
    rb"\\u0000|\x00|\\u[dD][89a-fA-F]|NaN|Infinity|[1-9][0-9]{19}|9[2-9][0-9]{17}|[0-9][eE]\+?[0-9]{3}"
)
_BROKEN = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Unstorable:
    """An item without which no row can be made; `reason` says why in plain words."""

    upstream_id: str | None
    raw: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """One row to be: the columns of StoredCompletion, its texts, and what upstream sent."""

    upstream_id: str
    columns: Mapping[str, Any]
    texts: Texts
    item: bytes  # as cut from its page
    raw: bytes  # that and its messages, packed
    fetched: bool  # whether its messages are here, so that its texts are whole

    @property
    def metadata(self) -> Mapping[str, str]:
        found: Mapping[str, str] = self.columns["metadata"]
        return found


# Numbers are not made into numbers: one of many digits would take long, and is JSON all the same.
_STRICT = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=lambda name: _not_json(name))
_JSON_BEGINS = frozenset('{["-0123456789tfn')
_NO_TEXT, _NO_JSON = object(), object()


def digest_of(item: bytes) -> str:
    return hashlib.sha256(item).hexdigest()


def clean(text: str) -> str:
    """The text without what a database refuses: NUL and lone surrogates become U+FFFD."""
    if text.isascii() and "\x00" not in text:
        return text
    return _BROKEN.sub("\ufffd", text) if _BROKEN.search(text) else text


def term_of(key: str, value: str) -> tuple[str, str]:
    """A metadata pair as it stands in the dictionary of terms: overlong ones are cut."""
    return _within(key, 200, KEY_BYTES), _within(value, VALUE_CHARS, VALUE_BYTES)


def identity(value: Mapping[str, Any] | None) -> str | None:
    """The id of an item, or None if it has none that can be stored."""
    found = (value or {}).get("id")
    return found if isinstance(found, str) and 0 < len(found) <= 200 and clean(found) == found else None


def moment(value: Mapping[str, Any] | None) -> int | None:
    """The `created` of an item in unix seconds, or None if it has none that can be stored."""
    found = (value or {}).get("created")
    if isinstance(found, str) and re.fullmatch(r"-?[0-9]{1,19}", found):
        found = int(found)
    return _whole(found)


def read(
    item: bytes,
    value: Mapping[str, Any] | None,
    *,
    pages: Sequence[bytes] | None,
    messages: Sequence[Mapping[str, Any]] | None,
    state: MessagesHere,
    problem: str = "",
) -> Reading | Unstorable:
    """Read an item of a list and its messages; both as bytes and as decoded."""
    upstream_id, created = identity(value), moment(value)
    if value is None:
        return Unstorable(None, item, problem or "could not be read")
    if upstream_id is None:
        return Unstorable(None, item, "has no id")
    if created is None:
        return Unstorable(upstream_id, item, "has no creation time")
    try:
        return _read(item, value, upstream_id, created, pages, messages, state)
    except (RecursionError, ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
        return Unstorable(upstream_id, item, f"could not be read ({type(error).__name__})")


def _read(
    item: bytes,
    value: Mapping[str, Any],
    upstream_id: str,
    created: int,
    pages: Sequence[bytes] | None,
    messages: Sequence[Mapping[str, Any]] | None,
    state: MessagesHere,
) -> Reading:
    flags: set[str] = set()
    for body in (item, *(pages or ())):
        flags |= _repairs(body)
    parsed = conversation.parse(value, messages)
    full = parsed.texts()
    texts = Texts(*(clean(text[:TEXT_CHARS]) for text in (full.system, full.prompt, full.answer)))
    if max(map(len, (full.system, full.prompt, full.answer))) > TEXT_CHARS or not fits(texts):
        flags.add("text_cut")
    if not parsed.choices:
        flags.add("no_choices")
    if parsed.unknown:
        flags.add("unknown_part")
    if state == "gone":
        flags.add("no_messages")
    if state == "failed":
        flags.add("messages_unreadable")
    usage = value.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    tokens = {
        name: _whole(conversation.pick(usage, name))
        for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    }
    prompt, answer = parsed.previews()
    metadata = _metadata(value.get("metadata"), flags)
    here = parsed.messages is not None
    answer_json = _json_of(parsed.answer.text if parsed.answer else "")
    columns = {
        "created": created,
        "model": _column(value.get("model"), 200, flags),
        "prompt_preview": clean(prompt),
        "answer_preview": clean(answer),
        "metadata": metadata,
        **tokens,
        "finish_reason": _column(parsed.finish_reason, 60, flags),
        "request_id": _column(conversation.pick(value, "request_id"), 200, flags),
        "turns": parsed.turns,
        "tool_calls": parsed.tool_calls if here else None,
        "has_image": parsed.has_image,
        "refused": parsed.refused,
        "answer_length": len(parsed.answer.text) if parsed.answer else 0,
        "language": _language(parsed, answer_json, texts.prompt),
        "temperature": _decimal(conversation.pick(value, "temperature")),
        "response_format": _format(conversation.pick(value, "response_format")),
        "answer_is_json": None if answer_json is _NO_TEXT else answer_json is not _NO_JSON,
        "tools": _called(parsed),
        "messages_state": state,
        "flags": sorted(flags),
        "digest": digest_of(item),
    }
    return Reading(upstream_id, columns, texts, item, raw.pack(item, pages), state != "pending")


def _metadata(found: Any, flags: set[str]) -> dict[str, str]:
    if found is None:
        return {}
    if not isinstance(found, dict):
        flags.add("metadata_unreadable")
        return {}
    if len(found) > PAIRS:
        flags.add("metadata_cut")
    pairs = {}
    for key, value in list(found.items())[:PAIRS]:
        if not isinstance(value, str):
            flags.add("metadata_not_text")
            value = _as_text(value)
        key, value = clean(key), clean(value)
        if term_of(key, value) != (key, value):
            flags.add("metadata_cut")
            key = term_of(key, "")[0]
        pairs[key] = value
    return pairs


def _as_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _column(value: Any, most: int, flags: set[str]) -> str:
    if not isinstance(value, str):
        return ""
    if len(value) > most:
        flags.add("value_cut")
    return clean(value)[:most]


def _within(text: str, chars: int, size: int) -> str:
    text = text[:chars]
    if len(text) * 4 > size:
        text = text.encode("utf-8", "replace")[:size].decode("utf-8", "ignore")
    return text


def _whole(value: Any) -> int | None:
    """A number that a column of 64 bits takes; None for anything else, NaN and infinity included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    number = int(value)
    return number if -LARGEST - 1 <= number <= LARGEST else None


def _decimal(value: Any) -> float | None:
    """A number that a floating column takes, in every engine alike."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int) and abs(value) > LARGEST:
        return None
    return float(value) if math.isfinite(value) else None


def _format(value: Any) -> str:
    """The kind of answer that was asked for: `text`, `json_object`, `json_schema`, or one that is newer."""
    found = value.get("type") if isinstance(value, dict) else value
    return clean(found)[:FORMAT_CHARS] if isinstance(found, str) else ""


def _called(parsed: conversation.Conversation) -> list[str]:
    """The names of the tools that the model called, in the conversation and in its answers."""
    names = {call.name for message in parsed.everything for call in message.tool_calls if call.name}
    return sorted({clean(name)[:TOOL_CHARS] for name in names})[:TOOLS]


def _json_of(text: str) -> Any:
    """What an answer says as JSON, `_NO_JSON` if it is none, `_NO_TEXT` if nothing was said."""
    start = text[:64].lstrip()[:1] or text.lstrip()[:1]
    if not start:
        return _NO_TEXT
    if start not in _JSON_BEGINS:
        return _NO_JSON
    try:
        return _STRICT.decode(text)
    except (ValueError, RecursionError):
        return _NO_JSON


def _not_json(constant: str) -> None:
    raise ValueError(constant)  # NaN and Infinity, which only Python reads


def _language(parsed: conversation.Conversation, answer_json: Any, prompt: str) -> str:
    """The language of the answer, or of the prompt where the answer has no text."""
    if answer_json is _NO_TEXT:
        return spoken.language(prompt)
    if isinstance(answer_json, dict | list):
        return spoken.language(spoken.strings(answer_json))
    return spoken.language(parsed.answer.text if parsed.answer else "")


class _Doubled(Exception):
    """A key stands twice in one object."""


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise _Doubled
    return read


def _repairs(body: bytes) -> set[str]:
    """What had to be repaired or needs a warning in this JSON; the names are the row's flags."""
    return set() if _is_sound(body) else _ailments(body)


def _is_sound(body: bytes) -> bool:
    """A quick look at what nearly all bodies are: JSON in which nothing needs a flag. In doubt, no."""
    if b"\x00" in body or (b"\\u" in body and _SUSPICIOUS_TEXT.search(body)):
        return False
    try:
        _SOUND.decode(body.decode())
    except (ValueError, RecursionError, _Doubled):
        return False
    return True


def _sound_int(digits: str) -> int:
    if len(digits) > 18:
        raise ValueError(digits)
    return 0


def _sound_float(digits: str) -> float:
    if not math.isfinite(float(digits)):
        raise ValueError(digits)
    return 0.0


_SOUND = json.JSONDecoder(
    object_pairs_hook=_no_doubles, parse_int=_sound_int, parse_float=_sound_float, parse_constant=_not_json
)


def _ailments(body: bytes) -> set[str]:
    flags = set()
    text = body.decode("utf-8", "surrogateescape")
    try:
        json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_no_doubles)
    except _Doubled:
        flags.add("duplicate_key")
    except (ValueError, RecursionError):
        pass  # whoever cut or decoded it has said so
    if not body.isascii() and _BROKEN.search(text):
        flags.add("invalid_utf8")
    if _SUSPICIOUS.search(body):
        flags |= _suspects(text)
    return flags


def _suspects(text: str) -> set[str]:
    """A slow and exact look at a text in which something suspicious stands."""
    flags: set[str] = set()
    try:
        waiting = [json.loads(text.removeprefix("\ufeff"), strict=False)]
    except (ValueError, RecursionError):
        return flags
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.keys()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str):
            for broken in _BROKEN.findall(value):
                if broken == "\x00":
                    flags.add("nul")
                elif not "\udc80" <= broken <= "\udcff":  # those stand for bytes that were not UTF-8
                    flags.add("surrogate")
        elif isinstance(value, float):
            if not math.isfinite(value):
                flags.add("not_finite")
        elif isinstance(value, int) and not -LARGEST - 1 <= value <= LARGEST:
            flags.add("big_number")
    return flags
