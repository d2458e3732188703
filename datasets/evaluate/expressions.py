"""Regular expressions of users, in linear time. https://github.com/google/re2/wiki/Syntax"""

from functools import lru_cache
from typing import Any

import re2

MAX_BYTES = 8 * 1024 * 1024  # of a compiled expression


def found(expression: str, text: str) -> bool:
    """Whether a text holds a match anywhere."""
    # RE2 takes no half characters.
    return _compiled(expression).search(text.encode("utf-8", "replace").decode()) is not None


def effort(expression: str, text: str) -> int:
    """What a search takes at worst: it grows with the expression as with the text; 1 for a usual one."""
    return 1 + len(text) * int(_compiled(expression).programsize) // 20_000


def problem(expression: str) -> str:
    """In words, why an expression cannot be used; empty if it can."""
    try:
        _compiled(expression)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        told = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        return f"This is no expression of RE2: {told}"[:300]
    return ""


@lru_cache(maxsize=256)
def _compiled(text: str) -> Any:
    options = re2.Options()
    options.max_mem = MAX_BYTES
    options.log_errors = False
    return re2.compile(text, options)
