"""Stretches of time, UTC."""

import re
from calendar import monthrange, timegm
from dataclasses import dataclass

from completions.filters.language import write_value
from completions.filters.operands import Operands, Unreadable, single

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_UNIT_NAMES = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DATE = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?Z?)?)?)?", re.ASCII
)
_HOW_TO_DATE = (
    "Write a span such as 7d or 24h, a date such as 2026-11-01, >2026-11-01, or 2026-11-01..2026-11-10."
)


@dataclass(frozen=True, slots=True)
class Moments:
    """A stretch of time, UTC: the last `7d`, a day, a month, since, until, from..to (both included)."""

    text: str
    last: int | None = None  # seconds before now
    low: int | None = None
    high: int | None = None

    @classmethod
    def read(cls, operands: Operands) -> "Moments":
        operand = single(operands)
        text = operand.text
        if found := re.fullmatch(r"([0-9]{1,5})([mhdw])", text, re.ASCII):
            return cls(text, last=int(found.group(1)) * _UNITS[found.group(2)])
        if found := re.fullmatch(r"(>=|<=|>|<)?([0-9].*)", text):
            sign, (start, end) = found.group(1), (_span(found.group(2)) if ".." not in text else (0, 0))
            if ".." not in text:
                return cls(
                    text,
                    low={">": end, ">=": start, None: start}.get(sign),
                    high={"<": start - 1, "<=": end - 1, None: end - 1}.get(sign),
                )
        if ".." in text and text != "..":
            first, _, last = text.partition("..")
            low = _span(first)[0] if first else None
            high = _span(last)[1] - 1 if last else None
            if low is not None and high is not None and low > high:
                raise Unreadable("The range ends before it begins.")
            return cls(text, low=low, high=high)
        raise Unreadable(_HOW_TO_DATE)

    def write(self) -> str:
        return write_value(self.text) if " " in self.text else self.text

    def phrase(self, *, negated: bool) -> str:
        if self.last is not None:
            return f"{'not ' if negated else ''}in the last {self.text[:-1]} {_UNIT_NAMES[self.text[-1]]}"
        text = self.text
        for sign, words in ((">=", "since "), ("<=", "until "), (">", "after "), ("<", "before ")):
            if text.startswith(sign):
                return ("not " if negated else "") + words + text.removeprefix(sign)
        if text.endswith(".."):
            text = f"since {text[:-2]}"
        elif text.startswith(".."):
            text = f"until {text[2:]}"
        return ("not " if negated else "") + text.replace("..", " to ")

    def bounds(self, now: int) -> tuple[int | None, int | None]:
        """The first and the last second."""
        return (now - self.last, None) if self.last is not None else (self.low, self.high)


def _span(text: str) -> tuple[int, int]:
    """The first second of a year, month, day, minute or second, and the first one after it."""
    found = _DATE.fullmatch(text)
    if not found:
        raise Unreadable(_HOW_TO_DATE)
    year, month, day, hour, minute, second = (int(part) if part else None for part in found.groups())
    assert year is not None
    try:
        last_month = month or 12
        if not 1 <= last_month <= 12 or year < 1:
            raise Unreadable(f"There is no month “{text}”.")
        days = monthrange(year, last_month)[1]
        if day is not None and not 1 <= day <= days:
            raise Unreadable(f"There is no day “{text}”.")
        if (hour or 0) > 23 or (minute or 0) > 59 or (second or 0) > 59:
            raise Unreadable(f"There is no time of day “{text}”.")
    except OverflowError as error:
        raise Unreadable(_HOW_TO_DATE) from error
    start = timegm((year, month or 1, day or 1, hour or 0, minute or 0, second or 0))
    if second is not None:
        return start, start + 1
    if minute is not None:
        return start, start + 60
    if day is not None:
        return start, start + 86_400
    return start, timegm((year, last_month, days, 0, 0, 0)) + 86_400
