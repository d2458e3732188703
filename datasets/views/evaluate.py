"""The Evaluate wizard: what is measured on, reference, targets, graders, run. Every step is an address."""

from collections.abc import Callable, Mapping
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from datasets.evaluate import names, paying, setup, suggestions, trying
from datasets.evaluate import run as runs
from datasets.evaluate.targets import FRESH_KEYS, Target
from datasets.evaluate_forms import MAX_GRADERS, GraderForm, TargetsForm
from datasets.models import Evaluation, Grader
from datasets.run_forms import run_form
from datasets.views import evaluate_data
from datasets.views.evaluate_page import page_of, status_of
from portal.htmx import toast
from portal.models import Connection
from portal.permissions import fetch


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
    context = page_of(evaluation, "targets", doubts=doubts, **targets_context(request, evaluation, form))
    return render(request, "datasets/evaluate/targets.html", context, status=status_of(form))


def targets_form(request: HttpRequest, evaluation: Evaluation) -> TargetsForm:
    """The choice of what is measured, showing what was chosen last."""
    chosen = setup.targets_of(evaluation)
    initial = TargetsForm.initial_of(chosen)
    if not chosen:
        initial["stored"] = not setup.stored_refusal(evaluation)
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
        "stored_refused": setup.stored_refusal(evaluation),
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
            if "library" in request.POST:
                return redirect("datasets:library_take", evaluation.pk)
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
    return page_of(
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
    posted = request.POST if request.method == "POST" else None
    asked = run_form(posted, evaluation)
    look = posted is not None and asked.is_valid() and ("count" in posted or asked.must_look(chosen))
    if asked.is_valid() and not look:
        for target in chosen:
            if target.connection is not None:
                fetch(Connection.objects, request.user, "act", pk=target.connection)
        try:
            run = runs.start(evaluation, chosen, request.user, **asked.options())
        except runs.Refused as refused:
            problem = str(refused)
        else:
            setup.finish(evaluation, "review", run=asked.options())
            return toast(
                request, redirect("datasets:run", evaluation.pk, run.number), "The run has started.", "info"
            )
    context = page_of(
        evaluation,
        "review",
        targets=chosen,
        graders=evaluation.graders.all(),
        estimate=setup.estimate(evaluation, chosen, asked.repetitions_shown),
        ahead=paying.ahead(evaluation, chosen, asked.repetitions_shown),
        run_form=asked,
        look=look,
        doubts=names.left(evaluation.setup.get("doubts", ())),
        problem=problem,
    )
    status = 422 if problem or asked.errors else 200
    return render(request, "datasets/evaluate/review.html", context, status=status)


_VIEWS: dict[str, Callable[[HttpRequest, Evaluation], HttpResponse]] = {
    "data": evaluate_data.data,
    "reference": evaluate_data.reference,
    "targets": _targets,
    "graders": _graders,
    "review": _review,
}
