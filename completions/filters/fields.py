"""What one can filter by: a registry with one entry per field."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from django.db.models import Q

from completions.filters.language import Operand
from completions.filters.lookups import AnyOf, Lookup, Moments, Numbers, Unreadable, Words

How = Literal["column", "terms", "marks", "words", "connection"]

# Names of `has:`; a flag says what was repaired or left out when the completion was stored.
MARKS: Mapping[str, tuple[str, Q]] = MappingProxyType(
    {
        "image": ("an image", Q(has_image=True)),
        "tools": ("tool calls", Q(tool_calls__gt=0)),
        "refusal": ("a refusal", Q(refused=True)),
    }
)
FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "big_number": "a number beyond 64 bits",
        "duplicate_key": "a key that stands twice",
        "invalid_utf8": "bytes that are not UTF-8",
        "messages_unreadable": "messages that could not be read",
        "metadata_cut": "metadata that was cut",
        "metadata_not_text": "metadata that is not text",
        "metadata_unreadable": "unreadable metadata",
        "no_choices": "no answer",
        "no_messages": "no messages",
        "not_finite": "NaN or infinity",
        "nul": "a NUL character",
        "surrogate": "half a character",
        "text_cut": "more text than is indexed",
        "unknown_part": "a part of unknown kind",
        "value_cut": "a value that was cut",
    }
)
STATES: Mapping[str, tuple[str, Q]] = MappingProxyType(
    {
        "gone": ("gone upstream", Q(gone_at__isnull=False)),
        "pending": ("waiting for its messages", Q(messages_state="pending")),
    }
)


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to filter by; `column` is a name of ours, never one from a request."""

    name: str
    title: str
    how: How
    read: Callable[[tuple[Operand, ...], bool], Lookup]
    column: str = ""
    keyed: bool = False  # followed by a metadata key of any name
    merges: bool = False  # a completion has one value, so that repeating the field means “or”
    example: str = ""


def _values(operands: tuple[Operand, ...], begins: bool) -> Lookup:  # noqa: FBT001  # one of the readers
    if begins:
        raise Unreadable("Only words of the text may be begun with “*”; here the whole value is needed.")
    return AnyOf.read(operands)


def _numbers(operands: tuple[Operand, ...], begins: bool) -> Lookup:  # noqa: FBT001  # one of the readers
    return Numbers.read(operands)


def _moments(operands: tuple[Operand, ...], begins: bool) -> Lookup:  # noqa: FBT001  # one of the readers
    return Moments.read(operands)


def _words(operands: tuple[Operand, ...], begins: bool) -> Lookup:  # noqa: FBT001  # one of the readers
    return Words.read(operands, begins=begins)


class Unknown(Unreadable):
    """A name that is not in the list, with the nearest one that is."""

    def __init__(self, text: str, known: Mapping[str, object] | tuple[str, ...], value: str) -> None:
        super().__init__(text)
        self.known, self.value = tuple(known), value


def _known(*lists: Mapping[str, object]) -> Callable[[tuple[Operand, ...], bool], Lookup]:
    names = {name: True for each in lists for name in each}

    def read(operands: tuple[Operand, ...], begins: bool) -> Lookup:  # noqa: FBT001  # one of the readers
        lookup = AnyOf.read(operands)
        for value in lookup.values:
            if value not in names:
                some = f" It is one of {', '.join(names)}." if len(names) < 8 else ""
                raise Unknown(f"“{value}” is not known here.{some}", names, value)
        return lookup

    return read


_ALL = (
    Field("model", "model", "column", _values, "model", merges=True, example="model:gpt-4o,gpt-4o-mini"),
    Field("connection", "connection", "connection", _values, merges=True, example="connection:sandbox"),
    Field("meta", "metadata", "terms", _values, keyed=True, merges=True, example="meta.category:test"),
    Field("created", "created", "column", _moments, "created", example="created:7d"),
    Field("finish", "finish reason", "column", _values, "finish_reason", merges=True, example="finish:stop"),
    Field("tokens", "tokens", "column", _numbers, "total_tokens", example="tokens:>500"),
    Field(
        "prompt_tokens", "prompt tokens", "column", _numbers, "prompt_tokens", example="prompt_tokens:..200",
    ),
    Field(
        "completion_tokens", "answer tokens", "column", _numbers, "completion_tokens",
        example="completion_tokens:>9",
    ),
    Field("turns", "user messages", "column", _numbers, "turns", example="turns:>=3"),
    Field("length", "answer length", "column", _numbers, "answer_length", example="length:<20"),
    Field("id", "id", "column", _values, "upstream_id", merges=True, example="id:chatcmpl-abc"),
    Field("request", "request id", "column", _values, "request_id", merges=True, example="request:req_1"),
    Field("has", "has", "marks", _known(MARKS, FLAGS), example="has:tools"),
    Field("is", "is", "marks", _known(STATES), example="is:gone"),
    Field("prompt", "prompt", "words", _words, "prompt", example="prompt:invoice"),
    Field("answer", "answer", "words", _words, "answer", example='answer:"not found"'),
    Field("system", "system prompt", "words", _words, "system", example="system:pirate"),
)  # fmt: skip
FIELDS: Mapping[str, Field] = MappingProxyType({field.name: field for field in _ALL})
TEXT = Field("", "text", "words", _words, "text", example='"exact phrase"')
