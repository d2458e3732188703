"""The Evaluate wizard: what is measured on, reference, targets, graders, run. Every step is an address."""

from collections.abc import Callable
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from datasets.evaluate import (
    copying,
    names,
    obstacles,
    paying,
    python_graders,
    setup,
    sources_seen,
    suggestions,
)
from datasets.evaluate import run as runs
from datasets.evaluate.targets import FRESH_KEYS, Target
from datasets.evaluate_forms import TargetsForm
from datasets.models import Evaluation, Grader
from datasets.run_forms import run_form
from datasets.sampling_forms import reachable_by
from datasets.views import evaluate_data, evaluate_graders, provider_runs
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
        doubts = names.doubts(form.targets(), request.user)
        if names.all_told(doubts, request.POST.getlist("told")):
            told = {"doubts": [doubt.as_dict() for doubt in doubts]}
            chosen = [target.as_dict() for target in form.targets()]
            setup.finish(evaluation, "targets", targets=chosen, **told)
            return redirect("datasets:evaluate", evaluation.pk, "graders")
    context = page_of(
        evaluation,
        "targets",
        doubts=doubts,
        copied=copying.told(evaluation, request.user),
        **targets_context(request, evaluation, form),
    )
    return render(request, "datasets/evaluate/targets.html", context, status=status_of(form))


def targets_form(request: HttpRequest, evaluation: Evaluation) -> TargetsForm:
    """The choice of what is measured, showing what was chosen last."""
    chosen = readable(setup.targets_of(evaluation), request.user)
    initial = TargetsForm.initial_of(chosen)
    if not chosen:
        initial["stored"] = not setup.stored_refusal(evaluation)
    source = sources_seen.mostly_from(evaluation, reachable_by(request.user))
    for key in FRESH_KEYS:
        initial.setdefault(f"{key}_connection", source)
    return TargetsForm(
        request.POST or None,
        initial=initial,
        user=request.user,
        reference=evaluation.reference,
        refused=setup.stored_refusal(evaluation),
    )


def readable(targets: tuple[Target, ...], user: Any) -> tuple[Target, ...]:
    """Those whose models this person may know of: others stay unnamed."""
    asked = {target.connection for target in targets if target.connection is not None}
    known = set(Connection.objects.readable_by(user).filter(pk__in=asked).values_list("pk", flat=True))
    return tuple(target for target in targets if target.connection in {None, *known})


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


def _review(request: HttpRequest, evaluation: Evaluation) -> HttpResponse:
    chosen = setup.targets_of(evaluation)
    problem = _obstacle(evaluation, chosen, request.user)
    posted = request.POST if request.method == "POST" else None
    asked = run_form(posted, evaluation)
    place = provider_runs.asked_place(request)
    look = place is None and asked.is_valid() and asked.must_look(chosen)
    if asked.is_valid() and place is None and not look and not problem:
        try:
            run = provider_runs.start(request, evaluation, chosen, asked.options())
        except runs.Refused as refused:
            problem = str(refused)
        else:
            setup.finish(evaluation, "review", run=asked.options())
            return toast(
                request, redirect("datasets:run", evaluation.pk, run.number), "The run has started.", "info"
            )
    estimate = setup.estimate(evaluation, chosen, asked.repetitions_shown)
    context = page_of(
        evaluation,
        "review",
        targets=readable(chosen, request.user),
        graders=evaluation.graders.all(),
        estimate=estimate,
        calls=estimate.calls + estimate.judgements,
        tokens=paying.tokens_ahead(evaluation, chosen, asked.repetitions_shown, estimate),
        partial=evaluate_graders.partial_judges(evaluation),
        ahead=paying.ahead(evaluation, chosen, asked.repetitions_shown, request.user),
        counted=paying.agreed(evaluation, chosen, asked.repetitions_shown),
        run_form=asked,
        look=look,
        **provider_runs.places(request, place),
        doubts=names.left(evaluation.setup.get("doubts", ())),
        problem=problem,
    )
    status = 422 if (problem and posted is not None) or (asked.errors and place is None) else 200
    return render(request, "datasets/evaluate/review.html", context, status=status)


def _obstacle(evaluation: Evaluation, chosen: tuple[Target, ...], user: Any) -> str:
    """What has come between since graders and targets were chosen, each by itself."""
    kinds = set(evaluation.graders.values_list("kind", flat=True))
    alone = len(chosen) < 2 and Grader.Kind.PAIRWISE in kinds
    return (
        python_graders.refusal(evaluation.graders.all())
        or (setup.stored_refusal(evaluation) if any(not each.is_fresh for each in chosen) else "")
        or obstacles.of(evaluation, chosen, user)
        or (obstacles.ALONE if alone else "")
    )


_VIEWS: dict[str, Callable[[HttpRequest, Evaluation], HttpResponse]] = {
    "data": evaluate_data.data,
    "reference": evaluate_data.reference,
    "targets": _targets,
    "graders": evaluate_graders.step,
    "review": _review,
}
