"""Reviewing one completion: the page, what is said, what is taken back, and the pieces that follow it."""

from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import trigger_client_event

from completions import review as reviews
from completions.drawer import Drawer
from completions.models import StoredCompletion
from completions.pane import Pane
from completions.review import ReviewPanel
from completions.reviewing import Refused
from completions.views.drawer import reads_raw
from portal.htmx import go, wants_fragment
from portal.permissions import Verb, fetch

REVIEWED = "reviewed"  # told to the page with the row's id


class ReviewPage(Drawer):
    """One completion on a page of its own; J and K lead to pages too."""

    def _beside(self, pk: int, connection: int, upstream_id: str) -> str:
        if not super()._beside(pk, connection, upstream_id):
            return ""
        query = self.pane.query
        return f"{reverse('completions:review', args=[pk])}{'?' * bool(query)}{query}"


def _row(request: HttpRequest, pk: int, verb: Verb = "read") -> StoredCompletion:
    rows = StoredCompletion.objects.select_related("connection").defer("connection__secret")
    found: StoredCompletion = fetch(rows, request.user, verb, pk=pk)
    return found


@require_http_methods(["GET", "HEAD", "POST"])
def review(request: HttpRequest, pk: int) -> HttpResponse:
    """The conversation and beside it what is said; posted to, one more thing is said.

    `about` is state, rating, note or label:<key>, with its `value`; or `add` or `remove`, one of several
    answers to a label.
    """
    if request.method != "POST":
        return _page(request, _row(request, pk))
    row = _row(request, pk, "review")
    about = request.POST.get("about", "")
    way = next((name for name in ("add", "remove") if name in request.POST), "value")
    value = request.POST.get(way, "")
    try:
        reviews.say(row, request.user, about, value, way)
    except Refused as problem:
        return _answered(request, row, about, str(problem), (about, value))
    return _answered(request, row, about)


@require_POST
def undo(request: HttpRequest, pk: int) -> HttpResponse:
    """Take one event of this completion back."""
    row = _row(request, pk, "review")
    try:
        reviews.take_back(row, request.user, request.POST.get("event", ""))
    except Refused as problem:
        return _answered(request, row, "", str(problem))
    return _answered(request, row, "")


@require_safe
def panel(request: HttpRequest, pk: int) -> HttpResponse:
    """The panel alone, as it is now."""
    return _panel(request, _shown(request, _row(request, pk), request.GET))


@require_safe
def history(request: HttpRequest, pk: int) -> HttpResponse:
    """The notes and the history alone."""
    shown = _shown(request, _row(request, pk), request.GET)
    return render(request, "completions/review_history.html", {"panel": shown, "row": shown.row})


@require_safe
def row(request: HttpRequest, pk: int) -> HttpResponse:
    """One row of the table as it is now, in the way that the rest of the address shows rows."""
    found = _row(request, pk)
    return HttpResponse(Pane.of(request.user, request.GET).row(found.pk))


def _answered(
    request: HttpRequest,
    row: StoredCompletion,
    about: str,
    problem: str = "",
    typed: tuple[str, str] = ("", ""),
) -> HttpResponse:
    """The panel anew; without scripts the place that the person came from."""
    shown = _shown(request, row, request.POST, answered=about, problem=problem, typed=typed)
    if wants_fragment(request):
        response = _panel(request, shown)
        return response if problem else trigger_client_event(response, REVIEWED, {"id": row.pk})
    if problem:
        return _page(request, row, shown)
    return go(request, shown.page if shown.wide else shown.drawer)


def _shown(request: HttpRequest, row: StoredCompletion, asked: QueryDict, **said: Any) -> ReviewPanel:
    return ReviewPanel(request.user, row, asked.get("query", ""), wide=asked.get("on") == "page", **said)


def _panel(request: HttpRequest, shown: ReviewPanel) -> HttpResponse:
    context = {"panel": shown, "row": shown.row}
    status = 422 if shown.problem else 200
    return render(request, "completions/review_panel.html", context, status=status)


def _page(request: HttpRequest, row: StoredCompletion, shown: ReviewPanel | None = None) -> HttpResponse:
    asked = request.GET if shown is None else QueryDict(shown.query)
    pane = Pane.of(request.user, asked)
    opened = ReviewPage(pane, row, raw=reads_raw(request), full=asked.get("full", ""))
    opened.review = shown or ReviewPanel(request.user, row, pane.query, wide=True)
    opened.review.wide = True
    template = "completions/review.html"
    if wants_fragment(request):
        template += "#drawer"
    context = {"pane": pane, "drawer": opened, "row": row, "talk": opened.talk, "panel": opened.review}
    return render(request, template, context, status=422 if opened.review.problem else 200)
