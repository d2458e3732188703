"""What changed between two versions of a dataset."""

from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from datasets import changes as compare
from datasets.models import DatasetVersion
from datasets.views.datasets import version_of


@require_safe
def changes(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Rows added, dropped, edited and moved, page by page; counts and rules before and after."""
    after = version_of(request, pk, number)
    versions = after.dataset.versions.order_by("-number")
    wanted = request.GET.get("from", "")
    before = _before(request, after, wanted)
    context: dict[str, Any] = {
        "version": after,
        "before": before,
        "others": [each for each in versions[:100] if each.pk != after.pk],
        "ready": False,
    }
    if before is not None and compare.is_comparable(before) and compare.is_comparable(after):
        counted = compare.counts(before, after)
        first = next((kind for kind in compare.KINDS if counted[kind]), "added")
        kind = request.GET.get("kind", first)
        if kind not in compare.KINDS:
            raise Http404
        behind = request.GET.get("after", "").replace("\x00", "")[:300]
        page = compare.page(before, after, kind, behind)
        went, came = compare.rules(before, after)
        following = {"from": before.number, "kind": kind, "after": page.following}
        context |= {
            "ready": True,
            "same": counted["same"],
            "tabs": [(key, words, counted[key]) for key, words in compare.KINDS.items()],
            "kind": kind,
            "shown": page.shown,
            "first": not behind,
            "next": f"?{urlencode(following)}" if page.following else "",
            "went": went,
            "came": came,
            "numbers": compare.numbers(before, after),
        }
    return render(request, "datasets/changes.html", context)


def _before(request: HttpRequest, after: DatasetVersion, wanted: str) -> DatasetVersion | None:
    if wanted:
        if not (wanted.isascii() and wanted.isdigit()) or len(wanted) > 9:
            raise Http404
        return version_of(request, after.dataset_id, int(wanted))
    if after.parent is not None and after.parent.dataset_id == after.dataset_id:
        return version_of(request, after.dataset_id, after.parent.number)
    earlier = after.dataset.versions.filter(number__lt=after.number).order_by("-number").first()
    return version_of(request, after.dataset_id, earlier.number) if earlier else None
