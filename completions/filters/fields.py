"""What one can filter by: a registry with one entry per field."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as made
from types import MappingProxyType
from typing import Literal

from completions.filters.language import write_text
from completions.filters.lookups import AnyOf, Contains, Lookup, Moments, Numbers, Pattern, Present, Words
from completions.filters.operands import Operand, Operands, Unreadable

# terms: values of the dictionary of terms, `column` is their kind; numbers, moments: `column` is an array of
# the columns; marks: bits and flags; words: text of the bodies; notes: text that people wrote about them;
# lookup: `column` is one of the database.
How = Literal["terms", "numbers", "moments", "marks", "words", "notes", "connection", "lookup"]

# Names of `has:`; a flag says what was repaired or left out when the completion was stored.
MARKS: Mapping[str, str] = MappingProxyType(
    {
        "image": "an image",
        "tools": "tool calls",
        "refusal": "a refusal",
        "json": "an answer that is JSON",
        "correction": "a correction",
        "note": "a note",
        "disagreement": "reviewers who disagree",
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
UNREVIEWED = "unreviewed"
REVIEWS: Mapping[str, str] = MappingProxyType(
    {
        UNREVIEWED: "unreviewed",
        "needs_review": "needs review",
        "approved": "approved",
        "rejected": "rejected",
    }
)
RATINGS: Mapping[str, str] = MappingProxyType({"good": "good", "bad": "bad"})


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to filter by; `column` is a name of ours, never one from a request."""

    name: str
    title: str
    how: How
    read: Callable[[Operands, bool], Lookup]
    column: str = ""
    keyed: str = ""  # what the key is called that follows, of any name; the dictionary has a field for each
    merges: bool = False  # a completion has one value, so that repeating the field means “or”
    example: str = ""
    lookups: tuple[str, ...] = ()  # ways to compare, by the names that the editor shows
    choices: Mapping[str, str] = made(default_factory=dict, hash=False)  # all values, and what each means
    nothing: str = ""  # the value that a completion has without any term of it


class Unknown(Unreadable):
    """A name that is not in the list, with the nearest one that is."""

    def __init__(self, text: str, known: Iterable[str], value: str) -> None:
        super().__init__(text)
        self.known, self.value = tuple(known), value


_COMPARES = re.compile(r"([<>]=?|[≤≥])-?[0-9]|-?[0-9]*\.\.-?[0-9]*\Z", re.ASCII)

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


def _answers(operands: Operands, begins: bool) -> Lookup:  # noqa: FBT001  # one of the readers
    """As terms, or a range of numbers: what compares is one, a bare number is a value like any other."""
    if not begins and any(each.form == "plain" and _COMPARES.match(each.text) for each in operands):
        return Numbers.read(operands, signed=True)
    return _terms(operands, begins)


def _numbers(operands: Operands, begins: bool) -> Lookup:  # noqa: FBT001  # one of the readers
    return Present() if len(operands) == 1 and operands[0].is_star else Numbers.read(operands)


def _decimals(operands: Operands, begins: bool) -> Lookup:  # noqa: FBT001  # one of the readers
    return Present() if len(operands) == 1 and operands[0].is_star else Numbers.read(operands, decimals=True)


def _moments(operands: Operands, begins: bool) -> Lookup:  # noqa: FBT001  # one of the readers
    return Moments.read(operands)


def _moments_or_absent(operands: Operands, begins: bool) -> Lookup:  # noqa: FBT001  # one of the readers
    return Present() if len(operands) == 1 and operands[0].is_star else Moments.read(operands)


def _words(operands: Operands, begins: bool) -> Lookup:  # noqa: FBT001  # one of the readers
    form = operands[0].form
    if form == "contains":
        return Contains.read(operands)
    return Pattern.read(operands) if form == "pattern" else Words.read(operands, begins=begins)


def _notes(operands: Operands, begins: bool) -> Lookup:  # noqa: FBT001  # one of the readers
    if operands[0].form == "contains":
        raise Unreadable(
            "What people wrote is searched by words; “*” finds a word that begins so.",
            write_text(operands[0].text, begins=True),
        )
    return Words.read(operands, begins=begins)


def _chosen(choices: Mapping[str, str]) -> Callable[[Operands, bool], Lookup]:
    known = _known(choices)

    def read(operands: Operands, begins: bool) -> Lookup:  # noqa: FBT001  # one of the readers
        _no_beginning(operands, begins)
        if len(operands) == 1 and operands[0].is_star:
            return Present()
        return known(tuple(Operand(re.sub("[ -]", "_", each.text), each.form) for each in operands), begins)

    return read


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
        "meta", "metadata", "terms", _terms, "metadata", keyed="KEY", merges=True,
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
    Field(
        "review", "review", "terms", _chosen(REVIEWS), "review", merges=True,
        example="review:unreviewed,needs_review", lookups=(*SAME, *ANY), choices=REVIEWS, nothing=UNREVIEWED,
    ),
    Field(
        "rating", "rating", "terms", _chosen(RATINGS), "rating", merges=True, example="rating:good",
        lookups=(*SAME, *ANY), choices=RATINGS,
    ),
    Field(
        "label", "label", "terms", _answers, "label", keyed="NAME", example="label.quality:>=4",
        lookups=(*SAME, *PART, *NUMBER[2:], *ANY),
    ),
    Field(
        "reviewer", "reviewer", "terms", _terms, "reviewer", example="reviewer:alex",
        lookups=(*SAME, *PART, *ANY),
    ),
    Field(
        "reviewed", "reviewed", "moments", _moments_or_absent, "reviewed", example="reviewed:7d",
        lookups=(*TIME, *ANY),
    ),
    Field("note", "note", "notes", _notes, "note", example="note:wrong*", lookups=TEXTUAL[:4]),
    Field(
        "correction", "correction", "notes", _notes, "correction", example='correction:"at your service"',
        lookups=TEXTUAL[:4],
    ),
    Field(
        "same", "duplicate group", "terms", _whole_or_absent, "same", merges=True, example="same:*",
        lookups=(*SAME, *ANY),
    ),
    Field(
        "near", "near-duplicate group", "terms", _whole_or_absent, "near", merges=True, example="-near:*",
        lookups=(*SAME, *ANY),
    ),
    Field(
        "alike", "system prompt group", "terms", _whole_or_absent, "alike", merges=True,
        example="alike:8f14e45fceea167a", lookups=(*SAME, *ANY),
    ),
    Field(
        "thread", "conversation group", "terms", _whole_or_absent, "thread", merges=True,
        example="thread:*", lookups=(*SAME, *ANY),
    ),
    Field("prompt", "prompt", "words", _words, "prompt", example="prompt:invoice", lookups=TEXTUAL),
    Field("answer", "answer", "words", _words, "answer", example='answer:~"not found"', lookups=TEXTUAL),
    Field("system", "system prompt", "words", _words, "system", example="system:/pirates?/", lookups=TEXTUAL),
    # Prompt or answer; written without its name.
    Field("text", "text", "words", _words, "text", example='"exact phrase"', lookups=TEXTUAL),
)  # fmt: skip
FIELDS: Mapping[str, Field] = MappingProxyType({field.name: field for field in _ALL})
TEXT = FIELDS["text"]
TEXT_FIELDS = frozenset(field.name for field in _ALL if field.how == "words")
