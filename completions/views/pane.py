"""The table, its counts beside it, and news of rows that came since."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from completions.addresses import pane_address
from completions.filters import Filter
from completions.pane import Pane
from portal.htmx import fragment, wants_fragment


@require_safe
def pane(request: HttpRequest) -> HttpResponse:
    """One page of stored completions; `add` is what was typed, to join to the filter `q`."""
    if "add" in request.GET:
        typed = Filter.parse(f"{request.GET.get('q', '')} {request.GET['add']}")
        return redirect(pane_address(typed.q))
    page = Pane.of(request.user, request.GET)
    if wants_fragment(request) and request.htmx.target == "facets":  # type: ignore[attr-defined]  # django_htmx
        return render(request, "completions/facets.html", {"pane": page})
    template = fragment(request, "completions/pane.html", {"panes", "pane"})
    # A new filter shows its rows first; the counts beside them are asked for by the fragment itself.
    return render(request, template, {"pane": page, "later": template.endswith("#panes")})


@require_safe
def news(request: HttpRequest) -> HttpResponse:
    """How many matches came since the page was drawn; told, never pushed into the table."""
    page = Pane.of(request.user, request.GET)
    seen = request.GET.get("seen", "")
    count = page.count
    more = count.n - int(seen) if seen.isdecimal() and len(seen) < 12 and count.exact else 0
    return render(request, "completions/pane.html#news", {"pane": page, "seen": seen, "more": max(0, more)})
