"""Start a run, pause it, go on, ask again, cancel it."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from datasets.evaluate import names, obstacles, paying, provider, setup
from datasets.evaluate import run as runs
from datasets.evaluate.targets import Target, read
from datasets.models import Evaluation, Run
from datasets.run_forms import run_form
from datasets.views import provider_runs
from datasets.views.evaluate import readable, targets_context, targets_form
from portal import operations
from portal.htmx import toast
from portal.models import Connection
from portal.permissions import fetch


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest, pk: int) -> HttpResponse:
    """Measure other targets with the same items and graders."""
    found = evaluation_to_run(request, pk)
    if not found.runs.exists():
        return redirect("datasets:evaluate", found.pk, "targets")
    posted = request.POST if request.method == "POST" else None
    form, asked = targets_form(request, found), run_form(posted, found)
    doubts: list[names.Doubt] = []
    chosen = readable(setup.targets_of(found), request.user)
    look = False
    place = provider_runs.asked_place(request)
    if posted is not None and form.is_valid() and asked.is_valid():
        chosen = form.targets()
        doubts = names.doubts(chosen, request.user)
        look = place is not None or asked.must_look(chosen)
        if names.all_told(doubts, posted.getlist("told")) and not look:
            try:
                run = provider_runs.start(request, found, chosen, asked.options())
            except runs.Refused as refused:
                form.add_error(None, str(refused))
            else:
                told = {"targets": [target.as_dict() for target in chosen], "run": asked.options()}
                setup.finish(found, "targets", **told)
                where = redirect("datasets:run", found.pk, run.number)
                return toast(request, where, "The run has started.", "info")
    wrong = posted is not None and place is None and not (form.is_valid() and asked.is_valid())
    context = {
        "evaluation": found,
        "doubts": doubts,
        "chosen": chosen,
        "run_form": asked,
        "look": look and place is None,
        **provider_runs.places(request, place),
        **costs(found, chosen, asked.repetitions_shown, request.user),
        **targets_context(request, found, form),
    }
    return render(request, "datasets/evaluate/run_new.html", context, status=422 if wrong else 200)


def costs(evaluation: Evaluation, targets: tuple[Target, ...], repetitions: int, user: Any) -> dict[str, Any]:
    """What a run will ask for and what that may cost, as pages show it."""
    return {
        "estimate": setup.estimate(evaluation, targets, repetitions),
        "ahead": paying.ahead(evaluation, targets, repetitions, user),
        "counted": paying.agreed(evaluation, targets, repetitions),
    }


@require_POST
def again(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """The same measurement once more, held to the same goal."""
    found = _run(request, pk, number)
    if problem := obstacles.gone(runs.asked_of(found.evaluation, read(found.targets))):
        return toast(request, redirect("datasets:run", pk, number), problem, "bad")
    check_reach(request, found.evaluation, read(found.targets))
    try:
        another = provider_runs.again(request, found)
    except runs.Refused as refused:
        return toast(request, redirect("datasets:run", pk, number), str(refused), "bad")
    return toast(request, redirect("datasets:run", pk, another.number), "The run has started.", "info")


@require_POST
def retry(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Go on with a run that was paused or cancelled, or ask again for what failed."""
    found = _run(request, pk, number)
    if problem := obstacles.gone(runs.asked_of(found.evaluation, read(found.targets))):
        return toast(request, redirect("datasets:run", pk, number), problem, "bad")
    check_reach(request, found.evaluation, read(found.targets))
    where = redirect("datasets:run", pk, number)
    if runs.go_on(found, request.user):
        return toast(request, where, "The run goes on.", "info")
    if found.state in runs.LIVE:
        return toast(request, where, "The run is still going on.", "info")
    try:
        if found.backend == Run.Backend.PROVIDER:
            provider.go_on(found, request.user)
            return toast(request, where, "The run goes on.", "info")
        count = runs.retry_failed(found, request.user)
    except runs.Refused as refused:
        return toast(request, where, str(refused), "bad")
    return toast(request, where, f"{count:,} calls are made again." if count else "The run goes on.", "info")


@require_POST
def pause(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Let no more calls begin; what is on its way is kept."""
    found = _run(request, pk, number)
    paused = runs.pause(found, request.user)
    text = "It pauses as soon as the calls on their way are answered." if paused else "The run does not run."
    return toast(request, redirect("datasets:run", pk, number), text, "info")


@require_POST
def cancel(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Cancel a run; the answers that came are kept."""
    found = _run(request, pk, number)
    cancelled = found.operation is not None and operations.cancel(found.operation, request.user)
    text = "It is cancelled once the calls on their way are answered." if cancelled else "The run had ended."
    return toast(request, redirect("datasets:run", pk, number), text, "info")


def evaluation_to_run(request: HttpRequest, pk: int) -> Evaluation:
    """The evaluation, if this person may run it."""
    found: Evaluation = fetch(
        Evaluation.objects.select_related("version__dataset", "version__frozen_selection", "owner"),
        request.user,
        "act",
        pk=pk,
    )
    return found


def check_reach(request: HttpRequest, evaluation: Evaluation, targets: tuple[Target, ...]) -> None:
    """404 unless the person may ask every connection that such a run asks."""
    for connection in runs.asked_of(evaluation, targets):
        fetch(Connection.objects, request.user, "act", pk=connection)


def _run(request: HttpRequest, pk: int, number: int) -> Run:
    queryset = Run.objects.select_related("evaluation__version__dataset", "operation", "created_by")
    found: Run = fetch(queryset, request.user, "act", evaluation=pk, number=number)
    return found
