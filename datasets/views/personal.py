"""Personal data of a selection: a table to look at before anything is replaced, and what becomes of it."""

from dataclasses import replace
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from datasets import distill, personal_scan, personal_shown
from datasets.models import DatasetVersion
from datasets.personal_forms import DO, PersonalForm
from datasets.personal_scan import Tally
from portal.htmx import go, toast, wants_fragment
from portal.models import Operation
from portal.permissions import fetch


@require_http_methods(["GET", "POST"])
def look(request: HttpRequest, pk: int) -> HttpResponse:
    """The table. Posting tries patterns, looks through all rows, or keeps the choices in the recipe."""
    versions = DatasetVersion.objects.select_related("dataset", "frozen_selection")
    purposes = list(distill.METHODS)
    version: DatasetVersion = fetch(versions, request.user, "act", pk=pk, dataset__purpose__in=purposes)
    if wants_fragment(request) and request.method == "GET":  # all rows are looked through: a new page
        return go(request, request.get_full_path())
    if request.method == "GET":
        asked = personal_scan.of_number(version, request.GET.get("scan", ""))
        form = PersonalForm.of(distill.recipe_of(version).personal)
        if asked is not None:
            patterns = personal_scan.patterns_of(asked)
            form = PersonalForm.of(replace(form.personal, patterns=patterns))
        return _page(request, version, form)
    form = PersonalForm.sent(request.POST)
    if not form.is_valid:
        return _page(request, version, form)
    if "all" in request.POST and version.frozen_selection is not None:
        begun = personal_scan.begin(version, form.patterns, request.user)
        return redirect(f"{reverse('datasets:personal', args=[version.pk])}?scan={begun.pk}")
    if "save" in request.POST:
        return _save(request, version, form)
    return _page(request, version, form)


def _save(request: HttpRequest, version: DatasetVersion, form: PersonalForm) -> HttpResponse:
    recipe = replace(distill.recipe_of(version), personal=form.personal)
    following = distill.with_recipe(version, request.user, recipe)
    distill.take_draft(version, following)
    there = redirect("datasets:distill", following.pk, "data")
    return toast(request, there, "What becomes of personal data is part of the recipe now.")


def _page(request: HttpRequest, version: DatasetVersion, form: PersonalForm) -> HttpResponse:
    operation = personal_scan.newest(version, form.patterns)
    tally = _whole(operation)
    if tally is None:
        tally = personal_scan.sample(version, form.patterns)
    selected = version.frozen_selection.count if version.frozen_selection else 0
    context: dict[str, Any] = {
        "version": version,
        "form": form,
        "do": DO,
        "table": personal_shown.table(version, form.patterns, tally),
        "tally": tally,
        "selected": selected,
        "whole": tally.rows >= selected,
        "operation": operation if operation is not None and operation.state != Operation.State.DONE else None,
        "here": request.get_full_path(),
        "back": reverse("datasets:distill", args=[version.pk, "data"]),
    }
    return render(request, "datasets/personal.html", context, status=200 if form.is_valid else 422)


def _whole(operation: Operation | None) -> Tally | None:
    """What was found in all rows, once they are looked through."""
    if operation is None or operation.state != Operation.State.DONE:
        return None
    return personal_scan.tally_of(operation)
