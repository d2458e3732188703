"""The second step of Distill: the rows as they were built, and what to doubt about them."""

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from datasets import distill, preview
from datasets.build import build
from datasets.models import DatasetVersion
from datasets.problems import problems_in_words
from datasets.views.distill_page import page
from portal.htmx import go, wants_fragment

PREVIEW_ROWS = 4


def check(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    """Progress while the rows are built; then what they are, what was left out, and what to mend."""
    if request.method == "POST":
        distill.build_now(version, request.user)
        return redirect("datasets:distill", version.pk, "check")
    if wants_fragment(request):  # the build has ended: steps and buttons change too, so the page comes anew
        return go(request, request.path)
    ready = version.state == DatasetVersion.State.READY
    context = page(
        version,
        "check",
        operation=build.operation_of(version),
        ready=ready,
        left_out=preview.left_out(version),
        left_out_count=version.left_out_total,
        problems=problems_in_words(version),
        first=preview.first_rows(version, PREVIEW_ROWS) if ready else [],
        worst=preview.worst_rows(version, PREVIEW_ROWS + 2) if ready else [],
        choose=_pane_of(version),
    )
    return render(request, "datasets/distill/check.html", context)


def _pane_of(version: DatasetVersion) -> str:
    """The pane with the filter that the version was chosen by."""
    frozen = version.frozen_selection
    q = frozen.q if frozen is not None and frozen.everything else ""
    return f"{reverse('home')}?{urlencode({'q': q})}" if q else reverse("home")
