"""The Distill wizard: data, a look at the rows, a model, a launch. Every step is an address."""

from collections.abc import Callable

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from datasets import distill
from datasets.models import DatasetVersion
from datasets.views import distill_check, distill_data, distill_launch, distill_model
from portal.permissions import fetch

_VIEWS: dict[str, Callable[[HttpRequest, DatasetVersion], HttpResponse]] = {
    "data": distill_data.data,
    "check": distill_check.check,
    "model": distill_model.model,
    "launch": distill_launch.launch_step,
}


@require_http_methods(["GET", "POST"])
def step(request: HttpRequest, pk: int, step: str) -> HttpResponse:
    """One of the steps of a dataset that was begun."""
    versions = DatasetVersion.objects.select_related("dataset", "frozen_selection")
    purposes = list(distill.METHODS)
    version: DatasetVersion = fetch(versions, request.user, "act", pk=pk, dataset__purpose__in=purposes)
    if step not in _VIEWS:
        raise Http404
    done = distill.done_steps(version)
    keys = [key for key, _ in distill.STEPS]
    missing = next((key for key in keys[: keys.index(step)] if key not in done), None)
    if missing is not None and not (step == "launch" and request.method == "POST"):
        return redirect("datasets:distill", version.pk, missing)
    return _VIEWS[step](request, version)
