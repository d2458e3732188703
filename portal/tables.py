"""Tables that a spreadsheet opens without being told what to do: RFC 4180, and no field begins a formula."""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO

# https://owasp.org/www-community/attacks/CSV_Injection
_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def safe(value: object) -> str:
    """A field as text; one of text that would begin a formula gets an apostrophe before it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    text = str(value).replace("\x00", "\ufffd")
    return f"'{text}" if text.startswith(_STARTS) else text


def rows(values: Iterable[Sequence[object]]) -> bytes:
    """Rows of a table as bytes."""
    made = StringIO()
    csv.writer(made, lineterminator="\r\n").writerows([safe(value) for value in row] for row in values)
    return made.getvalue().encode("utf-8", "replace")
