"""Ways to compare: one of several values, a range of numbers, a stretch of time, words.

Each knows how it is written, how it reads in a sentence, and its condition on a column.
"""

import re
from calendar import monthrange, timegm
from dataclasses import dataclass
from typing import Protocol

from django.db.models import Q

from completions import search
from completions.filters.language import Operand, write_text, write_value

LARGEST = 10**15


class Unreadable(ValueError):
    """The value cannot be read; the text says why and what to write."""


class Lookup(Protocol):
    """What every way to compare can do."""

    def write(self) -> str: ...

    def phrase(self, *, negated: bool) -> str: ...

    def condition(self, column: str, now: int) -> Q: ...


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Equal to one of the values, to the letter."""

    values: tuple[str, ...]

    @classmethod
    def read(cls, operands: tuple[Operand, ...]) -> "AnyOf":
        for operand in operands:
            if not operand.quoted and (operand.text[0] in "<>" or "*" in operand.text):
                raise Unreadable(f"Put the value in quotes if it really is “{operand.text}”.")
        return cls(tuple(dict.fromkeys(operand.text for operand in operands)))

    def write(self) -> str:
        return ",".join(write_value(value) for value in self.values)

    def phrase(self, *, negated: bool) -> str:
        named = [value or "(empty)" for value in self.values]
        return ("is not " if negated else "is ") + (
            " or ".join(named) if len(named) < 4 else f"one of {', '.join(named)}"
        )

    def condition(self, column: str, now: int) -> Q:
        return Q(**{f"{column}__in": self.values})  # the column is a name of ours


@dataclass(frozen=True, slots=True)
class Numbers:
    """A whole number: `5`, `>5`, `>=5`, `<5`, `<=5`, `5..9`, `5..`, `..9`."""

    text: str
    low: int | None
    high: int | None

    @classmethod
    def read(cls, operands: tuple[Operand, ...]) -> "Numbers":
        (operand,) = _single(operands)
        found = re.fullmatch(
            r"(>=|<=|>|<)?([0-9]{1,18})|([0-9]{1,18})?\.\.([0-9]{1,18})?", operand.text, re.ASCII
        )
        if not found or operand.text == ".." or operand.quoted:
            raise Unreadable("Write a whole number, such as 500, >500, <=500 or 100..500.")
        sign, number, first, last = found.groups()
        low = high = None
        if number is not None:
            value = int(number)
            low = {">": value + 1, ">=": value, None: value}.get(sign)
            high = {"<": value - 1, "<=": value, None: value}.get(sign)
        else:
            low, high = (int(part) if part else None for part in (first, last))
        if max(low or 0, high or 0) > LARGEST:
            raise Unreadable("The number is too large.")
        if low is not None and high is not None and low > high:
            raise Unreadable("The range ends before it begins.")
        return cls(operand.text, low, high)

    def write(self) -> str:
        return self.text

    def phrase(self, *, negated: bool) -> str:
        text = self.text.replace("..", " to ").strip() if ".." in self.text else self.text
        if self.text.endswith(".."):
            text = f"at least {self.low}"
        elif self.text.startswith(".."):
            text = f"at most {self.high}"
        return ("not " if negated else "") + text

    def condition(self, column: str, now: int) -> Q:
        return _between(column, self.low, self.high)


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
    def read(cls, operands: tuple[Operand, ...]) -> "Moments":
        (operand,) = _single(operands)
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

    def condition(self, column: str, now: int) -> Q:
        return _between(column, *self.bounds(now))


@dataclass(frozen=True, slots=True)
class Words:
    """Words in this order, the last one possibly only begun."""

    text: str
    begins: bool = False

    @classmethod
    def read(cls, operands: tuple[Operand, ...], *, begins: bool = False) -> "Words":
        (operand,) = _single(operands)
        text = operand.text
        if not operand.quoted and len(text) > 1 and text.endswith("*"):
            text, begins = text[:-1], True
        if not search.words(text):
            raise Unreadable(f"“{text}” holds no letter or digit to search for.")
        return cls(text, begins)

    def write(self) -> str:
        return write_text(self.text, begins=self.begins)

    def phrase(self, *, negated: bool) -> str:
        end = "…" if self.begins else ""
        return f"{'without' if negated else 'contains'} “{self.text}{end}”"

    def term(self, columns: tuple[search.Column, ...]) -> search.TextTerm:
        found = search.term(self.text, prefix=self.begins, columns=columns)
        assert found is not None, "checked when it was read"
        return found

    def condition(self, column: str, now: int) -> Q:
        columns: tuple[search.Column, ...] = ("prompt", "answer") if column == "text" else (_COLUMNS[column],)
        return Q(search.Matches(search.TextQuery((self.term(columns),))))


_COLUMNS: dict[str, search.Column] = {"prompt": "prompt", "answer": "answer", "system": "system"}


def _single(operands: tuple[Operand, ...]) -> tuple[Operand]:
    if len(operands) != 1:
        raise Unreadable("One value is expected here; repeat the condition for another.")
    return (operands[0],)


def _between(column: str, low: int | None, high: int | None) -> Q:
    condition = Q()
    if low is not None:
        condition &= Q(**{f"{column}__gte": low})  # the column is a name of ours
    if high is not None:
        condition &= Q(**{f"{column}__lte": high})
    return condition


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
