"""What one piece of a typed filter means."""

import re
from dataclasses import dataclass
from difflib import get_close_matches

from completions.filters.clauses import Broken, Clause
from completions.filters.fields import (
    FIELDS,
    FLAGS,
    MARKS,
    RATINGS,
    REVIEWS,
    STATES,
    TEXT,
    TEXT_FIELDS,
    Field,
    Unknown,
)
from completions.filters.language import RESERVED, Piece, quote, tokens, write_name
from completions.filters.operands import Unreadable

# How others call a field.
SYNONYMS = {
    "metadata": "meta", "key": "meta", "tag": "meta", "date": "created", "time": "created",
    "finish_reason": "finish", "reason": "finish", "total_tokens": "tokens", "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens", "answer_tokens": "completion_tokens", "messages": "turns",
    "answer_length": "length", "temp": "temperature", "lang": "language", "response_format": "format",
    "function": "tool", "tools": "tool", "tool_name": "tool", "request_id": "request",
    "completion": "answer", "output": "answer", "response": "answer", "input": "prompt", "user": "prompt",
    "system_prompt": "system", "instructions": "system", "endpoint": "connection", "project": "connection",
    "status": "review", "state": "review", "reviews": "review", "rate": "rating", "labels": "label",
    "author": "reviewer", "reviewed_by": "reviewer", "reviewers": "reviewer",
    "reviewed_at": "reviewed", "notes": "note", "comment": "note", "comments": "note",
    "corrections": "correction", "corrected": "correction", "duplicate": "same", "duplicates": "same",
    "conversation": "thread", "template": "alike",
}  # fmt: skip
_COMPARED = re.compile(
    r'(-?)((?:meta|label)\.[^\s"=<>!:]+|[a-z_]+)(!==?|!=|==?|<>|<=|>=|<|>|≤|≥|≠)(.+)',
    re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Unread:
    """Why a piece has no meaning, and what was perhaps meant, likeliest first."""

    problem: str
    suggestions: tuple[str, ...] = ()


def read(piece: Piece) -> Clause | Broken:
    """What a piece means."""
    found = _meaning(piece)
    if isinstance(found, Clause):
        return found
    instead = next((each for each in found.suggestions if each and _can_be_read(each)), "")
    return Broken(piece.source, found.problem, instead)


def _can_be_read(q: str) -> bool:
    return all(
        token.piece is not None and isinstance(_meaning(token.piece), Clause)
        for token in tokens(q, TEXT_FIELDS)
    )


def _meaning(piece: Piece) -> Clause | Unread:
    if piece.problem:
        return Unread(piece.problem, (piece.instead, quoted(piece)))
    if not piece.name:
        return _read_text(piece)
    found = FIELDS.get(piece.name)
    if found is None or (piece.key is not None and not found.keyed):
        return _unknown_field(piece)
    if found.keyed and piece.key is None:
        value = piece.operands[0].text if piece.operands else ""
        key, _, rest = value.partition(":") if ":" in value else value.partition("=")
        return Unread(
            f"Say which {found.title}: {found.name}.{found.keyed}:value.",
            (f"{_minus(piece)}{found.name}.{key}:{rest}",) if rest else (),
        )
    if not piece.operands:
        return Unread(f"Say which value, for example {found.example}.")
    return _clause(found, piece)


def _clause(found: Field, piece: Piece) -> Clause | Unread:
    name = write_name(found.name, piece.key)
    try:
        lookup = found.read(piece.operands, piece.begins)
    except Unknown as unknown:
        return _unknown_value(name, piece, unknown)
    except Unreadable as unreadable:
        if not unreadable.instead:
            return Unread(str(unreadable))
        minus = "-" * (piece.negated is not unreadable.flips)
        field = f"{name}:" * bool(piece.name)
        return Unread(str(unreadable), (f"{minus}{field}{unreadable.instead}",))
    return Clause(found, lookup, piece.negated, piece.key)


def _unknown_field(piece: Piece) -> Unread:
    rest = piece.source.removeprefix("-")[len(piece.name) :]
    near = SYNONYMS.get(piece.name) or next(iter(get_close_matches(piece.name, FIELDS, 1, 0.6)), "")
    suggestions = [f"{_minus(piece)}{near}{rest}"] if near and near != piece.name else []
    # A field of few values is called by names that are keys as well: `status:open`.
    if (not near or FIELDS[near].choices) and "/" not in rest:
        suggestions.append(f"{_minus(piece)}meta.{piece.name}{rest}")
    return Unread(f"There is no field “{piece.name}”.", (*suggestions, quoted(piece)))


def _unknown_value(name: str, piece: Piece, unknown: Unknown) -> Unread:
    fields = (("has", (*MARKS, *FLAGS)), ("is", STATES), ("review", REVIEWS), ("rating", RATINGS))
    where = {value: field for field, values in fields for value in values}
    asked, minus = unknown.value, _minus(piece)
    if asked in where:
        return Unread(str(unknown), (f"{minus}{where[asked]}:{asked}",))
    here = get_close_matches(asked, unknown.known, 1, 0.5)
    anywhere = get_close_matches(asked, where, 1, 0.7)
    suggestions = [f"{minus}{where[near]}:{near}" for near in anywhere if not here]
    for near in here:
        names = [near if operand.text.lower() == asked else operand.text for operand in piece.operands]
        suggestions += [f"{minus}{name}:{','.join(names)}", f"{minus}{name}:{near}"]
    return Unread(str(unknown), tuple(suggestions))


def _read_text(piece: Piece) -> Clause | Unread:
    operand = piece.operands[0]
    if operand.form == "plain" and not piece.begins:
        if operand.text.casefold() in RESERVED and operand.text.isupper():
            problem = "A minus stands before a condition; to search the word, put it in quotes."
            return Unread(problem, (f"{_minus(piece)}{quote(operand.text.lower())}",))
        if unread := _compared(piece):
            return unread
    return _clause(TEXT, piece)


def _compared(piece: Piece) -> Unread | None:
    """`model=x`, `tokens>5`, `meta.a!=b`: a condition with another sign than the colon."""
    found = _COMPARED.fullmatch(piece.source)
    if not found:
        return None
    minus, name, sign, value = found.groups()
    plain, dot, key = name.partition(".")
    plain = plain.lower()
    near = plain if plain in FIELDS else SYNONYMS.get(plain, "")
    near = near or next(iter(get_close_matches(plain, FIELDS, 1, 0.8)), "")
    if not near:
        return None
    flips = sign in ("!=", "!==", "<>", "≠")
    kept = {"≤": "<=", "≥": ">="}.get(sign, sign if sign[0] in "<>" and not flips else "")
    instead = f"{'-' * (bool(minus) is not flips)}{near}{dot}{key}:{kept}{value}"
    return Unread(f"A colon follows the field: {near}{dot}{key}:…", (instead, quoted(piece)))


def quoted(piece: Piece) -> str:
    return quote(piece.source.replace('"', ""))


def _minus(piece: Piece) -> str:
    return "-" * piece.negated
