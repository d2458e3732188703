"""One completion in full, beside the table or as a page with the table behind it."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from completions.conversation import as_json
from completions.drawer import Drawer
from completions.models import StoredCompletion
from completions.pane import Pane
from completions.talk import SURROGATES
from portal.htmx import wants_fragment
from portal.json_folding import branch, name_at, read_path, value_at
from portal.permissions import fetch

REMEMBERED = "portal-text"  # the cookie that remembers how text is shown


@require_safe
def drawer(request: HttpRequest, connection: str, upstream_id: str) -> HttpResponse:
    """The conversation, what it was asked with, its bytes as JSON, and code that makes it again."""
    if "\x00" in upstream_id:  # no database of ours holds such an id, and PostgreSQL cannot be asked for it
        raise Http404
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
    asked = request.GET
    chosen = asked.get("text", "")
    opened = Drawer(
        Pane.of(request.user, asked),
        row,
        tab=asked.get("tab", ""),
        raw=reads_raw(request),
        flat=asked.get("as") == "text",
        full=asked.get("full", ""),
        answer=asked.get("answer", ""),
    )
    if "copy" in asked:
        return _plain(opened.copied(asked["copy"]))
    if "node" in asked:
        return _node(opened, asked)
    response = _drawn(request, opened)
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


def reads_raw(request: HttpRequest) -> bool:
    """Whether text is shown as it is: as the address says, or as it was asked for last."""
    chosen = request.GET.get("text", "")
    return (chosen if chosen in ("raw", "rich") else request.COOKIES.get(REMEMBERED, "rich")) == "raw"


def _drawn(request: HttpRequest, opened: Drawer) -> HttpResponse:
    """The page, or as much of the drawer as htmx fills."""
    template = "completions/drawer.html"
    if wants_fragment(request):
        target = request.htmx.target  # type: ignore[attr-defined]  # put there by django_htmx's middleware
        if opened.full and opened.full == target:
            message = opened.message(opened.full)
            if message is None:
                raise Http404
            return HttpResponse(message)
        template += "#talk" if target == "talk" else "#drawer"
    context = {"pane": opened.pane, "drawer": opened, "row": opened.row, "talk": opened.talk}
    context["panel"] = opened.review
    return render(request, template, context)


def _node(opened: Drawer, asked: Any) -> HttpResponse:
    """One branch of a JSON tree, or a node's value or name to be copied."""
    try:
        path, start = read_path(asked["node"]), read_path(asked.get("from", "0"))
        document = opened.document(asked.get("part", ""))
        if asked.get("as") == "value":
            value = value_at(document, path)
            return _plain(value if isinstance(value, str) else as_json(value))
        if asked.get("as") == "name":
            return _plain(name_at(document, path))
        return HttpResponse(branch(document, path, start[0]))
    except (ValueError, LookupError) as problem:
        raise Http404 from problem


def _plain(text: str | None) -> HttpResponse:
    if text is None:
        raise Http404
    return HttpResponse(SURROGATES.sub("\ufffd", text), content_type="text/plain; charset=utf-8")
