"""Where the text conditions of a filter match: marks in a text, and the piece of a long one with a match."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from html import escape

from django.utils.safestring import SafeString, mark_safe

from completions.filters import Filter
from completions.filters.clauses import Clause, Group, Node
from completions.filters.lookups import Contains, Pattern, Words
from completions.search.tokens import words
from portal.rendering import escaped

BEFORE = 12  # characters that lead to a match that would stand too far to the right
LEADS = {"prompt": 20, "answer": 20}  # and how far that is, in the columns of a table
MOST_MARKS = 40
SPOKEN = {"text": ("prompt", "answer"), "prompt": ("prompt",), "answer": ("answer",)}

Spans = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Mark:
    """One condition on text: the columns it looks into, and where it matches."""

    columns: tuple[str, ...]
    find: Callable[[str], Iterator[tuple[int, int]]]


class Highlights:
    """The places that made a completion match, as far as words, substrings and patterns of a filter did."""

    def __init__(self, wanted: Filter) -> None:
        self.wanted = wanted

    @cached_property
    def marks(self) -> tuple[Mark, ...]:
        found = []
        for clause in _clauses(self.wanted.clauses):
            columns = SPOKEN.get(clause.field.name)
            find = _finder(clause.lookup) if columns else None
            if columns and find:
                found.append(Mark(columns, find))
        return tuple(found)

    def __bool__(self) -> bool:
        return bool(self.marks)

    def spans(self, text: str, column: str) -> Spans:
        """Beginnings and ends of matches in the text of a column, in order and apart."""
        found: Spans = []
        for mark in self.marks:
            if column in mark.columns:
                for start, end in mark.find(text):
                    if end > start:
                        found.append((start, end))
                    if len(found) > MOST_MARKS:
                        break
        return _apart(found)

    def write(self, text: str, column: str) -> SafeString:
        """The text as HTML, its matches marked; it begins near the first one, so that a column shows it."""
        spans = self.spans(text, column)
        write = escape if text.isascii() and text.isprintable() else escaped
        made, at = [], 0
        if spans and spans[0][0] > LEADS[column]:
            at = _begin(text, spans[0][0])
            made.append("…")
        for start, end in spans:
            made += [write(text[at:start]), "<mark>", write(text[start:end]), "</mark>"]
            at = end
        made.append(write(text[at:]))
        return mark_safe("".join(made))  # noqa: S308  # escaped piece by piece

    def unseen(self, texts: dict[str, str]) -> list[Mark]:
        """The conditions that match nowhere in these texts, by column."""
        return [
            mark
            for mark in self.marks
            if all(next(mark.find(texts[column]), None) is None for column in mark.columns if column in texts)
        ]


def piece(text: str, mark: Mark, length: int) -> str:
    """The part of a long text around its first match, on one line; empty if there is no match."""
    found = next(mark.find(text), None)
    if found is None:
        return ""
    start = _begin(text, found[0])
    shown = " ".join(text[start : start + length].split())
    return f"{'…' * (start > 0)}{shown}{'…' * (start + length < len(text))}"


def _begin(text: str, match: int) -> int:
    """Where to begin, a word or two before a match."""
    start = max(0, match - BEFORE)
    space = text.find(" ", start, match) if start else -1
    return space + 1 if space >= 0 else start


def _clauses(parts: Iterable[Node]) -> Iterator[Clause]:
    """The conditions that ask for something to be there."""
    for part in parts:
        if part.negated:
            continue
        if isinstance(part, Group):
            for option in part.options:
                yield from _clauses(option)
        else:
            yield part


def _finder(lookup: object) -> Callable[[str], Iterator[tuple[int, int]]] | None:
    if isinstance(lookup, Words):
        return _words(lookup)
    if isinstance(lookup, Contains):
        substring = re.compile(re.escape(lookup.text), re.IGNORECASE)
        return lambda text: (found.span() for found in substring.finditer(text))
    if isinstance(lookup, Pattern):
        pattern = lookup.compiled
        return lambda text: (found.span() for found in pattern.finditer(text))
    return None


def _apart(spans: Spans) -> Spans:
    """Spans in order, those that touch made one."""
    made: Spans = []
    for start, end in sorted(spans):
        if made and start <= made[-1][1]:
            made[-1] = (made[-1][0], max(end, made[-1][1]))
        else:
            made.append((start, end))
    return made


# Words are found as search finds them: without case and accents, whatever stands between them.


def _words(lookup: Words) -> Callable[[str], Iterator[tuple[int, int]]]:
    pattern = re.compile(
        f"(?<= ){' +'.join(re.escape(word) for word in words(lookup.text))}{'' if lookup.begins else '(?= )'}"
    )

    def find(text: str) -> Iterator[tuple[int, int]]:
        if text.isascii():
            for found in pattern.finditer(f" {text.lower().translate(_LETTERS)} "):
                yield found.start() - 1, found.end() - 1
            return
        folded = [_FOLDED[character] for character in text]
        places = [at for at, part in enumerate(folded) for _ in part]
        for found in pattern.finditer(f" {''.join(folded)} "):
            yield places[found.start() - 1], places[found.end() - 2] + 1

    return find


_LETTERS = {code: " " for code in range(128) if not chr(code).isalnum()}


class _Folded(dict[str, str]):
    """A character as search sees it between two letters: a letter, several, a break, or nothing."""

    def __missing__(self, character: str) -> str:
        folded = " ".join(words(f"a{character}a"))
        self[character] = folded[1:-1]
        return self[character]


_FOLDED = _Folded()
