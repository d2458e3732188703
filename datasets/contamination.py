"""Which rows of one file are known from another: of two versions, or of two parts of one. Streams both files.

A row is known by the strongest of: the same line, the same prompt, a conversation that begins alike, nearly
the same text. Of each row some numbers are kept (150 bytes), no text; what may be near is read again.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from django.db.models import Count
from numpy.typing import NDArray

from completions.conversation import Message
from completions.duplicates import (
    message_key,
)
from datasets import reading
from datasets.build import files
from datasets.models import DatasetVersion

# The strongest first, in words that end "… of the rows have".
KINDS: Final = {
    "line": "the same line",
    "prompt": "the same prompt",
    "conversation": "a conversation that begins alike",
    "near": "nearly the same text",
}
MOST_PAIRS: Final = 200  # shown side by side
MOST_NEAR: Final = 300_000  # rows of a file in which what is near is looked for
TICK: Final = 500  # rows between two signs of life
_SYSTEM: Final = ("system", "developer")

Tick = Callable[[int], None]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Side:
    """A file, or one part of it: so many rows from `offset` on."""

    version: DatasetVersion
    part: str  # empty for all
    first_line: int
    rows: int
    offset: int
    size: int

    @classmethod
    def of(cls, version: DatasetVersion, part: str = "") -> "Side | None":
        """The side, if the version has such a part."""
        if version.state != DatasetVersion.State.READY:
            return None
        if not part:
            return cls(version, "", 1, version.rows, 0, version.size)
        found = version.part(part)
        if found is None:
            return None
        return cls(version, part, found.first_line, found.rows, found.offset, found.size)

    def overlaps(self, other: "Side") -> bool:
        """Whether both are rows of the same file, and share some."""
        if self.version.pk != other.version.pk:
            return False
        return self.offset < other.offset + other.size and other.offset < self.offset + self.size

    def lines(self, at: int) -> Iterator[tuple[int, bytes]]:
        """Each line from byte `at` of the file on, with where it begins."""
        with files.open_file(self.version) as file:
            file.seek(at)
            end = self.offset + self.size
            while at < end and (line := file.readline()):
                yield at, line
                at += len(line)


@dataclass(frozen=True, slots=True)
class Pair:
    """A row and the one that it is known from, by their lines, counted from 1 over the whole file."""

    kind: str
    line: int
    known: int
    share: float = 1.0


@dataclass(slots=True)
class Found:
    """How many of `rows` are known from `against` other rows, by the strongest kind of each."""

    rows: int = 0
    against: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)
    looked_near: bool = True

    @property
    def known(self) -> int:
        return sum(self.counts.values())

    @property
    def shares(self) -> list[tuple[str, int, float]]:
        """(words, rows, share of all rows) of each kind."""
        return [
            (words, self.counts.get(kind, 0), self.counts.get(kind, 0) / max(self.rows, 1))
            for kind, words in KINDS.items()
        ]

    def as_data(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "against": self.against,
            "counts": self.counts,
            "pairs": [[pair.kind, pair.line, pair.known, round(pair.share, 4)] for pair in self.pairs],
            "looked_near": self.looked_near,
        }

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Found":
        return cls(**{**data, "pairs": [Pair(*pair) for pair in data["pairs"]]})


@dataclass(frozen=True, slots=True)
class Said:
    """What of a line is compared."""

    prompt: bytes
    beginning: bytes
    asked: str
    answered: str


def said(line: bytes) -> Said:
    """What a line of any purpose says: its prompt, how it begins, its text without system prompts."""
    talks = reading.read(reading.parsed(line)).talks
    messages = list(talks[0].messages) if talks else []
    answers = [message for talk in talks[1:2] for message in talk.messages]
    if not answers and messages and messages[-1].role == "assistant":
        answers = [messages.pop()]
    keys = [message_key(_plain(message)) for message in messages]
    began = next((at + 1 for at, each in enumerate(messages) if each.role not in _SYSTEM), len(messages))
    asked = "\n\n".join(_text(message) for message in messages if message.role not in _SYSTEM)
    return Said(b"".join(keys), b"".join(keys[:began]), asked, "\n\n".join(map(_text, answers)))


def _plain(message: Message) -> Message:
    return replace(message, role="system") if message.role == "developer" else message


def _text(message: Message) -> str:
    calls = (f"{call.name} {call.arguments}" for call in message.tool_calls)
    return "\n".join((message.text, *calls)).strip()


# Of one version, from what is known of its rows already.


@dataclass(frozen=True, slots=True)
class Shared:
    """How many lines, prompts and beginnings of conversations stand in more than one split of a version."""

    lines: int
    prompts: int
    conversations: int

    @property
    def is_clean(self) -> bool:
        return not (self.lines or self.prompts or self.conversations)


def between_splits(version: DatasetVersion) -> Shared | None:
    """What the splits of a version have in common; None if it has one split only. Reads no file."""
    if len(version.parts) < 2:
        return None
    rows = version.examples.filter(line__isnull=False)

    def shared(name: str) -> int:
        groups = rows.exclude(**{name: ""}).values(name).annotate(n=Count("split", distinct=True))
        return int(groups.filter(n__gt=1).count())

    return Shared(shared("content_hash"), shared("prompt_key"), shared("conversation"))


def line_at(side: Side, number: int) -> dict[str, Any]:
    """The object of a line, by its number over the whole file."""
    example = side.version.examples.filter(line=number).first()
    return reading.parsed(files.read_bytes(side.version, example)) if example is not None else {}
