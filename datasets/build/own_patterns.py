"""Patterns of one's own for personal data: expressions of google-re2, bounded, with errors in words. Pure."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from completions.filters.operands import Unreadable
from completions.filters.texts import Pattern, compiled
from datasets.build.patterns import Found
from datasets.recipe import PERSONAL

LONGEST_NAME: Final = 40
MOST_FOUND: Final = 5_000  # in one text; beyond that a row is left out rather than cleaned in part
_LONE: Final = re.compile("[\ud800-\udfff]")


class TooMany(Exception):
    """A pattern is found more often in one text than can be looked at."""


def problem_of(name: str, expression: str) -> str:
    """Why the pattern cannot be used, in words; "" if it can."""
    if not name.strip():
        return "A pattern needs a name."
    if "\x00" in name + expression:  # PostgreSQL could not keep it
        return "A pattern cannot hold a null character."
    if len(name) > LONGEST_NAME:
        return f"The name of a pattern has at most {LONGEST_NAME} characters."
    if name.strip().lower() in PERSONAL:
        return f"“{name}” is the name of a kind that is here already."
    try:
        Pattern.of(expression)
    except Unreadable as problem:
        return str(problem)
    if compiled(expression).search("") is not None:
        return "The pattern matches an empty text, so it would be found everywhere."
    return ""


@lru_cache(maxsize=64)
def _expression(text: str) -> tuple[Any, int]:
    made = compiled(text)
    return made, made.groups


def found(expression: str, text: str) -> Iterator[Found]:
    """Where the pattern is found, in either case unless it says `(?-i)`; its first group, if it has one.

    Raises TooMany.
    """
    pattern, groups = _expression(expression)
    readable = text if text.isascii() else _LONE.sub("\ufffd", text)  # re2 takes no half characters
    for number, match in enumerate(pattern.finditer(readable)):
        if number >= MOST_FOUND:
            raise TooMany
        start, end = match.span(1) if groups and match.start(1) >= 0 else match.span()
        if end > start:
            yield Found(start, end, text[start:end])
