"""What hangs on completions that somebody wants to delete, as the apps above this one know it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.conf import settings

BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Dependent:
    """Some things of one kind that hold some of the rows: "3 dataset versions", and what becomes of them."""

    count: int
    name: str
    rows: int
    stays: str
    blocks: bool


Finder = Callable[[Sequence[int]], Dependent | None]
_finders: list[Finder] = []


def depends_on_completions(finder: Finder) -> Finder:
    """Register a question: given the ids of completions, what holds any of them? None if nothing. Also a
    decorator.
    """
    _finders.append(finder)
    return finder


def of(ids: Sequence[int]) -> list[Dependent]:
    """Everything that hangs on these completions."""
    return [found for finder in _finders if (found := finder(ids)) is not None]


def blocking(ids: Sequence[int]) -> str:
    """Why these completions must not be deleted, as a sentence; empty if nothing forbids it."""
    return " ".join(
        f"{found.count:,} {found.name} hold{'s' * (found.count == 1)} {found.rows:,} of these completions."
        for found in of(ids)
        if found.blocks
    )


def datasets_block() -> bool:
    """Whether the operator has set that datasets forbid the deletion of what they were made from."""
    return bool(settings.DELETION_WITH_DATASETS == BLOCK)
