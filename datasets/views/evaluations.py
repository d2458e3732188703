"""Evaluations with their runs."""

from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.db.models import Count, OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from datasets import received
from datasets.build.lines import in_words
from datasets.evaluate import copying, graders, removal, sources, tally
from datasets.evaluate.targets import read
from datasets.evaluate.thresholds import graders_of
from datasets.models import Evaluation, Run
from datasets.views.schedules import panel_of
from portal.htmx import toast
from portal.permissions import fetch, may

PER_PAGE = 50


@require_GET
def list_all(request: HttpRequest) -> HttpResponse:
    """Every evaluation whose sources this person may read, with its last run; `q` is part of a name."""
    named = request.GET.get("q", "").replace("\x00", "").strip()[:120]
    readable = Evaluation.objects.readable_by(request.user)
    # A run may ask connections of its own, which not everybody who reads the items may read.
    newest = Run.objects.readable_by(request.user).filter(evaluation=OuterRef("pk")).order_by("-number")
    found = (
        (readable.filter(name__icontains=named) if named else readable)
        .select_related("version", "owner")
        .prefetch_related("connections")
        .annotate(run_count=Count("runs"), last_id=Subquery(newest.values("pk")[:1]))
        .order_by("-pk")
    )
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    last = Run.objects.select_related("evaluation").in_bulk([row.last_id for row in page if row.last_id])
    entries = [
        {"evaluation": row, "run": last.get(row.last_id), "said": _said(last.get(row.last_id))}
        for row in page
    ]
    context = {
        "page": page,
        "entries": entries,
        "named": named,
        "kept": urlencode({"q": named}) if named else "",
        "any": bool(entries) or (bool(named) and readable.exists()),
        "may_begin": received.may_upload(request.user),
    }
    return render(request, "datasets/evaluate/list.html", context)


@require_GET
def evaluation(request: HttpRequest, pk: int) -> HttpResponse:
    """What is measured and how, and every run."""
    found = _evaluation(request, pk)
    readable = Run.objects.readable_by(request.user).filter(evaluation=found)
    ran = list(readable.select_related("created_by", "operation"))
    run_count = found.runs.count()
    context = {
        "evaluation": found,
        "graders": described(found),
        "runs": [{"run": run, "said": _said(run), "targets": read(run.targets)} for run in ran],
        "may_act": may(Evaluation.objects, request.user, "act", found),
        "draft": not run_count,
        "run_count": run_count,
        "hidden": run_count - len(ran),
        "left_out": left_out(found),
        "may_copy": not copying.why_not(found),
        "items_go": sources.is_made_for(found)
        and not Evaluation.objects.filter(version=found.version_id).exclude(pk=found.pk).exists(),
        **panel_of(request, found),
    }
    return render(request, "datasets/evaluate/evaluation.html", context)


@require_POST
def evaluation_copy(request: HttpRequest, pk: int) -> HttpResponse:
    """Set up another one like it, whose graders can be changed."""
    found = _evaluation(request, pk, "act")
    try:
        made, is_new = copying.copy(found, request.user)
    except copying.Refused as reason:
        return toast(request, redirect("datasets:evaluation", pk), str(reason), "bad")
    where = redirect("datasets:evaluate", made.pk, "graders")
    return where if is_new else toast(request, where, "This is the copy that you have already.", "info")


@require_POST
def evaluation_delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove an evaluation with its runs, here only."""
    found = _evaluation(request, pk, "act")
    try:
        operation = removal.delete(found, request.user)
    except removal.InUse as reason:
        return toast(request, redirect("datasets:evaluation", pk), str(reason), "bad")
    said = "is being deleted. Its rows are many, so a worker removes them." if operation else "was deleted."
    return toast(request, redirect("datasets:evaluations"), f"“{found.name}” {said}")


def _evaluation(request: HttpRequest, pk: int, verb: Any = "read") -> Evaluation:
    found: Evaluation = fetch(
        Evaluation.objects.select_related("version__dataset", "version__frozen_selection", "owner"),
        request.user,
        verb,
        pk=pk,
    )
    return found


def described(evaluation: Evaluation, run: Run | None = None) -> list[dict[str, Any]]:
    """The graders in words: as they are now, or as a run had them."""
    return [
        {
            "grader": grader,
            "described": graders.describe(grader.kind, grader.params),
            "explained": graders.explain(grader.kind, grader.params),
        }
        for grader in (evaluation.graders.all() if run is None else graders_of(run))
    ]


def _said(run: Run | None) -> str:
    """The run's result as a sentence; empty until it is done."""
    return tally.headline_of(run) if run is not None and run.state == Run.State.DONE else ""


def left_out(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Why chosen rows are no items, most frequent first."""
    counts = evaluation.version.counts.get("left_out", {})
    return [
        {"text": in_words(reason), "n": n}
        for reason, n in sorted(counts.items(), key=lambda entry: -entry[1])
    ]
