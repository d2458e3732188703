"""The bar above the rows: what is filtered by as chips, and the ways out where nothing matches."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from urllib.parse import parse_qsl, urlsplit

from django.urls import reverse

from completions.filters import TEXT, Broken, Clause, Filter, Group
from completions.filters.lookups import Present
from completions.listing import Count, Listing
from completions.unknown_keys import UnknownKey, unknown_keys

MOST_MENDS = 12
MOST_READINGS = 2  # of them that read texts one by one

Part = Clause | Group


@dataclass(frozen=True, slots=True)
class Chip:
    """One condition above the table as it is typed (`q`), and the pane without it."""

    q: str
    name: str
    how: str
    text: str
    remove: str
    broken: bool = False
    problem: str = ""
    instead: str = ""
    instead_href: str = ""

    @property
    def spoken(self) -> str:
        return " ".join(filter(None, (self.name, self.how, self.text)))


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
    def clear(self) -> str:
        """The pane without any condition."""
        return self.address(Filter())

    @property
    def kept(self) -> list[tuple[str, str]]:
        """How the pane is shown, which a new filter leaves as it is."""
        return [pair for pair in parse_qsl(urlsplit(self.clear).query) if pair[0] != "q"]

    @cached_property
    def editor(self) -> str:
        """Where the conditions are edited as rows."""
        query = urlsplit(self.address(self.wanted)).query
        return f"{reverse('completions:editor')}{'?' * bool(query)}{query}"

    @cached_property
    def readable(self) -> str:
        """The pane of what can be read, if there is anything else than that."""
        return self.address(replace(self.wanted, broken=())) if self.wanted.clauses else ""

    @cached_property
    def chips(self) -> list[Chip]:
        return [self._chip(part) for part in self.wanted.parts]

    def _chip(self, part: Part | Broken) -> Chip:
        without = self.wanted.without_part(part)
        remove = self.address(without)
        if isinstance(part, Broken):
            better = joined(without, Filter.parse(part.instead)) if part.instead else without
            return Chip(
                part.q, "", "", part.q, remove, broken=True, problem=part.problem,
                instead=part.instead, instead_href=self.address(better),
            )  # fmt: skip
        if isinstance(part, Group):
            return Chip(part.q, "not" if part.negated else "any of", "", _inside(part), remove)
        name, how, text = _told(part)
        return Chip(part.q, name, how, text, remove)

    @cached_property
    def _counted(self) -> tuple[list[Mend], bool]:
        """Ways out, and whether every one there could be was counted to the end."""
        made, readings, whole = [], 0, True
        candidates = list(islice(_looser(self.wanted), MOST_MENDS + 1))
        for text, without in candidates[:MOST_MENDS]:
            listing = self.listing.with_filter(without)
            readings += bool(listing.reads)
            if listing.reads and readings > MOST_READINGS:
                whole = False
                continue
            count = listing.count()
            whole = whole and count.exact
            if count.n:
                made.append(Mend(text, count, self.address(without)))
        return made, whole and len(candidates) <= MOST_MENDS

    @property
    def mends(self) -> list[Mend]:
        """Single conditions that stand in the way: without one of them there are rows."""
        return self._counted[0]

    @property
    def is_stuck(self) -> bool:
        """Whether no single condition is to blame."""
        made, whole = self._counted
        return whole and not made and len(self.wanted.clauses) > 1

    @cached_property
    def unknown_keys(self) -> list[tuple[UnknownKey, str]]:
        """Metadata keys of the filter that no completion has, each with the pane of what was meant."""
        found = unknown_keys(self.listing)
        return [(each, self.address(each.instead) if each.instead else "") for each in found]


def typed(q: str, add: str, place: str = "") -> Filter:
    """The filter `q` with what was typed beside it, at its `place` among the conditions."""
    wanted, added = Filter.parse(q), Filter.parse(add)
    at = int(place) if place.isascii() and place.isdecimal() and len(place) < 4 else len(wanted.clauses)
    first = replace(wanted, clauses=wanted.clauses[:at], broken=())
    return joined(joined(first, added), replace(wanted, clauses=wanted.clauses[at:]))


def joined(first: Filter, second: Filter) -> Filter:
    """Both, as one filter; a part that cannot be read never takes what follows it."""
    made = Filter.parse(" ".join(part.q for each in (first, second) for part in each.clauses))
    return replace(made, broken=(*first.broken, *second.broken))


def _told(clause: Clause) -> tuple[str, str, str]:
    """A condition in few words: the field, “not” if it is, and what it is compared with."""
    if isinstance(clause.lookup, Present):
        return clause.title, "", "absent" if clause.negated else "present"
    titles = clause.field.choices
    text = ", ".join(titles.get(value, value) or "(empty)" for value in clause.values)
    text = text or clause.lookup.write()
    name = "" if clause.field is TEXT else clause.title
    return name, ("is not" if clause.values and clause.field.how != "marks" else "not") * clause.negated, text


def _inside(group: Group) -> str:
    """What stands between the parentheses."""
    return group.q.removeprefix("-").removeprefix("(").removesuffix(")")


def _looser(wanted: Filter) -> Iterator[tuple[str, Filter]]:
    """What is left out, and the filter without it, for every single condition whose loss can give rows."""
    for at, part in enumerate(wanted.clauses):
        before, after = wanted.clauses[:at], wanted.clauses[at + 1 :]
        yield part.describe(), Filter((*before, *after))
    for at, part in enumerate(wanted.clauses):
        before, after = wanted.clauses[:at], wanted.clauses[at + 1 :]
        if isinstance(part, Group):
            for text, group in _looser_group(part):
                # Read again, since a group of one condition is that condition.
                yield text, Filter.parse(Filter((*before, group, *after)).q)


def _looser_group(group: Group) -> Iterator[tuple[str, Group]]:
    """A group holds more without a condition of one of its options; a negated one without an option."""
    for at, option in enumerate(group.options):
        before, after = group.options[:at], group.options[at + 1 :]
        if group.negated:
            if before or after:
                text = " and ".join(part.describe() for part in option)
                yield text, replace(group, options=(*before, *after))
            continue
        for place, part in enumerate(option):
            rest = (*option[:place], *option[place + 1 :])
            if rest:
                yield part.describe(), replace(group, options=(*before, rest, *after))
            if isinstance(part, Group):
                for text, inner in _looser_group(part):
                    inside = (*option[:place], inner, *option[place + 1 :])
                    yield text, replace(group, options=(*before, inside, *after))
