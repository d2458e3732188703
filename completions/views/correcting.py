"""Correcting the answer of one completion: the editor in its place, or as a page."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods
from django_htmx.http import trigger_client_event

from completions.correction_form import CorrectionForm
from completions.drawer import Drawer
from completions.models import StoredCompletion
from completions.pane import Pane
from completions.views.drawer import reads_raw
from completions.views.review import REVIEWED
from portal.htmx import go, toast, wants_fragment
from portal.permissions import fetch


@require_http_methods(["GET", "HEAD", "POST"])
def correct(request: HttpRequest, pk: int) -> HttpResponse:
    """The editor; saving gives the corrected answer, or the editor again and what has to be looked at."""
    rows = StoredCompletion.objects.select_related("connection").defer("connection__secret")
    opened = _opened(request, fetch(rows, request.user, "review", pk=pk))
    if opened.answer.first is None:
        return _rendered(request, opened, None, status=404)
    given = request.POST.dict()
    form = CorrectionForm(opened.answer, version=given.get("version", "") or request.GET.get("version", ""))
    if request.method != "POST":
        return _rendered(request, opened, form)
    done = form.remove(given, request.user) if "remove" in given else form.save(given, request.user)
    if not done:
        return _rendered(request, opened, form, status=422)
    told = "The original holds again." if "remove" in given else "The correction is saved."
    return _saved(request, opened, told if form.changed else "Nothing was changed.")


def _opened(request: HttpRequest, row: StoredCompletion) -> Drawer:
    return Drawer(Pane.of(request.user, request.GET), row, raw=reads_raw(request))


def _saved(request: HttpRequest, before: Drawer, told: str) -> HttpResponse:
    """The answer as it is now; whatever else shows this completion hears of it."""
    opened = _opened(request, before.row)
    if not wants_fragment(request):
        return toast(request, go(request, f"{opened.back}#{opened.answer.id}"), told)
    response = HttpResponse(opened.message(opened.answer.id))
    response = trigger_client_event(response, REVIEWED, {"id": opened.row.pk})
    return toast(request, response, told)


def _rendered(
    request: HttpRequest, opened: Drawer, form: CorrectionForm | None, status: int = 200
) -> HttpResponse:
    template = "completions/correct.html"
    if wants_fragment(request) and form is not None:
        template += "#editor"
    context = {"drawer": opened, "row": opened.row, "pane": opened.pane, "form": form}
    return render(request, template, context, status=status)
