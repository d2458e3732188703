"""Steps as data: which are done, which is open, where each one lives. Every step is an address."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import count


@dataclass(frozen=True)
class Step:
    """One step; `url` is empty for a step that cannot be opened yet."""

    key: str
    title: str
    url: str = ""
    done: bool = False
    current: bool = False


def steps(
    titles: Sequence[tuple[str, str]], current: str, done: Collection[str], url_of: Callable[[str], str]
) -> list[Step]:
    """The steps of a wizard; those that are done, and the first that is not, can be opened."""
    made: list[Step] = []
    reachable = True
    for key, title in titles:
        made.append(
            Step(key, title, url_of(key) if reachable else "", done=key in done, current=key == current)
        )
        reachable = reachable and key in done
    return made


def first_open(titles: Sequence[tuple[str, str]], done: Collection[str]) -> str:
    """The step to go on with; the last one if all are done."""
    return next((key for key, _ in titles if key not in done), titles[-1][0])


def free_name(name: str, taken: Collection[str], most: int = 120) -> str:
    """A name to begin with, numbered if the person has made something of this name before."""
    if name not in taken:
        return name
    numbered = (f"{name[: most - len(str(n)) - 1]} {n}" for n in count(2))
    return next(each for each in numbered if each not in taken)
