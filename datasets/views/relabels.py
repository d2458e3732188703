"""Relabelling: choose a teacher, see what it costs, start, and judge its answers beside the originals."""

from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from completions.models import FrozenSelection, StoredCompletion
from completions.reviewing import Overtaken
from completions.reviewing import Refused as NotTaken
from completions.selection import name_of
from datasets import wizard
from datasets.evaluate import names, suggestions
from datasets.evaluate.targets import Target
from datasets.models import Relabel, RelabelCall
from datasets.relabel import judging, page, setup
from datasets.relabel_forms import TeacherForm
from portal import operations, spending
from portal.htmx import fragment, go, toast, wants_fragment
from portal.models import Connection, Operation
from portal.permissions import fetch, may

State = Relabel.State
LISTED = 50


@require_safe
def list_all(request: HttpRequest) -> HttpResponse:
    """What was begun on connections that this person may read, the newest first."""
    found = Relabel.objects.readable_by(request.user).select_related("connection", "created_by")
    shown = Paginator(found.defer("connection__secret"), LISTED).get_page(request.GET.get("page"))
    counts = page.counts_of(list(shown))
    entries = [{"relabel": each, "counts": counts[each.pk]} for each in shown]
    return render(request, "datasets/relabel/list.html", {"page": shown, "entries": entries})


@require_http_methods(["GET", "HEAD", "POST"])
def start(request: HttpRequest, selection: UUID) -> HttpResponse:
    """Who teaches; posting keeps the choice and shows what it will cost."""
    mine = FrozenSelection.objects.ready().filter(owner__in=[request.user.pk])
    frozen: FrozenSelection = fetch(mine, request.user, "act", pk=selection)
    begun = setup.draft_on(frozen, request.user)
    initial = TeacherForm.initial_of(begun) if begun else {"name": _name(frozen, request.user)}
    form = TeacherForm(request.POST or None, initial=initial, user=request.user)
    doubts: list[names.Doubt] = []
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        connection: Connection = fetch(
            Connection.objects.defer("secret"), request.user, "act", pk=data["connection"].pk
        )
        doubts = names.doubts(
            [Target("first", "fresh", data["model"], connection.pk, data["model"])], request.user
        )
        if names.all_told(doubts, request.POST.getlist("told")):
            made = setup.begin(
                frozen,
                request.user,
                name=data["name"],
                connection=connection,
                model=data["model"],
                params=form.params,
            )
            return go(request, made.get_absolute_url())
    context = {
        "form": form,
        "frozen": frozen,
        "sources": frozen.connections.all(),
        "doubts": doubts,
        "suggestions": suggestions.models_for(request.user),
    }
    status = 422 if form.is_bound and not form.is_valid() else 200
    return render(request, "datasets/relabel/teacher.html", context, status=status)


def _name(frozen: FrozenSelection, user: Any) -> str:
    own = Relabel.objects.filter(created_by=user).values_list("name", flat=True)
    return wizard.free_name(name_of(frozen), set(own))


@require_safe
def relabel(request: HttpRequest, pk: int) -> HttpResponse:
    """Before the start what it costs; then how far it is, and the answers."""
    found = _found(request, pk)
    acts = _acts(request, found)
    if found.state == State.DRAFT:
        if found.created_by_id != request.user.pk or not acts:
            raise Http404
        return _review(request, found)
    return _results(request, found, acts=acts)


def _review(request: HttpRequest, found: Relabel, refusal: str = "") -> HttpResponse:
    context = {
        "relabel": found,
        "frozen": found.frozen_selection,
        "estimate": setup.estimate(found),
        "standing": spending.state_of(found.connection),
        "refusal": refusal,
    }
    return render(request, "datasets/relabel/review.html", context, status=422 if refusal else 200)


def _results(request: HttpRequest, found: Relabel, *, acts: bool) -> HttpResponse:
    counts = page.counts(found)
    show = request.GET.get("show", "")
    if show not in page.SHOWS:
        show = "open" if counts["open"] else "all"
    shown = Paginator(page.calls_of(found, show), page.PER_PAGE).get_page(request.GET.get("page"))
    operation = _readable(request, found.operation)
    accepting = judging.last_accepted(found)
    context = {
        "relabel": found,
        "counts": counts,
        "total": found.calls.count(),
        "show": show,
        "shows": [(key, title, counts[key]) for key, title in page.SHOWS.items()],
        "page": shown,
        "rows": page.seen(list(shown)),
        "operation": operation,
        "is_live": found.operation is not None and found.operation.is_live,
        "accepting": _readable(request, accepting) if acts else None,
        "accepted": judging.told(accepting, request.user) if accepting and not accepting.is_live else None,
        "may_undo_all": acts and accepting is not None and judging.can_undo(accepting),
        "may_act": acts,
        "may_review": StoredCompletion.objects.reviewable_by(request.user).exists(),
    }
    template = fragment(request, "datasets/relabel/relabel.html", {"relabel"})
    return render(request, template, context)


@require_POST
def begin(request: HttpRequest, pk: int) -> HttpResponse:
    found = _acting(request, pk)
    try:
        setup.start(found, request.user)
    except setup.Refused as refused:
        return _review(request, found, str(refused))
    return toast(request, go(request, found.get_absolute_url()), "The teacher is asked.", "info")


@require_POST
def pause(request: HttpRequest, pk: int) -> HttpResponse:
    found = _acting(request, pk)
    if setup.pause(found, request.user):
        return _told(request, found, "It pauses as soon as the calls on their way are answered.")
    return _told(request, found, "It does not run.", "warn")


@require_POST
def go_on(request: HttpRequest, pk: int) -> HttpResponse:
    found = _acting(request, pk)
    try:
        setup.go_on(found, request.user)
    except setup.Refused as refused:
        return _told(request, found, str(refused), "bad")
    return _told(request, found, "It goes on.")


@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    found = _acting(request, pk)
    cancelled = found.operation is not None and operations.cancel(found.operation, request.user)
    text = "It is cancelled once the calls on their way are answered." if cancelled else "It had ended."
    return _told(request, found, text)


@require_POST
def retry(request: HttpRequest, pk: int) -> HttpResponse:
    found = _acting(request, pk)
    try:
        again = setup.retry_failed(found, request.user)
    except setup.Refused as refused:
        return _told(request, found, str(refused), "bad")
    return _told(request, found, f"{again:,} calls are made again." if again else "None can be made again.")


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    found = _acting(request, pk)
    try:
        setup.delete(found, request.user)
    except setup.Refused as refused:
        return _told(request, found, str(refused), "bad")
    return toast(request, redirect("datasets:relabels"), f"“{found.name}” was deleted.")


@require_POST
def accept_all(request: HttpRequest, pk: int) -> HttpResponse:
    found = _acting(request, pk)
    try:
        judging.accept_all(found, request.user)
    except NotTaken as refused:
        return _told(request, found, str(refused), "info")
    return _told(request, found, "The answers are being accepted.")


@require_POST
def undo_all(request: HttpRequest, pk: int) -> HttpResponse:
    found = _acting(request, pk)
    operation = judging.last_accepted(found)
    try:
        if operation is None:
            raise NotTaken("Nothing was accepted at once.")
        judging.undo_all(operation, request.user)
    except NotTaken as refused:
        return _told(request, found, str(refused), "bad")
    return _told(request, found, "What was accepted at once is being taken back.")


@require_POST
def judge(request: HttpRequest, pk: int, call: int) -> HttpResponse:
    """Accept or dismiss one answer, or take that back; the row comes back as it is then."""
    found = _found(request, pk)
    calls = RelabelCall.objects.select_related("completion__body", "completion__connection")
    row = calls.filter(relabel=found, pk=call).first()
    if row is None:
        raise Http404
    fetch(StoredCompletion.objects, request.user, "review", pk=row.completion_id)
    deed, said, kind = request.POST.get("do", ""), "", "ok"
    try:
        if deed == "accept":
            given = request.POST.get("seen", "")
            judging.accept(row, request.user, int(given) if given.isascii() and given.isdigit() else None)
        elif deed == "dismiss":
            judging.dismiss(row, request.user)
        elif deed == "undo":
            judging.undo(row, request.user)
        else:
            raise Http404
    except (NotTaken, Overtaken) as refused:
        said, kind = str(refused), "warn"
    if not wants_fragment(request):
        return _told(request, found, said or "Kept.", "warn" if said else "ok")
    again = calls.select_related("judged_by").get(pk=row.pk)
    context = {"relabel": found, "seen": page.seen([again])[0], "may_review": True}
    answer = render(request, "datasets/relabel/row.html", context)
    return toast(request, answer, said, "warn") if kind == "warn" else answer


def _found(request: HttpRequest, pk: int) -> Relabel:
    rows = Relabel.objects.select_related("connection", "frozen_selection", "operation", "created_by")
    found: Relabel = fetch(rows.defer("connection__secret"), request.user, "read", pk=pk)
    return found


def _acting(request: HttpRequest, pk: int) -> Relabel:
    rows = Relabel.objects.select_related("connection", "frozen_selection", "operation", "created_by")
    found: Relabel = fetch(rows.defer("connection__secret"), request.user, "act", pk=pk)
    fetch(Connection.objects.defer("secret"), request.user, "act", pk=found.connection_id)
    return found


def _acts(request: HttpRequest, found: Relabel) -> bool:
    return may(Relabel.objects, request.user, "act", found) and may(
        Connection.objects, request.user, "act", found.connection
    )


def _readable(request: HttpRequest, operation: Operation | None) -> Operation | None:
    if operation is None:
        return None
    return operation if Operation.objects.readable_by(request.user).filter(pk=operation.pk).exists() else None


def _told(request: HttpRequest, found: Relabel, text: str, kind: Any = "info") -> HttpResponse:
    return toast(request, go(request, found.get_absolute_url()), text, kind)
