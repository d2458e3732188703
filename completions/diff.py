"""What changed between two texts, word by word. Pure.

Promised: the pieces that are the same or deleted, joined, are the first text; those the same or added
are the second; of two equal texts there is one piece. Not promised: the fewest changes. The search for
them ends after STEPS comparisons, whatever the texts are; what is not understood by then is shown as deleted
and added in one piece, so a text of any length costs about as much as reading it a few times.

Long texts are compared by lines first, then by words inside the lines that changed. The search is the greedy
one of E. Myers, "An O(ND) Difference Algorithm and Its Variations" (Algorithmica 1, 1986); before it, what is
long is cut at what both sides hold exactly once.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal

STEPS: Final = 400_000
SMALL: Final = 4_000  # words or lines on both sides together that are searched without being cut first
DEPTH: Final = 6  # how often a part is cut again
JOINED: Final = 24  # characters that two changes may have between them to be read as one

Kind = Literal["same", "del", "add"]

# Scripts that are written without spaces: each character is compared by itself.
_CLOSE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_POINTS = r"!-/:-@\[-^`{-~¡«»¿\u2010-\u2027\u2030-\u205e\u3000-\u303f\uff01-\uff0f"
_WORD = rf"[^\s{_POINTS}{_CLOSE}]+"
_TOKENS = re.compile(rf"[{_CLOSE}]|\d+(?:[.,]\d+)+|{_WORD}(?:['\u2019]{_WORD})*|\n|[^\S\n]+|.", re.DOTALL)
_LINES = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of one of the texts, or of both."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Run:
    """`length` parts that are the same from `a` on in the first list and from `b` on in the second."""

    a: int
    b: int
    length: int


def diff(before: str, after: str, room: list[int] | None = None) -> list[Piece]:
    """The pieces of both texts in order, of a change what was deleted first; none of them is empty.

    `room[0]` comparisons may be made and are taken off, so that several calls can share them.
    """
    room = [STEPS] if room is None else room
    first, second = _TOKENS.findall(before), _TOKENS.findall(after)
    if len(first) + len(second) <= SMALL:
        runs = _in_characters(matching(first, second, room), first, second)
    else:
        runs = _by_lines(_LINES.findall(before), _LINES.findall(after), room)
    return list(_pieces(before, after, _readable(before, runs, len(before), len(after))))


def is_same(pieces: Sequence[Piece]) -> bool:
    """Whether nothing changed."""
    return all(piece.kind == "same" for piece in pieces)


# Words in lines.


def _by_lines(before: Sequence[str], after: Sequence[str], room: list[int]) -> list[Run]:
    """Runs of characters, from lines that are the same and from words inside those that are not."""
    starts_a, starts_b = _starts(before), _starts(after)
    found: list[Run] = []
    for kind, a, a_end, b, b_end in _blocks(matching(before, after, room), len(before), len(after)):
        at_a, at_b = starts_a[a], starts_b[b]
        if kind == "same":
            found.append(Run(at_a, at_b, starts_a[a_end] - at_a))
        elif a < a_end and b < b_end:
            first = _TOKENS.findall("".join(before[a:a_end]))
            second = _TOKENS.findall("".join(after[b:b_end]))
            runs = _in_characters(matching(first, second, room), first, second)
            found += [Run(at_a + run.a, at_b + run.b, run.length) for run in runs]
    return found


def _in_characters(runs: Iterable[Run], before: Sequence[str], after: Sequence[str]) -> list[Run]:
    a, b = _starts(before), _starts(after)
    return [Run(a[run.a], b[run.b], a[run.a + run.length] - a[run.a]) for run in runs]


def _starts(parts: Sequence[str]) -> list[int]:
    return list(accumulate(map(len, parts), initial=0))


def _blocks(runs: Iterable[Run], a_end: int, b_end: int) -> Iterator[tuple[str, int, int, int, int]]:
    """What is the same, and what lies between, with both ranges; nothing that is empty on both sides."""
    a = b = 0
    for run in (*runs, Run(a_end, b_end, 0)):
        if a < run.a or b < run.b:
            yield "changed", a, run.a, b, run.b
        a, b = run.a + run.length, run.b + run.length
        if run.length:
            yield "same", run.a, a, run.b, b


# From runs to what a person reads.


def _readable(before: str, runs: Iterable[Run], a_end: int, b_end: int) -> list[tuple[int, int, int, int]]:
    """The changes, those that only a few characters of one line keep apart as one."""
    changes: list[tuple[int, int, int, int]] = []
    for kind, *place in _blocks(runs, a_end, b_end):
        if kind == "same":
            continue
        a, a_to, b, b_to = place
        while changes:
            last_a, last_a_to, last_b, last_b_to = changes[-1]
            between = a - last_a_to
            least = min(max(last_a_to - last_a, last_b_to - last_b), max(a_to - a, b_to - b))
            if between > min(JOINED, least) or "\n" in before[last_a_to:a]:
                break
            changes.pop()
            a, b = last_a, last_b
        changes.append((a, a_to, b, b_to))
    return changes


def _pieces(before: str, after: str, changes: Iterable[tuple[int, int, int, int]]) -> Iterator[Piece]:
    at = 0
    for a, a_to, b, b_to in (*changes, (len(before), len(before), len(after), len(after))):
        for kind, text in (("same", before[at:a]), ("del", before[a:a_to]), ("add", after[b:b_to])):
            if text:
                yield Piece(kind, text)  # type: ignore[arg-type]  # the three kinds stand right above
        at = a_to


# What is the same in two lists.


def matching(before: Sequence[str], after: Sequence[str], room: list[int] | None = None) -> list[Run]:
    """Runs of equal parts in the order of both lists. `room[0]` comparisons may be made and are taken off."""
    numbers: dict[str, int] = {}
    a = [numbers.setdefault(part, len(numbers)) for part in before]
    b = [numbers.setdefault(part, len(numbers)) for part in after]
    pairs = _matching(a, b, 0, 0, room if room is not None else [STEPS], DEPTH)
    runs: list[Run] = []
    for run in pairs:
        last = runs[-1] if runs else None
        if last is not None and last.a + last.length == run.a and last.b + last.length == run.b:
            runs[-1] = Run(last.a, last.b, last.length + run.length)
        else:
            runs.append(run)
    return runs


def _matching(
    a: Sequence[int], b: Sequence[int], at_a: int, at_b: int, room: list[int], depth: int
) -> Iterator[Run]:
    head = 0
    shorter = min(len(a), len(b))
    while head < shorter and a[head] == b[head]:
        head += 1
    tail = 0
    while tail < shorter - head and a[-1 - tail] == b[-1 - tail]:
        tail += 1
    if head:
        yield Run(at_a, at_b, head)
    inner_a, inner_b = a[head : len(a) - tail], b[head : len(b) - tail]
    if inner_a and inner_b:
        yield from _inside(inner_a, inner_b, at_a + head, at_b + head, room, depth)
    if tail:
        yield Run(at_a + len(a) - tail, at_b + len(b) - tail, tail)


def _inside(
    a: Sequence[int], b: Sequence[int], at_a: int, at_b: int, room: list[int], depth: int
) -> Iterator[Run]:
    anchors = _anchors(a, b) if depth and len(a) + len(b) > SMALL else []
    if not anchors:
        yield from (Run(at_a + run.a, at_b + run.b, run.length) for run in _search(a, b, room))
        return
    from_a = from_b = 0
    for to_a, to_b in (*anchors, (len(a), len(b))):
        yield from _matching(a[from_a:to_a], b[from_b:to_b], at_a + from_a, at_b + from_b, room, depth - 1)
        if to_a < len(a):
            yield Run(at_a + to_a, at_b + to_b, 1)
        from_a, from_b = to_a + 1, to_b + 1


def _anchors(a: Sequence[int], b: Sequence[int]) -> list[tuple[int, int]]:
    """Places of what both hold exactly once, as many as stand in the same order."""
    once_a, once_b = Counter(a), Counter(b)
    places = {value: at for at, value in enumerate(b) if once_b[value] == 1}
    pairs = [(at, places[value]) for at, value in enumerate(a) if once_a[value] == 1 and value in places]
    # The longest rising sequence of the second numbers.
    ends: list[int] = []
    chosen: list[int] = []
    before: list[int] = []
    for number, (_, place) in enumerate(pairs):
        at = bisect_left(ends, place)
        ends[at : at + 1] = [place]
        chosen[at : at + 1] = [number]
        before.append(chosen[at - 1] if at else -1)
    found: list[tuple[int, int]] = []
    number = chosen[-1] if chosen else -1
    while number >= 0:
        found.append(pairs[number])
        number = before[number]
    return found[::-1]


def _search(a: Sequence[int], b: Sequence[int], room: list[int]) -> list[Run]:
    """The runs that leave the fewest changes, or none if there is no room to find them."""
    ends = {1: 0}  # how far one gets in `a` on each diagonal
    trace: list[dict[int, int]] = []
    for changes in range(len(a) + len(b) + 1):
        trace.append({})
        for diagonal in range(-changes, changes + 1, 2):
            down = diagonal == -changes or (diagonal != changes and ends[diagonal - 1] < ends[diagonal + 1])
            x = start = ends[diagonal + 1] if down else ends[diagonal - 1] + 1
            y = x - diagonal
            while x < len(a) and y < len(b) and a[x] == b[y]:
                x, y = x + 1, y + 1
            room[0] -= x - start + 1
            ends[diagonal] = trace[-1][diagonal] = x
            if x >= len(a) and y >= len(b):
                return _back(trace, len(a), len(b))
            if room[0] < 0:
                return []
    return []


def _back(trace: Sequence[dict[int, int]], x: int, y: int) -> list[Run]:
    """The way that the search came, from its end."""
    found: list[Run] = []
    for changes in range(len(trace) - 1, 0, -1):
        ends, diagonal = trace[changes - 1], x - y
        down = diagonal == -changes or (diagonal != changes and ends[diagonal - 1] < ends[diagonal + 1])
        from_x = ends[diagonal + 1] if down else ends[diagonal - 1]
        from_y = from_x - (diagonal + 1 if down else diagonal - 1)
        start = from_x if down else from_x + 1
        if x > start:
            found.append(Run(start, start - diagonal, x - start))
        x, y = from_x, from_y
    if x:
        found.append(Run(0, 0, x))
    return found[::-1]
