"""How pieces belong together: side by side, alternatives, groups; and what was probably meant instead."""

from collections.abc import Sequence
from dataclasses import dataclass

from completions.filters.clauses import Broken, Clause, Group, Node, joined, nodes_of, turned
from completions.filters.fields import TEXT_FIELDS
from completions.filters.language import JOINTS, RESERVED, SIGNS, Token, quote, tokens
from completions.filters.pieces import read

MOST_CHARS = 4000
MOST_DEPTH = 6
MOST_CONDITIONS = 60

_TOO_MANY = f"A filter has at most {MOST_CONDITIONS} conditions."

Read = tuple[tuple[Node, ...], tuple[Broken, ...]]


class Tangled(ValueError):
    """The text as a whole cannot be read; the text of the error says why."""


def parse(q: str) -> Read:
    """The conditions of a typed filter, and what cannot be read: single conditions, or all of it."""
    nodes, broken = _parse(q)
    while len(broken) > 1:
        # They are written side by side, where they may be one slip instead of several.
        others, together = _parse(" ".join(part.q for part in broken))
        if others or together == broken:
            break
        broken = together
    return nodes, broken


def _parse(q: str) -> Read:
    whole = q.strip()
    if len(whole) > MOST_CHARS:
        return (), (Broken(whole, f"A filter has at most {MOST_CHARS:,} characters."),)
    found = list(tokens(whole, TEXT_FIELDS))
    if sum(token.kind == "piece" for token in found) > MOST_CONDITIONS:
        return (), (Broken(whole, _TOO_MANY),)
    try:
        nodes, broken = Reader(whole, found).read()
    except Tangled as tangled:
        return (), (Broken(whole, str(tangled), _mended(found)),)
    return nodes, broken


def _check(nodes: tuple[Node, ...], broken: tuple[Broken, ...]) -> None:
    if max((node.depth for node in nodes if isinstance(node, Group)), default=0) > MOST_DEPTH:
        raise Tangled(f"Groups stand at most {MOST_DEPTH} deep in each other.")
    if len(" ".join(part.q for part in (*nodes, *broken))) > MOST_CHARS:
        raise Tangled(f"A filter has at most {MOST_CHARS:,} characters, quotes and parentheses included.")


@dataclass(frozen=True, slots=True)
class Part:
    """What one place of the text says, and the text."""

    meaning: tuple[Node, ...] | Broken
    source: str


class Reader:
    """Reads tokens one after the other: alternatives of sequences of conditions and groups."""

    def __init__(self, q: str, found: Sequence[Token]) -> None:
        self.q, self.tokens, self.at, self.depth = q, found, 0, 0

    def read(self) -> Read:
        self._check_signs()
        options = self._options()
        if self.at < len(self.tokens):
            raise Tangled("A parenthesis is closed here that was never opened.")
        parts = [part for option in options for part in option]
        broken = tuple(part.meaning for part in parts if isinstance(part.meaning, Broken))
        if len(options) > 1 and broken:
            raise Tangled(_within(broken[0]))
        sequences = [
            [node for part in option if not isinstance(part.meaning, Broken) for node in part.meaning]
            for option in options
        ]
        nodes = nodes_of(sequences) if len(options) > 1 else joined(sequences[0])
        _check(nodes, broken)
        return nodes, broken

    @property
    def _token(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def _options(self) -> list[list[Part]]:
        options: list[list[Part]] = [[]]
        while (token := self._token) is not None and token.kind != "close":
            if token.kind == "OR":
                if not options[-1]:
                    raise Tangled("OR stands between two conditions; the one before it is missing.")
                options.append([])
                self.at += 1
            else:
                options[-1].append(self._part())
        if len(options) > 1 and not options[-1]:
            raise Tangled("OR stands between two conditions; the one after it is missing.")
        return options

    def _part(self) -> Part:
        token = self.tokens[self.at]
        self.at += 1
        if token.kind == "NOT":
            return self._not(token)
        if token.kind == "open":
            return self._group(token)
        assert token.piece is not None, "every other kind was seen to"
        meaning = read(token.piece)
        return Part((meaning,) if isinstance(meaning, Clause) else meaning, token.source)

    def _not(self, token: Token) -> Part:
        negated = True
        while (following := self._token) is not None and following.kind == "NOT":
            negated = not negated
            self.at += 1
        if following is None or following.kind in ("close", "OR"):
            raise Tangled("NOT stands before a condition, and none follows; a minus does the same: -model:x.")
        part = self._part()
        source = self.q[token.start : self.tokens[self.at - 1].end]
        if isinstance(part.meaning, Broken):
            instead = f"{'NOT ' * negated}{part.meaning.instead}" if part.meaning.instead else ""
            return Part(Broken(source, part.meaning.problem, _canonical(instead)), source)
        if not negated:
            return Part(part.meaning, source)
        alone = len(part.meaning) == 1
        return Part(turned(part.meaning[0]) if alone else nodes_of([part.meaning], negated=True), source)

    def _group(self, token: Token) -> Part:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise Tangled(f"Groups stand at most {MOST_DEPTH} deep in each other.")
        options = self._options()
        closing = self._token
        if closing is None:
            raise Tangled("A parenthesis is opened here and never closed.")
        self.at += 1
        self.depth -= 1
        if not options[0]:
            raise Tangled("The parentheses are empty.")
        source = self.q[token.start : closing.end]
        broken = [part.meaning for option in options for part in option if isinstance(part.meaning, Broken)]
        if broken:
            mended = [" ".join(_better(part) for part in option) for option in options]
            instead = f"{token.source}{' OR '.join(mended)})" if all(each.instead for each in broken) else ""
            return Part(Broken(source, _within(broken[0]), _canonical(instead)), source)
        sequences = [
            [node for part in option if not isinstance(part.meaning, Broken) for node in part.meaning]
            for option in options
        ]
        return Part(nodes_of(sequences, negated=token.negated), source)

    def _check_signs(self) -> None:
        """What stands between conditions in other languages, and what is only begun."""
        depth = 0
        for at, token in enumerate(self.tokens):
            depth += (token.kind == "open") - (token.kind == "close")
            before = self.tokens[at - 1] if at else None
            after = self.tokens[at + 1] if at + 1 < len(self.tokens) else None
            if token.kind == "tangle":
                raise Tangled(token.problem)
            if token.kind == "AND" or JOINTS.get(token.source) == "AND":
                raise Tangled("Conditions side by side must all hold; leave AND out.")
            if token.kind == "sign" and token.source in JOINTS:
                raise Tangled("“Or” is written OR, in capitals.")
            if token.kind == "sign":
                raise Tangled(f"A condition is written without spaces: field:value, not “{token.source}”.")
            if small_joint(token, before, after, inside=depth > 0):
                raise Tangled(
                    "“Or” and “not” are written in capitals, OR and NOT; “and” is left out."
                    " To search such a word, put it in quotes."
                )


def small_joint(token: Token, before: Token | None, after: Token | None, *, inside: bool) -> bool:
    """Whether a small “or”, “and” or “not” is probably none of the words to search."""
    word = token.source.casefold()
    if token.kind != "piece" or word not in RESERVED:
        return False
    if inside or (after is not None and after.kind == "open"):
        return True
    if word == "not":
        return after is not None and _is_field(after)
    if before is not None and before.kind == "close":
        return True
    return before is not None and after is not None and _is_field(before) and _is_field(after)


def _is_field(token: Token) -> bool:
    return token.piece is not None and bool(token.piece.name)


def _better(part: Part) -> str:
    return part.meaning.instead if isinstance(part.meaning, Broken) else part.source


def _within(broken: Broken) -> str:
    return f"“{broken.q}”: {broken.problem}"


def _canonical(q: str) -> str:
    """A suggestion as it will be written, if it can be read itself."""
    if not q or len(q) > MOST_CHARS:
        return ""
    try:
        nodes, broken = Reader(q, list(tokens(q, TEXT_FIELDS))).read()
    except Tangled:
        return ""
    return "" if broken else " ".join(node.q for node in nodes)


def _mended(found: Sequence[Token]) -> str:
    """The whole text with what stands between the conditions put right, if it can be read then."""
    made: list[str] = []
    depth = 0
    at = 0
    while at < len(found):
        token = found[at]
        before = found[at - 1] if at else None
        after = found[at + 1] if at + 1 < len(found) else None
        at += 1
        if token.kind == "tangle":
            made.append(quote(token.source.replace('"', "")))
        elif token.kind == "sign" and token.source in SIGNS and made and after and after.kind == "piece":
            sign = "" if token.source in ("=", "==", ":", "!=", "<>", "≠") else token.source
            minus = "-" if token.source in ("!=", "<>", "≠") else ""
            made[-1] = f"{minus}{made[-1]}:{sign}{after.source}"
            at += 1
        elif token.kind == "AND" or JOINTS.get(token.source) == "AND":
            continue
        elif token.source in JOINTS and token.kind == "sign":
            made.append("OR")
        elif small_joint(token, before, after, inside=depth > 0):
            word = token.source.upper()
            made += [] if word == "AND" else [word]
        elif token.kind == "open":
            depth += 1
            made.append(token.source)
        elif token.kind == "close":
            if made and made[-1] == "OR":
                made.pop()
            if made and made[-1] in ("(", "-("):
                made.pop()
                depth -= 1
            elif depth:
                depth -= 1
                made.append(")")
        elif token.piece is not None:
            meaning = read(token.piece)
            made.append(meaning.instead if isinstance(meaning, Broken) else token.source)
            if not made[-1]:
                return ""
        elif token.kind != "OR" or (made and made[-1] not in ("(", "-(", "OR")):
            made.append(token.source)
    while made and made[-1] in ("OR", "NOT", "(", "-("):
        depth -= made.pop() in ("(", "-(")
    return _canonical(" ".join(made) + ")" * depth)
