"""How a list is shown, and every other way in which it could be: columns, orders, densities, clocks."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from completions import observed
from completions.display import COLUMNS, META, SELECT_WIDTH, TEXT_WIDTH, Display, Shown, column_of
from completions.listing import NEWEST, Sort
from portal.models import Connection

MOST_KEYS = 200
# The orders that are offered, as a menu tells them.
ORDERS = (
    (NEWEST, "Newest first"),
    (Sort("created", descending=False), "Oldest first"),
    (Sort("tokens"), "Most tokens first"),
    (Sort("tokens", descending=False), "Fewest tokens first"),
    (Sort("length"), "Longest answer first"),
    (Sort("length", descending=False), "Shortest answer first"),
)


@dataclass(frozen=True, slots=True)
class Head:
    """The head of one column; `href` is the list sorted by it."""

    name: str
    title: str
    css: str
    width: int | None
    sized: int
    href: str = ""
    order: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several ways to show the list."""

    title: str
    href: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """A column that can be shown."""

    name: str
    title: str
    is_key: bool
    chosen: bool


class Looks:
    """The heads and menus of one display; `shown_as` is the same list shown in another way."""

    def __init__(
        self, display: Display, connections: Sequence[Connection], shown_as: Callable[..., str]
    ) -> None:
        self.display, self.connections, self.shown_as = display, connections, shown_as

    @cached_property
    def columns(self) -> tuple[Shown, ...]:
        return self.display.shown(several=len(self.connections) > 1)

    @cached_property
    def heads(self) -> list[Head]:
        return [self._head(each) for each in self.columns]

    def _head(self, shown: Shown) -> Head:
        column, sort = shown.column, self.display.sort
        css = " ".join(word for word in column.css.split() if word == "r")
        if not self.display.columns:
            css = f"{css} {column.leaves}".strip()
        name, sized = shown.write(), shown.width or TEXT_WIDTH
        if not column.sort:
            return Head(name, column.title, css, shown.width, sized)
        mine = sort.column == column.sort
        href = self.shown_as(sort=Sort(column.sort, descending=not (mine and sort.descending)))
        order = ("descending" if sort.descending else "ascending") if mine else "none"
        return Head(name, column.title, css, shown.width, sized, href, order)

    @property
    def breadth(self) -> int:
        """The least width of the table where columns were chosen: they stay, and it is moved instead."""
        if not self.display.columns:
            return 0
        return SELECT_WIDTH + sum(each.width or TEXT_WIDTH for each in self.columns)

    @property
    def as_usual(self) -> str:
        """The same page with the columns of somebody who chose none."""
        return self.shown_as(columns=())

    @cached_property
    def orders(self) -> list[Choice]:
        return [Choice(title, self.shown_as(sort=sort), sort == self.display.sort) for sort, title in ORDERS]

    @property
    def densities(self) -> Iterable[Choice]:
        for name, title in (("comfortable", "Comfortable rows"), ("compact", "Compact rows")):
            yield Choice(title, self.shown_as(density=name), name == self.display.density)

    @property
    def clocks(self) -> Iterable[Choice]:
        for name, title in (("clock", "Date and time"), ("ago", "Time ago")):
            yield Choice(title, self.shown_as(times=name), name == self.display.times)

    @cached_property
    def offered(self) -> list[Offer]:
        """Every column there is: the ones that are shown, in their order, then the others."""
        shown = [_offer(each, chosen=True) for each in self.columns]
        names = {each.column.name for each in self.columns}
        keys = observed.keys([each.pk for each in self.connections], limit=MOST_KEYS)
        others = [*COLUMNS.values(), *(column_of(f"{META}{key.text}") for key in keys)]
        left = [each for each in others if each is not None and each.name not in names]
        return shown + [_offer(Shown(each), chosen=False) for each in left]


def _offer(shown: Shown, *, chosen: bool) -> Offer:
    return Offer(shown.write(), shown.column.title, shown.column.key is not None, chosen)
