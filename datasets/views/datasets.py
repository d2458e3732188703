"""Datasets and their versions: a list, one dataset, a look inside a version, its end."""

from typing import Any
from urllib.parse import urlencode

from django.db import transaction
from django.db.models import Count, Prefetch, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from datasets import distill, look, preview, received, recipe_words, successors, tokens_of
from datasets.build import files
from datasets.build.fixes import FIXES
from datasets.models import Dataset, DatasetVersion, Deployment, Evaluation, FineTune, Purpose
from datasets.problems import problems_in_words
from portal import audit
from portal.htmx import go, wants_fragment
from portal.models import Connection
from portal.permissions import Verb, fetch, may

MOST = 50
SHOWN = 100  # of rows excluded by hand


@require_safe
def list_all(request: HttpRequest) -> HttpResponse:
    """The datasets that the person may read, newest first, each with its newest version."""
    purpose, named = (
        request.GET.get("purpose", ""),
        request.GET.get("q", "").replace("\x00", "").strip()[:120],
    )
    before = request.GET.get("before", "")
    readable = Dataset.objects.readable_by(request.user)
    found = readable.select_related("owner").prefetch_related(Prefetch("versions", queryset=_counted()))
    if purpose in Purpose.values:
        found = found.filter(purpose=purpose)
    if named:
        found = found.filter(name__icontains=named)
    if before.isascii() and before.isdigit() and len(before) < 10:
        found = found.filter(pk__lt=int(before))
    some = list(found.order_by("-pk")[: MOST + 1])
    entries = [_entry(dataset, list(dataset.versions.all())) for dataset in some[:MOST]]
    following = {"purpose": purpose, "q": named, "before": some[MOST - 1].pk} if len(some) > MOST else {}
    context = {
        "datasets": [entry for entry in entries if entry],
        "purposes": Purpose.choices,
        "purpose": purpose,
        "named": named,
        "any": bool(some) or readable.exists(),
        "following": urlencode({key: value for key, value in following.items() if value}),
        "may_upload": received.may_upload(request.user),
    }
    return render(request, "datasets/list.html", context)


def _counted() -> QuerySet[DatasetVersion]:
    """Versions with how often each is used, the newest first."""
    used = Count("fine_tunes", distinct=True)
    measured = Count("evaluations", distinct=True)
    rows: QuerySet[DatasetVersion] = DatasetVersion.objects.order_by("-number")
    return rows.annotate(trained=used, measured=measured)


def _entry(dataset: Dataset, versions: list[Any]) -> dict[str, Any]:
    if not versions:
        return {}
    return {
        "dataset": dataset,
        "newest": versions[0],
        "versions": len(versions),
        "trained": sum(each.trained for each in versions),
        "measured": sum(each.measured for each in versions),
    }


@require_safe
def dataset(request: HttpRequest, pk: int) -> HttpResponse:
    """One dataset and its versions."""
    found: Dataset = fetch(Dataset.objects.select_related("owner"), request.user, pk=pk)
    versions = list(_counted().filter(dataset=found).select_related("created_by", "parent")[:200])
    tunes = FineTune.objects.readable_by(request.user).filter(version__dataset=found)
    measured = Evaluation.objects.readable_by(request.user).filter(version__dataset=found)
    context = {
        "dataset": found,
        "versions": versions,
        "fine_tunes": tunes.select_related("connection", "version").order_by("-pk")[:MOST],
        "evaluations": measured.select_related("version").order_by("-pk")[:MOST],
        "may_act": may(Dataset.objects, request.user, "act", found),
    }
    return render(request, "datasets/dataset.html", context)


def version_of(request: HttpRequest, pk: int, number: int, verb: Verb = "read") -> DatasetVersion:
    """The version of an address, if the person may do that with it."""
    versions = DatasetVersion.objects.select_related(
        "dataset", "frozen_selection", "created_by", "parent__created_by"
    )
    found: DatasetVersion = fetch(versions, request.user, verb, dataset=pk, number=number)
    return found


@require_safe
def version(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Look inside a version: conversations, raw lines, what was left out, where it comes from."""
    found = version_of(request, pk, number)
    if wants_fragment(request):  # what makes it has ended, so the page comes anew
        return go(request, request.get_full_path())
    seen = look.Look.of(request.GET)
    if seen.show not in look.SHOWS:
        raise Http404
    may_act = may(DatasetVersion.objects, request.user, "act", found)
    context = {
        "version": found,
        "look": seen,
        "show": seen.show,
        "first": seen.after is None and not seen.line,
        "left_out": preview.left_out(found),
        "left_out_count": found.left_out_total,
        "operation": received.operation_of(found),
        "trainable": found.dataset.purpose in distill.METHODS,
        "may_act": may_act,
        "may_train": may_act and Connection.objects.actionable_by(request.user).with_endpoint().exists(),
        "draft": distill.draft_of(found) is not None,
        "earlier": _earlier(found),
        "tabs": [
            ("Conversations", seen.query(show="rows", reason=""), seen.show == "rows", None),
            ("Raw lines", seen.query(show="raw", reason=""), seen.show == "raw", None),
            ("Left out", "?show=left-out", seen.show == "left-out", found.left_out_total),
            ("Recipe and use", "?show=about", seen.show == "about", None),
        ],
    }
    more = {"left-out": _left_out, "about": _about}.get(seen.show, _rows)
    return render(request, "datasets/version.html", context | more(request, found, seen))


def _earlier(found: DatasetVersion) -> DatasetVersion | None:
    """What it is compared with: the version that it was made from, if that is one of the same dataset."""
    if found.parent is not None and found.parent.dataset_id == found.dataset_id:
        return found.parent
    before: DatasetVersion | None = found.dataset.versions.filter(number__lt=found.number).first()
    return before


def _rows(request: HttpRequest, found: DatasetVersion, seen: look.Look) -> dict[str, Any]:
    page = look.page(found, seen)
    ready = found.state == DatasetVersion.State.READY
    return {
        "page": page,
        "rows": preview.rows(found, page.examples),
        "open": seen.open or seen.line or (page.examples[0].line if page.examples else 0),
        "next": seen.query(after=page.following) if page.following else "",
        "begin": seen.query(),
        "all": seen.query(words="", split="", flag="", edited=False, least=0, most=0, completion=0, order=""),
        "matching": look.count(found, seen) if ready and seen.is_filtered else found.rows,
        "flags": list(look.flags_of(found)),
        "orders": look.ORDERS.items(),
        "problems": problems_in_words(found),
    }


def _left_out(request: HttpRequest, found: DatasetVersion, seen: look.Look) -> dict[str, Any]:
    page = look.left_out(found, seen)
    return {
        "page": page,
        "reasons": [(example, preview.why(example.excluded_reason)) for example in page.examples],
        "next": seen.query(after=page.following) if page.following else "",
        "begin": seen.query(),
        "bad": [
            {**problem, "help": _help(problem.get("fix", ""))}
            for problem in found.problems
            if problem.get("number")
        ],
    }


def _help(name: str) -> str:
    """What mends such a line, where something does."""
    fix = FIXES.get(name)
    return fix.words if fix is not None and fix.line is not None else ""


def _about(request: HttpRequest, found: DatasetVersion, seen: look.Look) -> dict[str, Any]:
    tunes = FineTune.objects.readable_by(request.user).filter(version=found).select_related("connection")
    try:
        excluded = successors.excluded_rows(found)
    except successors.Refused:
        excluded = []
    return {
        "histogram": tokens_of.histogram(found) if found.state == found.State.READY else None,
        "sentences": recipe_words.of_version(found.recipe, uploaded=found.origin != found.Origin.SELECTION),
        "excluded": excluded[:SHOWN],
        "excluded_count": len(excluded),
        "fine_tunes": tunes,
        "read_from": received.is_read_from(found),
        "deployments": Deployment.objects.readable_by(request.user).filter(fine_tune__in=tunes),
        "evaluations": Evaluation.objects.readable_by(request.user).filter(version=found),
        "sources": found.connections.order_by("name"),
        "next": "",
    }


@require_POST
def delete(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Remove a version that nothing was made from; the dataset goes with its last one."""
    found = version_of(request, pk, number, "act")
    live = received.operation_of(found)
    used = found.fine_tunes.exclude(state=FineTune.State.DRAFT).exists() or found.evaluations.exists()
    if used or received.is_read_from(found) or (live is not None and live.is_live):
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
