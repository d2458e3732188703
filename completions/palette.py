"""What can be gone to by typing: views, connections, completions by their id, pages, and what other apps add.

An app that lies above this one registers its entries when it starts (`offers`); each source is asked with the
person and what is typed, starts from what the person may read, and answers a few entries.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from django.db import connection as database
from django.urls import reverse

from completions import saved
from completions.addresses import drawer_address, pane_address
from completions.filters import Filter
from completions.models import SavedView
from portal.models import Connection
from portal.querysets import is_operator

MOST = 12  # that are shown
MOST_OF_ONE = 40  # rows that one source reads
LEAST_OF_AN_ID = 6
USABLE = (Connection.State.CONNECTED, Connection.State.ATTENTION)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to go to (`href`) or to do: by a form (`post`) or by a button of the page (`press`).

    `found` says that it was looked up by what is typed, so that its title need not hold that.
    """

    title: str
    kind: str
    icon: str
    href: str = ""
    post: str = ""
    press: str = ""
    hint: str = ""
    found: bool = False

    @property
    def does(self) -> bool:
        return not self.href


@dataclass(frozen=True)
class Asked:
    """Who asks, and what is typed; what several sources need is looked up once."""

    user: Any
    typed: str

    @cached_property
    def readable(self) -> list[Connection]:
        return list(Connection.objects.readable_by(self.user).defer("secret").order_by("name"))

    @cached_property
    def actionable(self) -> set[int]:
        return set(Connection.objects.actionable_by(self.user).values_list("pk", flat=True))


Source = Callable[[Asked], Iterable[Entry]]
_sources: list[Source] = []


def offers(source: Source) -> Source:
    """Register a source of entries; also a decorator. With nothing typed it may answer what is usual."""
    _sources.append(source)
    return source


def named(rows: Any, field: str, typed: str) -> Any:
    """Those rows of a queryset whose `field`, a name written in our code, holds what is typed."""
    return rows.filter(**{f"{field}__icontains": typed})[:MOST_OF_ONE]


def entries(user: Any, typed: str) -> list[Entry]:
    """What fits, the best first: the same, begins so, a word begins so, holds it. Then the filter itself."""
    typed = " ".join(typed.replace("\x00", "").split())[:200]
    asked = Asked(user, typed)
    found = [entry for source in _sources for entry in source(asked)]
    if not typed:
        return found[: MOST + 4]
    places = [(_place(entry, typed), entry) for entry in found]
    fitting = [(place, entry) for place, entry in places if place is not None]
    best = [entry for _, entry in sorted(fitting, key=lambda each: each[0])][:MOST]
    wanted = Filter.parse(typed)
    filtering = Entry(
        f"Filter: {typed}", "Filter", "list-filter", pane_address(wanted.q, view=saved.EVERYTHING),
        hint="cannot be read" if wanted.broken else wanted.describe()[:80], found=True,
    )  # fmt: skip
    says_fields = any(not clause.is_words for clause in wanted.leaves()) and not wanted.broken
    return [filtering, *best] if says_fields else [*best, filtering]


def _place(entry: Entry, typed: str) -> int | None:
    """How well an entry fits; None if it does not."""
    if entry.found:
        return 0
    title, typed = entry.title.casefold(), typed.casefold()
    if title == typed:
        return 0
    if title.startswith(typed):
        return 1
    if re.search(rf"\b{re.escape(typed)}", title):
        return 2
    if typed in title:
        return 3
    words = f"{title} {entry.kind.casefold()} {entry.hint.casefold()}"
    return 4 if all(word in words for word in typed.split()) else None


@offers
def completions_by_id(asked: Asked) -> Iterable[Entry]:
    """The completion of an id upstream, or some whose id begins so."""
    typed = asked.typed
    if len(typed) < LEAST_OF_AN_ID or " " in typed or not asked.readable:
        return
    slugs = {each.pk: each.slug for each in asked.readable}
    with database.cursor() as cursor:
        parameters = [value for pk in slugs for value in (pk, typed)]
        cursor.execute(" UNION ALL ".join([_FROM_AN_ID] * len(slugs)), parameters)
        found = [row for row in cursor.fetchall() if row[0].startswith(typed)]
    for upstream_id, pk, connection, preview in sorted(found, key=lambda row: row[0])[:5]:
        yield Entry(
            upstream_id, "Completion", "message-square", drawer_address(slugs[connection], upstream_id, pk),
            hint=preview[:80], found=True,
        )  # fmt: skip


# A step of the unique index on each connection. Only where to begin: where to end depends on the collation.
_FROM_AN_ID = """
SELECT upstream_id, id, connection_id, prompt_preview FROM (
    SELECT upstream_id, id, connection_id, prompt_preview FROM completions_storedcompletion
    WHERE connection_id = %s AND upstream_id >= %s ORDER BY upstream_id LIMIT 5
) AS found
"""


@offers
def saved_views(asked: Asked) -> Iterable[Entry]:
    """One's own, and those that are shared."""
    typed, mine = asked.typed, asked.user.pk
    rows = SavedView.objects.readable_by(asked.user, [each.pk for each in asked.readable])
    if typed.isascii() and typed:  # others are compared when they are ranked: SQLite folds only ASCII letters
        rows = rows.filter(name__icontains=typed.split()[0])
    found = rows.select_related("owner").order_by("position", "id")[: MOST_OF_ONE * 5]
    for view in sorted(found, key=lambda each: each.owner_id != mine)[: MOST_OF_ONE if typed else 6]:
        hint = "" if view.owner_id == mine else f"shared by {view.owner}"
        yield Entry(view.name, "View", "bookmark", saved.address(view), hint=hint)


@offers
def connections(asked: Asked) -> Iterable[Entry]:
    """Connections: their completions, their own page, and a sync where it is allowed."""
    words = asked.typed.casefold().split()
    fits = (each for each in asked.readable if any(word in _told(each) for word in words))
    for each in islice(fits, MOST_OF_ONE):
        wanted = Filter.parse("").only("connection", each.slug)
        href = pane_address(wanted.q, view=saved.EVERYTHING)
        yield Entry(each.name, "Completions", "messages-square", href, hint=each.slug)
        yield Entry(each.name, "Connection", "plug", reverse("connections:detail", args=[each.slug]))
        if each.pk in asked.actionable and each.state in USABLE and each.has_endpoint:
            post = reverse("completions:sync_now", args=[each.slug])
            yield Entry(f"Sync {each.name} now", "Do", "refresh-cw", post=post)


def _told(connection: Connection) -> str:
    """What a connection and what can be done with it are found by."""
    return f"{connection.name} {connection.slug} sync connection completions".casefold()


@offers
def pages(asked: Asked) -> Iterable[Entry]:
    """The sections of the site, as in the rail, and what can be done anywhere."""
    yield Entry("All completions", "Page", "inbox", pane_address("", view=saved.EVERYTHING))
    for title, icon, name in (
        ("Review queues", "users", "completions:queues"),
        ("What belongs together", "copy", "completions:alike"),
        ("Datasets", "database", "datasets:list"),
        ("Fine-tunes", "graduation-cap", "datasets:finetunes"),
        ("Evaluations", "flask-conical", "datasets:evaluations"),
        ("Connections", "plug", "connections:list"),
        ("Imports", "upload", "completions:imports"),
        ("Exports", "download", "completions:exports"),
        ("Deletions and changes", "trash-2", "completions:changes"),
        ("Operations", "activity", "operations:list"),
        ("Account and roles", "user", "account"),
    ):
        yield Entry(title, "Page", icon, reverse(name))
    if is_operator(asked.user):
        yield Entry("Audit", "Page", "scroll-text", reverse("audit:list"))
    yield Entry("Switch between light and dark", "Do", "moon", press="theme", hint="theme")
    yield Entry("Keys", "Do", "keyboard", press="keys", hint="keyboard help")
