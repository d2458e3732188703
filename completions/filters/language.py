"""How a filter is written: `model:gpt-4o -meta.category:test (created:7d OR "exact phrase") word begin*`.

Pure text in, tokens out, and back. What a piece means is decided by the fields, how pieces belong together
by the grammar.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from completions.filters.operands import Operand, Operands

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_FIELD = re.compile(
    rf'(-?)((?:(?i:meta|label)\.(?:{_QUOTED}|[^\s":()]*))|[A-Za-z_][A-Za-z0-9_.]*):', re.DOTALL
)
_IN_QUOTES = re.compile(_QUOTED, re.DOTALL)
_IN_SLASHES = re.compile(r"/((?:[^/\\]|\\.)*)/", re.DOTALL)
_SPACE = re.compile(r"\s*")
# What may stand without quotes; everything else is quoted, so that what is written is read back the same.
_PLAIN_VALUE = re.compile(r"(?!/.*/\Z)(?!-?[0-9]*\.\.-?[0-9]*\Z)[\w.\-/@+:]+", re.ASCII)
_PLAIN_KEY = re.compile(r"[\w.\-/@+]+", re.ASCII)
_PLAIN_WORD = re.compile(r"\w[\w.'/@+-]*")
_TOLD_PLAINLY = re.compile(r"[\w][\w.\-/@+:]*")
RESERVED = frozenset({"or", "and", "not"})  # in capitals; small ones are quoted for who reads them
_TOLD_WORDS = RESERVED | {"is", "one", "none", "either", "of", "contains", "has"}
SIGNS = frozenset({"=", "==", ":", "!=", "<>", "<", ">", "<=", ">=", "≠", "≤", "≥"})
JOINTS = {"&": "AND", "&&": "AND", "|": "OR", "||": "OR"}

Kind = Literal["open", "close", "OR", "AND", "NOT", "sign", "piece", "tangle"]


@dataclass(frozen=True, slots=True)
class Piece:
    """One condition as written; `name` is empty for text, `key` follows `meta.` or `label.`, or is None."""

    source: str
    negated: bool = False
    name: str = ""
    key: str | None = None
    operands: Operands = ()
    begins: bool = False
    problem: str = ""
    instead: str = ""
    end: int = 0


@dataclass(frozen=True, slots=True)
class Token:
    """A piece, or what stands between pieces. Of `open`, `negated` says that a minus stands before it."""

    kind: Kind
    start: int
    end: int
    source: str
    piece: Piece | None = None
    negated: bool = False
    problem: str = ""


def tokens(q: str, patterned: Collection[str]) -> Iterator[Token]:
    """Everything but the spaces. After the names in `patterned`, /…/ is a pattern."""
    at = _skip(q, 0)
    while at < len(q):
        token = _token(q, at, patterned)
        yield token
        at = _skip(q, token.end)


def _skip(q: str, at: int) -> int:
    found = _SPACE.match(q, at)
    return found.end() if found else at


def _token(q: str, at: int, patterned: Collection[str]) -> Token:
    if q[at] == ")":
        return Token("close", at, at + 1, ")")
    if q[at] == "(" or q.startswith("-(", at):
        end = at + 1 + (q[at] == "-")
        return Token("open", at, end, q[at:end], negated=q[at] == "-")
    scanned = _piece(q, at, patterned)
    source = q[at : scanned.end]
    if scanned.problem == _OPEN:
        return Token("tangle", at, scanned.end, source, problem=_OPEN)
    if not scanned.name and not scanned.negated and not scanned.problem and source == scanned.source:
        if source in ("OR", "AND", "NOT"):
            kind: Kind = "OR" if source == "OR" else "AND" if source == "AND" else "NOT"
            return Token(kind, at, scanned.end, source)
        if source in SIGNS or source in JOINTS:
            return Token("sign", at, scanned.end, source)
    return Token("piece", at, scanned.end, source, piece=scanned)


_OPEN = "A parenthesis is opened inside a word and never closed; put the words in quotes."
_QUOTE_OPEN = "A quote is opened here and never closed."
_SLASH_OPEN = (
    "A pattern is opened here with “/” and never closed; to search a word with “/”, put it in quotes."
)


def _piece(q: str, at: int, patterned: Collection[str]) -> Piece:
    if field := _FIELD.match(q, at):
        return _field_piece(q, at, field, patterned)
    negated = q[at] == "-" and at + 1 < len(q) and not q[at + 1].isspace() and q[at + 1] != ")"
    value = _value(q, at + negated, pattern=True, comma=False)
    if isinstance(value, Piece):
        return _moved(value, q, at, at + negated)
    operand, end = value
    begins = operand.form == "quoted" and q[end : end + 1] == "*"
    end += begins
    if not _ends(q, end):
        return _malformed(q, at)
    if operand.form == "plain" and len(operand.text) > 1 and operand.text.endswith("*"):
        operand, begins = Operand(operand.text[:-1]), True
    return Piece(q[at:end], negated, operands=(operand,), begins=begins, end=end)


def _field_piece(q: str, at: int, field: re.Match[str], patterned: Collection[str]) -> Piece:
    name, dot, key = field.group(2).partition(".")
    name, end = name.lower(), field.end()
    negated, read_key = bool(field.group(1)), (unquote(key) if key.startswith('"') else key) if dot else None
    operands: list[Operand] = []
    while not _ends(q, end):
        if q[end] == "(":
            return _in_parentheses(q, at, end)
        value = _value(q, end, pattern=name in patterned, comma=True)
        if isinstance(value, Piece):
            return _moved(value, q, at, end)
        operand, end = value
        operands.append(operand)
        if q[end : end + 1] != ",":
            break
        end += 1
    begins = bool(operands) and operands[-1].form == "quoted" and q[end : end + 1] == "*"
    end += begins
    if not _ends(q, end) or q[end - 1] == ",":
        return _malformed(q, at)
    if not operands:
        return _without_value(q, at, end, negated=negated, name=name, key=read_key, patterned=patterned)
    return Piece(q[at:end], negated, name, read_key, tuple(operands), begins, end=end)


def _without_value(
    q: str, at: int, end: int, *, negated: bool, name: str, key: str | None, patterned: Collection[str]
) -> Piece:
    """A space after the colon: the next word was probably meant as the value."""
    after = _skip(q, end)
    if after < len(q) and end < len(q) and q[after] not in "()" and not _FIELD.match(q, after):
        value = _value(q, after, pattern=name in patterned, comma=True)
        if not isinstance(value, Piece):
            operand, last = value
            word = operand.text.casefold() if operand.form == "plain" else ""
            has_word = any(character.isalnum() for character in operand.text)
            if _ends(q, last) and has_word and word not in RESERVED and q[after] != "-":
                problem = "The value stands right after the colon, without a space."
                return Piece(q[at:last], problem=problem, instead=q[at:end] + q[after:last], end=last)
    return Piece(q[at:end], negated, name, key, end=end)


def _value(q: str, at: int, *, pattern: bool, comma: bool) -> tuple[Operand, int] | Piece:
    """One value and where it ends; a piece that says why, if it cannot be told where."""
    if q[at] == '"':
        found = _IN_QUOTES.match(q, at)
        return (Operand(unquote(found.group()), "quoted"), found.end()) if found else _malformed(q, at)
    if q[at] == "~":
        if at + 1 < len(q) and q[at + 1] == '"':
            found = _IN_QUOTES.match(q, at + 1)
            if not found:
                return _malformed(q, at)
            return Operand(unquote(found.group()), "contains"), found.end()
        end = _bare(q, at + 1, comma=comma)
        return (Operand(q[at + 1 : end], "contains"), end) if end is not None else _malformed(q, at)
    if q[at] == "/" and pattern:
        found = _IN_SLASHES.match(q, at)
        if not found:
            return Piece(q[at:].rstrip(), problem=_SLASH_OPEN, instead=_closed(q[at:].rstrip()), end=len(q))
        if not _ends(q, found.end()):
            rest = _malformed(q, found.end())
            source = q[at : found.end()] + rest.source
            problem = "A pattern ends with “/” and a space; a slash inside is written “\\/”."
            return Piece(source, problem=problem, instead=_bare_words(source), end=rest.end)
        return Operand(found.group(1).replace("\\/", "/"), "pattern"), found.end()
    end = _bare(q, at, comma=comma)
    return (Operand(q[at:end]), end) if end is not None and end > at else _malformed(q, at)


def _bare(q: str, at: int, *, comma: bool) -> int | None:
    """Where a word without quotes ends; parentheses that it opens, it closes. None if it cannot be one."""
    depth = 0
    while at < len(q) and not q[at].isspace():
        character = q[at]
        if character == '"' or (comma and character == ",") or (character == ")" and not depth):
            break
        depth += (character == "(") - (character == ")")
        at += 1
    return None if depth else at


def _ends(q: str, at: int) -> bool:
    return at >= len(q) or q[at].isspace() or q[at] == ")"


_WITHIN = "A quote stands inside a word."


def _malformed(q: str, at: int) -> Piece:
    """A quote that is not closed takes the rest; anything else ends at the next space outside quotes."""
    end, inside, depth = at, False, 0
    while end < len(q) and (inside or not q[end].isspace()):
        if inside and q[end] == "\\":
            end += 1
        elif q[end] == '"':
            inside = not inside
        elif not inside and q[end] in "()":
            if q[end] == ")" and not depth:
                break
            depth += 1 if q[end] == "(" else -1
        end += 1
    end = min(end, len(q))
    if inside:
        source = q[at:].rstrip()
        return Piece(source, problem=_QUOTE_OPEN, instead=_bare_words(source), end=len(q))
    source = q[at:end]
    problem = _OPEN if depth else _WITHIN
    if not depth and source.endswith(","):
        problem = "A value is missing." if source.endswith(":,") else "A comma is followed by no value."
    return Piece(source, problem=problem, instead=_bare_words(source), end=end)


def _in_parentheses(q: str, at: int, opened: int) -> Piece:
    """`model:(a OR b)`, as other languages have it."""
    end, depth, inside = opened, 0, False
    while end < len(q):
        if inside and q[end] == "\\":
            end += 1
        elif q[end] == '"':
            inside = not inside
        elif not inside and q[end] in "()":
            depth += 1 if q[end] == "(" else -1
            if not depth:
                break
        end += 1
    if depth or end >= len(q):
        return Piece(q[at:].rstrip(), problem=_OPEN, end=len(q))
    end += 1
    if not _ends(q, end):
        return _malformed(q, at)
    inner = re.findall(rf'{_QUOTED}|[^\s",]+', q[opened + 1 : end - 1], re.DOTALL)
    values = [each for each in inner if each not in ("OR", "or", "|", "||")]
    problem = "Several values of a field are written with commas, without parentheses."
    return Piece(q[at:end], problem=problem, instead=q[at:opened] + ",".join(values), end=end)


def _moved(value: Piece, q: str, at: int, start: int) -> Piece:
    """A problem of a value as one of the whole condition."""
    if at == start:
        return value
    source = q[at:start] + value.source
    by_words = value.problem in (_WITHIN, _QUOTE_OPEN, _OPEN)
    instead = _bare_words(source) if by_words else q[at:start] + value.instead
    return Piece(source, problem=value.problem, instead=instead, end=value.end)


def _bare_words(source: str) -> str:
    """All of it as words to search."""
    return quote(source.replace('"', ""))


def _closed(source: str) -> str:
    """A pattern that was opened, closed; one word is probably a path."""
    return f"{source}/" if any(character.isspace() for character in source) else quote(source)


def unquote(text: str) -> str:
    """The text between the quotes; a backslash takes a quote or a backslash as it is."""
    return re.sub(r'\\(["\\])', r"\1", text[1:-1])


def quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def write_value(text: str) -> str:
    return text if _PLAIN_VALUE.fullmatch(text) else quote(text)


def write_name(name: str, key: str | None) -> str:
    """A field's name as it is written: `model`, `meta.category`, `meta."odd key"`."""
    if key is None:
        return name
    return f"{name}.{key if _PLAIN_KEY.fullmatch(key) else quote(key)}"


def write_text(text: str, *, begins: bool = False) -> str:
    plain = _PLAIN_WORD.fullmatch(text) and text.casefold() not in RESERVED
    return (text if plain else quote(text)) + "*" * begins


def write_pattern(text: str) -> str:
    """Between slashes; those inside get a backslash."""
    return (
        "/" + re.sub(r"\\.|/", lambda part: "\\/" if part[0] == "/" else part[0], text, flags=re.DOTALL) + "/"
    )


# Sentences.


def is_told_plainly(text: str) -> bool:
    return bool(_TOLD_PLAINLY.fullmatch(text)) and text.casefold() not in _TOLD_WORDS


def in_quotes(text: str) -> str:
    """Quoted for people; a closing quote inside gets a backslash, so that one sees where it ends."""
    return "“" + text.replace("\\", "\\\\").replace("”", "\\”") + "”"


def told(text: str) -> str:
    """A value in a sentence: as it is, or in quotes where it could be taken for a part of the sentence."""
    if not text:
        return "(empty)"
    return text if is_told_plainly(text) else in_quotes(text)
