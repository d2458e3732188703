"""Datasets and their versions: a list, a look inside, the file itself."""

from django.db import transaction
from django.db.models import Count, Prefetch
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.text import slugify
from django.views.decorators.http import require_POST, require_safe

from datasets import distill, preview
from datasets.build import build, files
from datasets.build.lines import in_words
from datasets.models import Dataset, DatasetVersion, Deployment, FineTune, Purpose
from datasets.views.distill import problems_in_words
from portal import audit
from portal.models import Connection
from portal.permissions import Verb, fetch, may

SHOWS = ("rows", "raw", "left-out", "about")
MOST = 200


@require_safe
def list_all(request: HttpRequest) -> HttpResponse:
    """Every dataset that the person may read, with its newest version."""
    versions = DatasetVersion.objects.order_by("-number").annotate(trained=Count("fine_tunes"))
    found = (
        Dataset.objects.readable_by(request.user)
        .select_related("owner")
        .prefetch_related(Prefetch("versions", queryset=versions))
    )
    datasets = [
        {"dataset": dataset, "newest": all_versions[0], "versions": len(all_versions)}
        for dataset in found[:MOST]
        if (all_versions := list(dataset.versions.all()))
    ]
    return render(request, "datasets/list.html", {"datasets": datasets})


@require_safe
def dataset(request: HttpRequest, pk: int) -> HttpResponse:
    """One dataset and its versions; with a single version, that one."""
    found: Dataset = fetch(Dataset.objects.select_related("owner"), request.user, pk=pk)
    versions = list(found.versions.order_by("-number").annotate(trained=Count("fine_tunes")))
    if len(versions) == 1:
        return redirect("datasets:version", found.pk, versions[0].number)
    return render(request, "datasets/dataset.html", {"dataset": found, "versions": versions})


def _version(request: HttpRequest, pk: int, number: int, verb: Verb = "read") -> DatasetVersion:
    versions = DatasetVersion.objects.select_related("dataset", "frozen_selection", "created_by")
    found: DatasetVersion = fetch(versions, request.user, verb, dataset=pk, number=number)
    return found


@require_safe
def version(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Look inside a version: conversations, raw lines, what was left out, where it comes from."""
    found = _version(request, pk, number)
    show = request.GET.get("show", "rows")
    if show not in SHOWS:
        raise Http404
    after = request.GET.get("after", "")
    position = int(after) if after.isdigit() and len(after) < 10 else -1
    line = request.GET.get("line", "")
    if line.isdigit() and len(line) < 10:
        wanted = found.examples.filter(line=int(line)).values_list("position", flat=True).first()
        position = wanted - 1 if wanted is not None else -1
    examples, following = preview.page(found, position, left_out=show == "left-out")
    tunes = FineTune.objects.readable_by(request.user).filter(version=found).select_related("connection")
    context = {
        "version": found,
        "show": show,
        "examples": examples,
        "reasons": [(example, in_words(example.excluded_reason)) for example in examples],
        "rows": preview.rows(found, examples) if show in ("rows", "raw") else [],
        "next": None if show == "about" else following,
        "first": position < 0,
        "left_out": preview.left_out(found),
        "left_out_count": found.left_out_total,
        "problems": problems_in_words(found),
        "operation": build.operation_of(found),
        "fine_tunes": tunes,
        "deployments": Deployment.objects.readable_by(request.user).filter(fine_tune__in=tunes),
        "sources": found.connections.all(),
        "supervised": found.dataset.purpose == Purpose.SUPERVISED,
        "may_act": may(DatasetVersion.objects, request.user, "act", found)
        and Connection.objects.actionable_by(request.user).with_endpoint().exists(),
        "recipe": found.recipe,
        "draft": distill.draft_of(found) is not None,
    }
    return render(request, "datasets/version.html", context)


@require_safe
def download(request: HttpRequest, pk: int, number: int) -> HttpResponseBase:
    """The exact file."""
    found = _version(request, pk, number)
    if found.state != DatasetVersion.State.READY:
        raise Http404
    with transaction.atomic():
        audit.record(request.user, "dataset_version.downloaded", found, sha256=found.sha256)
    name = f"{slugify(found.dataset.name)[:60] or 'dataset'}-v{found.number}.jsonl"
    response = FileResponse(
        files.open_file(found), as_attachment=True, filename=name, content_type="application/jsonl"
    )
    response["Digest"] = f"sha-256={found.sha256}"
    return response


@require_POST
def delete(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Remove a version that nothing was made from; the dataset goes with its last one."""
    found = _version(request, pk, number, "act")
    live = build.operation_of(found)
    used = found.fine_tunes.exclude(state=FineTune.State.DRAFT).exists() or found.evaluations.exists()
    if used or (live is not None and live.is_live):
        return HttpResponse("It is in use.", status=409)
    with transaction.atomic():
        audit.record(request.user, "dataset_version.deleted", found, rows=found.rows)
        found.fine_tunes.filter(state=FineTune.State.DRAFT).delete()
        path = found.path
        found.delete()
        if not found.dataset.versions.exists():
            found.dataset.delete()
        if path:
            transaction.on_commit(lambda: files.artifacts().delete(path), robust=True)
    return redirect("datasets:list")
