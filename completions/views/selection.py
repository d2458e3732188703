"""From what is ticked in the table to a frozen selection and the question what to do with it."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from completions.addresses import pane_address
from completions.filters import Filter
from completions.models import FrozenSelection
from completions.selection import NOTHING_LEFT, Refused, Selection, freeze
from portal.htmx import wants_fragment
from portal.models import Connection
from portal.permissions import may
from portal.progress import progress_of

PURPOSES = {
    "distill": ("Distill", "datasets:distill_start", "graduation-cap"),
    "evaluate": ("Evaluate", "datasets:evaluate_start", "flask-conical"),
}


@require_POST
def select(request: HttpRequest) -> HttpResponse:
    """Freeze the selection and ask; what is counted here is what is acted on."""
    purpose = request.POST.get("for", "distill")
    try:
        wanted = Selection.from_post(request.POST)
        frozen = freeze(
            request.user, q=wanted.q, ids=wanted.ids, everything=wanted.everything, excluded=wanted.excluded
        )
    except Refused as refused:
        return _refused(request, purpose, request.POST.get("q", ""), str(refused))
    return _asked(request, frozen, purpose)


@require_safe
def question(request: HttpRequest, frozen: UUID) -> HttpResponse:
    """The same question again, for who waits until every text has been read."""
    mine = FrozenSelection.objects.select_related("operation")
    found = mine.filter(pk=frozen, owner=request.user, confirmed_at=None).first()
    purpose = request.GET.get("for", "distill")
    if found is None:
        return _refused(request, purpose, "", "The search has ended without a result. Select again.")
    if found.ready and not found.count:
        return _refused(request, purpose, found.q, NOTHING_LEFT)
    return _asked(request, found, purpose)


def _refused(request: HttpRequest, purpose: str, q: str, why: str) -> HttpResponse:
    return _rendered(request, _words(purpose, q) | {"refused": why}, status=422)


def _asked(request: HttpRequest, frozen: FrozenSelection, purpose: str) -> HttpResponse:
    context = _words(purpose, frozen.q) | {
        "frozen": frozen,
        "described": Filter.parse(frozen.q).describe() if frozen.everything else "",
    }
    if not frozen.ready:
        assert frozen.operation is not None, "it is ready otherwise"
        return _rendered(request, context | {"progress": progress_of(frozen.operation)})
    sources = frozen.connections.order_by("name").defer("secret")
    mine = set(Connection.objects.actionable_by(request.user).values_list("pk", flat=True))
    _, start, _ = PURPOSES.get(purpose, PURPOSES["distill"])
    context |= {
        "sources": sources,
        "allowed": may(FrozenSelection.objects.all(), request.user, "act", frozen),
        "missing": [each.name for each in sources if each.pk not in mine],
        "start": reverse(start, args=[frozen.pk]),
    }
    return _rendered(request, context)


def _words(purpose: str, q: str) -> dict[str, object]:
    verb, _, icon = PURPOSES.get(purpose, PURPOSES["distill"])
    return {"verb": verb, "icon": icon, "purpose": purpose, "back": pane_address(q)}


def _rendered(request: HttpRequest, context: dict[str, object], status: int = 200) -> HttpResponse:
    template = "completions/confirm.html#question" if wants_fragment(request) else "completions/confirm.html"
    return render(request, template, context, status=status)
