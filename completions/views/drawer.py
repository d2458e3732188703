"""One completion in full, beside the table or as a page with the table behind it."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from completions.drawer import Drawer
from completions.models import StoredCompletion
from completions.pane import Pane
from completions.talk import talk_of
from portal.htmx import wants_fragment
from portal.permissions import fetch

TABS = ("conversation", "details", "json")
REMEMBERED = "portal-text"  # the cookie that remembers how text is shown


@require_safe
def drawer(request: HttpRequest, connection: str, upstream_id: str) -> HttpResponse:
    """The conversation, what it was asked with, and its bytes as JSON."""
    return _opened(request, connection__slug=connection, upstream_id=upstream_id)


@require_safe
def by_number(request: HttpRequest, connection: str, number: int) -> HttpResponse:
    """The same for a completion whose id upstream cannot stand in an address."""
    return _opened(request, connection__slug=connection, pk=number)


def _opened(request: HttpRequest, **lookup: Any) -> HttpResponse:
    row: StoredCompletion = fetch(
        StoredCompletion.objects.select_related("connection").defer("connection__secret"),
        request.user,
        **lookup,
    )
    page = Pane.of(request.user, request.GET)
    opened = Drawer(page, row)
    tab = request.GET.get("tab", "")
    chosen = request.GET.get("text", "")
    text = chosen if chosen in ("raw", "rich") else request.COOKIES.get(REMEMBERED, "rich")
    context = {
        "pane": page,
        "drawer": opened,
        "row": row,
        "talk": talk_of(row, opened.body),
        "tab": tab if tab in TABS else TABS[0],
        "raw": text == "raw",
    }
    template = "completions/drawer.html#drawer" if wants_fragment(request) else "completions/drawer.html"
    response = render(request, template, context)
    if chosen in ("raw", "rich"):
        response.set_cookie(
            REMEMBERED,
            chosen,
            max_age=365 * 86_400,
            httponly=True,
            samesite="Lax",
            secure=request.is_secure(),
        )
    return response
