"""What one piece of a typed filter means."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from completions.filters.clauses import Broken, Clause
from completions.filters.fields import FIELDS, FLAGS, MARKS, STATES, TEXT, TEXT_FIELDS, Field, Unknown
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
}  # fmt: skip
_COMPARED = re.compile(
    r'(-?)(meta\.(?:"(?:[^"\\]|\\.)*"|[^\s"=<>!:]+)|[a-z_]+)(!==?|!=|==?|<>|<=|>=|<|>|≤|≥|≠)(.+)',
    re.DOTALL | re.IGNORECASE,
)


def read(piece: Piece) -> Clause | Broken:
    """What a piece means."""
    if piece.problem:
        return Broken(piece.source, piece.problem, _readable(piece.instead, quoted(piece)))
    if not piece.name:
        return _read_text(piece)
    found = FIELDS.get(piece.name)
    if found is None or (piece.key is not None and not found.keyed):
        return _unknown_field(piece)
    if found.keyed and piece.key is None:
        value = piece.operands[0].text if piece.operands else ""
        key, _, rest = value.partition(":") if ":" in value else value.partition("=")
        instead = f"{_minus(piece)}meta.{key}:{rest}" if rest else ""
        return Broken(piece.source, "Say which metadata: meta.KEY:value.", _readable(instead))
    if not piece.operands:
        return Broken(piece.source, f"Say which value, for example {found.example}.")
    return _clause(found, piece)


def _clause(found: Field, piece: Piece) -> Clause | Broken:
    name = write_name(found.name, piece.key)
    try:
        lookup = found.read(piece.operands, piece.begins)
    except Unknown as unknown:
        return _unknown_value(name, piece, unknown)
    except Unreadable as unreadable:
        instead = unreadable.instead
        if instead:
            negated = piece.negated is not unreadable.flips
            instead = f"{'-' * negated}{'' if not piece.name else f'{name}:'}{instead}"
        return Broken(piece.source, str(unreadable), _readable(instead))
    return Clause(found, lookup, piece.negated, piece.key)


def _unknown_field(piece: Piece) -> Broken:
    rest = piece.source.removeprefix("-")[len(piece.name) :]
    near = SYNONYMS.get(piece.name) or next(iter(get_close_matches(piece.name, FIELDS, 1, 0.6)), "")
    kept = f"{_minus(piece)}{near}{rest}" if near and near != piece.name else ""
    dotted = f"{_minus(piece)}meta.{piece.name}{rest}" if not near else ""
    instead = _readable(kept, quoted(piece) if "/" in rest else dotted, quoted(piece))
    return Broken(piece.source, f"There is no field “{piece.name}”.", instead)


def _unknown_value(name: str, piece: Piece, unknown: Unknown) -> Broken:
    where = {**dict.fromkeys((*MARKS, *FLAGS), "has"), **dict.fromkeys(STATES, "is")}
    asked = unknown.value
    if asked in where:
        return Broken(piece.source, str(unknown), f"{_minus(piece)}{where[asked]}:{asked}")
    near = get_close_matches(asked, unknown.known, 1, 0.5) or get_close_matches(asked, where, 1, 0.7)
    if not near:
        return Broken(piece.source, str(unknown))
    names = [near[0] if operand.text.lower() == asked else operand.text for operand in piece.operands]
    instead = f"{_minus(piece)}{name}:{','.join(names)}"
    return Broken(
        piece.source, str(unknown), _readable(instead, f"{_minus(piece)}{where[near[0]]}:{near[0]}")
    )


def _read_text(piece: Piece) -> Clause | Broken:
    operand = piece.operands[0]
    if operand.form == "plain" and not piece.begins:
        if operand.text.casefold() in RESERVED and operand.text.isupper():
            problem = "A minus stands before a condition; to search the word, put it in quotes."
            return Broken(piece.source, problem, f"{_minus(piece)}{quote(operand.text.lower())}")
        if broken := _compared(piece):
            return broken
    return _clause(TEXT, piece)


def _compared(piece: Piece) -> Broken | None:
    """`model=x`, `tokens>5`, `meta.a!=b`: a condition with another sign than the colon."""
    found = _COMPARED.fullmatch(piece.source)
    if not found:
        return None
    minus, name, sign, value = found.groups()
    plain = name.lower().partition(".")[0]
    near = plain if plain in FIELDS else SYNONYMS.get(plain, "")
    if not near:
        near = next(iter(get_close_matches(plain, FIELDS, 1, 0.8)), "")
    if not near:
        return None
    flips = sign in ("!=", "!==", "<>", "≠")
    kept = {"≤": "<=", "≥": ">="}.get(sign, sign if sign[0] in "<>" and not flips else "")
    negated = bool(minus) is not flips
    instead = f"{'-' * negated}{near}{name[len(plain) :]}:{kept}{value}"
    return Broken(piece.source, f"A colon follows the field: {near}:…", _readable(instead, quoted(piece)))


def quoted(piece: Piece) -> str:
    return quote(piece.source.replace('"', ""))


def _minus(piece: Piece) -> str:
    return "-" * piece.negated


def _readable(*suggestions: str) -> str:
    """The first of some suggestions that can be read itself."""
    return next((each for each in suggestions if each and _can_be_read(each)), "")


def _can_be_read(q: str) -> bool:
    found: Iterable[Clause | Broken | None] = (
        read(token.piece) if token.piece else None for token in tokens(q, TEXT_FIELDS)
    )
    return all(isinstance(each, Clause) for each in found)
