"""What money was spent on, as pages: the apps above say where the page of a subject is, and who may open it.

@subject("datasets.run", "a run")
def addresses(user, ids): ...  # {id: address} of those that the person may open
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portal.models import Spending

Addresses = Callable[[Any, Sequence[str]], Mapping[str, str]]
_subjects: dict[str, tuple[str, Addresses]] = {}


@dataclass(frozen=True, slots=True)
class Shown:
    """A row for one person: its words and its page only where they may open that page."""

    row: Spending
    words: str
    address: str


def subject(subject_type: str, noun: str) -> Callable[[Addresses], Addresses]:
    """Register where subjects of this type have their pages."""

    def register(addresses: Addresses) -> Addresses:
        if subject_type in _subjects:
            raise ValueError(f"{subject_type!r} is registered already")
        _subjects[subject_type] = (noun, addresses)
        return addresses

    return register


def shown(rows: Iterable[Spending], user: Any) -> list[Shown]:
    """The rows as this person may see them; of work on connections that they cannot read only its kind."""
    some = list(rows)
    found: dict[str, Mapping[str, str]] = {}
    for subject_type in {row.subject_type for row in some} & set(_subjects):
        ids = {_main(row) for row in some if row.subject_type == subject_type}
        numbers = sorted(each for each in ids if each.isascii() and each.isdigit() and len(each) < 19)
        found[subject_type] = _subjects[subject_type][1](user, numbers)
    made = []
    for row in some:
        address = found.get(row.subject_type, {}).get(_main(row), "")
        noun = _subjects.get(row.subject_type, ("something else", None))[0]
        made.append(Shown(row, row.what if address else noun.capitalize(), address))
    return made


def _main(row: Spending) -> str:
    """The subject's own id, without the connection (/) or the month (@) that a share of it is for."""
    return row.subject_id.partition("@")[0].partition("/")[0]
