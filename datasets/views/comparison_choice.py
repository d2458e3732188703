"""What stands in a comparison: chosen from runs, added and left out, named, deleted."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from datasets.evaluate import comparison as compared
from datasets.models import Comparison, Evaluation, Run
from portal.htmx import toast
from portal.permissions import fetch

OFFERED = 100  # runs


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Choose columns among the runs that are done; a run or an evaluation may be named to begin with.

    Runs that are posted whole (`run`) are compared with all their targets.
    """
    if request.method == "GET":
        return _choose(request, _whole(request, request.GET.getlist("run")))
    chosen = [*_whole(request, request.POST.getlist("run")), *request.POST.getlist("column")]
    try:
        made = compared.create(chosen, request.user, request.POST.get("name", ""))
    except compared.Refused as refused:
        return _choose(request, chosen, problem=str(refused))
    where = redirect("datasets:comparison", made.pk)
    return toast(request, where, "The comparison is kept under its own address.", "info")


@require_http_methods(["GET", "POST"])
def columns(request: HttpRequest, pk: int) -> HttpResponse:
    """Choose again what is compared."""
    found = _changeable(request, pk)
    if request.method == "GET":
        return _choose(request, [f"{entry['run']}:{entry['target']}" for entry in found.columns], found)
    chosen = request.POST.getlist("column")
    was = [f"{entry['run']}:{entry['target']}" for entry in found.columns]
    ordered = [key for key in was if key in chosen] + [key for key in chosen if key not in was]
    try:
        compared.set_columns(found, ordered, request.user)
    except compared.Refused as refused:
        return _choose(request, chosen, found, str(refused))
    return redirect("datasets:comparison", pk)


@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Leave a column out."""
    found = _changeable(request, pk)
    where = redirect("datasets:comparison", pk)
    try:
        compared.remove_column(found, request.POST.get("column", ""), request.user)
    except compared.Refused as refused:
        return toast(request, where, str(refused), "bad")
    return where


@require_POST
def baseline(request: HttpRequest, pk: int) -> HttpResponse:
    """Keep a baseline for everybody."""
    found = _changeable(request, pk)
    compared.set_baseline(found, request.POST.get("column", ""), request.user)
    return toast(request, redirect("datasets:comparison", pk), "The baseline is kept.")


@require_POST
def rename(request: HttpRequest, pk: int) -> HttpResponse:
    found = _changeable(request, pk)
    name = compared.named(request.POST.get("name", ""))
    where = redirect("datasets:comparison", pk)
    if not name:
        return toast(request, where, "A comparison needs a name.", "bad")
    compared.rename(found, name, request.user)
    return where


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove a comparison; its runs stay."""
    found = _changeable(request, pk)
    compared.delete(found, request.user)
    return toast(request, redirect("datasets:comparisons"), f"“{found.name}” was deleted. Its runs stay.")


def _changeable(request: HttpRequest, pk: int) -> Comparison:
    found: Comparison = fetch(Comparison.objects.all(), request.user, pk=pk)
    if not compared.may_change(found, request.user):
        raise PermissionDenied
    return found


def _whole(request: HttpRequest, numbers: list[str]) -> list[str]:
    """All columns of these runs, the oldest run first."""
    wanted = {int(number) for number in numbers if number.isdecimal() and len(number) < 18}
    runs = Run.objects.readable_by(request.user).select_related("evaluation").filter(pk__in=wanted)
    return [column.key for run in runs.order_by("pk") for column in compared.choices(run)]


def _choose(
    request: HttpRequest, chosen: list[str], comparison: Comparison | None = None, problem: str = ""
) -> HttpResponse:
    """The page of the choice: the evaluation that was named first, then the newest runs of others."""
    done = Run.objects.readable_by(request.user).filter(state=Run.State.DONE).select_related("evaluation")
    text = request.GET.get("evaluation", "")
    named = int(text) if text.isdecimal() and len(text) < 18 else 0
    numbers = compared.numbers_in(chosen)
    asked = set(done.filter(pk__in=numbers).values_list("evaluation", flat=True)) | {named}
    runs = list(done.filter(evaluation__in=asked).order_by("-pk")[:OFFERED])
    runs += done.exclude(evaluation__in=asked).order_by("-pk")[: OFFERED - len(runs)]
    groups: dict[int, dict[str, Any]] = {}
    for run in runs:
        group = groups.setdefault(
            run.evaluation_id, {"evaluation": run.evaluation, "runs": [], "open": run.evaluation_id in asked}
        )
        group["runs"].append({"run": run, "columns": compared.choices(run)})
    back = reverse("datasets:comparison", args=[comparison.pk]) if comparison else None
    context = {
        "comparison": comparison,
        "groups": list(groups.values()),
        "chosen": chosen,
        "problem": problem,
        "most": compared.MOST,
        "is_cut": len(runs) >= OFFERED,
        "back": back or reverse("datasets:comparisons"),
        "name": request.POST.get("name", ""),
        "begun": Evaluation.objects.readable_by(request.user).exists(),
    }
    status = 422 if problem else 200
    return render(request, "datasets/comparisons/choose.html", context, status=status)
