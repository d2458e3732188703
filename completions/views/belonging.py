"""What belongs together: the page about it, its button, and the dialog that leaves one of each."""

from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Count, OuterRef, Subquery, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from completions import belonging
from completions import one_of_each as one
from completions.addresses import pane_address
from completions.filters import Filter
from completions.models import PromptTemplate, Term
from completions.purposes import chosen, offered, purpose_of
from completions.selection import Refused
from portal.htmx import fragment, go, redraw, toast, wants_fragment
from portal.models import Connection
from portal.permissions import fetch
from portal.progress import progress_of

PAGE = 20


@require_safe
def alike(request: HttpRequest) -> HttpResponse:
    """By connection how many groups there are, and the templates of system prompts."""
    compared = list(belonging.connections_of(request.user))
    mine = set(Connection.objects.actionable_by(request.user).values_list("pk", flat=True))
    counted = _counted([connection.pk for connection, _ in compared])
    sources = [
        {
            "connection": connection,
            "last": last,
            "progress": progress_of(last) if last is not None else None,
            "counts": counted.get(connection.pk, {}),
            "groups": [_kind(connection, kind, counted.get(connection.pk, {})) for kind in belonging.KINDS],
            "may": connection.pk in mine,
        }
        for connection, last in compared
    ]
    templates = Paginator(_templates(request.user), PAGE).get_page(request.GET.get("page"))
    context = {
        "sources": sources,
        "running": any(last is not None and last.is_live for _, last in compared),
        "templates": [_template(each) for each in templates.object_list],
        "page": templates,
    }
    return render(request, fragment(request, "completions/alike.html", {"alike"}), context)


def _counted(connections: list[int]) -> dict[int, dict[str, tuple[int, int]]]:
    """Groups, and completions in them, by connection and kind."""
    rows: Any = Term.objects.filter(connection__in=connections, kind__in=belonging.KINDS, n__gt=1)
    found: dict[int, dict[str, tuple[int, int]]] = {}
    for connection, kind, groups, n in rows.values_list("connection", "kind").annotate(Count("pk"), Sum("n")):
        found.setdefault(connection, {})[kind] = (groups, n)
    return found


def _kind(connection: Connection, kind: str, counts: dict[str, tuple[int, int]]) -> dict[str, Any]:
    groups, rows = counts.get(kind, (0, 0))
    wanted = Filter.parse(f"{kind}:*").toggle("connection", connection.slug)
    return {"title": one.TITLES[kind], "groups": groups, "rows": rows, "address": pane_address(wanted.q)}


def _templates(user: Any) -> Any:
    """The templates that a person may see and that completions share now, those of most first."""
    held = Term.objects.filter(
        connection=OuterRef("connection"), kind=Term.Kind.ALIKE, key="", value=OuterRef("key")
    )
    return (
        PromptTemplate.objects.readable_by(user)
        .annotate(n=Subquery(held.values("n")[:1]))
        .filter(made_of__gt=1, n__gt=1)
        .select_related("connection")
        .defer("words", "connection__secret")
        .order_by("-n", "pk")
    )


def _template(row: PromptTemplate) -> dict[str, Any]:
    number = 0
    parts: list[dict[str, Any]] = []
    for part in row.parts:
        if isinstance(part, str):
            parts.append({"text": part})
        else:
            number += 1
            parts.append({"number": number, **part})
    wanted = Filter().only("alike", row.key).toggle("connection", row.connection.slug)
    return {
        "row": row,
        "parts": parts,
        "slots": [part for part in parts if "number" in part],
        "address": pane_address(wanted.q),
    }


@require_POST
def compare(request: HttpRequest, slug: str) -> HttpResponse:
    """Begin to compare everything on one connection."""
    connection: Connection = fetch(Connection.objects.defer("secret"), request.user, "act", slug=slug)
    with transaction.atomic():
        belonging.begin(connection, request.user)
    if request.htmx:  # type: ignore[attr-defined]  # put there by django_htmx's middleware
        return redraw(toast(request, HttpResponse(status=204), "Comparing completions."), "compared")
    return toast(request, go(request, reverse("completions:alike")), "Comparing completions.")


@require_http_methods(["GET", "HEAD", "POST"])
def one_of_each(request: HttpRequest, selection: UUID) -> HttpResponse:
    """Ask what is to be left, then what is to be done with it."""
    frozen = chosen(request.user, selection)
    context: dict[str, Any] = {
        "frozen": frozen,
        "purpose": purpose_of(one.PURPOSE),
        "back": pane_address(frozen.q),
    }
    refused = ""
    if request.method == "POST":
        kind, keep = request.POST.get("kind", ""), request.POST.get("keep", "")
        try:
            if kind not in belonging.KINDS or keep not in ("best", "others"):
                raise Refused("Choose what belongs together, and what is to be selected.")
            left = one.select(frozen, kind, "best" if keep == "best" else "others")
        except Refused as why:
            refused = str(why)
        else:
            deeds = [
                {
                    "purpose": each,
                    "address": f"{reverse('completions:frozen', args=[left.pk])}?for={each.name}",
                }
                for place in offered().values()
                for each in place
                if each.name != one.PURPOSE
            ]
            context |= {"left": left, "keep": keep, "title": one.TITLES[kind], "deeds": deeds}
            return _dialog(request, context)
    context |= {"kinds": [each for each in one.repeated(frozen) if each.groups], "refused": refused}
    return _dialog(request, context, 422 if refused else 200)


def _dialog(request: HttpRequest, context: dict[str, Any], status: int = 200) -> HttpResponse:
    template = "completions/one_of_each.html" + ("#dialog" if wants_fragment(request) else "")
    return render(request, template, context, status=status)
