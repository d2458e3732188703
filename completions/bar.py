"""The bar above the rows: what is filtered by as chips, and the ways out where nothing matches."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from completions.filters import Broken, Clause, Filter
from completions.listing import Count, Listing
from completions.unknown_keys import UnknownKey, unknown_keys


@dataclass(frozen=True, slots=True)
class Chip:
    """One condition above the table, and the pane without it."""

    name: str
    text: str
    negated: bool
    remove: str
    broken: bool = False
    problem: str = ""
    instead: str = ""
    instead_href: str = ""


@dataclass(frozen=True, slots=True)
class Mend:
    """A condition that could go, and how many completions would be left."""

    text: str
    count: Count
    href: str


class Bar:
    """The conditions of one pane. `address` turns a filter into a link."""

    def __init__(self, listing: Listing, address: Callable[[Filter], str]) -> None:
        self.listing, self.address = listing, address
        self.wanted = listing.wanted

    @cached_property
    def chips(self) -> list[Chip]:
        return [self._chip(part) for part in self.wanted.parts]

    def _chip(self, part: Clause | Broken) -> Chip:
        without = self.wanted.without_part(part)
        if isinstance(part, Broken):
            better = Filter.parse(f"{without.q} {part.instead}") if part.instead else without
            return Chip(
                "", part.q, negated=False, remove=self.address(without), broken=True, problem=part.problem,
                instead=part.instead, instead_href=self.address(better),
            )  # fmt: skip
        text = ", ".join(value or "(empty)" for value in part.values) or part.lookup.write()
        return Chip(part.title, text, part.negated, self.address(without))

    @cached_property
    def mends(self) -> list[Mend]:
        """Which single condition stands in the way."""
        made = []
        for clause in self.wanted.clauses[:6]:
            without = self.wanted.without_part(clause)
            count = self.listing.with_filter(without).count()
            if count.n:
                made.append(Mend(clause.describe(), count, self.address(without)))
        return made

    @cached_property
    def unknown_keys(self) -> list[tuple[UnknownKey, str]]:
        """Metadata keys of the filter that no completion has, each with the pane of what was meant."""
        found = unknown_keys(self.listing)
        return [(each, self.address(each.instead) if each.instead else "") for each in found]
