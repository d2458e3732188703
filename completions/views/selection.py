"""From what is ticked in the table to a frozen selection and the question what to do with it."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from completions.addresses import pane_address
from completions.filters import Filter
from completions.models import FrozenSelection
from completions.selection import Refused, Selection, freeze
from portal.htmx import wants_fragment
from portal.models import Connection
from portal.permissions import may

PURPOSES = {
    "distill": ("Distill", "datasets:distill_start", "graduation-cap"),
    "evaluate": ("Evaluate", "datasets:evaluate_start", "flask-conical"),
}


@require_POST
def select(request: HttpRequest) -> HttpResponse:
    """Freeze the selection and ask; what is counted here is what is acted on."""
    purpose = request.POST.get("for", "distill")
    verb, start, icon = PURPOSES.get(purpose, PURPOSES["distill"])
    context: dict[str, object] = {"verb": verb, "icon": icon, "back": pane_address(request.POST.get("q", ""))}
    status = 200
    try:
        wanted = Selection.from_post(request.POST)
        frozen = freeze(
            request.user, q=wanted.q, ids=wanted.ids, everything=wanted.everything, excluded=wanted.excluded
        )
    except Refused as refused:
        context["refused"] = str(refused)
        status = 422
    else:
        sources = frozen.connections.order_by("name").defer("secret")
        allowed = may(FrozenSelection.objects.all(), request.user, "act", frozen)
        mine = set(Connection.objects.actionable_by(request.user).values_list("pk", flat=True))
        context |= {
            "frozen": frozen,
            "described": Filter.parse(frozen.q).describe() if frozen.everything else "",
            "sources": sources,
            "allowed": allowed,
            "missing": [each.name for each in sources if each.pk not in mine],
            "start": reverse(start, args=[frozen.pk]),
        }
    template = "completions/confirm.html#question" if wants_fragment(request) else "completions/confirm.html"
    return render(request, template, context, status=status)
