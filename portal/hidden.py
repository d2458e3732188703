"""Characters that a reader cannot see but a model or a browser obeys.

Bidirectional controls, zero-width and tag characters, terminal escapes: they are shown as chips.
"""

import re

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
_HIDDEN = re.compile(rf"[{_ALWAYS}]|(?<=[\ufe0e\ufe0f])[\ufe0e\ufe0f]|{_JOINERS}")

# While text is on its way through a renderer, a hidden character is held by one private character, so that no
# parser acts on it and it stays in one piece.
_HOLD = 0x100000
_TAGS = 0xE0000
_BREAK = chr(_HOLD + 0xFFFD)  # U+FFFD is seen, and so has no stand-in of its own
_LONG = re.compile(r"\S{400}(?=\S)")
_HELD = re.compile("[\U00100000-\U0010fffd]")
_PRIVATE = re.compile("[\U000f0000-\U0010ffff]")


def count_hidden(text: str) -> int:
    """How many characters of `text` a reader would not see."""
    return sum(1 for _ in _HIDDEN.finditer(text))


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
    """Escaped or sanitised HTML with a chip in place of each stand-in."""
    return _HELD.sub(lambda found: _chip(ord(found[0]) - _HOLD), html)


def _chip(code: int) -> str:
    if code == 0xFFFD:
        return "<wbr>"
    return f'<span class="hidden-char" title="Hidden character">⟦U+{code:04X}⟧</span>'


def name(text: str) -> str:
    """`text` with hidden characters as plain words, for places that take no markup."""
    return _HELD.sub(lambda found: f"⟦U+{ord(found[0]) - _HOLD:04X}⟧", hold(text))
