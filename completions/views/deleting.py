"""The question before a deletion: how many, where, what hangs on them, and the number to type."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from completions import deleting, dry_run
from completions.addresses import pane_address
from completions.ledger import Refused, in_words
from completions.models import ChangeOrder
from completions.purposes import chosen, purpose_of
from portal.htmx import go, wants_fragment

Mode = ChangeOrder.Mode


@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, selection: UUID) -> HttpResponse:
    """Say what would be deleted and where; on POST delete it."""
    frozen = chosen(request.user, selection)
    purpose = purpose_of(deleting.PURPOSE)
    assert purpose is not None, "it is registered beside its handler"
    missing, refused = purpose.lacking(request.user, frozen), ""
    mode = request.POST.get("mode", "")
    if request.method == "POST" and not missing:
        try:
            if mode not in Mode.values:
                raise Refused("Say where they are to be deleted.")
            made = deleting.order(request.user, frozen, Mode(mode), request.POST.get("number", ""))
            return go(request, made.get_absolute_url())
        except Refused as why:
            refused = str(why)
    dry = dry_run.of(frozen)
    context = {
        "frozen": frozen,
        "purpose": purpose,
        "missing": missing,
        "refused": refused,
        "dry": dry,
        "selection": in_words(frozen),
        "mode": mode or (Mode.UPSTREAM if dry.askable else Mode.HERE),
        "typed": request.POST.get("number", ""),
        "types": frozen.count > deleting.TYPED_ABOVE,
        "back": pane_address(frozen.q),
    }
    status = 403 if request.method == "POST" and missing else 422 if refused else 200
    template = "completions/delete.html#delete" if wants_fragment(request) else "completions/delete.html"
    return render(request, template, context, status=status)
