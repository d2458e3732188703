"""What one completion belongs to, as its drawer shows it: how many are like it, and all turns of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db.models import Sum

from completions.addresses import drawer_address
from completions.belonging import KINDS
from completions.filters import Filter
from completions.models import Belonging, StoredCompletion, Term
from completions.pane import Pane

SHOWN = 50  # turns of a conversation, the newest
WORDS: Mapping[str, tuple[str, str]] = {
    "same": ("exact duplicate", "exact duplicates"),
    "near": ("near-duplicate", "near-duplicates"),
    "alike": ("other with this system prompt", "others with this system prompt"),
}


@dataclass(frozen=True, slots=True)
class Group:
    """How many others are in one group, in words, and where all of them are listed."""

    kind: str
    count: int
    words: str
    address: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One completion of a conversation."""

    row: StoredCompletion
    address: str
    is_this: bool


class Likeness:
    """The groups of a completion, within what the person of a pane may read."""

    def __init__(self, pane: Pane, row: StoredCompletion) -> None:
        self.pane, self.row = pane, row

    @cached_property
    def _keys(self) -> dict[str, str]:
        held = Belonging.objects.filter(pk=self.row.pk).first()
        return {kind: key for kind in KINDS if (key := getattr(held, kind, ""))}

    @cached_property
    def groups(self) -> list[Group]:
        """Duplicates and prompts; a conversation is shown by its turns."""
        counts = self._counts
        return [
            Group(kind, n, f"{n:,} {words[n > 1]}", self.pane.address(Filter().only(kind, self._keys[kind])))
            for kind, words in WORDS.items()
            if (n := counts.get(kind, 0)) > 0
        ]

    @cached_property
    def _counts(self) -> dict[str, int]:
        """Others by kind."""
        if not self._keys:
            return {}
        readable = [each.pk for each in self.pane.listing.readable]
        named: Any = Term.objects.filter(connection__in=readable, key="", value__in=self._keys.values())
        found = named.filter(kind__in=self._keys).values_list("kind", "value").annotate(n=Sum("n"))
        return {kind: n - 1 for kind, value, n in found if self._keys[kind] == value}

    @property
    def total(self) -> int:
        """How many completions its conversation has."""
        return self._counts.get("thread", 0) + 1

    @property
    def others(self) -> int:
        """How many turns are not shown."""
        return max(0, self.total - SHOWN)

    @cached_property
    def thread(self) -> str:
        """Where all turns are listed; empty where there is one only."""
        return self.pane.address(Filter().only("thread", self._keys["thread"])) if len(self.turns) > 1 else ""

    @cached_property
    def turns(self) -> list[Turn]:
        """The completions of its conversation, the first one first; empty if it is alone."""
        key = self._keys.get("thread")
        if key is None or not self._counts.get("thread"):
            return []
        places = self.pane.listing.with_filter(Filter().only("thread", key)).page(SHOWN)[::-1]
        rows = StoredCompletion.objects.select_related("connection").defer("connection__secret")
        found = rows.in_bulk([place.id for place in places])
        return [self._turn(found[place.id]) for place in places if place.id in found]

    def _turn(self, row: StoredCompletion) -> Turn:
        address = drawer_address(row.connection.slug, row.upstream_id, row.pk, self.pane.query)
        return Turn(row, address, row.pk == self.row.pk)

    @property
    def place(self) -> int:
        """Which of the turns it is."""
        return next((at for at, turn in enumerate(self.turns, self.others + 1) if turn.is_this), 0)
