"""The next version of a dataset: rows excluded or taken back by hand, or built again with today's rows."""

from collections.abc import Sequence

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from datasets import successors
from datasets.models import DatasetVersion
from datasets.views.datasets import version_of
from portal.htmx import toast

MOST_AT_ONCE = 1000


def _back(request: HttpRequest, version: DatasetVersion, text: str) -> HttpResponse:
    """To the version again, with the words why it did not go on."""
    there = redirect("datasets:version", version.dataset_id, version.number)
    return toast(request, there, text, "warn")


def _on(request: HttpRequest, made: DatasetVersion) -> HttpResponse:
    """To the next version, which is being made."""
    there = redirect(reverse("datasets:version", args=[made.dataset_id, made.number]))
    return toast(request, there, f"Version {made.number} is being made.")


def _numbers(values: Sequence[str]) -> list[int]:
    return [
        int(value)
        for value in values[:MOST_AT_ONCE]
        if value.isascii() and value.isdigit() and len(value) < 10
    ]


@require_POST
def exclude(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Make the next version without the chosen rows."""
    version = version_of(request, pk, number, "act")
    positions = _numbers(request.POST.getlist("row"))
    rows = version.examples.filter(position__in=positions, line__isnull=False)
    why = request.POST.get("why", "").replace("\x00", "").strip()
    if not why:
        return _back(request, version, "Say why the rows are to go: whoever looks later wants to know.")
    try:
        return _on(request, successors.exclude(version, request.user, {row.source_key: why for row in rows}))
    except successors.Refused as refused:
        return _back(request, version, str(refused))


@require_POST
def take_back(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Make the next version with rows again that this one excludes by hand."""
    version = version_of(request, pk, number, "act")
    try:
        return _on(
            request, successors.take_back(version, request.user, request.POST.getlist("key")[:MOST_AT_ONCE])
        )
    except successors.Refused as refused:
        return _back(request, version, str(refused))


@require_POST
def renew(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Make the next version from what the same filter, or list, selects now."""
    version = version_of(request, pk, number, "act")
    try:
        return _on(request, successors.renew(version, request.user))
    except successors.Refused as refused:
        return _back(request, version, str(refused))
