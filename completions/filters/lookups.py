"""Ways to compare: one of several values, whether there is one, a range of numbers; times and text beside.

Pure data. Each knows how it is written and how it reads in a sentence; who matches decides what it means.
"""

import math
import re
from dataclasses import dataclass
from typing import Protocol

from completions.filters.language import told, write_value
from completions.filters.moments import Moments
from completions.filters.operands import Operands, Unreadable, single
from completions.filters.texts import Contains, Pattern, Words

__all__ = ["AnyOf", "Contains", "Lookup", "Moments", "Numbers", "Pattern", "Present", "Words"]

LARGEST = 10**15


class Lookup(Protocol):
    """What every way to compare can do."""

    def write(self) -> str: ...

    def phrase(self, *, negated: bool) -> str: ...


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Equal to one of the values, to the letter."""

    values: tuple[str, ...]

    @classmethod
    def read(cls, operands: Operands) -> "AnyOf":
        for operand in operands:
            if operand.form == "plain":
                _check_plain(operand.text)
            elif operand.form == "contains":
                raise Unreadable(
                    "“~” takes one text; repeat the condition for another."
                    if len(operands) > 1
                    else "Part of a value cannot be looked for here; write the whole value.",
                )
        return cls(tuple(dict.fromkeys(operand.text for operand in operands)))

    def write(self) -> str:
        return ",".join(write_value(value) for value in self.values)

    def phrase(self, *, negated: bool) -> str:
        named = [told(value) for value in self.values]
        if len(named) == 1:
            return f"is not {named[0]}" if negated else f"is {named[0]}"
        return f"is {'none' if negated else 'one'} of {', '.join(named)}"


def _check_plain(text: str) -> None:
    """A value without quotes that looks like another way to compare is probably meant as one."""
    if found := re.fullmatch(r"(!=|!|==|=)(.+)", text, re.DOTALL):
        sign, rest = found.groups()
        if sign[0] == "!":
            raise Unreadable("A minus in front of the condition means “not”.", write_value(rest), flips=True)
        raise Unreadable("Write the value right after the colon.", write_value(rest))
    if text[0] in "<>":
        raise Unreadable("“<” and “>” compare numbers and times; here a value is needed.", write_value(text))
    if len(text) > 2 and text[0] == text[-1] == "/":
        raise Unreadable(
            "A pattern searches text only; “~” finds part of a value.", f"~{write_value(text[1:-1])}"
        )
    if "*" in text:
        part = text.strip("*")
        raise Unreadable(
            "“*” stands for no part of a value; “~” finds part of one.",
            "*" if not part else f"~{write_value(part)}",
        )


@dataclass(frozen=True, slots=True)
class Present:
    """Whether there is a value at all."""

    def write(self) -> str:
        return "*"

    def phrase(self, *, negated: bool) -> str:
        return "is absent" if negated else "is present"


_WHOLE, _DECIMAL = r"[0-9]{1,18}", r"[0-9]{1,15}(?:\.[0-9]{1,15})?"
_SIGNS = {">": "more than", ">=": "at least", "<": "less than", "<=": "at most"}


@dataclass(frozen=True, slots=True)
class Numbers:
    """A number: `5`, `>5`, `>=5`, `<5`, `<=5`, `5..9`, `5..`, `..9`. Both bounds belong to the range.
    Signed ones may have a minus.

    Of decimals, the neighbour of 0.5 among all floats stands for “more than 0.5”.
    """

    text: str
    low: int | float | None
    high: int | float | None

    @classmethod
    def read(cls, operands: Operands, *, decimals: bool = False, signed: bool = False) -> "Numbers":
        if len(operands) > 1 and re.fullmatch(
            r"[0-9]{1,3}(,[0-9]{3})+", joined := ",".join(each.text for each in operands)
        ):
            raise Unreadable("Write a number without commas.", joined.replace(",", ""))
        operand = single(operands)
        number = "-?" * signed + (_DECIMAL if decimals else _WHOLE)
        found = re.fullmatch(rf"(>=|<=|>|<)?({number})|({number})?\.\.({number})?", operand.text, re.ASCII)
        if not found or operand.text == ".." or operand.form != "plain":
            raise _no_number(operand.text, decimals=decimals)
        sign, one, first, last = found.groups()
        low: int | float | None
        high: int | float | None
        if one is not None:
            value = _value(one, decimals=decimals)
            above: int | float = math.nextafter(value, math.inf) if decimals else int(value) + 1
            below: int | float = math.nextafter(value, -math.inf) if decimals else int(value) - 1
            low = {">": above, ">=": value, None: value}.get(sign)
            high = {"<": below, "<=": value, None: value}.get(sign)
        else:
            low, high = (_value(part, decimals=decimals) if part else None for part in (first, last))
        if max(abs(low or 0), abs(high or 0)) > LARGEST:
            raise Unreadable("The number is too large.")
        if low is not None and high is not None and low > high:
            raise Unreadable("The range ends before it begins.", f"{last}..{first}")
        if one is None and not (first and last):
            return cls(f">={first}" if first else f"<={last}", low, high)
        return cls(operand.text, low, high)

    def write(self) -> str:
        return self.text

    def phrase(self, *, negated: bool) -> str:
        first, dots, last = self.text.partition("..")
        sign = first.rstrip("-0123456789.")
        number = first.removeprefix(sign)
        told = f"from {first} to {last}" if dots else f"{_SIGNS[sign]} {number}" if sign else number
        return f"is {'not ' * negated}{told}"


def _value(text: str, *, decimals: bool) -> int | float:
    return float(text) if decimals else int(text)


def _no_number(text: str, *, decimals: bool) -> Unreadable:
    example = "0.7, >0.5, <=1 or 0.5..1" if decimals else "500, >500, <=500 or 100..500"
    problem = f"Write a {'number' if decimals else 'whole number'}, such as {example}."
    instead, flips = text.strip(), False
    if found := re.fullmatch(r"(!=|<>|==|=|≥|≤|=>|=<)(.+)", instead, re.DOTALL):
        sign, instead = found.groups()
        flips = sign in ("!=", "<>")
        instead = {"≥": ">=", "=>": ">=", "≤": "<=", "=<": "<="}.get(sign, "") + instead
    instead = re.sub(r"(?<=[0-9])\s*(?:-|\u2013|\u2014|…|\.\.\.|to)\s*(?=[0-9])", "..", instead)
    instead = re.sub(r"(?<=[0-9])[_ ](?=[0-9])", "", instead)
    instead = re.sub(r"([0-9]+)k\b", r"\g<1>000", instead, flags=re.IGNORECASE)
    instead = re.sub(r"^([0-9.]+)\+$", r"\1..", instead)
    if not decimals:
        instead = re.sub(r"([0-9]+)\.[0-9]+", r"\1", instead) if ".." not in instead else instead
    else:
        instead = re.sub(r"(?<![0-9.])\.([0-9])", r"0.\1", instead)
    return Unreadable(problem, "" if instead == text else instead, flips=flips)
