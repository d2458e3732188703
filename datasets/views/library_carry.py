"""Graders from other programs into a library, and graders out to them."""

from collections.abc import Sequence

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import content_disposition_header
from django.utils.text import slugify
from django.views.decorators.http import require_http_methods, require_safe

from datasets import library, library_import
from datasets.evaluate import carry_writing, suggestions
from datasets.evaluate.carry_reading import FORMATS, LARGEST
from datasets.evaluate_forms import MAX_GRADERS
from datasets.library_forms import ImportForm
from datasets.models import Evaluation, Grader
from datasets.views.library import connection_of, grader_of
from portal import audit
from portal.htmx import toast
from portal.models import Connection
from portal.permissions import fetch


@require_http_methods(["GET", "POST"])
def bring(request: HttpRequest, connection: str) -> HttpResponse:
    """Read what was pasted or uploaded, show line by line what becomes of it, and add it when told so."""
    found = connection_of(request, connection, "act")
    first = {"judge": found.pk if found in Connection.objects.with_endpoint() else None}
    form = ImportForm(request.POST or None, request.FILES or None, user=request.user, initial=first)
    lines: list[library_import.Prepared] = []
    reading = None
    if request.method == "POST" and form.is_valid():
        reading = form.cleaned_data["reading"]
        if "add" in request.POST:
            try:
                added = library_import.add_all(reading, found, request.user, form.asking)
            except library.Refused as reason:  # somebody added one of that name this very moment
                form.add_error(None, f"Nothing was added. {reason} Look again.")
                reading = None
            else:
                said = f"{added} grader{'' if added == 1 else 's'} added."
                return toast(
                    request, redirect("datasets:library", found.slug), said, "ok" if added else "info"
                )
        else:
            lines = library_import.prepare(reading, found, request.user, form.asking)
    context = {
        "connection": found,
        "form": form,
        "reading": reading,
        "text": form.cleaned_data.get("text", "") if reading else "",
        "format": FORMATS[reading.format] if reading else "",
        "lines": lines,
        "adding": sum(line.adds for line in lines),
        "left": sum(bool(line.reason) for line in lines),
        "kinds": dict(Grader.Kind.choices),
        "largest": LARGEST,
        "most": MAX_GRADERS,
        "suggestions": suggestions.models_for(request.user),
    }
    status = 422 if form.is_bound and not form.is_valid() else 200
    return render(request, "datasets/library/import.html", context, status=status)


@require_safe
def hand_out(request: HttpRequest, connection: str) -> HttpResponse:
    """All graders of a library that are not archived."""
    found = connection_of(request, connection)
    rows = list(library.listed(found).order_by("name", "pk"))
    newest = library.newest_by_id(row.pk for row in rows)
    graders = [(row.name, newest[row.pk].kind, newest[row.pk].params) for row in rows]
    return _handed(request, str(found), graders, connection=found)


@require_safe
def hand_out_one(request: HttpRequest, pk: int) -> HttpResponse:
    """The newest version of one grader."""
    found = grader_of(request, pk)
    version = library.newest_of(found)
    graders = [(found.name, version.kind, version.params)]
    return _handed(request, found.name, graders, connection=found.connection, grader=found)


@require_safe
def hand_out_evaluation(request: HttpRequest, pk: int) -> HttpResponse:
    """The graders of an evaluation."""
    found: Evaluation = fetch(Evaluation.objects, request.user, "read", pk=pk)
    graders = [(each.name, each.kind, each.params) for each in found.graders.all()]
    return _handed(request, found.name, graders, evaluation=found)


def _handed(
    request: HttpRequest, name: str, graders: Sequence[carry_writing.Named], **about: object
) -> HttpResponse:
    named = request.GET.get("format", "openai")
    wanted = next((each for each in FORMATS if each == named), None)
    if wanted is None:
        raise Http404
    written = carry_writing.write(graders, wanted, name)
    if request.GET.get("download") != "1":
        context = {
            "written": written,
            "wanted": wanted,
            "formats": FORMATS.items(),
            "name": name,
            "kinds": dict(Grader.Kind.choices),
            **about,
        }
        return render(request, "datasets/library/export.html", context)
    target = about.get("grader") or about.get("evaluation") or about.get("connection")
    with transaction.atomic():
        audit.record(
            request.user,
            "graders.exported",
            target,
            connection=about.get("connection"),
            format=wanted,
            graders=written.carried,
        )
    response = HttpResponse(written.text, content_type=f"{written.media}; charset=utf-8")
    file = f"{slugify(name)[:60] or 'graders'}-{wanted}.{written.ending}"
    response["Content-Disposition"] = content_disposition_header(True, file) or "attachment"
    response["Cache-Control"] = "no-store"
    return response
