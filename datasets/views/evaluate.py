"""The Evaluate wizard: selection, reference, what is measured, graders, run. Every step is an address."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from completions.models import FrozenSelection
from completions.selection import name_of
from datasets import wizard
from datasets.build.items import META
from datasets.evaluate import names, paying, setup, suggestions, trying
from datasets.evaluate import run as runs
from datasets.evaluate.targets import FRESH_KEYS, Target
from datasets.evaluate_forms import MAX_GRADERS, DataForm, GraderForm, ReferenceForm, TargetsForm
from datasets.models import Evaluation, Grader
from portal.htmx import toast
from portal.models import Connection
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
    return render(request, "datasets/evaluate/data.html", context, status=_status(form))


@require_http_methods(["GET", "POST"])
def step(request: HttpRequest, pk: int, step: str) -> HttpResponse:
    """One of the steps of an evaluation that was begun; once it has run, its page takes over."""
    evaluations = Evaluation.objects.select_related("version__dataset", "version__frozen_selection")
    evaluation: Evaluation = fetch(evaluations, request.user, "act", pk=pk)
    if step not in _VIEWS:
        raise Http404
    if evaluation.runs.exists():
        return redirect("datasets:evaluation", evaluation.pk)
    done = setup.done_steps(evaluation)
    keys = [key for key, _ in setup.STEPS]
    missing = next((key for key in keys[: keys.index(step)] if key not in done), None)
    if missing is not None:
        return redirect("datasets:evaluate", evaluation.pk, missing)
    return _VIEWS[step](request, evaluation)


def _page(evaluation: Evaluation, current: str, **context: Any) -> dict[str, Any]:
    def url_of(key: str) -> str:
        return reverse("datasets:evaluate", args=[evaluation.pk, key])

    keys = [key for key, _ in setup.STEPS]
    place = keys.index(current)
    return {
        "evaluation": evaluation,
        "frozen": evaluation.version.frozen_selection,
        "steps": wizard.steps(setup.STEPS, current, setup.done_steps(evaluation), url_of),
        "back": url_of(keys[place - 1]) if place else "",
        "leave": reverse("datasets:evaluations"),
        **context,
    }


def _status(form: Any) -> int:
    return 422 if form.is_bound and not form.is_valid() else 200


def _data(request: HttpRequest, evaluation: Evaluation) -> HttpResponse:
    form = DataForm(request.POST or None, initial={"name": evaluation.name})
    if request.method == "POST" and form.is_valid():
        setup.rename(evaluation, form.cleaned_data["name"])
        return redirect("datasets:evaluate", evaluation.pk, "reference")
    context = _page(evaluation, "data", form=form, sources=evaluation.connections.all())
    return render(request, "datasets/evaluate/data.html", context, status=_status(form))


def _reference(request: HttpRequest, evaluation: Evaluation) -> HttpResponse:
    coverage = setup.coverage_of(evaluation)
    keys = [entry["key"] for entry in coverage["keys"]]
    chosen = setup.targets_of(evaluation)
    form = ReferenceForm(request.POST or None, keys=keys, chosen=chosen)
    if request.method == "POST" and form.is_valid():
        setup.set_reference(evaluation, form.cleaned_data["reference"])
        return redirect("datasets:evaluate", evaluation.pk, "targets")
    told = "reference" in setup.done_steps(evaluation)
    marked = request.POST.get("reference", (evaluation.reference or "none") if told else "answer")
    context = _page(
        evaluation,
        "reference",
        form=form,
        coverage={**coverage, "keys": [_offered(entry, coverage["looked"]) for entry in coverage["keys"]]},
        marked=marked,
        stored_is_target=any(not target.is_fresh for target in chosen),
    )
    return render(request, "datasets/evaluate/reference.html", context, status=_status(form))


def _offered(entry: dict[str, Any], looked: int) -> dict[str, Any]:
    return {**entry, "value": f"{META}{entry['key']}", "share": entry["n"] / looked}


def _targets(request: HttpRequest, evaluation: Evaluation) -> HttpResponse:
    form = targets_form(request, evaluation)
    doubts: list[names.Doubt] = []
    if request.method == "POST" and form.is_valid():
        doubts = names.doubts(form.targets())
        if names.all_told(doubts, request.POST.getlist("told")):
            told = {"doubts": [doubt.as_dict() for doubt in doubts]}
            chosen = [target.as_dict() for target in form.targets()]
            setup.finish(evaluation, "targets", targets=chosen, **told)
            return redirect("datasets:evaluate", evaluation.pk, "graders")
    context = _page(evaluation, "targets", doubts=doubts, **targets_context(request, evaluation, form))
    return render(request, "datasets/evaluate/targets.html", context, status=_status(form))


def targets_form(request: HttpRequest, evaluation: Evaluation) -> TargetsForm:
    """The choice of what is measured, showing what was chosen last."""
    chosen = setup.targets_of(evaluation)
    initial = TargetsForm.initial_of(chosen)
    if not chosen:
        initial["stored"] = evaluation.reference != "answer"
    source = evaluation.connections.filter(
        pk__in=Connection.objects.actionable_by(request.user).with_endpoint().values("pk")
    ).first()
    for key in FRESH_KEYS:
        initial.setdefault(f"{key}_connection", source.pk if source else None)
    return TargetsForm(
        request.POST or None, initial=initial, user=request.user, reference=evaluation.reference
    )


def targets_context(request: HttpRequest, evaluation: Evaluation, form: TargetsForm) -> dict[str, Any]:
    return {
        "form": form,
        "fresh": [
            {
                "title": f"{key.capitalize()} deployment",
                "connection": form[f"{key}_connection"],
                "model": form[f"{key}_model"],
            }
            for key in form.shown
        ],
        "stored_refused": evaluation.reference == "answer",
        "suggestions": suggestions.models_for(request.user),
    }


def _graders(request: HttpRequest, evaluation: Evaluation) -> HttpResponse:
    trials: list[trying.Trial] | None = None
    if request.method == "POST":
        forms = _posted_graders(request.POST, evaluation)
        invalid = [form for form in forms if not form.is_valid()]
        valid = not invalid and _told_apart(forms)
        if "add" in request.POST or "remove" in request.POST:
            return render(
                request, "datasets/evaluate/graders.html", _graders_page(request, evaluation, forms)
            )
        if valid and forms:
            setup.set_graders(evaluation, [form.grader() for form in forms])
            if "try" not in request.POST:
                setup.finish(evaluation, "graders")
                return redirect("datasets:evaluate", evaluation.pk, "review")
            trials = _try(request, evaluation, forms)
        context = _graders_page(request, evaluation, forms, trials)
        return render(
            request, "datasets/evaluate/graders.html", context, status=200 if trials is not None else 422
        )
    saved = list(evaluation.graders.values("name", "kind", "params")) or setup.default_graders(evaluation)
    forms = [_grader_form(evaluation, number, grader) for number, grader in enumerate(saved)]
    return render(request, "datasets/evaluate/graders.html", _graders_page(request, evaluation, forms))


def _grader_form(evaluation: Evaluation, number: int, grader: Mapping[str, Any]) -> GraderForm:
    return GraderForm(
        initial={"name": grader["name"], **grader["params"]},
        prefix=f"g{number}",
        kind=grader["kind"],
        number=number,
        has_reference=bool(evaluation.reference),
    )


def _posted_graders(data: QueryDict, evaluation: Evaluation) -> list[GraderForm]:
    """The graders as typed, one more or one less if a button asked for that."""
    forms: list[GraderForm] = []
    for number in range(MAX_GRADERS):
        kind = data.get(f"g{number}-kind", "")
        if kind in Grader.Kind.values and data.get("remove") != str(number):
            forms.append(
                GraderForm(
                    data,
                    prefix=f"g{number}",
                    kind=kind,
                    number=number,
                    has_reference=bool(evaluation.reference),
                )
            )
    added = data.get("add")
    if added in Grader.Kind.values and len(forms) < MAX_GRADERS:
        free = next(n for n in range(MAX_GRADERS) if n not in {form.number for form in forms})
        forms.append(_grader_form(evaluation, free, setup.default_grader(evaluation, str(added))))
    return forms


def _told_apart(forms: list[GraderForm]) -> bool:
    seen: set[str] = set()
    for form in forms:
        name = form.cleaned_data["name"]
        if name in seen:
            form.add_error("name", "Another grader has this name.")
        seen.add(name)
    return len(seen) == len(forms)


def _graders_page(
    request: HttpRequest,
    evaluation: Evaluation,
    forms: list[GraderForm],
    trials: list[trying.Trial] | None = None,
) -> dict[str, Any]:
    chosen = setup.targets_of(evaluation)
    return _page(
        evaluation,
        "graders",
        forms=forms,
        trials=trials,
        can_add=len(forms) < MAX_GRADERS,
        target=_tried_target(request, chosen),
        choices=chosen,
        names=[form.cleaned_data["name"] for form in forms] if trials else [],
    )


def _tried_target(request: HttpRequest, chosen: tuple[Target, ...]) -> Target:
    wanted = request.POST.get("try")
    return next((target for target in chosen if target.key == wanted), chosen[0])


def _try(request: HttpRequest, evaluation: Evaluation, forms: list[GraderForm]) -> list[trying.Trial]:
    target = _tried_target(request, setup.targets_of(evaluation))
    if target.connection is not None:
        fetch(Connection.objects, request.user, "act", pk=target.connection)
    return trying.try_on(evaluation, target, [form.grader() for form in forms])


def _review(request: HttpRequest, evaluation: Evaluation) -> HttpResponse:
    chosen = setup.targets_of(evaluation)
    problem = ""
    if request.method == "POST":
        for target in chosen:
            if target.connection is not None:
                fetch(Connection.objects, request.user, "act", pk=target.connection)
        try:
            run = runs.start(evaluation, chosen, request.user)
        except runs.Refused as refused:
            problem = str(refused)
        else:
            setup.finish(evaluation, "review")
            return toast(
                request, redirect("datasets:run", evaluation.pk, run.number), "The run has started.", "info"
            )
    context = _page(
        evaluation,
        "review",
        targets=chosen,
        graders=evaluation.graders.all(),
        estimate=setup.estimate(evaluation, chosen),
        ahead=paying.ahead(evaluation, chosen),
        doubts=names.left(evaluation.setup.get("doubts", ())),
        problem=problem,
    )
    return render(request, "datasets/evaluate/review.html", context, status=422 if problem else 200)


_VIEWS: dict[str, Callable[[HttpRequest, Evaluation], HttpResponse]] = {
    "data": _data,
    "reference": _reference,
    "targets": _targets,
    "graders": _graders,
    "review": _review,
}
