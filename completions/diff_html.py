"""What changed between two texts as HTML: marked by more than colour, and told to those who listen."""

from collections.abc import Collection, Sequence
from typing import Final

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from completions.diff import Kind, Piece, diff
from portal.rendering import PLAIN_CHARACTERS, escaped

FOLD: Final = 1_600  # characters that are the same from which on their middle is folded
EDGE: Final = 500
MOST: Final = 4_000  # pieces on one page
EVERY: Final[Collection[Kind]] = ("same", "del", "add")

_TOLD = {"del": "deleted", "add": "added"}


def changes(before: str, after: str, room: list[int] | None = None) -> SafeString:
    """What one text became, in one; `room` as `diff` takes it."""
    return write(diff(before, after, room))


def sides(before: str, after: str, room: list[int] | None = None) -> tuple[SafeString, SafeString]:
    """Each text by itself, marked where it is not as the other."""
    pieces = diff(before, after, room)
    return write(pieces, ("same", "del")), write(pieces, ("same", "add"))


def write(pieces: Sequence[Piece], kinds: Collection[Kind] = EVERY) -> SafeString:
    """Pieces of these kinds; of what is the same for long, both ends with the middle folded."""
    shown = [piece for piece in pieces if piece.kind in kinds]
    room, html = PLAIN_CHARACTERS, []
    for number, piece in enumerate(shown[:MOST]):
        if room <= 0:
            break
        text = piece.text[:room]
        room -= len(text)
        if piece.kind == "same":
            html.append(_same(text, first=number == 0, last=number == len(shown) - 1))
        else:
            html.append(_changed(piece.kind, text))
    tail = ""
    if room <= 0 or len(shown) > MOST:
        tail = '<p class="cut">What follows is too long to be compared here.</p>'
    body = "".join(html) or '<span class="muted">(nothing)</span>'
    page = f'<div class="diff untrusted plain" dir="auto">{body}</div>{tail}'
    return mark_safe(page)  # noqa: S308  # every piece is escaped below


def _same(text: str, *, first: bool, last: bool) -> str:
    if len(text) <= FOLD:
        return escaped(text)
    head = 0 if first and not last else _border(text, EDGE)
    tail = len(text) if last else _border(text, len(text) - EDGE)
    count = f"{tail - head:,} characters are the same"
    return (
        f'{escaped(text[:head])}<details class="unchanged"><summary>{escape(count)}</summary>'
        f"{escaped(text[head:tail])}</details>{escaped(text[tail:])}"
    )


def _border(text: str, near: int) -> int:
    """The end of a line or a word before `near`, if there is one not far away."""
    for end in ("\n", " "):
        at = text.rfind(end, near - EDGE // 2, near)
        if at >= 0:
            return at + 1
    return near


def _changed(kind: Kind, text: str) -> str:
    tag = "del" if kind == "del" else "ins"
    inner = escaped(text)
    if "\n" in text and not text.strip():  # a mark where there is nothing else to be seen
        inner = inner.replace(
            "\n", '<span class="eol" aria-hidden="true">↵</span><span class="sr">line break</span>\n'
        )
    return f'<{tag}><span class="sr">[{_TOLD[kind]}: </span>{inner}<span class="sr">]</span></{tag}>'
