"""What can be gone to by typing: views, connections, completions by their id, pages, and what other apps add.

An app that lies above this one registers its entries when it starts (`offers`); each source is asked with the
person and what is typed, starts from what the person may read, and answers a few entries.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from completions import saved
from completions.addresses import drawer_address, pane_address
from completions.filters import Filter
from completions.models import SavedView, StoredCompletion
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


Source = Callable[[Any, str], Iterable[Entry]]
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
    found = [entry for source in _sources for entry in source(user, typed)]
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
def completions_by_id(user: Any, typed: str) -> Iterable[Entry]:
    """The completion of an id upstream, or some whose id begins so."""
    if len(typed) < LEAST_OF_AN_ID or " " in typed:
        return
    mine = Connection.objects.readable_by(user).defer("secret").order_by("name")
    readable = {each.pk: each for each in mine}
    found: list[tuple[str, int, int, str]] = []
    for connection in readable.values():
        # Only where to begin: where to end depends on the collation.
        rows = StoredCompletion.objects.filter(connection=connection, upstream_id__gte=typed)
        some = rows.order_by("upstream_id")[:5]
        told = some.values_list("upstream_id", "pk", "connection_id", "prompt_preview")
        found += [row for row in told if row[0].startswith(typed)]
    found.sort(key=lambda row: (row[0] != typed, row[0]))
    for upstream_id, pk, connection_id, preview in found[:5]:
        slug = readable[connection_id].slug
        yield Entry(
            upstream_id, "Completion", "message-square", drawer_address(slug, upstream_id, pk),
            hint=preview[:80], found=True,
        )  # fmt: skip


@offers
def saved_views(user: Any, typed: str) -> Iterable[Entry]:
    """One's own, and those that are shared."""
    rows = SavedView.objects.readable_by(user).select_related("owner").order_by("position", "id")
    limit = MOST_OF_ONE if typed else 6
    mine = rows.filter(owner=user)
    for view in [*_matching(mine, typed)[:limit], *_matching(rows.exclude(owner=user), typed)[:limit]]:
        hint = "" if view.owner_id == user.pk else f"shared by {view.owner}"
        yield Entry(view.name, "View", "bookmark", saved.address(view), hint=hint)


def _matching(rows: Any, typed: str) -> Any:
    # Names that are not ASCII are compared when they are ranked: SQLite folds only ASCII letters.
    return rows.filter(name__icontains=typed.split()[0]) if typed.isascii() and typed else rows


@offers
def connections(user: Any, typed: str) -> Iterable[Entry]:
    """Connections: their completions, their own page, and a sync where it is allowed."""
    if not typed:
        return
    readable = list(Connection.objects.readable_by(user).defer("secret").order_by("name")[:200])
    may = set(Connection.objects.actionable_by(user).values_list("pk", flat=True))
    for each in readable:
        wanted = Filter.parse("").only("connection", each.slug)
        href = pane_address(wanted.q, view=saved.EVERYTHING)
        yield Entry(each.name, "Completions", "messages-square", href, hint=each.slug)
        yield Entry(each.name, "Connection", "plug", reverse("connections:detail", args=[each.slug]))
        if each.pk in may and each.state in USABLE:
            post = reverse("completions:sync_now", args=[each.slug])
            yield Entry(f"Sync {each.name} now", "Do", "refresh-cw", post=post)


@offers
def pages(user: Any, typed: str) -> Iterable[Entry]:
    """The sections of the site, as in the rail, and what can be done anywhere."""
    yield Entry("All completions", "Page", "inbox", pane_address("", view=saved.EVERYTHING))
    for title, icon, name in (
        ("Datasets", "database", "datasets:list"),
        ("Fine-tunes", "graduation-cap", "datasets:finetunes"),
        ("Evaluations", "flask-conical", "datasets:evaluations"),
        ("Connections", "plug", "connections:list"),
        ("Operations", "activity", "operations:list"),
        ("Account and roles", "user", "account"),
    ):
        yield Entry(title, "Page", icon, reverse(name))
    if is_operator(user):
        yield Entry("Audit", "Page", "scroll-text", reverse("audit:list"))
    yield Entry("Switch between light and dark", "Do", "moon", press="theme", hint="theme")
    yield Entry("Keys", "Do", "keyboard", press="keys", hint="keyboard help")
