"""New evaluations: of completions, of a dataset's version or a part of it, of a file of one's own."""

from typing import BinaryIO, cast

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_GET, require_http_methods

from completions.views.imports import Bounded
from datasets import received
from datasets.evaluate import sources
from datasets.evaluate_data_forms import ALL, FileForm, PartForm
from datasets.models import DatasetVersion, Purpose
from datasets.views.evaluate_data import free_name
from datasets.views.evaluate_page import status_of
from datasets.views.received import bounded_upload, problem_of
from portal.htmx import go
from portal.models import Connection
from portal.permissions import fetch

MOST = 60  # versions to choose among; every version's own page has the button too


@require_GET
def choose(request: HttpRequest) -> HttpResponse:
    """What is it measured on? Three ways in."""
    if not Connection.objects.readable_by(request.user).exists():
        raise Http404
    ready = DatasetVersion.objects.actionable_by(request.user).filter(state=DatasetVersion.State.READY)
    found = list(ready.select_related("dataset").order_by("-pk")[: MOST + 1])
    context = {
        "entries": [{"version": each, "parts": sources.parts_of(each)} for each in found[:MOST]],
        "more": len(found) > MOST,
        "may_upload": received.may_upload(request.user),
        "most": settings.IMPORT_MAX_MB,
    }
    return render(request, "datasets/evaluate/data_choose.html", context)


@require_http_methods(["GET", "POST"])
def version(request: HttpRequest, pk: int) -> HttpResponse:
    """An evaluation of a version, or of a part of it."""
    versions = DatasetVersion.objects.select_related("dataset")
    found: DatasetVersion = fetch(versions, request.user, "act", pk=pk)
    if found.state != DatasetVersion.State.READY:
        raise Http404
    parts, usual = sources.parts_of(found), sources.usual_part(found)
    wanted = request.GET.get("part")
    if wanted == ALL or wanted in {part.name for part in parts}:
        usual = "" if wanted == ALL else str(wanted)
    words = f"{found.dataset.name} v{found.number}" + (f", {usual}" if usual else "")
    initial = {"name": free_name(words[:110], request.user), "part": usual or ALL}
    form = PartForm(request.POST or None, version=found, parts=parts, initial=initial)
    if request.method == "POST" and form.is_valid():
        begun = sources.begin_version(found, form.chosen(), form.cleaned_data["name"], request.user)
        return redirect("datasets:evaluate", begun.pk, "data")
    context = {
        "form": form,
        "version": found,
        "parts": parts,
        "as_it_is": found.dataset.purpose == Purpose.EVALUATION,
    }
    return render(request, "datasets/evaluate/data_version.html", context, status=status_of(form))


@csrf_exempt  # its own handler must be in place before anything reads the form; _upload asks for the token
def upload(request: HttpRequest) -> HttpResponse:
    """An evaluation of the items in a file."""
    return _upload(request, bounded_upload(request))


@csrf_protect
@require_http_methods(["GET", "HEAD", "POST"])
def _upload(request: HttpRequest, bounded: Bounded) -> HttpResponse:
    form = FileForm(request.POST if request.method == "POST" else None, user=request.user)
    problem = ""
    if request.method == "POST":
        problem = problem_of(request, bounded)
        if form.is_valid() and not problem:
            uploaded = request.FILES["file"]
            try:
                path, size = received.keep(cast(BinaryIO, uploaded.file))  # type: ignore[union-attr]  # one file, not a list
            except received.Refused as refused:
                problem = str(refused)
            else:
                begun = sources.begin_upload(
                    path,
                    size,
                    str(uploaded.name),  # type: ignore[union-attr]  # as above
                    list(form.cleaned_data["connections"]),
                    form.cleaned_data["name"],
                    request.user,
                )
                return go(request, reverse("datasets:evaluate", args=[begun.pk, "data"]))
    context = {"form": form, "problem": problem, "most": settings.IMPORT_MAX_MB}
    status = 422 if request.method == "POST" else 200
    return render(request, "datasets/evaluate/data_upload.html", context, status=status)
