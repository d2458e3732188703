"""The pane of stored completions: the whole page, its parts, what came since, and its columns."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.http import require_safe

from completions.addresses import read_day, read_key
from completions.bar import typed
from completions.display import read_columns, usual
from completions.pane import MOST_NEWS, Pane
from completions.purposes import offered
from completions.saved import canonical, is_bare, read
from portal.htmx import comes_from, fragment, wants_fragment
from portal.wording import NOTHING
from portal.zones import zone_of


@require_safe
def pane(request: HttpRequest) -> HttpResponse:
    """One page of stored completions.

    `add` is what was typed, to join to the filter `q`; `column` are columns that were chosen; `at` is a day.
    """
    page = Pane.of(request.user, request.GET)
    if elsewhere := _canonical(request, page):
        return redirect(elsewhere)
    template = fragment(request, "completions/pane.html", {"panes", "pane"})
    alone = template.endswith("#pane")
    beside = not alone or _shows_otherwise(request, page)
    context = {"pane": page.prepare(beside=beside), "purposes": offered()}
    response = render(request, template, context)
    if alone and beside:
        response.write(render_to_string("completions/views.html", {"pane": page, "apart": True}, request))
    return response


def _shows_otherwise(request: HttpRequest, page: Pane) -> bool:
    """Whether the page in the browser has another order or other columns: it may have left a view by that."""
    here = comes_from(request).query
    try:
        return canonical(here) != page.views.said or is_bare(read(here))
    except ValueError:  # more parameters than a page of ours has
        return True


def _canonical(request: HttpRequest, page: Pane) -> str:
    """The one address of what a form asked for in words of its own; empty if no form did."""
    if "add" in request.GET:
        return page.address(typed(page.q, request.GET["add"], request.GET.get("place", "")))
    if "column" in request.GET:
        chosen = read_columns(request.GET.getlist("column"))
        return page.shown_as(columns=() if chosen == usual(several=page.several) else chosen)
    day = read_day(request.GET.get("at", ""), zone_of(request.COOKIES))
    return page.from_day(*day) if day else ""


@require_safe
def news(request: HttpRequest) -> HttpResponse:
    """How many matches came since the page was drawn; told, never pushed into the table."""
    page = Pane.of(request.user, request.GET)
    since, seen = read_key(request.GET.get("since", "")), request.GET.get("seen", "")
    more = page.newer_than(since) if since else 0
    # Late arrivals stand further down; where all are counted anyway, they are news too.
    if seen.isascii() and seen.isdecimal() and len(seen) < 12 and page.count.exact:
        more = max(more, page.count.n - int(seen))
    context = {
        "pane": page,
        "since": request.GET.get("since", "")[:60] or NOTHING,
        "seen": seen[:12] or NOTHING,
    }
    return render(request, "completions/pane.html#news", context | {"more": _told(more)})


def _told(more: int) -> str:
    if more > MOST_NEWS:
        return f"{MOST_NEWS:,}+ new rows"
    return f"{more:,} new row{'s' * (more != 1)}" if more > 0 else ""


@require_safe
def count(request: HttpRequest) -> HttpResponse:
    """How many match, counted to the end."""
    page = Pane.of(request.user, request.GET)
    page.count = page.listing.count(limit=10**12)
    return HttpResponse(page.span)


@require_safe
def columns(request: HttpRequest) -> HttpResponse:
    """Which columns to show, and in which order."""
    page = Pane.of(request.user, request.GET)
    kept: dict[str, Any] = {name: value for name, value in page.kept.items() if name != "columns"}
    context = {"pane": page, "choices": page.looks.offered, "rest": list(kept.items())}
    template = "completions/columns.html#chooser" if wants_fragment(request) else "completions/columns.html"
    return render(request, template, context)
