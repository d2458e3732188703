"""Forms of metadata: rows of a key and a value, each of which can be taken away, and room for more."""

import json
from dataclasses import dataclass, field
from typing import Any, Self

from django.http import QueryDict

from completions.ledger import Refused
from completions.write_back import Wish

ROOM = 2  # empty rows below the others
MOST_ROWS = 64  # more than a provider ever holds


@dataclass(frozen=True, slots=True)
class Pair:
    """One row of a form."""

    key: str = ""
    value: str = ""
    removed: bool = False


@dataclass
class PairsForm:
    """What a person wrote: pairs to set, and those to be taken away."""

    pairs: list[Pair] = field(default_factory=list)
    room: int = ROOM

    @classmethod
    def of(cls, metadata: dict[str, str]) -> Self:
        return cls([Pair(key, value) for key, value in metadata.items()])

    @classmethod
    def from_post(cls, data: QueryDict) -> Self:
        removed = set(data.getlist("remove"))
        rows = zip(data.getlist("key"), data.getlist("value"), strict=False)
        pairs = [Pair(key.strip(), value, str(at) in removed) for at, (key, value) in enumerate(rows)]
        kept = [pair for pair in pairs[:MOST_ROWS] if pair.key or pair.value]
        return cls(kept, ROOM * (2 if "more" in data else 1))

    @property
    def rows(self) -> list[Pair]:
        """The pairs, and empty ones to write into."""
        return [*self.pairs, *[Pair()] * self.room]

    def metadata(self) -> dict[str, str]:
        """The pairs that are to be there. Raises Refused."""
        found: dict[str, str] = {}
        for pair in self.pairs:
            if pair.removed:
                continue
            if not pair.key:
                raise Refused(f"The value “{pair.value[:40]}” has no key.")
            if pair.key in found:
                raise Refused(f"The key “{pair.key[:40]}” stands there twice.")
            found[pair.key] = pair.value
        return found

    def wish(self) -> Wish:
        """What is to be done to many completions. Raises Refused."""
        return Wish(self.metadata(), tuple(pair.key for pair in self.pairs if pair.removed and pair.key))


def seen_in(data: QueryDict, otherwise: dict[str, Any]) -> dict[str, str]:
    """The metadata that stood in the form when it was opened."""
    try:
        told = json.loads(data.get("seen", ""))
    except (ValueError, RecursionError):
        return otherwise
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
        return otherwise
    return told
