"""Where a thing came from and what came of it: a panel that pages load, or a page of its own."""

from collections.abc import Callable
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from completions.models import StoredCompletion
from datasets import descent
from datasets.lineage import Graph, draw
from datasets.models import DatasetVersion, Deployment, FineTune, Run
from portal.htmx import fragment
from portal.permissions import fetch

_OF: dict[str, tuple[Callable[[], Any], Callable[[Any, Any], Graph]]] = {
    "version": (
        lambda: DatasetVersion.objects.select_related("dataset", "frozen_selection"),
        descent.of_version,
    ),
    "job": (lambda: FineTune.objects.select_related("connection", "file"), descent.of_job),
    "deployment": (lambda: Deployment.objects.select_related("connection"), descent.of_deployment),
    "run": (lambda: Run.objects.select_related("evaluation"), descent.of_run),
    "completion": (
        lambda: StoredCompletion.objects.select_related("connection").defer("connection__secret"),
        descent.of_completion,
    ),
}


@require_safe
def lineage(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    """The graph around one thing, of what the person may read."""
    if kind not in _OF:
        raise Http404
    rows, gather = _OF[kind]
    found = fetch(rows(), request.user, pk=pk)
    graph = gather(request.user, found)
    context = {"picture": draw(graph), "subject": graph.nodes[graph.current], "kind": kind, "pk": pk}
    return render(request, fragment(request, "datasets/lineage.html", {"lineage"}), context)
