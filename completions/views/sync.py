"""Sync health of a connection, its buttons, and the line about it above the table."""

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from completions import quarantine, schedule, sync
from completions.health import health_of, status_of
from completions.models import Quarantine, StoredCompletion
from portal.htmx import fragment, go, redraw, toast
from portal.models import Connection
from portal.permissions import fetch, may

SHOWN_CHARS = 200_000
PAGE = 20


def _fetch(request: HttpRequest, slug: str, verb: Any = "read") -> Connection:
    connection: Connection = fetch(Connection.objects.defer("secret"), request.user, verb, slug=slug)
    return connection


@require_safe
def health(request: HttpRequest, slug: str) -> HttpResponse:
    """Last success, lag, rows here and upstream, what is missing or set aside, and each pass."""
    connection = _fetch(request, slug)
    if not connection.has_endpoint:
        return go(request, reverse("connections:detail", args=[slug]))
    set_aside = Quarantine.objects.filter(connection=connection).defer("raw").order_by("-last_seen", "-id")
    context = {
        "connection": connection,
        "health": health_of(connection),
        "set_aside": Paginator(set_aside, PAGE).get_page(request.GET.get("page")),
        "may_sync": may(Connection.objects.all(), request.user, "act", connection)
        and connection.state in sync.USABLE,
        "may_edit": may(Connection.objects.all(), request.user, "manage", connection),
    }
    return render(request, fragment(request, "completions/health.html", {"health"}), context)


@require_safe
def quarantined(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """A look inside an item that could not be stored."""
    connection = _fetch(request, slug)
    item = fetch(Quarantine.objects.select_related("connection"), request.user, pk=pk, connection=connection)
    text = quarantine.text_of(item)
    context = {
        "connection": connection,
        "item": item,
        "text": text[:SHOWN_CHARS],
        "cut": max(0, len(text) - SHOWN_CHARS),
    }
    return render(request, "completions/quarantined.html", context)


@require_POST
def sync_now(request: HttpRequest, slug: str) -> HttpResponse:
    """Look for new rows at once."""
    connection = _fetch(request, slug, "act")
    return _begun(request, connection, schedule.sync_now, "Looking for new rows.")


@require_POST
def sweep_now(request: HttpRequest, slug: str) -> HttpResponse:
    """Compare every row at once."""
    connection = _fetch(request, slug, "act")
    return _begun(request, connection, schedule.sweep_now, "Comparing every row.")


def _begun(request: HttpRequest, connection: Connection, begin: Any, text: str) -> HttpResponse:
    if not connection.has_endpoint:
        response = go(request, reverse("connections:detail", args=[connection.slug]))
        return toast(request, response, f"{connection.name} is filled from files; nothing to sync.", "info")
    if connection.state not in sync.USABLE:
        response = go(request, _back(request, connection))
        return toast(request, response, f"{connection.name} is not connected.", "bad")
    begin(connection, request.user)
    if request.htmx:  # type: ignore[attr-defined]  # put there by django_htmx's middleware
        return redraw(toast(request, HttpResponse(status=204), text), "sync-begun")
    return toast(request, go(request, _back(request, connection)), text)


def _back(request: HttpRequest, connection: Connection) -> str:
    return reverse("completions:health", args=[connection.slug])


@require_safe
def sync_status(request: HttpRequest) -> HttpResponse:
    """The line above the table. Tells the page (`rows-arrived`) when rows have come since it last asked."""
    connections = Connection.objects.readable_by(request.user).defer("secret")
    newest = (
        StoredCompletion.objects.readable_by(request.user)
        .order_by("-pk")
        .values_list("pk", flat=True)
        .first()
    )
    status = status_of(connections)
    response = render(request, "completions/sync_status.html", {"status": status, "newest": newest or 0})
    seen = request.GET.get("newest", "")
    if seen.isdecimal() and seen != str(newest or 0):
        return redraw(response, "rows-arrived")
    return response
