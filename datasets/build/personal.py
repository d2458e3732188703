"""Personal data in a conversation: find it, and put placeholders in its place. Pure.

Inside one conversation the same value has the same placeholder wherever it stands (`[EMAIL_1]`), so the text
keeps its sense; two values never share one. What is cleaned holds nothing that would be found again.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from completions.conversation import Conversation
from datasets.build import keys, own_patterns, patterns, phones, places
from datasets.build.material import Material
from datasets.build.patterns import Found
from datasets.recipe import Personal

Finder = Callable[[str, str], Iterator[Found]]  # takes the text and its name in JSON

LABELS: Final = {
    "email": "EMAIL", "phone": "PHONE", "card": "CARD", "iban": "IBAN", "ip": "IP", "secret": "SECRET",
}  # fmt: skip
MOST_ROUNDS: Final = 6  # of looking again at what was cleaned
_PLACEHOLDER: Final = re.compile(r"\[([A-Z][A-Z0-9_]{0,39})_([0-9]{1,9})\]")


def _alone(finder: Callable[[str], Iterator[Found]]) -> Finder:
    return lambda text, key: finder(text)


# The first one wins where two find the same text.
FINDERS: Final[Mapping[str, Finder]] = {
    "secret": keys.secrets,
    "email": _alone(patterns.emails),
    "iban": _alone(patterns.ibans),
    "card": _alone(patterns.cards),
    "ip": _alone(patterns.addresses),
    "phone": phones.phones,
}


@dataclass(frozen=True, slots=True)
class Hit:
    """Personal data in the text at `where`; `value` is the same of what means the same."""

    kind: str
    text: str
    where: str
    start: int
    end: int
    value: str = ""
    what: str = ""


class _Stuck(Exception):
    """Cleaning a text brings up something to clean again and again."""


class Names:
    """The placeholders of one conversation."""

    def __init__(self, taken: Mapping[str, int]) -> None:
        self._last = dict(taken)
        self._given: dict[tuple[str, str], str] = {}

    def of(self, label: str, value: str) -> str:
        """The placeholder of a value."""
        given = self._given.get((label, value))
        if given is None:
            self._last[label] = self._last.get(label, 0) + 1
            given = self._given[label, value] = f"[{label}_{self._last[label]}]"
        return given


class Scanner:
    """Finds and replaces what a recipe calls personal data."""

    def __init__(self, personal: Personal) -> None:
        self._leaves_out = personal.do == "leave_out"
        self._finders: list[tuple[str, str, Finder]] = [
            (name, label_of(name), partial(_own, expression)) for name, expression in personal.patterns
        ]
        self._finders += [(kind, LABELS[kind], FINDERS[kind]) for kind in FINDERS if kind in personal.kinds]
        self._labels = frozenset(label for _, label, _ in self._finders)

    def clean(self, material: Material) -> Material | None:
        """The row without personal data; None where it is left out instead."""
        if not self._finders:
            return material
        try:
            if self._leaves_out:
                return None if self._holds(material) else material
            return self._cleaned(material)
        except (_Stuck, own_patterns.TooMany, RecursionError):
            return None  # a row that cannot be cleaned whole does not go out in part

    def hits(self, conversation: Conversation) -> list[Hit]:
        """What is found, in the order of the conversation. Raises own_patterns.TooMany."""
        found: list[Hit] = []
        places.changed(conversation, self._noting(found))
        return found

    def hits_of_row(self, material: Material) -> list[Hit]:
        """What is found in the conversation and in what people noted beside it."""
        found = self.hits(material.conversation)
        beside(material, self._noting(found))
        return found

    def in_text(self, text: str, key: str = "") -> list[tuple[str, str, Found]]:
        """(kind, label, found) in one text, in its order, nothing twice. `key` is its name in JSON."""
        taken = [match.span() for match in _PLACEHOLDER.finditer(text) if match[1] in self._labels]
        held: list[tuple[str, str, Found]] = []
        for kind, label, finder in self._finders:
            some = [(kind, label, each) for each in finder(text, key)]
            if some:
                some.sort(key=lambda entry: (entry[2].start, -entry[2].end))
                held = _without_overlap(held, some, taken)
        return held

    def _noting(self, found: list[Hit]) -> places.Change:
        def note(where: str, text: str, key: str) -> str:
            if where:
                for kind, _, each in self.in_text(text, key):
                    said = text[each.start : each.end]
                    found.append(Hit(kind, said, where, each.start, each.end, each.value, each.what))
            return text

        return note

    def _holds(self, material: Material) -> bool:
        return bool(self.hits_of_row(material))

    def _cleaned(self, material: Material) -> Material | None:
        found = self.hits_of_row(material)
        if not found:
            return material
        names = Names(self._taken(material))
        change = partial(self._replace, names)
        for _ in range(MOST_ROUNDS):
            material = replace(
                material,
                conversation=places.changed(material.conversation, change),
                **beside(material, change),
            )
            # A text may have become JSON by being cleaned, and then is read otherwise.
            if not self._holds(material):
                counted = Counter(hit.kind for hit in found)
                return replace(material, edited=True, personal=dict(counted))
        raise _Stuck

    def _replace(self, names: Names, where: str, text: str, key: str) -> str:
        for _ in range(MOST_ROUNDS):
            found = self.in_text(text, key)
            if not found:
                return text
            pieces: list[str] = []
            at = 0
            for _, label, each in found:
                pieces += text[at : each.start], names.of(label, each.value)
                at = each.end
            text = "".join((*pieces, text[at:]))
        raise _Stuck

    def _taken(self, material: Material) -> Mapping[str, int]:
        """The highest number of each placeholder that stands in the row already."""
        highest: dict[str, int] = {}

        def look(where: str, text: str, key: str) -> str:
            for match in _PLACEHOLDER.finditer(text):
                if match[1] in self._labels:
                    highest[match[1]] = max(highest.get(match[1], 0), int(match[2]))
            return text

        places.changed(material.conversation, look)
        beside(material, look)
        return highest


def _own(expression: str, text: str, key: str) -> Iterator[Found]:
    return own_patterns.found(expression, text)


def beside(material: Material, change: places.Change) -> dict[str, Any]:
    """What stands beside the conversation, changed: metadata, labels and the correction."""
    every: frozenset[str] = frozenset()
    return {
        "metadata": places.changed_value(material.metadata, "metadata", change, kept=every),
        "labels": places.changed_value(material.labels, "labels", change, kept=every),
        "correction": places.changed_value(material.correction, "correction", change),
    }


def _without_overlap(
    held: list[tuple[str, str, Found]], some: list[tuple[str, str, Found]], taken: list[tuple[int, int]]
) -> list[tuple[str, str, Found]]:
    """Both in order of the text, the later ones only where nothing is held or taken."""
    spans = sorted([*taken, *((each.start, each.end) for _, _, each in held)])
    added, at, end = [], 0, 0
    for entry in some:
        start, stop = entry[2].start, entry[2].end
        while at < len(spans) and spans[at][1] <= start:
            at += 1
        if start >= end and (at == len(spans) or spans[at][0] >= stop):
            added.append(entry)
            end = stop
    return sorted([*held, *added], key=lambda entry: entry[2].start) if added else held


def label_of(name: str) -> str:
    """What a pattern of one's own is called in placeholders."""
    label = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")[:40].rstrip("_")
    return label if label[:1].isalpha() else f"PATTERN_{label}".rstrip("_")[:40]
