"""Where a run is done: here, or by the provider's own evaluations."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from datasets.evaluate import provider, provider_places
from datasets.evaluate import run as runs
from datasets.evaluate.targets import Target, read
from datasets.models import Evaluation, Run
from portal.models import Connection
from portal.permissions import fetch


def asked_place(request: HttpRequest) -> Connection | None:
    """The connection that a button of the form asks whether it runs evaluations; it was asked then.

    The form is shown again with what was typed in it, and nothing is started.
    """
    if request.method != "POST" or "ask" not in request.POST:
        return None
    place = _place(request, request.POST["ask"])
    provider_places.probe(place)
    return place


def places(request: HttpRequest, asked: Connection | None = None) -> dict[str, Any]:
    """What the form offers: connections that run evaluations, those that nobody asked, those that do not.

    `asked` is the one that a button of the form has just asked.
    """
    return {
        "asked_place": asked,
        "asked_finding": provider_places.finding_of(asked) if asked is not None else None,
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


def _place(request: HttpRequest, pk: str) -> Connection:
    found: Connection = fetch(
        Connection.objects, request.user, "act", pk=int(pk) if pk.isdecimal() and len(pk) < 10 else 0
    )
    return found
