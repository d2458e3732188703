"""The first steps of the Evaluate wizard: what is measured on, and what answers are compared with."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from completions.models import FrozenSelection
from completions.selection import name_of
from datasets import wizard
from datasets.build.items import META
from datasets.evaluate import setup
from datasets.evaluate_forms import DataForm, ReferenceForm
from datasets.models import Evaluation
from datasets.views.evaluate_page import page_of, status_of
from portal.permissions import fetch


@require_http_methods(["GET", "POST"])
def start(request: HttpRequest, selection: UUID) -> HttpResponse:
    """Step 1 of a new evaluation; posting confirms the frozen selection."""
    mine = FrozenSelection.objects.ready().filter(owner__in=[request.user.pk])
    frozen: FrozenSelection = fetch(mine, request.user, "act", pk=selection)
    begun = setup.draft_on(frozen, request.user)
    if begun is not None and request.method == "GET":
        return redirect(
            "datasets:evaluate", begun.pk, wizard.first_open(setup.STEPS, setup.done_steps(begun))
        )
    own = Evaluation.objects.filter(owner=request.user.pk)
    name = wizard.free_name(name_of(frozen), set(own.values_list("name", flat=True)))
    form = DataForm(request.POST or None, initial={"name": name})
    if request.method == "POST" and form.is_valid():
        evaluation = setup.begin(frozen, form.cleaned_data["name"], request.user)
        return redirect("datasets:evaluate", evaluation.pk, "reference")
    context = {
        "form": form,
        "frozen": frozen,
        "sources": frozen.connections.all(),
        "steps": wizard.steps(setup.STEPS, "data", (), lambda _: request.path),
        "leave": reverse("completions:pane"),
    }
    return render(request, "datasets/evaluate/data.html", context, status=status_of(form))


def data(request: HttpRequest, evaluation: Evaluation) -> HttpResponse:
    form = DataForm(request.POST or None, initial={"name": evaluation.name})
    if request.method == "POST" and form.is_valid():
        setup.rename(evaluation, form.cleaned_data["name"])
        return redirect("datasets:evaluate", evaluation.pk, "reference")
    context = page_of(evaluation, "data", form=form, sources=evaluation.connections.all())
    return render(request, "datasets/evaluate/data.html", context, status=status_of(form))


def reference(request: HttpRequest, evaluation: Evaluation) -> HttpResponse:
    coverage = setup.coverage_of(evaluation)
    keys = [entry["key"] for entry in coverage["keys"]]
    chosen = setup.targets_of(evaluation)
    form = ReferenceForm(request.POST or None, keys=keys, chosen=chosen)
    if request.method == "POST" and form.is_valid():
        setup.set_reference(evaluation, form.cleaned_data["reference"])
        return redirect("datasets:evaluate", evaluation.pk, "targets")
    told = "reference" in setup.done_steps(evaluation)
    marked = request.POST.get("reference", (evaluation.reference or "none") if told else "answer")
    context = page_of(
        evaluation,
        "reference",
        form=form,
        coverage={**coverage, "keys": [_offered(entry, coverage["looked"]) for entry in coverage["keys"]]},
        marked=marked,
        stored_is_target=any(not target.is_fresh for target in chosen),
    )
    return render(request, "datasets/evaluate/reference.html", context, status=status_of(form))


def _offered(entry: dict[str, Any], looked: int) -> dict[str, Any]:
    return {**entry, "value": f"{META}{entry['key']}", "share": entry["n"] / looked}
