"""Where a run is done: here, or by the provider's own evaluations."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from datasets.evaluate import provider, provider_places
from datasets.evaluate import run as runs
from datasets.evaluate.targets import Target, read
from datasets.models import Evaluation, Run
from portal.htmx import toast
from portal.models import Connection
from portal.permissions import fetch


def places(request: HttpRequest) -> dict[str, Any]:
    """What the form offers: connections that run evaluations, those that nobody asked, those that do not."""
    return {
        "places": provider_places.offered_to(request.user),
        "unasked": provider_places.unasked_by(request.user),
        "closed": [
            (place, provider_places.reason_of(place)) for place in provider_places.closed_to(request.user)
        ],
        "where": request.POST.get("where", ""),
    }


def start(
    request: HttpRequest, evaluation: Evaluation, targets: tuple[Target, ...], options: Mapping[str, Any]
) -> Run:
    """Start a run where the form says. Raises run.Refused."""
    where = request.POST.get("where", "")
    if not where:
        return runs.start(evaluation, targets, request.user, **options)
    return provider.start(evaluation, targets, _place(request, where), request.user, **options)


def again(request: HttpRequest, run: Run) -> Run:
    """The same measurement once more, at the same place. Raises run.Refused."""
    options = {"repetitions": run.repetitions, "goal": run.goal}
    targets = read(run.targets)
    if run.backend == Run.Backend.HERE:
        return runs.start(run.evaluation, targets, request.user, **options)
    place = _place(request, str(run.upstream.get("connection", "")))
    return provider.start(run.evaluation, targets, place, request.user, **options)


@require_POST
def probe(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask a connection whether it runs evaluations."""
    evaluation: Evaluation = fetch(Evaluation.objects, request.user, "act", pk=pk)
    place = _place(request, request.POST.get("connection", ""))
    found = provider_places.probe(place)
    back = (
        redirect("datasets:run_new", pk)
        if evaluation.runs.exists()
        else redirect("datasets:evaluate", pk, "review")
    )
    return toast(request, back, f"{place.name}: {found.text}", "ok" if found.ok else "info")


def _place(request: HttpRequest, pk: str) -> Connection:
    found: Connection = fetch(
        Connection.objects, request.user, "act", pk=int(pk) if pk.isdecimal() and len(pk) < 10 else 0
    )
    return found
