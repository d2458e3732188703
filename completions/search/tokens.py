"""Text to the words that both search engines index, so that they agree to the letter.

Words are runs of letters, digits and the marks that belong to them, without case and without accents. Scripts
that write no spaces are indexed by the character, so that a query of several of them is a phrase.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from completions.conversation import Texts

Column = Literal["prompt", "answer", "system"]
COLUMNS: tuple[Column, ...] = ("prompt", "answer", "system")

# What one tsvector can hold, and therefore what both engines index of one completion.
# https://www.postgresql.org/docs/current/textsearch-limitations.html
PHRASE_WORDS = 16_000  # positions end at 16,383; words beyond are found singly, not in phrases
REPEATS = {"prompt": 110, "answer": 110, "system": 35}  # positions of one word end at 256
LEXEME_BYTES = 900_000  # a tsvector is smaller than 1 MB
WORD_CHARS = 100  # longer runs are no words; both index and query cut them here
# So few words fit in any case, each of them of WORD_CHARS characters of four bytes.
_FEW_WORDS = LEXEME_BYTES // (WORD_CHARS * 4 + 10)

# Stands where a word is left out, so that the words around it do not become neighbours. No word contains it.
GAP = "_"

_ACCENTS = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")
# Han, kana and their kin; Thai, Lao, Khmer, Myanmar.
_UNSPACED = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x2FDF),
    (0x3005, 0x3007), (0x3041, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF),
)  # fmt: skip


class _Separate(dict[int, str]):
    """A translation table that finds out about each character the first time it is met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if any(first <= code <= last for first, last in _UNSPACED):
            result = f" {character} " if unicodedata.category(character)[0] in "LNM" else " "
        else:
            result = character if unicodedata.category(character)[0] in "LNM" else " "
        self[code] = result
        return result


_SEPARATE = _Separate()
# The same of what most texts are made of, all at once: letters small, digits, and spaces for the rest.
_ASCII = bytes(ord(chr(code).lower()) if chr(code).isalnum() and code < 128 else 32 for code in range(256))


def words(text: str) -> list[str]:
    """The words of a text in order, repeated as often as they occur."""
    if text.isascii():
        found = text.encode().translate(_ASCII).decode().split()
    else:
        text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
        text = unicodedata.normalize("NFC", _ACCENTS.sub("", text))
        found = text.lower().translate(_SEPARATE).split()
    if len(text) > WORD_CHARS and max(map(len, found), default=0) > WORD_CHARS:
        return [word[:WORD_CHARS] for word in found]
    return found


@dataclass(frozen=True, slots=True)
class Document:
    """What is indexed of a completion: words with gaps per column, and the words beyond the last position."""

    columns: dict[Column, list[str]]
    beyond: dict[Column, list[str]]
    whole: bool


def document(texts: Texts) -> Document:
    """The words to index, within the limits of both engines; `whole` says whether every word fitted in."""
    return fitted(
        {"prompt": words(texts.prompt), "answer": words(texts.answer), "system": words(texts.system)}
    )


def fitted(found: dict[Column, list[str]]) -> Document:
    """The same of words that were found already, by column; gaps among them stay."""
    if _is_small(found):
        return Document(found, {"prompt": [], "answer": [], "system": []}, True)
    return _within_limits(found)


def _is_small(found: Mapping[Column, list[str]]) -> bool:
    """Whether these words are far from every limit, as nearly all are; in doubt, no."""
    if sum(map(len, found.values())) > _FEW_WORDS:
        return False
    return all(
        len(kept) <= REPEATS[column] or max(Counter(kept).values()) <= REPEATS[column]
        for column, kept in found.items()
    )


def _within_limits(found: Mapping[Column, list[str]]) -> Document:
    """The slow way: word by word, with a gap for each that has no room."""
    columns: dict[Column, list[str]] = {}
    beyond: dict[Column, list[str]] = {}
    room, size, whole = PHRASE_WORDS, 0, True
    lexemes: set[str] = set()
    for column in COLUMNS:
        kept: list[str] = []
        rest: dict[str, None] = {}
        seen: dict[str, int] = {}
        most = REPEATS[column]
        apart = GAP if column == "system" else ""  # there its words are lexemes of their own
        for word in found[column]:
            if apart + word not in lexemes:
                cost = len(word.encode()) + 10
                if size + cost > LEXEME_BYTES:
                    whole = False
                    if len(kept) < room:
                        kept.append(GAP)
                    continue
                size += cost
                lexemes.add(apart + word)
            if len(kept) >= room:
                whole = False
                if word not in seen:
                    rest[word] = None
                continue
            seen[word] = times = seen.get(word, 0) + 1
            kept.append(word if times <= most else GAP)
        room -= len(kept)
        columns[column], beyond[column] = kept, list(rest)
    return Document(columns, beyond, whole)


def fits(texts: Texts) -> bool:
    """Whether every word of these texts is indexed with its place; else the row is flagged `text_cut`."""
    if len(texts.system) + len(texts.prompt) + len(texts.answer) <= PHRASE_WORDS:
        return True  # a word has at least one character
    return document(texts).whole


@dataclass(frozen=True, slots=True)
class TextTerm:
    """Words that must stand in this order, the last one possibly only begun, in one of these columns."""

    words: tuple[str, ...]
    prefix: bool = False
    columns: tuple[Column, ...] = ("prompt", "answer")


@dataclass(frozen=True, slots=True)
class TextQuery:
    """Terms that must all be there."""

    terms: tuple[TextTerm, ...]

    def __bool__(self) -> bool:
        return bool(self.terms)

    @property
    def has_phrases(self) -> bool:
        """Whether words have to stand side by side."""
        return any(len(term.words) > 1 for term in self.terms)


def term(
    text: str, *, prefix: bool = False, columns: Sequence[Column] = ("prompt", "answer")
) -> TextTerm | None:
    """A term of the query from what somebody typed; None if it holds no word at all."""
    found = tuple(words(text))
    return TextTerm(found, prefix, tuple(columns)) if found else None


@lru_cache(maxsize=64)
def _normal(text: str) -> tuple[str, ...]:
    return tuple(words(text))


def holds(texts: Texts, query: TextQuery) -> bool:
    """The same question without an index, for a single completion that is at hand."""
    return all(
        any(_stands(wanted, getattr(texts, column)) for column in wanted.columns) for wanted in query.terms
    )


def _stands(wanted: TextTerm, text: str) -> bool:
    return any(True for _ in _places(wanted, _normal(text)))


def _places(wanted: TextTerm, text: tuple[str, ...]) -> Iterator[int]:
    *first, last = wanted.words
    for start in range(len(text) - len(first)):
        end = text[start + len(first)]
        fits_last = end.startswith(last) if wanted.prefix else end == last
        if fits_last and list(text[start : start + len(first)]) == first:
            yield start
