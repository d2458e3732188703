"""What was made of one completion, as the apps above this one know it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from completions.models import StoredCompletion


@dataclass(frozen=True, slots=True)
class Use:
    """One thing that holds the completion, as far as the person who asks may read it."""

    title: str
    href: str
    note: str = ""
    icon: str = "database"


Finder = Callable[[Any, StoredCompletion], Iterable[Use]]
_finders: list[Finder] = []


def uses_completions(finder: Finder) -> Finder:
    """Register a question: given a person and a completion, what holds it? Also a decorator."""
    _finders.append(finder)
    return finder


def of(user: Any, row: StoredCompletion) -> list[Use]:
    """Everything that was made of the completion and that the person may read."""
    return [use for finder in _finders for use in finder(user, row)]
