"""What can be done with a selection: what the bulk bar offers, and where each of it goes on.

Who offers something registers it once, from `AppConfig.ready`:

    purpose("export", "Export", "download", url="completions:export", needs="builder", order=60)

The bulk bar posts `for=export`. The selection is frozen first. A purpose with `asks` is a page: its link
stands below the question "Export 48,213 completions?". One without is a dialog of its own: the browser is
sent on to its address, whose view

- fetches the selection with `chosen(request.user, pk)`,
- on GET answers the dialog's body (`wants_fragment`: the body alone; else a page around it),
- on POST begins, calls `completions.selection.confirm(frozen)` and answers where to look (`portal.htmx.go`).

A right is asked for again in that view; here it only spares people a dialog that they could not use.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args
from uuid import UUID

from django.urls import reverse

from completions.models import FrozenSelection
from portal.models import Connection
from portal.permissions import fetch

Needs = Literal["reviewer", "builder", ""]
Place = Literal["first", "menu", "last"]
_MAY = {"reviewer": "reviewable_by", "builder": "actionable_by", "": "readable_by"}


@dataclass(frozen=True, slots=True)
class Purpose:
    """One thing to do with a selection.

    `url` names an address that takes the frozen selection's id. `needs` is the role that it takes on every
    source, empty if the dialog itself says who may. `place` is "menu" for a line in the menu More, "first"
    for a button before that menu, "last" for one after it; `order` decides which comes first there.
    """

    name: str
    title: str
    icon: str
    url: str
    needs: Needs = "builder"
    asks: bool = False
    place: Place = "menu"
    order: int = 50
    danger: bool = False

    @property
    def verb(self) -> str:
        """Its title as words of a sentence."""
        return self.title.rstrip("…")

    def address(self, frozen: FrozenSelection) -> str:
        """Where it goes on with this selection."""
        return reverse(self.url, args=[frozen.pk])

    def lacking(self, user: Any, frozen: FrozenSelection) -> list[str]:
        """The names of the sources on which the person has not the role that it takes."""
        may = getattr(Connection.objects, _MAY[self.needs])(user)
        return list(
            frozen.connections.exclude(pk__in=may.values("pk"))
            .order_by("name")
            .values_list("name", flat=True)
        )


_purposes: dict[str, Purpose] = {}


def purpose(name: str, title: str, icon: str, **more: Any) -> Purpose:
    """Register one; its other fields are those of Purpose."""
    if name in _purposes:
        raise ValueError(f"{name!r} is registered already")
    _purposes[name] = Purpose(name, title, icon, **more)
    return _purposes[name]


def purpose_of(name: str) -> Purpose | None:
    """The purpose that a page posted; None for a name that nobody registered."""
    return _purposes.get(name)


def offered() -> dict[Place, list[Purpose]]:
    """What the bulk bar shows, by place, in order."""
    every = sorted(_purposes.values(), key=lambda each: each.order)
    return {place: [each for each in every if each.place == place] for place in get_args(Place)}


def chosen(user: Any, pk: UUID) -> FrozenSelection:
    """A selection that the person has just frozen and may still read, with all its ids.

    Raises Http404 for any other; a confirmed one is fetched too, so that a form sent twice finds it.
    """
    found: FrozenSelection = fetch(FrozenSelection.objects.ready(), user, "read", pk=pk, owner=user)
    return found
