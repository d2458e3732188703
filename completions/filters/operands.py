"""What stands after the colon, and what is said when it cannot be read."""

from dataclasses import dataclass
from typing import Literal

Form = Literal["plain", "quoted", "contains", "pattern"]


@dataclass(frozen=True, slots=True)
class Operand:
    """One value, unescaped, and how it was written: `x`, `"x"`, `~x`, `/x/`."""

    text: str
    form: Form = "plain"

    @property
    def quoted(self) -> bool:
        return self.form == "quoted"

    @property
    def is_star(self) -> bool:
        """`*` alone: whether there is a value at all."""
        return self.form == "plain" and self.text == "*"


Operands = tuple[Operand, ...]


class Unreadable(ValueError):
    """The value cannot be read; the text says why and what to write.

    `instead` is what was probably meant, as written after the colon; `flips` says that it also needs a minus.
    """

    def __init__(self, text: str, instead: str = "", *, flips: bool = False) -> None:
        super().__init__(text)
        self.instead, self.flips = instead, flips


def single(operands: Operands) -> Operand:
    if len(operands) != 1:
        raise Unreadable("One value is expected here; repeat the condition for another.")
    return operands[0]
