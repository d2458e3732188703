"""Fine-tuning jobs in lists: all, those launched together, and the models that go."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from datasets import radar
from datasets.finetune import comparison, costs, elsewhere, picture
from datasets.models import Deployment, FineTune, Sweep
from datasets.views import measuring
from portal.htmx import fragment, toast, wants_fragment
from portal.models import Connection
from portal.permissions import fetch, may

MOST = 200
POINTS = 40  # of a small curve
ASKED = 4  # connections that one page asks in its background


@dataclass(frozen=True)
class Spark:
    """A small curve of the loss, in a box of 100 by 24."""

    points: str
    first: float
    last: float


@require_safe
def list_all(request: HttpRequest) -> HttpResponse:
    """Every job on the connections that the person may read."""
    found = (
        FineTune.objects.readable_by(request.user)
        .exclude(state=FineTune.State.DRAFT)
        .select_related("connection", "version__dataset", "action", "file", "sweep", "created_by")
    )[:MOST]
    tunes = list(found)
    spent = costs.of_many(tunes)
    jobs = [
        {
            "tune": tune,
            "words": picture.in_words(tune),
            "tone": picture.tone(tune),
            "spark": spark(tune),
            "cost": spent[tune.pk].shortly,
        }
        for tune in tunes
    ]
    deployments = (
        Deployment.objects.readable_by(request.user)
        .exclude(state=Deployment.State.DELETED)
        .select_related("connection")
        .order_by("-id")
    )
    context = {
        "jobs": jobs,
        "deployments": deployments[:MOST],
        "may_look": Connection.objects.actionable_by(request.user).with_endpoint().exists(),
        **_radar(request),
    }
    return render(request, "datasets/finetunes.html", context)


def _radar(request: HttpRequest) -> dict[str, Any]:
    students = radar.students(request.user)
    return {
        "students": students,
        "radar_asks": bool(radar.to_ask(request.user)),
        "radar_urgent": any(student.retirement.tone for student in students),
    }


@require_safe
def retiring(request: HttpRequest) -> HttpResponse:
    """The models that go, after asking providers that were not asked for long."""
    if not wants_fragment(request):
        return redirect("datasets:finetunes")
    for connection in radar.to_ask(request.user)[:ASKED]:
        radar.ask(connection)
    return render(request, "datasets/radar.html#radar", _radar(request) | {"radar_asks": False})


def spark(tune: FineTune) -> Spark | None:
    """The loss of a job that has ended, or so far; None where nothing is known."""
    rows: Sequence[dict[str, float]] = tune.curve
    if not rows and tune.state == FineTune.State.RUNNING:
        rows = picture.curve(tune, [])
    losses = [row["train_loss"] for row in rows if "train_loss" in row]
    if len(losses) < 2:
        return None
    every = max(1, len(losses) // POINTS)
    shown = [*losses[:-1:every], losses[-1]]
    low, high = min(shown), max(shown)
    wide = (high - low) or 1.0
    points = " ".join(
        f"{100 * place / (len(shown) - 1):.1f},{22 - 20 * (loss - low) / wide:.1f}"
        for place, loss in enumerate(shown)
    )
    return Spark(points, losses[0], losses[-1])


@require_safe
def sweep(request: HttpRequest, pk: int) -> HttpResponse:
    """Jobs that were launched together, side by side."""
    sweeps = Sweep.objects.select_related("connection", "version__dataset", "created_by")
    found: Sweep = fetch(sweeps, request.user, pk=pk)
    tunes = list(
        found.fine_tunes.select_related("connection", "version__dataset", "action", "file").order_by("id")
    )
    context = {
        "sweep": found,
        "variants": comparison.of(tunes),
        "differing": comparison.differing(tunes),
        "charts": [(chart, picture.unchanged(chart)) for chart in comparison.charts(tunes)],
        "may_evaluate": may(Sweep.objects, request.user, "act", found) and bool(measuring.answering(found)),
        "live": any(tune.state not in FineTune.ENDED for tune in tunes),
    }
    return render(request, fragment(request, "datasets/sweep.html", {"variants"}), context)


@require_POST
def look_elsewhere(request: HttpRequest) -> HttpResponse:
    """Look for jobs that were started elsewhere, on every connection that the person may act on."""
    usable = (Connection.State.CONNECTED, Connection.State.ATTENTION)
    if not Connection.objects.readable_by(request.user).exists():
        raise Http404
    mine = Connection.objects.actionable_by(request.user)
    if not mine.exists():
        raise PermissionDenied
    found = mine.with_endpoint().filter(state__in=usable)
    begun = [elsewhere.begin(connection, request.user) for connection in found]
    text = "The providers are asked for their jobs." if begun else "There is no connection to ask."
    return toast(request, redirect("datasets:finetunes"), text, "ok" if begun else "info")
