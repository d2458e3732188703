"""Saved views as they are kept, opened, changed, shared and deleted.

A view is the part of the pane's address that says what is shown: the filter and the display. `canonical` is
that part in one spelling, so that two addresses that show the same are equal.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.urls import reverse
from django.utils import timezone

from completions.display import Display
from completions.filters import Filter
from completions.listing import Count, Listing
from completions.models import DefaultView, SavedView
from portal import audit
from portal.models import Connection

EVERYTHING = "all"  # `?view=all`: no view, not even the default one
SAID_BY = ("q", "sort", "columns", "density", "times")
MOST = 100  # views of one person
MOST_SHOWN = 30
MOST_COUNTED = 12
MOST_SAID = 8_000  # characters of a filter with its display
UNDO_FOR = timedelta(minutes=10)


class Refused(ValueError):
    """The view cannot be kept like this; the text says why and what to do."""


def read(query: str) -> dict[str, str]:
    """The parameters of a query string; of several of one name the last, as in a request."""
    return dict(parse_qsl(query, keep_blank_values=True, max_num_fields=100))


def said(wanted: Filter, display: Display) -> str:
    """What a view keeps of a filter and a display."""
    parameters = {"q": wanted.q, **display.parameters}
    return urlencode({name: value for name, value in parameters.items() if value}, errors="replace")


def canonical(query: str) -> str:
    """The same in the one spelling of today's language."""
    parameters = read(query)
    return said(Filter.parse(parameters.get("q", "")), Display.parse(parameters))


def is_bare(parameters: Mapping[str, str]) -> bool:
    """Whether an address says nothing itself about what is shown."""
    return not any(name in parameters for name in SAID_BY)


def address(view: SavedView) -> str:
    """Where a view opens as it was saved."""
    return f"{reverse('completions:pane')}?view={view.pk}"


def opened(user: Any, text: str) -> SavedView | None:
    """The view that an address names, if the person may see it."""
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        return None
    found: SavedView | None = SavedView.objects.readable_by(user).filter(pk=int(text)).first()
    return found


def default_of(user: Any) -> SavedView | None:
    """The view that opens by itself; none if it is no longer shared with the person."""
    if not _has_default(user):
        return None
    rows = SavedView.objects.readable_by(user).filter(defaults__person=user.pk)
    found: SavedView | None = rows.first()
    return found


def resolve(user: Any, parameters: Mapping[str, str]) -> tuple[Mapping[str, str], str]:
    """What an address asks to be shown, and the view that is open; `all` where the default one is not."""
    named = parameters.get("view", "")
    if not (named.isascii() and named.isalnum() and len(named) <= 20):
        named = ""
    if not is_bare(parameters):
        return parameters, named or (EVERYTHING if _has_default(user) else "")
    view = None if named == EVERYTHING else opened(user, named) if named else default_of(user)
    if view is None:
        return parameters, named
    places = {name: parameters[name] for name in parameters if name not in SAID_BY}
    return {**places, **read(view.query)}, str(view.pk)


def _has_default(user: Any) -> bool:
    return bool(DefaultView.objects.filter(person=user.pk).exists())


@dataclass(frozen=True, slots=True)
class Line:
    """One view beside the table."""

    view: SavedView
    href: str
    settings: str
    mine: bool
    default: bool
    current: bool


class Views:
    """The views beside one pane, which one is open, and whether the pane has moved away from it."""

    def __init__(
        self, user: Any, named: str, wanted: Filter, display: Display, connections: Collection[int] | None
    ) -> None:
        self.user, self.named, self.connections = user, named, connections
        self.said = said(wanted, display)
        self.broken = bool(wanted.broken)

    @cached_property
    def _every(self) -> list[SavedView]:
        """One's own in one's own order, then the others by name."""
        rows = SavedView.objects.readable_by(self.user, self.connections).select_related("owner")
        found = list(rows.order_by("position", "id")[: MOST * 5])
        mine = [view for view in found if view.owner_id == self.user.pk]
        others = [view for view in found if view.owner_id != self.user.pk]
        return mine + sorted(others, key=lambda view: (view.name.casefold(), view.pk))

    @cached_property
    def default(self) -> int | None:
        found: int | None = (
            DefaultView.objects.filter(person=self.user.pk).values_list("view", flat=True).first()
        )
        return found

    @cached_property
    def opened(self) -> SavedView | None:
        if not self.named or self.named == EVERYTHING:
            return None
        return next((view for view in self._every if str(view.pk) == self.named), None)

    @property
    def missing(self) -> bool:
        """Whether the address names a view that is not there for this person."""
        return bool(self.named) and self.named != EVERYTHING and self.opened is None

    @cached_property
    def dirty(self) -> bool:
        """Whether the pane shows something else than the view that is open."""
        return self.opened is not None and canonical(self.opened.query) != self.said

    @property
    def mine(self) -> bool:
        """Whether what is open can be saved in its place."""
        return self.opened is not None and self.opened.owner_id == self.user.pk

    @property
    def savable(self) -> bool:
        """Whether there is something that is worth a name."""
        return not self.broken and (self.dirty if self.opened else bool(self.said))

    @property
    def everything(self) -> str:
        """The pane without any view."""
        return reverse("completions:pane") + (f"?view={EVERYTHING}" if self.default else "")

    @property
    def all_open(self) -> bool:
        return self.opened is None and not self.said

    @cached_property
    def lines(self) -> list[Line]:
        lines = [
            Line(
                view=view,
                href=address(view),
                settings=reverse("completions:view", args=[view.pk]),
                mine=view.owner_id == self.user.pk,
                default=view.pk == self.default,
                current=self.opened is not None and view.pk == self.opened.pk,
            )
            for view in self._every
        ]
        return lines[:MOST_SHOWN] + [line for line in lines[MOST_SHOWN:] if line.current]

    @cached_property
    def undoable(self) -> SavedView | None:
        """The view that was deleted last, as long as it can be brought back."""
        rows = SavedView.objects.owned_by(self.user).filter(deleted__gt=timezone.now() - UNDO_FOR)
        found: SavedView | None = rows.order_by("-deleted").first()
        return found

    def prepare(self) -> None:
        """Ask the database for everything that the list shows."""
        self.lines, self.default, self.opened, self.undoable, self.dirty  # noqa: B018  # each is kept


def counts(user: Any) -> list[tuple[int, Count]]:
    """How many completions the first views show, those aside whose texts have to be read one by one."""
    listing, found = Listing(user, Filter()), list[tuple[int, Count]]()
    views = Views(user, "", Filter(), Display(), [each.pk for each in listing.readable])
    for line in views.lines[:MOST_COUNTED]:
        wanted = Filter.parse(read(line.view.query).get("q", ""))
        other = listing.with_filter(wanted)
        if not wanted.broken and not other.reads:
            found.append((line.view.pk, other.count()))
    return found


# Changes.


def save(user: Any, name: str, query: str, *, shared: bool = False) -> SavedView:
    """Keep what an address shows under a new name. Raises Refused."""
    query = _kept(query)
    with transaction.atomic():
        mine = SavedView.objects.kept().owned_by(user)
        if mine.count() >= MOST:
            raise Refused(f"You have {MOST} views already. Delete one first.")
        last = mine.aggregate(last=Max("position"))["last"]
        view = SavedView(
            owner=user, name=_named(user, name), query=query, position=0 if last is None else last + 1
        )
        _write(view)
        _name_connections(view)
        if shared:
            share(view, shared=True)
    return view


def overwrite(view: SavedView, query: str) -> None:
    """Keep what an address shows in the place of what the view showed. Raises Refused."""
    view.query = _kept(query)
    with transaction.atomic():
        view.save(update_fields=["query", "changed"])
        _name_connections(view)
        if view.shared:
            audit.record(view.owner, "view.changed", view)


def rename(view: SavedView, name: str) -> None:
    """Give a view another name. Raises Refused."""
    view.name = _named(view.owner, name, but=view)
    _write(view)


def share(view: SavedView, *, shared: bool) -> None:
    """Show a view to colleagues, or to its owner alone."""
    if view.shared == shared:
        return
    with transaction.atomic():
        view.shared = shared
        view.save(update_fields=["shared", "changed"])
        if not shared:
            DefaultView.objects.filter(view=view).exclude(person=view.owner).delete()
        audit.record(view.owner, "view.shared" if shared else "view.unshared", view)


def open_first(user: Any, view: SavedView, *, first: bool) -> None:
    """Let a view open by itself for one person, or no longer."""
    if first:
        DefaultView.objects.update_or_create(person=user, defaults={"view": view})
    else:
        DefaultView.objects.filter(person=user, view=view).delete()


def move(view: SavedView, steps: int) -> None:
    """Put a view some places further down among its owner's, or up."""
    with transaction.atomic():
        mine = list(SavedView.objects.kept().owned_by(view.owner).order_by("position", "id"))
        at = next(place for place, each in enumerate(mine) if each.pk == view.pk)
        mine.insert(min(max(at + steps, 0), len(mine) - 1), mine.pop(at))
        for place, each in enumerate(mine):
            if each.position != place:
                SavedView.objects.filter(pk=each.pk).update(position=place)


def delete(view: SavedView) -> None:
    """Take a view away; for some minutes `restore` brings it back, after that it goes for good."""
    now = timezone.now()
    with transaction.atomic():
        SavedView.objects.owned_by(view.owner).filter(deleted__lt=now - UNDO_FOR).delete()
        SavedView.objects.filter(pk=view.pk).update(deleted=now)
        if view.shared:
            audit.record(view.owner, "view.deleted", view)


def restore(view: SavedView) -> None:
    """Bring a deleted view back, under another name if somebody has taken its own."""
    base, number = view.name, 1
    with transaction.atomic():
        taken = set(SavedView.objects.kept().owned_by(view.owner).values_list("name", flat=True))
        while view.name in taken:
            number += 1
            view.name = f"{base[:70]} ({number})"
        view.deleted = None
        view.save(update_fields=["name", "deleted", "changed"])
        if view.shared:
            audit.record(view.owner, "view.restored", view)


def _kept(query: str) -> str:
    if Filter.parse(read(query).get("q", "")).broken:
        raise Refused("The filter cannot be read, so it cannot be saved. Mend it first.")
    made = canonical(query)
    if len(made) > MOST_SAID:
        raise Refused("The filter is too long to be saved. Shorten it.")
    return made


def _named(user: Any, name: str, but: SavedView | None = None) -> str:
    name = " ".join(name.split())
    if not name:
        raise Refused("A view needs a name.")
    if len(name) > 80:
        raise Refused("A name has at most 80 characters.")
    if "\x00" in name:
        raise Refused("A name cannot hold such characters.")
    same = SavedView.objects.kept().owned_by(user).filter(name=name)
    if (same if but is None else same.exclude(pk=but.pk)).exists():
        raise Refused(f"You have a view named “{name}” already.")
    return name


def _write(view: SavedView) -> None:
    try:
        with transaction.atomic():
            view.save()
    except IntegrityError as error:  # another window was faster
        raise Refused(f"You have a view named “{view.name}” already.") from error


def _name_connections(view: SavedView) -> None:
    """Write down which connections the filter names, in groups and excluded ones too."""
    view.connections.set(Connection.objects.filter(slug__in=_slugs(view.query)).values_list("pk", flat=True))


def _slugs(query: str) -> Iterable[str]:
    wanted = Filter.parse(read(query).get("q", ""))
    return {
        value for clause in wanted.leaves() if clause.field.how == "connection" for value in clause.values
    }
