"""Characters that a reader cannot see but a model or a browser obeys.

Bidirectional controls, zero-width and tag characters, terminal escapes: they are shown as chips.
"""

import re
from collections.abc import Callable

# Line feed and tab are layout, everything else here has no shape of its own.
_ALWAYS = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164"
    "\ud800-\udfff\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"  # tags and the variation selectors that text is smuggled in
)
# Joiners belong inside an emoji and between letters of scripts that are written joined; elsewhere they hide.
_EMOJI = "\u00a9\u00ae\u2190-\u2bff\U0001f000-\U0001faff"
_JOINED = "\u0600-\u08ff\u0900-\u109f\u1780-\u18af"
_JOINERS = (
    rf"\u200d(?:(?<![{_EMOJI}\ufe0f]\u200d)(?<![{_JOINED}]\u200d)|(?![{_EMOJI}{_JOINED}]))"
    rf"|\u200c(?:(?<![{_JOINED}]\u200c)|(?![{_JOINED}]))"
)
_PATTERN = rf"[{_ALWAYS}]|(?<=[\ufe0e\ufe0f])[\ufe0e\ufe0f]|{_JOINERS}"
_HIDDEN = re.compile(_PATTERN)
# These look like an ordinary space or hyphen, and are honest in many languages: a faint mark, no chip.
_FIXED = "\u00a0\u2007\u2011\u202f"
_UNSEEN = re.compile(rf"[{_FIXED}]|{_PATTERN}")
_FIXED_OUTSIDE_TAGS = re.compile(rf"<[^>]*>|&nbsp;|[{_FIXED}]")
_NAMES = {
    "\u00a0": "No-break space",
    "\u2007": "Figure space",
    "\u2011": "Non-breaking hyphen",
    "\u202f": "Narrow no-break space",
}
_MAY_BE_FIXED = re.compile(rf"&nbsp;|[{_FIXED}]")
MOST_MARKS = 2_000  # as many marks as a page may need; text that is full of them needs none

# While text is on its way through a renderer, a hidden character is held by one private character, so that no
# parser acts on it and it stays in one piece.
_HOLD = 0x100000
_BREAK = chr(_HOLD + 0xFFFD)  # U+FFFD is seen, and so has no stand-in of its own
_LONG = re.compile(r"\S{400}(?=\S)")
_HELD = re.compile("[\U00100000-\U0010fffd]")
_RUN = re.compile("([\U00100000-\U0010fffd])\\1*")
_PRIVATE = re.compile("[\U000f0000-\U0010ffff]")


def count_hidden(text: str) -> int:
    """How many characters of `text` a reader would not see."""
    return sum(1 for _ in _HIDDEN.finditer(text))


def spell(text: str, write: Callable[[str], str]) -> str:
    """`text` with every hidden or non-breaking character replaced by what `write` makes of it."""
    return _UNSEEN.sub(lambda found: write(found[0]), text)


def hold(text: str) -> str:
    """`text` with every hidden character replaced by a harmless stand-in; `show` turns those into chips."""
    text = _PRIVATE.sub(lambda found: f"⟦U+{ord(found[0]):X}⟧", text.replace("\r\n", "\n"))
    return _HIDDEN.sub(lambda found: _stand_in(ord(found[0])), text)


def _stand_in(code: int) -> str:
    # Code points up to FFFF keep their number, the rare higher ones are named at once.
    return chr(_HOLD + code) if code <= 0xFFFD else f"⟦U+{code:X}⟧"


def breakable(held: str) -> str:
    """Held text with places to break a very long word, over which browsers would brood for minutes."""
    return _LONG.sub(lambda found: found[0] + _BREAK, held)


def show(html: str) -> str:
    """Escaped or sanitised HTML with a chip in place of each stand-in, and non-breaking characters marked."""
    if _MAY_BE_FIXED.search(html):
        html = _FIXED_OUTSIDE_TAGS.sub(_mark, html, MOST_MARKS)
    return _RUN.sub(lambda found: _chip(ord(found[1]) - _HOLD, len(found[0])), html)


def _mark(found: re.Match[str]) -> str:
    if found[0].startswith("<"):
        return found[0]
    character = "\u00a0" if found[0] == "&nbsp;" else found[0]
    return f'<span class="fixed-char" title="{_NAMES[character]}">{character}</span>'


def _chip(code: int, times: int) -> str:
    if code == 0xFFFD:
        return "<wbr>"
    text = f"⟦U+{code:04X}⟧" * times if times <= 3 else f"⟦U+{code:04X}⟧ {times:,} times"
    return f'<span class="hidden-char" title="Hidden character">{text}</span>'


def name(text: str) -> str:
    """`text` with hidden characters as plain words, for places that take no markup."""
    return _HELD.sub(lambda found: f"⟦U+{ord(found[0]) - _HOLD:04X}⟧", hold(text))
