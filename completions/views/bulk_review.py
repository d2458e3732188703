"""Labelling, rating and deciding about a whole selection: the dialog, how far it is, and the way back."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from completions import bulk_review
from completions.addresses import pane_address
from completions.bulk_saying import Question, Saying, questions
from completions.filters import Filter
from completions.models import FrozenSelection, Label, ReviewState, StoredCompletion
from completions.purposes import chosen, purpose_of
from completions.querysets import holding
from completions.reviewing import Refused
from completions.selection import unpacked
from portal.htmx import go, redraw, toast, wants_fragment
from portal.models import Connection, Operation
from portal.permissions import fetch, may
from portal.progress import Deed, Told, progress_of, tells

NONE = "none"  # what a form says for "take it away"
CHANGED = "reviewed-many"
FIXED = {"approve": "approved", "reject": "rejected"}
PARTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "state": (*ReviewState.State.choices, (NONE, "Unreviewed")),
    "rating": (*ReviewState.Rating.choices, (NONE, "No rating")),
}


@require_http_methods(["GET", "HEAD", "POST"])
def dialog(request: HttpRequest, selection: UUID, what: str) -> HttpResponse:
    """Ask what to say of how many, then begin."""
    frozen = chosen(request.user, selection)
    sources = list(frozen.connections.order_by("name").defer("secret"))
    mine = set(Connection.objects.actionable_by(request.user).values_list("pk", flat=True))
    foreign = [source for source in sources if source.pk not in mine]
    asked = questions(source.pk for source in sources if source.pk in mine) if what == "label" else []
    refused = ""
    if request.method == "POST":
        try:
            operation = bulk_review.say(frozen, _sayings(what, asked, request.POST), request.user)
        except Refused as why:
            refused = str(why)
        else:
            return _begun(request, operation)
    barred = _count_on(frozen, foreign) if len(foreign) < len(sources) else frozen.count
    context = {
        "frozen": frozen,
        "purpose": purpose_of(what),
        "described": Filter.parse(frozen.q).describe() if frozen.everything else "",
        "back": pane_address(frozen.q),
        "sources": sources,
        "foreign": foreign,
        "barred": barred,
        "able": frozen.count - barred,
        "what": what,
        "choices": PARTS.get(what, ()),
        "chosen": request.POST.get(what, ""),
        "questions": [_filled(each, request.POST) for each in asked],
        "refused": refused,
    }
    template = "completions/bulk.html#bulk" if wants_fragment(request) else "completions/bulk.html"
    return render(request, template, context, status=422 if refused else 200)


@require_safe
def progress(request: HttpRequest, pk: int) -> HttpResponse:
    """How far it is, inside the dialog; at its end what came of it, and the rows behind it are read again."""
    operation = _fetch(request, pk)
    if not wants_fragment(request):
        return redirect("operations:detail", pk)
    context = {
        "operation": operation,
        "progress": progress_of(operation),
        "told": told(operation, request.user),
        "so_far": bulk_review.in_words_of(operation),
    }
    response = render(request, "completions/bulk_progress.html", context)
    return response if operation.is_live else redraw(response, CHANGED)


@require_POST
def undo(request: HttpRequest, pk: int) -> HttpResponse:
    """Take all of it back that still holds."""
    operation = _fetch(request, pk, "act")
    try:
        back = bulk_review.undo(operation, request.user)
    except Refused as why:
        back = bulk_review.undone_by(operation) or operation
        if not wants_fragment(request):
            return toast(request, go(request, reverse("operations:detail", args=[back.pk])), str(why), "warn")
    return _begun(request, back)


@tells(bulk_review.KIND)
@tells(bulk_review.UNDO)
def told(operation: Operation, user: Any) -> Told | None:
    """What came of it, in words, and the way back."""
    if operation.is_live:
        return None
    text = bulk_review.in_words_of(operation)
    whys = sorted(bulk_review.tally_of(operation).refused.items(), key=lambda each: -each[1])
    deeds = []
    if operation.kind == bulk_review.KIND and bulk_review.tally_of(operation).changed:
        if bulk_review.undone_by(operation) is not None:
            text += "; undone since"
        elif may(Operation.objects.all(), user, "act", operation):
            deeds.append(Deed("Undo", reverse("completions:bulk_undo", args=[operation.pk]), "rotate-ccw"))
    return Told(f"{text}.", whys, deeds)


def _fetch(request: HttpRequest, pk: int, verb: Any = "read") -> Operation:
    rows = Operation.objects.select_related("connection").filter(
        kind__in=[bulk_review.KIND, bulk_review.UNDO]
    )
    operation: Operation = fetch(rows, request.user, verb, pk=pk)
    return operation


def _begun(request: HttpRequest, operation: Operation) -> HttpResponse:
    if wants_fragment(request):
        return HttpResponse(
            status=303, headers={"Location": reverse("completions:bulk_progress", args=[operation.pk])}
        )
    return go(request, reverse("operations:detail", args=[operation.pk]))


def _count_on(frozen: FrozenSelection, connections: list[Connection]) -> int:
    """How many of the selection are from these."""
    if not connections:
        return 0
    rows = StoredCompletion.objects.filter(holding(unpacked(frozen.ids).tolist()))
    return int(rows.filter(connection__in=connections).count())


def _sayings(what: str, asked: list[Question], data: QueryDict) -> list[Saying]:
    """What the form says; nothing for what is left as it is. Raises Refused."""
    if what in FIXED:
        return [Saying("state", FIXED[what])]
    if what in PARTS:
        given = data.get(what, "")
        if given not in dict(PARTS[what]):
            raise Refused("Choose one first.")
        return [Saying(what, None if given == NONE else given)]
    made = []
    for question in asked:
        answers = [each for each in data.getlist(f"label-{question.key}") if each.strip()]
        if f"clear-{question.key}" in data:
            made.append(Saying("label", None, question.name))
        elif answers:
            made.append(Saying("label", answers, question.name))
    return made


def _filled(question: Question, data: QueryDict) -> dict[str, object]:
    return {
        "question": question,
        "one": question.kind == Label.Kind.CHOICE,
        "given": data.getlist(f"label-{question.key}"),
        "cleared": f"clear-{question.key}" in data,
    }
