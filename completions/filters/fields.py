"""What one can filter by: a registry with one entry per field."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from completions.filters.lookups import AnyOf, Contains, Lookup, Moments, Numbers, Pattern, Present, Words
from completions.filters.operands import Operand, Operands, Unreadable

# terms: values of the dictionary of terms, `column` is their kind; numbers, moments: `column` is an array of
# the columns; marks: bits and flags; words: text of the bodies; lookup: `column` is one of the database.
How = Literal["terms", "numbers", "moments", "marks", "words", "connection", "lookup"]

# Names of `has:`; a flag says what was repaired or left out when the completion was stored.
MARKS: Mapping[str, str] = MappingProxyType(
    {
        "image": "an image",
        "tools": "tool calls",
        "refusal": "a refusal",
        "json": "an answer that is JSON",
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
STATES: Mapping[str, str] = MappingProxyType(
    {"gone": "gone upstream", "pending": "waiting for its messages"},
)


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to filter by; `column` is a name of ours, never one from a request."""

    name: str
    title: str
    how: How
    read: Callable[[Operands, bool], Lookup]
    column: str = ""
    keyed: bool = False  # followed by a metadata key of any name
    merges: bool = False  # a completion has one value, so that repeating the field means “or”
    example: str = ""
    lookups: tuple[str, ...] = ()  # ways to compare, by the names that the editor shows


class Unknown(Unreadable):
    """A name that is not in the list, with the nearest one that is."""

    def __init__(self, text: str, known: Iterable[str], value: str) -> None:
        super().__init__(text)
        self.known, self.value = tuple(known), value


# Ways to compare, each beside its contrary.
SAME = ("is", "is not", "any of", "none of")
PART = ("contains", "does not contain")
ANY = ("present", "absent")
RANGE = ("at least", "not at least", "at most", "not at most", "between", "not between")
NUMBER = ("is", "is not", "more than", "not more than", "less than", "not less than", *RANGE)
TIME = (
    "in the last", "not in the last", "on", "not on", "since", "not since", "until", "not until",
    "after", "not after", "before", "not before", "between", "not between",
)  # fmt: skip
TEXTUAL = (
    "words", "not words", "words beginning", "not words beginning", *PART, "regex", "not regex",
)  # fmt: skip


def _no_beginning(operands: Operands, begins: bool) -> None:  # noqa: FBT001  # from one of the readers
    if begins:
        raise Unreadable("Only words of the text may be begun with “*”; here the whole value is needed.")


def _terms(operands: Operands, begins: bool) -> Lookup:  # noqa: FBT001  # one of the readers
    _no_beginning(operands, begins)
    if len(operands) == 1 and operands[0].is_star:
        return Present()
    if len(operands) == 1 and operands[0].form == "contains":
        return Contains.read(operands)
    return AnyOf.read(operands)


def _whole(operands: Operands, begins: bool) -> Lookup:  # noqa: FBT001  # one of the readers
    _no_beginning(operands, begins)
    return AnyOf.read(operands)


def _whole_or_absent(operands: Operands, begins: bool) -> Lookup:  # noqa: FBT001  # one of the readers
    if len(operands) == 1 and operands[0].is_star and not begins:
        return Present()
    return _whole(operands, begins)


def _numbers(operands: Operands, begins: bool) -> Lookup:  # noqa: FBT001  # one of the readers
    return Present() if len(operands) == 1 and operands[0].is_star else Numbers.read(operands)


def _decimals(operands: Operands, begins: bool) -> Lookup:  # noqa: FBT001  # one of the readers
    return Present() if len(operands) == 1 and operands[0].is_star else Numbers.read(operands, decimals=True)


def _moments(operands: Operands, begins: bool) -> Lookup:  # noqa: FBT001  # one of the readers
    return Moments.read(operands)


def _words(operands: Operands, begins: bool) -> Lookup:  # noqa: FBT001  # one of the readers
    form = operands[0].form
    if form == "contains":
        return Contains.read(operands)
    return Pattern.read(operands) if form == "pattern" else Words.read(operands, begins=begins)


def _known(*lists: Mapping[str, str]) -> Callable[[Operands, bool], Lookup]:
    names = tuple(name for each in lists for name in each)

    def read(operands: Operands, begins: bool) -> Lookup:  # noqa: FBT001  # one of the readers
        lookup = AnyOf.read(tuple(Operand(each.text.lower(), each.form) for each in operands))
        for value in lookup.values:
            if value not in names:
                some = f" It is one of {', '.join(names)}." if len(names) < 8 else ""
                raise Unknown(f"“{value}” is not known here.{some}", names, value)
        return lookup

    return read


_ALL = (
    Field(
        "model", "model", "terms", _terms, "model", merges=True, example="model:gpt-4o,gpt-4o-mini",
        lookups=(*SAME, *PART, *ANY),
    ),
    Field(
        "connection", "connection", "connection", _whole, merges=True, example="connection:sandbox",
        lookups=SAME,
    ),
    Field(
        "meta", "metadata", "terms", _terms, "metadata", keyed=True, merges=True,
        example="meta.category:test", lookups=(*SAME, *PART, *ANY),
    ),
    Field("created", "created", "moments", _moments, "created", example="created:7d", lookups=TIME),
    Field(
        "finish", "finish reason", "terms", _terms, "finish", merges=True, example="finish:stop",
        lookups=(*SAME, *PART, *ANY),
    ),
    Field(
        "tokens", "tokens", "numbers", _numbers, "total_tokens", example="tokens:>500",
        lookups=(*NUMBER, *ANY),
    ),
    Field(
        "prompt_tokens", "prompt tokens", "numbers", _numbers, "prompt_tokens",
        example="prompt_tokens:<=200", lookups=(*NUMBER, *ANY),
    ),
    Field(
        "completion_tokens", "answer tokens", "numbers", _numbers, "completion_tokens",
        example="completion_tokens:100..200", lookups=(*NUMBER, *ANY),
    ),
    Field(
        "turns", "user messages", "numbers", _numbers, "turns", example="turns:>=3",
        lookups=(*NUMBER, *ANY),
    ),
    Field(
        "length", "answer length", "numbers", _numbers, "answer_length", example="length:<20",
        lookups=(*NUMBER, *ANY),
    ),
    Field(
        "temperature", "temperature", "numbers", _decimals, "temperature", example="temperature:>0.7",
        lookups=(*NUMBER, *ANY),
    ),
    Field(
        "language", "language", "terms", _terms, "language", merges=True, example="language:de,fr",
        lookups=(*SAME, *PART, *ANY),
    ),
    Field(
        "format", "response format", "terms", _terms, "format", merges=True, example="format:json_schema",
        lookups=(*SAME, *PART, *ANY),
    ),
    Field(
        "tool", "called tool", "terms", _terms, "tool", example="tool:get_weather",
        lookups=(*SAME, *PART, *ANY),
    ),
    Field(
        "id", "id", "lookup", _whole, "upstream_id", merges=True, example="id:chatcmpl-abc", lookups=SAME,
    ),
    Field(
        "request", "request id", "lookup", _whole_or_absent, "request_id", merges=True,
        example="request:req_1", lookups=(*SAME, *ANY),
    ),
    Field("has", "has", "marks", _known(MARKS, FLAGS), example="has:tools", lookups=SAME),
    Field("is", "is", "marks", _known(STATES), example="is:gone", lookups=SAME),
    Field("prompt", "prompt", "words", _words, "prompt", example="prompt:invoice", lookups=TEXTUAL),
    Field("answer", "answer", "words", _words, "answer", example='answer:~"not found"', lookups=TEXTUAL),
    Field("system", "system prompt", "words", _words, "system", example="system:/pirates?/", lookups=TEXTUAL),
    # Prompt or answer; written without its name.
    Field("text", "text", "words", _words, "text", example='"exact phrase"', lookups=TEXTUAL),
)  # fmt: skip
FIELDS: Mapping[str, Field] = MappingProxyType({field.name: field for field in _ALL})
TEXT = FIELDS["text"]
TEXT_FIELDS = frozenset(field.name for field in _ALL if field.how == "words")
