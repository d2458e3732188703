"""Editing metadata: of a selection, in a dialog, and of one completion, on a page of its own."""

import json
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from completions import write_back
from completions.addresses import pane_address
from completions.ledger import Refused, in_words
from completions.metadata_forms import PairsForm, seen_in
from completions.models import StoredCompletion, Term
from completions.purposes import chosen, purpose_of
from portal.htmx import go, wants_fragment
from portal.permissions import fetch

MOST_KEYS = 200
LIMITS = (write_back.MOST_PAIRS, write_back.KEY_CHARS, write_back.VALUE_CHARS)


@require_http_methods(["GET", "HEAD", "POST"])
def many(request: HttpRequest, selection: UUID) -> HttpResponse:
    """Ask which pairs to set and which keys to remove; on POST begin."""
    frozen = chosen(request.user, selection)
    purpose = purpose_of(write_back.PURPOSE)
    assert purpose is not None, "it is registered beside its handler"
    missing, refused, form = purpose.lacking(request.user, frozen), "", PairsForm()
    if request.method == "POST" and not missing:
        form = PairsForm.from_post(request.POST)
        if "more" not in request.POST:
            try:
                return go(request, write_back.order(request.user, frozen, form.wish()).get_absolute_url())
            except Refused as why:
                refused = str(why)
    keys = Term.objects.filter(
        kind=Term.Kind.METADATA, connection__in=frozen.connections.values("pk"), n__gt=0
    )
    context = {
        "frozen": frozen,
        "purpose": purpose,
        "missing": missing,
        "refused": refused,
        "form": form,
        "limits": LIMITS,
        "keys": keys.order_by("key").values_list("key", flat=True).distinct()[:MOST_KEYS],
        "selection": in_words(frozen),
        "sources": frozen.connections.order_by("name").defer("secret"),
        "back": pane_address(frozen.q),
    }
    status = 403 if request.method == "POST" and missing else 422 if refused else 200
    template = "write_back.html#write_back" if wants_fragment(request) else "write_back.html"
    return render(request, f"completions/{template}", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def one(request: HttpRequest, pk: int) -> HttpResponse:
    """The pairs of one completion as a form; what is written goes to the provider."""
    rows = StoredCompletion.objects.select_related("connection").defer("connection__secret")
    row: StoredCompletion = fetch(rows, request.user, "act", pk=pk)
    seen, refused, form = row.metadata, "", PairsForm.of(row.metadata)
    if request.method == "POST":
        seen, form = seen_in(request.POST, row.metadata), PairsForm.from_post(request.POST)
        if "more" not in request.POST and row.gone_at is None:
            try:
                made = write_back.order_for_row(request.user, row, seen, form.metadata())
                return go(request, made.get_absolute_url())
            except Refused as why:
                refused = str(why)
    context = {"row": row, "form": form, "seen": json.dumps(seen), "refused": refused, "limits": LIMITS}
    return render(request, "completions/write_back_one.html", context, status=422 if refused else 200)
