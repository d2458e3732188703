"""The pane as an object: a page of completions and what is around it, from a person, a filter and a place."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self
from urllib.parse import quote_plus, urlencode

from django.utils.safestring import SafeString

from completions import saved
from completions.addresses import pane_address, read_key, write_key
from completions.bar import Bar
from completions.display import Display
from completions.facets import Facets
from completions.filters import Filter
from completions.filters.clauses import Clause
from completions.health import status_of
from completions.highlights import Highlights
from completions.listing import NEWEST, SORTS, Count, Key, Listing
from completions.looks import ORDERS, Looks
from completions.models import StoredCompletion
from completions.rows import Row, Rows, join
from completions.snippets import Snippet, snippets
from portal.models import Connection

PAGE = 50
MOST_NEWS = 1_000


@dataclass(frozen=True, slots=True)
class Place:
    """The rows of a page, where the pages beside it begin, and where a search through texts stopped."""

    keys: list[Key]
    newer: Key | None = None
    older: Key | None = None
    stopped: Key | None = None


class Pane:
    """What one person sees of one filter at one place in the list, in the way it is shown."""

    def __init__(
        self,
        user: Any,
        wanted: Filter,
        *,
        after: Key | None = None,
        before: Key | None = None,
        display: Display | None = None,
        view: str = "",
    ) -> None:
        self.user, self.wanted, self.after, self.before = user, wanted, after, before
        self.display = display or Display()
        self.view = view
        self.listing = Listing(user, wanted, sort=self.display.sort)

    @classmethod
    def of(cls, user: Any, parameters: Any) -> Self:
        """The pane that an address asks for; a cursor that cannot be read is the first page.

        Where the address says nothing else, the view that it names or the person's default view is opened.
        """
        parameters, view = saved.resolve(user, parameters)
        return cls(
            user,
            Filter.parse(parameters.get("q", "")),
            after=read_key(parameters.get("after", "")),
            before=read_key(parameters.get("before", "")),
            display=Display.parse(parameters),
            view=view,
        )

    # Where things are.

    @property
    def q(self) -> str:
        return self.wanted.q

    @cached_property
    def kept(self) -> dict[str, str]:
        """What every address of the pane says beside the filter."""
        return {**self.display.parameters, **({"view": self.view} if self.view else {})}

    def address(self, wanted: Filter) -> str:
        """The first page of a filter, shown in the same way."""
        return pane_address(wanted.q, **self.kept)

    def shown_as(self, **changes: Any) -> str:
        """The first page of this filter, shown in another way; the same page if only its looks change."""
        kept = dict.fromkeys(self.display.parameters, "") | self.display.but(**changes).parameters
        if self.view:
            kept["view"] = self.view
        if "sort" not in changes:
            kept |= {"after": write_key(self.after), "before": write_key(self.before)}
        return pane_address(self.q, **kept)

    def _at(self, *, after: Key | None = None, before: Key | None = None) -> str:
        return pane_address(self.q, **self.kept, after=write_key(after), before=write_key(before))

    def from_day(self, start: int, end: int) -> str:
        """The page that begins with a day, given by its first second and the first one after it."""
        if self.display.sort.column == "created" and not self.display.sort.descending:
            return self._at(after=Key(start - 1, 0, start - 1))
        kept = {**self.kept, "sort": "", "after": write_key(Key(end, 0))}
        return pane_address(self.q, **kept)

    @property
    def first(self) -> str:
        """The first page."""
        return self.address(self.wanted)

    @cached_property
    def here(self) -> str:
        """This page."""
        return self._at(after=self.after, before=self.before)

    @cached_property
    def query(self) -> str:
        """What the addresses of this page's rows end with, so that closing one leads back here."""
        return self.here.partition("?")[2]

    def place_of(self, row: StoredCompletion) -> Key:
        """Where a completion stands in this list."""
        if self.display.sort == NEWEST:
            return Key(row.created, row.pk)
        return Key(row.created, row.pk, getattr(row, SORTS[self.display.sort.column]))

    # The page.

    @cached_property
    def place(self) -> Place:
        if self.before is not None:
            return self._backwards(self.before)
        keys = self.listing.page(PAGE + 1, after=self.after)
        stopped = self.listing.searched_to
        if self.after is not None and not keys and stopped is None and not self.listing.reads:
            # Beyond the end, as after a jump to a day before the first completion: the last page.
            end = self.listing.page(PAGE + 1, before=self.after)
            return Place(end[-PAGE:], newer=end[-PAGE] if len(end) > PAGE else None)
        more = keys[PAGE - 1] if len(keys) > PAGE else stopped
        newer = keys[0] if keys and self.after is not None else self.after
        return Place(keys[:PAGE], newer=newer, older=more, stopped=stopped)

    def _backwards(self, before: Key) -> Place:
        keys = self.listing.page(PAGE + 1, before=before)
        stopped = self.listing.searched_to
        if len(keys) < PAGE and stopped is None:  # the way back ends in a full first page
            self.before = self.after = None
            self.__dict__.pop("here", None)
            self.__dict__.pop("query", None)
            keys = self.listing.page(PAGE + 1)
            return Place(keys[:PAGE], older=keys[PAGE - 1] if len(keys) > PAGE else None)
        newer = keys[-PAGE] if len(keys) > PAGE else stopped
        older = keys[-1] if keys else before._replace(id=before.id + 1)
        return Place(keys[-PAGE:], newer=newer, older=older, stopped=stopped)

    @cached_property
    def rows(self) -> list[Row]:
        keys = self.place.keys
        return self._writer().read([key.id for key in keys]) if keys else []

    def _writer(self) -> Rows:
        return Rows(
            self.display,
            self.looks.columns,
            self.connections,
            self.query,
            Highlights(self.wanted),
            self._only,
        )

    def row(self, pk: int) -> SafeString:
        """One row as this page shows it, whether it is on it or not."""
        return join(self._writer().read([pk]))

    @cached_property
    def body(self) -> SafeString:
        """The rows as the body of the table."""
        return join(self.rows)

    def _only(self, name: str, value: str) -> str:
        return f"{self._root}?q={quote_plus(self.wanted.only(name, value).q, errors='replace')}{self._tail}"

    @cached_property
    def _root(self) -> str:
        return pane_address("")

    @cached_property
    def _tail(self) -> str:
        return f"{'&' * bool(self.kept)}{urlencode(self.kept)}"

    @property
    def newer(self) -> str:
        """The page before this one, or nothing."""
        return self._at(before=self.place.newer) if self.place.newer else ""

    @property
    def older(self) -> str:
        return self._at(after=self.place.older) if self.place.older else ""

    @property
    def is_first(self) -> bool:
        return self.place.newer is None

    @property
    def searched_to(self) -> int | None:
        """The moment that a search through texts has come to, if it stopped there."""
        return self.place.stopped.created if self.place.stopped else None

    @property
    def continues(self) -> str:
        """Where a search goes on that has stopped."""
        if not self.place.stopped:
            return ""
        return self.newer if self.before is not None else self.older

    @cached_property
    def count(self) -> Count:
        return self.listing.count()

    @property
    def span(self) -> str:
        """Which rows these are, as far as that is known without counting the ones before."""
        shown = len(self.rows)
        if not shown:
            return "No rows"
        if self.is_first:
            return f"1 to {shown} of {self.count}"
        return f"{shown} of {self.count}"

    @property
    def told(self) -> str:
        """The same for who hears it, with the order."""
        order = next((title for sort, title in ORDERS if sort == self.display.sort), "")
        return f"Rows {self.span}. {order}." if self.rows else ""

    @property
    def countable(self) -> bool:
        """Whether a count that stopped could go on to its end while somebody waits."""
        return not self.count.exact and not self.listing.reads

    @property
    def backward(self) -> str:
        return "Newer" if self.display.sort == NEWEST else "Previous"

    @property
    def forward(self) -> str:
        return "Older" if self.display.sort == NEWEST else "Next"

    # News.

    @cached_property
    def top(self) -> Key | None:
        """The newest place there is, whatever the filter: what comes above it is new."""
        if not self.wanted and self.display.sort == NEWEST and self.is_first:
            return self.place.keys[0] if self.place.keys else None
        everything = self.listing.with_filter(Filter())
        everything.sort = NEWEST
        return next(iter(everything.page(1)), None)

    @property
    def since(self) -> str:
        return write_key(self.top)

    @property
    def seen(self) -> str:
        """How many matches there were, where they are counted to the end."""
        return str(self.count.n) if self.count.exact else ""

    def newer_than(self, top: Key) -> int:
        """How many matches stand above a place, up to one more than MOST_NEWS."""
        now = Listing(self.user, self.wanted)
        now.spent = self.listing.spent
        return len(now.page(MOST_NEWS + 1, before=top))

    @cached_property
    def looks(self) -> Looks:
        """How the list is shown, and the other ways."""
        return Looks(self.display, self.connections, self.shown_as)

    def prepare(self, *, beside: bool = True) -> Self:
        """Ask the database for everything that the frame and the table show, so that no template does.

        What stands `beside` the table may be left as it is.
        """
        if beside:
            self.views.prepare()
        self.views.dirty  # noqa: B018  # as below
        self.state, self.body, self.looks.heads, self.looks.orders  # noqa: B018  # each is kept
        self.count, self.since, self.status, self.newest, self.syncable  # noqa: B018  # as above
        if self.state == "nothing":
            self.bar.mends, self.bar.unknown_keys  # noqa: B018  # as above
        elif self.state == "empty":
            self.first_steps, self.arriving  # noqa: B018  # as above
        return self

    # Around the page.

    @cached_property
    def bar(self) -> Bar:
        return Bar(self.listing, self.address)

    @cached_property
    def views(self) -> saved.Views:
        readable = [each.pk for each in self.connections]
        return saved.Views(self.user, self.view, self.wanted, self.display, readable)

    @cached_property
    def facets(self) -> Facets:
        return Facets(self.listing, self.address)

    @property
    def connections(self) -> list[Connection]:
        return self.listing.readable

    @property
    def several(self) -> bool:
        return len(self.connections) > 1

    @cached_property
    def status(self) -> Any:
        """The line about synchronisation above the table."""
        return status_of(Connection.objects.readable_by(self.user).defer("secret"))

    @cached_property
    def newest(self) -> int:
        """The latest arrival that the person may read; a later one is news."""
        parts = (part for columns in self.listing.columns.values() for part in columns.parts)
        return max((part.span[1] for part in parts), default=0)

    @cached_property
    def troubled(self) -> list[Connection]:
        return [each for each in self.connections if each.state == Connection.State.ATTENTION]

    # Pages without rows.

    @property
    def state(self) -> str:
        """What to show: rows, or which of the reasons why there are none."""
        if not self.connections:
            return "unconnected"
        if self.wanted.broken:
            return "broken"
        # A search that stops on its way has a page without rows, and so may the end that it comes to.
        if self.rows or self.place.stopped or (self.after is not None and self.listing.reads):
            return "rows"
        return "nothing" if self.wanted and self.unfilled is None else "empty"

    @cached_property
    def unfilled(self) -> Connection | None:
        """The one connection that the filter names and nothing else, if its mirror is empty."""
        if len(self.wanted.clauses) != 1 or self.wanted.broken:
            return None
        clause = self.wanted.clauses[0]
        if not isinstance(clause, Clause) or clause.field.how != "connection":
            return None
        if clause.negated or len(clause.values) != 1:
            return None
        found = next((each for each in self.connections if each.slug == clause.values[0]), None)
        if found is None or StoredCompletion.objects.filter(connection=found).exists():
            return None
        return found

    @cached_property
    def arriving(self) -> bool:
        """Whether rows of an empty page are being read right now."""
        if self.unfilled is None:
            return bool(self.status.running)
        return status_of([self.unfilled]).running

    @cached_property
    def syncable(self) -> list[Connection]:
        """Connections that the person may ask for new rows."""
        may = set(Connection.objects.actionable_by(self.user).values_list("pk", flat=True))
        usable = (Connection.State.CONNECTED, Connection.State.ATTENTION)
        return [
            each for each in self.connections if each.pk in may and each.state in usable and each.has_endpoint
        ]

    @cached_property
    def first_steps(self) -> list[tuple[Connection, tuple[Snippet, ...], bool]]:
        """Code for the first connections, and whether the person may store a test there."""
        askable = [each for each in self.connections if each.has_endpoint]
        chosen = askable[:3] if self.unfilled is None else [self.unfilled] if self.unfilled in askable else []
        return [(each, snippets(each), each in self.syncable) for each in chosen]

    @cached_property
    def may_connect(self) -> bool:
        from portal.querysets import is_operator

        return is_operator(self.user)
