"""Export: the dialog of the bulk bar, the list of files, and the way of one to the browser."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.text import slugify
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from completions.addresses import pane_address
from completions.exporting import files, lines, run
from completions.filters import Filter
from completions.models import Export
from completions.purposes import chosen, purpose_of
from portal import audit
from portal.htmx import fragment, go, toast, wants_fragment
from portal.permissions import fetch

SHOWN = 100
KINDS = {
    "table": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "stored": "application/jsonl",
    "chat": "application/jsonl",
}
ABOUT = {
    "stored": "As the API lists them, with their messages. Can be imported again.",
    "chat": "The messages with the answer last, as training files have them.",
    "table": "One row each, for spreadsheets. No field begins a formula.",
    "parquet": "One row each, with types, for data tools.",
}


@require_http_methods(["GET", "HEAD", "POST"])
def dialog(request: HttpRequest, selection: UUID) -> HttpResponse:
    """Ask for the form of the file, then begin."""
    frozen = chosen(request.user, selection)
    purpose = purpose_of("export")
    assert purpose is not None
    lacking = purpose.lacking(request.user, frozen)
    refused = ""
    if request.method == "POST" and not lacking:
        try:
            made = run.begin(frozen, request.user, request.POST.get("format", ""), _options(request))
        except run.Refused as why:
            refused = str(why)
        else:
            text = f"Exporting {made.selected:,} completion{'' if made.selected == 1 else 's'}."
            return toast(request, go(request, reverse("completions:exports")), text)
    given = request.POST if request.method == "POST" else None
    ready = run.available()
    context: dict[str, Any] = {
        "frozen": frozen,
        "purpose": purpose,
        "described": Filter.parse(frozen.q).describe() if frozen.everything else "",
        "back": pane_address(frozen.q),
        "sources": list(frozen.connections.order_by("name").defer("secret")),
        "lacking": lacking,
        "forms": [(value, label, ABOUT[value], value in ready) for value, label in Export.Form.choices],
        "form": given.get("format", "") if given else "stored",
        "columns": [(name, title) for name, (title, _) in lines.COLUMNS.items()],
        "picked": given.getlist("column") if given else lines.FIRST_CHOICE,
        "reviews": bool(given.get("reviews")) if given else True,
        "corrections": bool(given.get("corrections")) if given else False,
        "refused": refused,
    }
    status = 403 if lacking and request.method == "POST" else 422 if refused else 200
    template = "completions/export.html#export" if wants_fragment(request) else "completions/export.html"
    return render(request, template, context, status=status)


def _options(request: HttpRequest) -> dict[str, Any]:
    """What goes along; columns only where there are any."""
    made: dict[str, Any] = {
        "reviews": bool(request.POST.get("reviews")),
        "corrections": bool(request.POST.get("corrections")),
    }
    if request.POST.get("format") in (Export.Form.TABLE, Export.Form.PARQUET):
        made["columns"] = [name for name in lines.COLUMNS if name in request.POST.getlist("column")]
    return made


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """Exports of the connections that one may act on, newest first."""
    rows = Export.objects.actionable_by(request.user).select_related("owner", "operation")
    exports = list(rows.prefetch_related("connections").order_by("-created")[:SHOWN])
    context = {
        "exports": exports,
        "running": any(each.operation is not None and each.operation.is_live for each in exports),
    }
    return render(request, fragment(request, "completions/exports.html", {"exports"}), context)


@require_safe
def download(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """The file. Who takes it, stands in the audit trail."""
    found: Export = fetch(Export.objects, request.user, "act", pk=pk)
    if not found.ready or found.expires < timezone.now():
        raise Http404
    try:
        file = files.open_file(found)
    except FileNotFoundError:
        raise Http404 from None
    with transaction.atomic():
        audit.record(request.user, "export.downloaded", found, sha256=found.sha256, rows=found.rows)
    stem = slugify(found.title)[:60] or "completions"
    name = f"{stem}-{found.created:%Y-%m-%d}.{found.extension}"
    response = FileResponse(file, as_attachment=True, filename=name, content_type=KINDS[found.form])
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store"
    response["Digest"] = f"sha-256={found.sha256}"
    return response


@require_POST
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Delete a file before its time."""
    found: Export = fetch(Export.objects.select_related("operation"), request.user, "act", pk=pk)
    if found.operation is not None and found.operation.is_live:
        return HttpResponse("It is being written. Cancel that first.", status=409)
    with transaction.atomic():
        audit.record(request.user, "export.deleted", found, rows=found.rows)
        run.forget(found)
    return toast(request, go(request, reverse("completions:exports")), "Deleted.")
