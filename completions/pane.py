"""The pane as an object: a page of completions and what is around it, from a person, a filter and a place."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self
from zlib import crc32

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from completions.addresses import drawer_address, pane_address, read_key, write_key
from completions.bar import Bar
from completions.facets import Facets
from completions.filters import Filter
from completions.health import status_of
from completions.listing import Count, Key, Listing
from completions.models import StoredCompletion
from completions.snippets import Snippet, snippets
from portal.hidden import name as spelled
from portal.models import Connection
from portal.rendering import line
from portal.templatetags.portal import moment
from portal.wording import NOTHING

PAGE = 50
CHIPS = 3
COLOURS = ("blue", "violet", "teal", "gold", "green")
# What a link inside the pane adds to its address, so that only the pane is drawn again.
_WITHIN = 'hx-target="#panes" hx-swap="outerHTML" hx-push-url="true"'
_COLUMNS = (
    "pk", "connection_id", "upstream_id", "created", "prompt_preview", "answer_preview", "model", "metadata",
    "total_tokens", "finish_reason", "messages_state", "gone_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, every cell ready to be written."""

    id: int
    key: str
    href: str
    created: SafeString | str
    prompt: SafeString
    answer: SafeString
    model: str
    chips: SafeString
    tokens: str
    finish: str
    connection: str
    label: str
    state: str


class Pane:
    """What one person sees of one filter at one place in the list."""

    def __init__(
        self, user: Any, wanted: Filter, *, after: Key | None = None, before: Key | None = None
    ) -> None:
        self.user, self.wanted, self.after, self.before = user, wanted, after, before
        self.listing = Listing(user, wanted)

    @classmethod
    def of(cls, user: Any, parameters: Any) -> Self:
        """The pane that an address asks for; a cursor that cannot be read is the first page."""
        return cls(
            user,
            Filter.parse(parameters.get("q", "")),
            after=read_key(parameters.get("after", "")),
            before=read_key(parameters.get("before", "")),
        )

    # Where things are.

    @property
    def q(self) -> str:
        return self.wanted.q

    def address(self, wanted: Filter) -> str:
        """The first page of a filter."""
        return pane_address(wanted.q)

    @cached_property
    def here(self) -> str:
        """This page."""
        return pane_address(self.q, after=write_key(self.after), before=write_key(self.before))

    @cached_property
    def query(self) -> str:
        """What the addresses of this page's rows end with, so that closing one leads back here."""
        return self.here.partition("?")[2]

    # The page.

    @cached_property
    def _keys(self) -> tuple[list[Key], bool, bool]:
        """The places on this page, and whether there are newer and older ones."""
        found = self.listing.page(PAGE + 1, after=self.after, before=self.before)
        if self.before is not None:
            newer = len(found) > PAGE
            found = found[1:] if newer else found
            if len(found) < PAGE and not newer:  # the way back ends in a full first page
                self.before = self.after = None
                found = self.listing.page(PAGE + 1)
                return found[:PAGE], False, len(found) > PAGE
            return found, newer, True
        return found[:PAGE], self.after is not None, len(found) > PAGE

    @cached_property
    def rows(self) -> list[Row]:
        ids = [key.id for key in self._keys[0]]
        found = {row["pk"]: row for row in StoredCompletion.objects.filter(pk__in=ids).values(*_COLUMNS)}
        connections = {each.pk: each for each in self.connections}
        return [self._row(found[pk], connections[found[pk]["connection_id"]]) for pk in ids if pk in found]

    def _row(self, row: dict[str, Any], connection: Connection) -> Row:
        prompt = line(row["prompt_preview"], 160)
        pending = row["messages_state"] == "pending"
        return Row(
            id=row["pk"],
            key=f"{connection.slug}/{row['upstream_id']}",
            href=drawer_address(connection.slug, row["upstream_id"], row["pk"], self.query),
            created=moment(row["created"]),
            prompt=prompt
            if row["prompt_preview"]
            else _muted("Waiting for messages" if pending else "No prompt"),
            answer=line(row["answer_preview"], 160),
            model=spelled(row["model"]),
            chips=self._chips(row["metadata"]),
            tokens=NOTHING if row["total_tokens"] is None else f"{row['total_tokens']:,}",
            finish=spelled(row["finish_reason"]),
            connection=connection.name,
            label=spelled(row["prompt_preview"][:60] or row["upstream_id"]),
            state="gone" if row["gone_at"] else "",
        )

    def _chips(self, metadata: dict[str, str]) -> SafeString:
        """The first pairs as tags that filter; one string, since these are most of the page."""
        made = [self._tag(key, value) for key, value in list(metadata.items())[:CHIPS]]
        if len(metadata) > CHIPS:
            rest = ", ".join(f"{key}: {value}" for key, value in list(metadata.items())[CHIPS:])
            made.append(
                f'<span class="more" title="{escape(spelled(rest[:300]))}">+{len(metadata) - CHIPS}</span>'
            )
        return mark_safe("".join(made))  # noqa: S308  # escaped piece by piece

    def _tag(self, key: str, value: str) -> str:
        known = self._tags.get((key, value))
        if known is None:
            name = Filter.key(key)
            href = escape(self.address(self.wanted.only(name, value)))
            colour = COLOURS[crc32(value.encode("utf-8", "replace")) % len(COLOURS)]
            title = escape(spelled(f"{key}: {value}"[:200]))
            known = self._tags[(key, value)] = (
                f'<a class="tag {colour}" href="{href}" hx-get="{href}" {_WITHIN} title="{title}"'
                f' aria-label="Only {title}">{line(value or "(empty)", 40)}</a>'
            )
        return known

    @cached_property
    def _tags(self) -> dict[tuple[str, str], str]:
        return {}

    @property
    def newer(self) -> str:
        """The page before this one, or nothing."""
        keys, newer, _ = self._keys
        return pane_address(self.q, before=write_key(keys[0])) if newer and keys else ""

    @property
    def older(self) -> str:
        keys, _, older = self._keys
        return pane_address(self.q, after=write_key(keys[-1])) if older and keys else ""

    @property
    def is_first(self) -> bool:
        return not self._keys[1]

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

    # Around the page.

    @cached_property
    def bar(self) -> Bar:
        return Bar(self.listing, self.address)

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
        rows = StoredCompletion.objects.filter(connection__in=[each.pk for each in self.connections])
        return rows.order_by("-pk").values_list("pk", flat=True).first() or 0

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
        if self.rows:
            return "rows"
        return "nothing" if self.wanted and self.unfilled is None else "empty"

    @cached_property
    def unfilled(self) -> Connection | None:
        """The one connection that the filter names and nothing else, if its mirror is empty."""
        if len(self.wanted.clauses) != 1 or self.wanted.broken:
            return None
        clause = self.wanted.clauses[0]
        if clause.field.how != "connection" or clause.negated or len(clause.values) != 1:
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
        return [each for each in self.connections if each.pk in may and each.state in usable]

    @cached_property
    def first_steps(self) -> list[tuple[Connection, tuple[Snippet, ...], bool]]:
        """Code for the first connections, and whether the person may store a test there."""
        chosen = self.connections[:3] if self.unfilled is None else [self.unfilled]
        return [(each, snippets(each), each in self.syncable) for each in chosen]

    @cached_property
    def may_connect(self) -> bool:
        from portal.querysets import is_operator

        return is_operator(self.user)


def _muted(text: str) -> SafeString:
    return mark_safe(f'<span class="muted">{escape(text)}</span>')  # noqa: S308  # escaped
