"""Lists, counts and regular expressions as Promptfoo writes them. Pure.

https://www.promptfoo.dev/docs/configuration/expected-outputs/deterministic/
"""

import re
from typing import Any, Final

from datasets.evaluate.carry import number_of

BLANKS: Final = "Of what is blank, \\s means the signs of ASCII here."
# What RE2 reads and JavaScript does not, or reads otherwise.
_OTHER_SYNTAX: Final = re.compile(r"\(\?P<|\(\?[a-zA-Z^-]*[:)]|\\[AzQECpPa]|\[\[:|\\x\{|\[\^?\]")
_PLAIN_GROUP: Final = "(?:"
_SKIPPED = re.compile(r"[\s,]*")
_QUOTED = re.compile(r'"((?>[^"\\]|\\["\\]|\\|"")*)"\s*(?:,|\Z)')
_UNQUOTED = re.compile(r"[^,]*")
_ESCAPED = re.compile(r'\\(["\\])|""')


def separated(text: str) -> list[str] | None:
    """Texts between commas, with quotes around those that hold one; None where a quote is not closed."""
    found, at = [], _skipped(text, 0)
    while at < len(text):
        part = (_QUOTED if text[at] == '"' else _UNQUOTED).match(text, at)
        if part is None:
            return None
        quoted = text[at] == '"'
        found.append(_ESCAPED.sub(lambda sign: sign[1] or '"', part[1]) if quoted else part[0].strip())
        at = _skipped(text, part.end())
    return found


def _skipped(text: str, at: int) -> int:
    between = _SKIPPED.match(text, at)
    assert between is not None  # nothing is something to skip as well
    return between.end()


def count_of(value: Any) -> str | None:
    """A whole number in digits; None for what is none."""
    number = number_of(value)
    if number is None and isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        number = int(value.strip()[:12])
    return str(int(number)) if number is not None and number >= 0 and number == int(number) else None


def reads_otherwise(expression: str) -> bool:
    """Whether an expression means something else in JavaScript than in RE2, or is one in RE2 alone."""
    plain = expression.replace("\\\\", "").replace(_PLAIN_GROUP, "(")
    return _OTHER_SYNTAX.search(plain) is not None
