"""The second step of Distill: the rows as they were built, and what to doubt about them."""

from typing import Any
from urllib.parse import urlencode

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from datasets import distill, mending, preview, received, recipe_words
from datasets.build import validate
from datasets.models import DatasetVersion
from datasets.problems import problems_in_words
from datasets.views.distill_page import page
from portal.htmx import go, toast, wants_fragment
from portal.permissions import fetch

PREVIEW_ROWS = 4
COUNTED_BY = {
    "usage": "as the provider counted",
    "exact": "counted exactly",
    "fitted": "estimated from rows of the same kind",
    "guessed": "guessed from their length",
}


def check(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    """Progress while the rows are built; then what they are, what was left out, and what to mend."""
    if request.method == "POST":
        distill.build_now(version, request.user)
        return redirect("datasets:distill", version.pk, "check")
    if wants_fragment(request):  # the build has ended: steps and buttons change too, so the page comes anew
        return go(request, request.path)
    ready = version.state == DatasetVersion.State.READY
    context = page(
        version,
        "check",
        operation=received.operation_of(version),
        ready=ready,
        rules=recipe_words.of_version(version.recipe),
        left_out=preview.left_out(version),
        left_out_count=version.left_out_total,
        choose=_pane_of(version),
        **(_found(version) if ready else {}),
    )
    return render(request, "datasets/distill/check.html", context)


@require_POST
def mend(request: HttpRequest, pk: int) -> HttpResponse:
    """Make the next version without a problem, and show it being built."""
    versions = DatasetVersion.objects.select_related("dataset", "frozen_selection")
    purposes = list(distill.METHODS)
    version: DatasetVersion = fetch(versions, request.user, "act", pk=pk, dataset__purpose__in=purposes)
    code, name = (request.POST.get(each, "").replace("\x00", "")[:60] for each in ("code", "mending"))
    try:
        following = mending.mend(version, request.user, code, name)
    except mending.NoHelp as why:
        return toast(request, redirect("datasets:distill", version.pk, "check"), str(why), "warn")
    return redirect("datasets:distill", following.pk, "check")


def _found(version: DatasetVersion) -> dict[str, Any]:
    problems = [
        {**problem, "mendings": mending.mendings(version, problem["code"])}
        for problem in problems_in_words(version)
    ]
    parts = version.parts
    return {
        "problems": problems,
        "advice": _advice(version),
        "first": preview.first_rows(version, PREVIEW_ROWS),
        "worst": preview.worst_rows(version, PREVIEW_ROWS + 2),
        "parts": parts,
        "leaks": leaks(version) if len(parts) > 1 else None,
        "counted": [
            (COUNTED_BY.get(how, how), rows) for how, rows in version.counts.get("tokens_by", {}).items()
        ],
    }


def _advice(version: DatasetVersion) -> list[dict[str, Any]]:
    """What is wrong with the rows as a whole, whatever the model."""
    train, validation = version.part("train"), version.part("validation")
    found = validate.of_job(
        version.dataset.purpose,
        "",
        "",
        examples=train.rows if train else 0,
        validation=validation.rows if validation else 0,
        tokens=train.tokens if train else 0,
    )
    return [
        {**each.as_dict(), "mendings": mending.mendings(version, each.code) if each.fix else []}
        for each in found
    ]


def leaks(version: DatasetVersion) -> int:
    """How many conversations have rows in more than one part; a split leaves none."""
    rows = version.examples.filter(line__isnull=False).exclude(conversation="")
    apart = rows.values("conversation").annotate(n=Count("split", distinct=True)).filter(n__gt=1)
    return int(apart.count())


def _pane_of(version: DatasetVersion) -> str:
    """The pane with the filter that the version was chosen by."""
    frozen = version.frozen_selection
    q = frozen.q if frozen is not None and frozen.everything else ""
    return f"{reverse('home')}?{urlencode({'q': q})}" if q else reverse("home")
