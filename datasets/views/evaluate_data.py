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
from datasets.build.columns import COLUMN, CORRECTION, ELSE_META, LABEL
from datasets.evaluate import setup, sources, sources_preview, sources_seen
from datasets.evaluate.shape import INPUT, OUTPUT, REFERENCE
from datasets.evaluate.sources_preview import Preview
from datasets.evaluate_data_forms import NO_REFERENCE, ColumnsForm, DataForm, ReferenceForm
from datasets.models import DatasetVersion, Evaluation
from datasets.problems import problems_in_words
from datasets.received import operation_of
from datasets.views.evaluate_page import page_of, status_of
from portal.htmx import go, wants_fragment
from portal.permissions import fetch

State = DatasetVersion.State


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
    form = DataForm(request.POST or None, initial={"name": free_name(name_of(frozen), request.user)})
    if request.method == "POST" and form.is_valid():
        evaluation = setup.begin(frozen, form.cleaned_data["name"], request.user)
        return redirect("datasets:evaluate", evaluation.pk, "reference")
    context = {
        "form": form,
        "frozen": frozen,
        "told": f"{frozen.count:,} stored completion{'s' * (frozen.count != 1)} chosen",
        "sources": frozen.connections.all(),
        "steps": wizard.steps(setup.STEPS, "data", (), lambda _: request.path),
        "leave": reverse("completions:pane"),
    }
    return render(request, "datasets/evaluate/data.html", context, status=status_of(form))


def free_name(name: str, user: Any) -> str:
    """A name that none of the person's evaluations has."""
    own = Evaluation.objects.filter(owner=user.pk)
    return wizard.free_name(name, set(own.values_list("name", flat=True)))


def data(request: HttpRequest, evaluation: Evaluation) -> HttpResponse:
    """What is measured on. A file is looked at first, then taken, then its columns are named."""
    if setup.is_from_file(evaluation):
        return _file(request, evaluation)
    form = DataForm(request.POST or None, initial={"name": evaluation.name})
    if request.method == "POST" and form.is_valid():
        setup.rename(evaluation, form.cleaned_data["name"])
        return redirect("datasets:evaluate", evaluation.pk, "reference")
    context = page_of(evaluation, "data", form=form, sources=evaluation.connections.all())
    return render(request, "datasets/evaluate/data.html", context, status=status_of(form))


def _file(request: HttpRequest, evaluation: Evaluation) -> HttpResponse:
    version = evaluation.version
    if wants_fragment(request):  # what reads the lines has ended, so the page comes anew
        return go(request, request.get_full_path())
    if version.state in (State.BUILDING, State.REFUSED, State.FAILED):
        if request.method == "POST" and version.state == State.FAILED:
            sources.take(evaluation, request.user)
            return redirect("datasets:evaluate", evaluation.pk, "data")
        return render(request, "datasets/evaluate/data_file.html", _file_page(evaluation, None, None))
    ready = version.state == State.READY
    preview = sources_preview.of_version(evaluation) if ready else sources_preview.of_upload(version)
    ours = "part_of" in version.source or version.origin == version.Origin.SELECTION
    named = () if ours else preview.columns  # what we wrote has our names
    form = ColumnsForm(request.POST or None, columns=named, initial=_columns(evaluation, preview))
    if request.method == "POST" and form.is_valid():
        _keep(evaluation, form.cleaned_data)
        if ready:
            setup.finish(evaluation, "data")
            return redirect("datasets:evaluate", evaluation.pk, "reference")
        sources.take(evaluation, request.user)
        return redirect("datasets:evaluate", evaluation.pk, "data")
    context = _file_page(evaluation, form, preview)
    return render(request, "datasets/evaluate/data_file.html", context, status=status_of(form))


def _file_page(evaluation: Evaluation, form: ColumnsForm | None, preview: Preview | None) -> dict[str, Any]:
    version = evaluation.version
    return page_of(
        evaluation,
        "data",
        form=form,
        preview=preview,
        version=version,
        operation=operation_of(version),
        sources=evaluation.connections.all(),
        bad=[problem for problem in version.problems if problem.get("number")],
        problems=problems_in_words(version) if version.state == State.READY else [],
        shared=bool(evaluation.setup.get("shared")),
    )


def _columns(evaluation: Evaluation, preview: Preview) -> dict[str, Any]:
    """What was told, else what the names of the columns say."""
    told = evaluation.setup.get("columns") or {}
    known = "columns" in evaluation.setup
    referred = evaluation.reference.removeprefix(COLUMN) if evaluation.reference.startswith(COLUMN) else ""
    return {
        "name": evaluation.name,
        INPUT: told.get(INPUT, INPUT if known and INPUT in preview.columns else preview.guess(INPUT)),
        OUTPUT: told.get(OUTPUT, OUTPUT if known and OUTPUT in preview.columns else preview.guess(OUTPUT)),
        REFERENCE: referred if known or evaluation.reference else preview.guess(REFERENCE),
    }


def _keep(evaluation: Evaluation, told: dict[str, Any]) -> None:
    if told["name"] != evaluation.name:
        if evaluation.setup.get("shared"):  # the dataset has a name of its own
            Evaluation.objects.filter(pk=evaluation.pk).update(name=told["name"])
            evaluation.name = told["name"]
        else:
            setup.rename(evaluation, told["name"])
    if INPUT in told:
        sources.name_columns(evaluation, told)
        column = told[REFERENCE]
        if column and column != told[OUTPUT]:
            evaluation.reference = f"{COLUMN}{column}"
        elif evaluation.reference.startswith(COLUMN):
            evaluation.reference = ""
        evaluation.save(update_fields=["reference"])


def reference(request: HttpRequest, evaluation: Evaluation) -> HttpResponse:
    """What answers are compared with."""
    coverage = setup.coverage_of(evaluation)
    offered = sources_seen.offered(coverage)
    chosen = setup.targets_of(evaluation)
    form = ReferenceForm(
        request.POST or None,
        offered={entry["value"] for entry in offered},
        chosen=chosen,
        corrections=coverage.get("corrections"),
        answers=bool(coverage["answers"] or not coverage["looked"]),
    )
    if request.method == "POST" and form.is_valid():
        setup.set_reference(evaluation, form.cleaned_data["reference"])
        return redirect("datasets:evaluate", evaluation.pk, "targets")
    marked, else_key = _marked(request, evaluation, coverage)
    context = page_of(
        evaluation,
        "reference",
        form=form,
        coverage=coverage,
        offered=offered,
        keys=[entry["key"] for entry in coverage["keys"]],
        marked=marked,
        else_key=else_key,
        from_file=setup.is_from_file(evaluation),
        stored_is_target=any(not target.is_fresh for target in chosen),
    )
    return render(request, "datasets/evaluate/reference.html", context, status=status_of(form))


def _marked(request: HttpRequest, evaluation: Evaluation, coverage: dict[str, Any]) -> tuple[str, str]:
    """Which reference is chosen, and the key that stands in for a missing answer."""
    if request.method == "POST":
        return request.POST.get("reference", ""), request.POST.get("else_key", "")
    kept = evaluation.reference
    if setup.is_from_file(evaluation) and kept.startswith((CORRECTION, LABEL)):
        return f"{COLUMN}{REFERENCE}", ""  # what people said is in the items; it is not looked up again
    if kept.startswith(ELSE_META):
        return CORRECTION, kept.removeprefix(ELSE_META)
    if kept or "reference" in setup.done_steps(evaluation):
        return kept or NO_REFERENCE, ""
    if coverage.get("corrections"):
        return CORRECTION, ""
    if coverage["answers"] or not coverage["looked"]:
        return "answer", ""
    first = next((entry["key"] for entry in coverage.get("columns", ()) if entry["key"] == REFERENCE), "")
    return (f"{COLUMN}{first}" if first else NO_REFERENCE), ""
