"""Stretches of time, UTC."""

import re
from calendar import monthrange, timegm
from dataclasses import dataclass

from completions.filters.language import write_value
from completions.filters.operands import Operands, Unreadable, single

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_UNIT_NAMES = {"m": "minute", "h": "hour", "d": "day", "w": "week"}
_SIGNS = {">=": "since", "<=": "until", ">": "after", "<": "before"}
_DATE = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?Z?)?)?)?", re.ASCII
)
_NAMED = {"today": "1d", "yesterday": "2d", "week": "1w", "month": "30d", "year": "365d"}
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
        text = single(operands).text
        if found := re.fullmatch(r"([0-9]{1,5})([mhdw])", text, re.ASCII):
            return cls(text, last=int(found.group(1)) * _UNITS[found.group(2)])
        try:
            return cls._range(text) if ".." in text else cls._compared(text)
        except Unreadable as unreadable:
            if unreadable.instead:
                raise
            raise _no_moment(text, str(unreadable)) from None

    @classmethod
    def _range(cls, text: str) -> "Moments":
        first, _, last = text.partition("..")
        if not first and not last:
            raise Unreadable(_HOW_TO_DATE)
        low = _span(first)[0] if first else None
        high = _span(last)[1] - 1 if last else None
        if low is not None and high is not None and low > high:
            raise Unreadable("The range ends before it begins.", write_value(f"{last}..{first}"))
        if first and last:
            return cls(text, low=low, high=high)
        return cls(f">={first}" if first else f"<={last}", low=low, high=high)

    @classmethod
    def _compared(cls, text: str) -> "Moments":
        sign = text[: 2 if text[:2] in _SIGNS else 1 if text[:1] in _SIGNS else 0]
        start, end = _span(text.removeprefix(sign))
        return cls(
            text,
            low={">": end, ">=": start, "": start}.get(sign),
            high={"<": start - 1, "<=": end - 1, "": end - 1}.get(sign),
        )

    def write(self) -> str:
        return write_value(self.text) if " " in self.text else self.text

    def phrase(self, *, negated: bool) -> str:
        start = "not " * negated
        if self.last is not None:
            number, unit = int(self.text[:-1]), _UNIT_NAMES[self.text[-1]]
            return f"{start}in the last {f'{number} {unit}s' if number != 1 else unit}"
        first, dots, last = self.text.partition("..")
        if dots:
            return f"{start}from {first} to {last}"
        sign = self.text[: 2 if self.text[:2] in _SIGNS else 1 if self.text[:1] in _SIGNS else 0]
        number_of_parts = len(re.split("[- T]", self.text.removeprefix(sign)))
        when = (
            _SIGNS[sign] if sign else ("in", "in", "on")[number_of_parts - 1] if number_of_parts < 4 else "at"
        )
        return f"{start}{when} {self.text.removeprefix(sign)}"

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


def _no_moment(text: str, problem: str) -> Unreadable:
    """What was probably meant: another way to write a date or a span."""
    rest, flips = text.strip(), False
    if found := re.fullmatch(r"(!=|<>|==|=)(.+)", rest, re.DOTALL):
        rest, flips = found[2], found[1] in ("!=", "<>")
    plain = re.sub(r"^(?:the )?(?:last|past)[ _-]*|[ _-]*ago$|^-", "", rest.casefold())
    instead = _NAMED.get(plain, "")
    if found := re.fullmatch(r"([0-9]{1,4})[ _-]*(m|h|d|w|mo|y)[a-z]*", plain):
        number, unit = int(found[1]), plain[found.start(2) :]
        if unit.startswith("mo"):
            number, unit = number * 30, "d"
        elif unit.startswith("y"):
            number, unit = number * 365, "d"
        instead = f"{number}{unit[0]}"
    elif not instead:
        instead = re.sub(r"(?<=[0-9])[/.](?=[0-9]{1,2}\b)", "-", rest) if ".." not in rest else rest
        instead = re.sub(r"(?<=-)([0-9])(?![0-9])", r"0\1", instead)
    return Unreadable(problem, "" if instead == text else write_value(instead), flips=flips)
