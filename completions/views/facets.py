"""What comes after the rows: the counts beside the table and the timeline above it."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from completions.facets import KEYS
from completions.filters import Filter
from completions.pane import Pane
from completions.timeline import timeline as timeline_of
from completions.timeline_drawing import LAST, Drawing, within
from portal.htmx import wants_fragment
from portal.zones import zone_of

MOST_KEYS = 100  # keys that can be opened below the ones that are counted
PLACES = ("after", "before", "at")  # where in the list; another filter begins at its newest row
OWN = ("from", "to", "facet", "find")


@require_safe
def facets(request: HttpRequest) -> HttpResponse:
    """Every facet of a filter; without scripts the whole page with them in it."""
    page = Pane.of(request.user, request.GET)
    if not wants_fragment(request):
        return _whole(request, page)
    return render(request, "completions/facets.html#counts", {"pane": page, "others": _others(page)})


@require_safe
def facet(request: HttpRequest) -> HttpResponse:
    """The values of the facet `facet` that contain `find`, more of them than stand beside the table."""
    page = Pane.of(request.user, request.GET)
    if not wants_fragment(request):
        return _whole(request, page)
    one = page.facets.one(request.GET.get("facet", ""), request.GET.get("find", "")[:200])
    return render(request, "completions/facets.html#values", {"pane": page, "facet": one})


@require_safe
def timeline(request: HttpRequest) -> HttpResponse:
    """The timeline of a filter; with `from` and `to`, in seconds, the way to the filter of that time."""
    page = Pane.of(request.user, request.GET)
    if "from" in request.GET or "to" in request.GET:
        bounds = [_seconds(request.GET.get(name, "")) for name in ("from", "to")]
        if None in bounds or page.wanted.broken:
            return redirect(page.address(page.wanted))
        low, high = sorted(each or 0 for each in bounds)
        return redirect(page.address(within(page.wanted, low, high)))
    if not wants_fragment(request):
        return _whole(request, page)
    return render(request, "completions/timeline.html#timeline", {"pane": page, **_drawn(request, page)})


def _whole(request: HttpRequest, page: Pane) -> HttpResponse:
    context = {"pane": page.prepare(), "eager": True, "others": _others(page), **_drawn(request, page)}
    return render(request, "completions/pane.html", context)


def _drawn(request: HttpRequest, page: Pane) -> dict[str, object]:
    zone = zone_of(request.COOKIES)
    found = None if page.wanted.broken else timeline_of(page.listing, zone)
    return {
        "drawing": Drawing(found, page.wanted, zone, page.address) if found and found.buckets else None,
        "parameters": [(name, value) for name, value in request.GET.items() if name not in (*PLACES, *OWN)],
    }


def _others(page: Pane) -> list[tuple[str, str]]:
    """Names and titles of the metadata keys that are not counted until they are opened."""
    if page.wanted.broken:
        return []
    return [(Filter.key(key), key or "(empty key)") for key in page.facets.keys[KEYS:][:MOST_KEYS]]


def _seconds(text: str) -> int | None:
    return min(int(text), LAST) if text.isascii() and text.isdigit() and len(text) < 13 else None
