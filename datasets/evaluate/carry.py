"""What becomes of a grader on its way to another format or from one: carried, or left with a reason. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

NAME = 80  # characters that the name of a grader has


@dataclass(frozen=True, slots=True)
class NotCarried:
    """A part that has no equal on the other side, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Carried:
    """A grader in our kinds. `notes` say in words what of it is not exactly as it was."""

    name: str
    kind: str
    params: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def noting(self, *notes: str) -> "Carried":
        """The same with further notes."""
        return replace(self, notes=(*self.notes, *notes))


def text_of(value: Any) -> str:
    """What is shown of a value that should have been a text."""
    return value if isinstance(value, str) else ""


def number_of(value: Any) -> float | int | None:
    """The value if it is a finite number and no truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < 1e12 else None  # neither an infinity nor NaN compares so


def clipped(name: str, otherwise: str) -> str:
    """A name in one line as long as a grader's may be."""
    return " ".join(name.split())[:NAME].strip() or otherwise[:NAME]


def told_apart(names: Iterable[str], taken: Collection[str] = ()) -> list[str]:
    """The names, each once: a second “Exact” becomes “Exact 2”. `taken` are in use already."""
    used, free = {*taken}, []
    for name in names:
        chosen, number = name, 2
        while chosen in used:
            ending = f" {number}"
            chosen, number = name[: NAME - len(ending)] + ending, number + 1
        used.add(chosen)
        free.append(chosen)
    return free
