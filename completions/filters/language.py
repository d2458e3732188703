"""How a filter is written: `model:gpt-4o -meta.category:test created:7d "exact phrase" word begin*`.

Pure text in, pieces out, and back. What a piece means is decided by the fields.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_FIELD = re.compile(
    rf'(-?)((?:[Mm][Ee][Tt][Aa]\.(?:{_QUOTED}|[^\s":]*))|[A-Za-z_][A-Za-z0-9_.]*):', re.DOTALL
)
_VALUE = re.compile(rf'{_QUOTED}|[^\s",]+', re.DOTALL)
_TEXT = re.compile(rf'(-?)(?:({_QUOTED})(\*?)|([^\s"]+))(?=\s|$)', re.DOTALL)
_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"\S+")
# What may stand without quotes; everything else is quoted, so that what is written is read back the same.
_PLAIN_VALUE = re.compile(r"[\w.\-/@+:]+", re.ASCII)
_PLAIN_KEY = re.compile(r"[\w.\-/@+]+", re.ASCII)
_PLAIN_WORD = re.compile(r"\w[\w.'/@+-]*")
RESERVED = frozenset({"OR", "AND", "NOT"})


@dataclass(frozen=True, slots=True)
class Operand:
    """One value after the colon, unescaped, and whether it stood in quotes."""

    text: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """One condition as written; `name` is empty for text, `key` follows `meta.` and is None elsewhere."""

    source: str
    negated: bool = False
    name: str = ""
    key: str | None = None
    operands: tuple[Operand, ...] = ()
    begins: bool = False
    problem: str = ""


def split(q: str) -> Iterator[Piece]:
    """The pieces of a filter; those that are not well-formed carry a `problem`."""
    at = _SPACE.match(q).end()  # type: ignore[union-attr]  # matches the empty text too
    while at < len(q):
        piece, end = _piece(q, at)
        yield piece
        at = _SPACE.match(q, end).end()  # type: ignore[union-attr]  # as above


def _piece(q: str, at: int) -> tuple[Piece, int]:
    if field := _FIELD.match(q, at):
        return _field_piece(q, at, field)
    if found := _TEXT.match(q, at):
        minus, quoted, star, bare = found.groups()
        source, negated = found.group(), bool(minus)
        if quoted is not None:
            return Piece(
                source, negated, operands=(Operand(unquote(quoted), True),), begins=bool(star)
            ), found.end()
        begins = len(bare) > 1 and bare.endswith("*")
        return Piece(
            source, negated, operands=(Operand(bare[:-1] if begins else bare, False),), begins=begins
        ), found.end()
    return _malformed(q, at)


def _field_piece(q: str, at: int, field: re.Match[str]) -> tuple[Piece, int]:
    name, dot, key = field.group(2).partition(".")
    end = field.end()
    operands: list[Operand] = []
    while value := _VALUE.match(q, end):
        text = value.group()
        operands.append(Operand(unquote(text), True) if text[0] == '"' else Operand(text, False))
        end = value.end()
        if q[end : end + 1] != ",":
            break
        end += 1
    begins = bool(operands) and operands[-1].quoted and q[end : end + 1] == "*"
    end += begins
    if (end < len(q) and not q[end].isspace()) or q[end - 1] == ",":
        return _malformed(q, at)
    return (
        Piece(
            source=q[at:end],
            negated=bool(field.group(1)),
            name=name.lower(),
            key=(unquote(key) if key.startswith('"') else key) if dot else None,
            operands=tuple(operands),
            begins=begins,
        ),
        end,
    )


def _malformed(q: str, at: int) -> tuple[Piece, int]:
    """A quote that is not closed takes the rest; anything else ends at the next space outside quotes."""
    end, inside = at, False
    while end < len(q) and (inside or not q[end].isspace()):
        if q[end] == "\\" and inside:
            end += 1
        elif q[end] == '"':
            inside = not inside
        end += 1
    end = min(end, len(q))
    if inside:
        return Piece(q[at:].rstrip(), problem="A quote is opened here and never closed."), len(q)
    problem = "A comma is followed by no value." if q[end - 1] == "," else "A quote stands inside a word."
    return Piece(q[at:end], problem=problem), end


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
    plain = _PLAIN_WORD.fullmatch(text) and text not in RESERVED
    return (text if plain else quote(text)) + "*" * begins
