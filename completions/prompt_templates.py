"""System prompts that are one prompt but for some parts of it: numbers, dates, quoted values, names.

Pure. What two prompts have in common is found word by word; what differs is where a program put something in.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from completions.duplicates import hashed, key_of

ALIKE = 0.7  # of the words of both stand in both, in the same order
FRAME = 20  # words in common at the beginning and the end make any two alike, whatever is between
FEWEST = 3  # words that two prompts must have in common; equal ones need none
MOST_WORDS = 600  # of a prompt are compared: as many of the first and of the last
MOST_TEMPLATES = (
    2_000  # of one mirror are compared with; further prompts are alike only if equal but for values
)

TELLING = 64  # words by which templates are looked up: those that fewest templates have

SAMPLED = 60  # prompts that a template is made of
MOST_TOKENS = 3_000  # of each
MOST_ALIGNED = (
    40_000  # pairs of tokens between two that stand once in each; more are not looked at one by one
)
ROUNDS = 12  # in which what is constant is narrowed down
VALUES = 8  # of a varying part are kept, the most frequent

_DAYS = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_MONTHS = (
    "(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.?"
)
_ORDINAL = r"\d{1,2}(?:st|nd|rd|th)?"
_VALUE = (
    r"https?://[^\s<>\"'“”]+"
    r"|[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"
    r"|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
    r"|\"[^\"\n]{1,200}\"|“[^”\n]{1,200}”|«[^»\n]{1,200}»|„[^“”\n]{1,200}[“”]|`[^`\n]{1,200}`"
    rf"|\b{_DAYS}\b"
    rf"|\b{_MONTHS}\s{_ORDINAL}\b(?:,?\s\d{{4}}\b)?|\b{_ORDINAL}\.?\s{_MONTHS}(?:\s\d{{4}}\b)?"
    r"|\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
    r"|[+-]?\d(?:[\d.,:/-]*\d)?"
)
_TOKEN = re.compile(rf"({_VALUE})|([^\W\d_][^\W_]*(?:['\u2019][^\W\d_]+)*)|(\s+)|(.)", re.DOTALL)
_MARK = "\x00"  # stands for a value; no word is this
MOST_CHARS = 60_000  # of a prompt are looked at


def units_of(text: str) -> list[str]:
    """The words of a prompt without case, with one mark for every value that programs put into prompts."""
    found = [
        _MARK if value else word.casefold()
        for value, word, _, _ in _TOKEN.findall(text[:MOST_CHARS])
        if value or word
    ]
    if len(found) > MOST_WORDS:
        return [*found[: MOST_WORDS // 2], *found[-MOST_WORDS // 2 :]]
    return found


def outline(text: str) -> str:
    """A key that two prompts share which differ in values only; "" without a word."""
    units = units_of(text)
    return key_of(" ".join(units).encode("utf-8", "surrogatepass")) if any(units) else ""


def is_alike(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether two prompts, as `hashed` words, are one but for some parts."""
    if list(one) == list(other):
        return True
    shorter, longer = sorted((len(one), len(other)))
    if shorter < FEWEST:
        return False
    start = 0
    while start < shorter and one[start] == other[start]:
        start += 1
    end = 0
    while end < shorter - start and one[-1 - end] == other[-1 - end]:
        end += 1
    if start + end >= FRAME:
        return True
    if 2 * shorter < ALIKE * (shorter + longer):
        return False
    between = _in_common(one[start : len(one) - end], other[start : len(other) - end])
    common = start + end + between
    return common >= FEWEST and 2 * common >= ALIKE * (shorter + longer)


def _in_common(one: Sequence[int], other: Sequence[int]) -> int:
    """The length of the longest sequence of words that both have, a bit for each word of one.

    https://doi.org/10.1016/0020-0190(86)90091-8
    """
    where: dict[int, int] = {}
    for at, word in enumerate(one):
        where[word] = where.get(word, 0) | 1 << at
    every = (1 << len(one)) - 1
    row = every
    for word in other:
        held = where.get(word, 0)
        met = row & held
        row = ((row + met) | (row - met)) & every
    return len(one) - row.bit_count()


class Outlines:
    """The first prompt of each template, to find the one that a further prompt is alike to."""

    def __init__(self) -> None:
        self._words: dict[str, list[int]] = {}
        self._by_word: dict[int, list[str]] = {}

    def __len__(self) -> int:
        return len(self._words)

    def add(self, key: str, words: Sequence[int]) -> bool:
        """Take a template in, if there is room for it."""
        if len(self) >= MOST_TEMPLATES:
            return False
        self._words[key] = list(words)
        for word in set(words):
            self._by_word.setdefault(word, []).append(key)
        return True

    def alike(self, words: Sequence[int]) -> str | None:
        """The key of the template that these words belong to: the one with most words in common."""
        shared: Counter[str] = Counter()
        known = [held for word in set(words) if (held := self._by_word.get(word))]
        for held in sorted(known, key=len)[:TELLING]:
            shared.update(held)
        likely = sorted(shared.items(), key=lambda each: (-each[1], each[0]))[:20]
        return next((key for key, _ in likely if is_alike(self._words[key], words)), None)


def words_of(text: str) -> NDArray[np.uint32]:
    """The words of a prompt as numbers, as Outlines takes them."""
    return hashed(units_of(text))


# Printing a template.


@dataclass(frozen=True, slots=True)
class Slot:
    """A part that varies: how many different values there were, and the most frequent with their numbers."""

    distinct: int
    values: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Template:
    """What is constant, as text, and between it what varies, in order."""

    parts: tuple[str | Slot, ...]

    def __str__(self) -> str:
        return "".join(part if isinstance(part, str) else "{…}" for part in self.parts)

    def as_json(self) -> list[Any]:
        """Texts, and for what varies {"distinct": …, "values": [[value, times] …]}."""
        made: list[Any] = []
        for part in self.parts:
            if isinstance(part, str):
                made.append(part)
            else:
                values = [[value, times] for value, times in part.values]
                made.append({"distinct": part.distinct, "values": values})
        return made


def template_of(prompts: Sequence[tuple[str, int]]) -> Template:
    """What some prompts have in common and where they differ; each comes with how often it occurs."""
    texts = [([*_tokens(text)], times) for text, times in prompts[:SAMPLED]]
    if not texts:
        return Template(())
    constant = texts[0][0]
    for tokens, _ in texts[1:]:
        if tokens != constant:
            constant = [constant[at] for at in _matched(constant, tokens)]
    constant, gaps = _gaps(constant, texts)
    # A lone space or comma between two varying parts is part of what varies.
    kept = [
        token for at, token in enumerate(constant)
        if not (gaps[at] and gaps[at + 1] and not any(sign.isalnum() for sign in token))
    ]  # fmt: skip
    if len(kept) != len(constant):
        constant, gaps = _gaps(kept, texts)
    parts: list[str | Slot] = []
    for at, values in enumerate(gaps):
        if values:
            parts.append(Slot(len(values), tuple(_most(values))))
        if at < len(constant):
            if parts and isinstance(parts[-1], str):
                parts[-1] += constant[at]
            else:
                parts.append(constant[at])
    return Template(tuple(parts))


def _most(values: Counter[str]) -> list[tuple[str, int]]:
    return sorted(values.items(), key=lambda each: (-each[1], each[0]))[:VALUES]


def _tokens(text: str) -> list[str]:
    return [found.group() for found in _TOKEN.finditer(text[:MOST_CHARS])][:MOST_TOKENS]


def _matched(constant: Sequence[str], tokens: Sequence[str]) -> list[int]:
    """Places of `constant` that stand in `tokens` in the same order."""
    return [at for at, _ in _aligned(constant, tokens)]


def _aligned(constant: Sequence[str], tokens: Sequence[str]) -> list[tuple[int, int]]:
    """Places of what both have: common ends first, as between them little is left to compare."""
    short = min(len(constant), len(tokens))
    start = 0
    while start < short and constant[start] == tokens[start]:
        start += 1
    end = 0
    while end < short - start and constant[-1 - end] == tokens[-1 - end]:
        end += 1
    found = [(at, at) for at in range(start)]
    found += _between(constant, tokens, start, len(constant) - end, start, len(tokens) - end)
    found += [(len(constant) - n, len(tokens) - n) for n in range(end, 0, -1)]
    return found


def _between(
    one: Sequence[str], other: Sequence[str], first: int, last: int, start: int, end: int
) -> list[tuple[int, int]]:
    """The same within one[first:last] and other[start:end]: around words that stand once in each."""
    if (last - first) * (end - start) <= MOST_ALIGNED:
        made: list[tuple[int, int]] = []
        matcher = SequenceMatcher(None, one[first:last], other[start:end], autojunk=False)
        for block in matcher.get_matching_blocks():
            made += [(first + block.a + n, start + block.b + n) for n in range(block.size)]
        return made
    found, at, place = list[tuple[int, int]](), first, start
    for anchor, beside in [*_anchors(one, other, first, last, start, end), (last, end)]:
        if (anchor - at) * (beside - place) <= MOST_ALIGNED:
            found += _between(one, other, at, anchor, place, beside)
        if anchor < last:
            found.append((anchor, beside))
        at, place = anchor + 1, beside + 1
    return found


def _anchors(
    one: Sequence[str], other: Sequence[str], first: int, last: int, start: int, end: int
) -> list[tuple[int, int]]:
    """The longest run of places, ascending in both, of tokens that stand once in each."""
    counts, others = Counter(one[first:last]), Counter(other[start:end])
    where = {token: at for at, token in enumerate(other[start:end], start) if others[token] == 1}
    pairs = [
        (at, where[token]) for at, token in enumerate(one[first:last], first)
        if counts[token] == 1 and token in where
    ]  # fmt: skip
    ends: list[int] = []  # the smallest place that a run of each length ends with
    runs: list[int] = []  # which pair that is
    before: list[int] = []
    for number, (_, place) in enumerate(pairs):
        length = bisect_left(ends, place)
        ends[length : length + 1] = [place]
        runs[length : length + 1] = [number]
        before.append(runs[length - 1] if length else -1)
    found, number = list[tuple[int, int]](), runs[-1] if runs else -1
    while number >= 0:
        found.append(pairs[number])
        number = before[number]
    return found[::-1]


def _gaps(
    constant: list[str], texts: Sequence[tuple[Sequence[str], int]]
) -> tuple[list[str], list[Counter[str]]]:
    """What stands before each constant token and after the last, where anything does in any of the texts.

    What is constant is left out where it cannot be found again in every text.
    """
    for tried in count():
        if tried == ROUNDS:
            constant = []
        aligned = [_aligned(constant, tokens) for tokens, _ in texts]
        everywhere = set(range(len(constant))).intersection(*({at for at, _ in each} for each in aligned))
        if len(everywhere) == len(constant):
            break
        constant = [constant[at] for at in sorted(everywhere)]
    gaps: list[Counter[str]] = [Counter() for _ in range(len(constant) + 1)]
    for (tokens, times), places in zip(texts, aligned, strict=True):
        before = 0
        for at, place in [*places, (len(constant), len(tokens))]:
            gaps[at]["".join(tokens[before:place])] += times
            before = place + 1
    return constant, [values if set(values) != {""} else Counter() for values in gaps]
