"""From what is ticked in the table to a frozen selection and the question what to do with it."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from completions.addresses import pane_address
from completions.filters import Filter
from completions.models import FrozenSelection
from completions.purposes import Purpose, purpose_of
from completions.selection import NOTHING_LEFT, Refused, Selection, freeze
from portal.htmx import wants_fragment
from portal.progress import progress_of

USUAL = "distill"  # what a page asks that does not say
UNKNOWN = "This page is older than the portal. Reload it and select again."


@require_POST
def select(request: HttpRequest) -> HttpResponse:
    """Freeze the selection and ask; what is counted here is what is acted on."""
    purpose = purpose_of(request.POST.get("for", USUAL))
    if purpose is None:
        return _refused(request, None, request.POST.get("q", ""), UNKNOWN)
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
    purpose = purpose_of(request.GET.get("for", USUAL))
    if purpose is None:
        return _refused(request, None, "", UNKNOWN)
    if found is None:
        return _refused(request, purpose, "", "The search has ended without a result. Select again.")
    if found.ready and not found.count:
        return _refused(request, purpose, found.q, NOTHING_LEFT)
    return _asked(request, found, purpose)


def _refused(request: HttpRequest, purpose: Purpose | None, q: str, why: str) -> HttpResponse:
    context: dict[str, object] = {"purpose": purpose, "back": pane_address(q), "refused": why}
    return _rendered(request, context, status=422)


def _asked(request: HttpRequest, frozen: FrozenSelection, purpose: Purpose) -> HttpResponse:
    context: dict[str, object] = {
        "purpose": purpose,
        "back": pane_address(frozen.q),
        "frozen": frozen,
        "described": Filter.parse(frozen.q).describe() if frozen.everything else "",
    }
    if not frozen.ready:
        assert frozen.operation is not None, "it is ready otherwise"
        return _rendered(request, context | {"progress": progress_of(frozen.operation)})
    missing = purpose.lacking(request.user, frozen)
    if not purpose.asks and not missing:
        return redirect(purpose.address(frozen))
    context |= {
        "sources": frozen.connections.order_by("name").defer("secret"),
        "allowed": not missing,
        "missing": missing,
        "start": purpose.address(frozen),
    }
    return _rendered(request, context)


def _rendered(request: HttpRequest, context: dict[str, object], status: int = 200) -> HttpResponse:
    template = "completions/confirm.html#question" if wants_fragment(request) else "completions/confirm.html"
    return render(request, template, context, status=status)
