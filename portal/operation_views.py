"""Background work: the list, one operation in full, and the card that other pages include."""

from typing import Any

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from portal import operations
from portal.htmx import fragment, go, redraw, toast
from portal.models import Operation
from portal.permissions import fetch, may
from portal.progress import address_of_subject, results_of, told_of

PAGE = 50
LINES = 200
State = Operation.State
# The word in the address, the word on the page, the condition.
STATES: dict[str, tuple[str, Q]] = {
    "": ("All", Q()),
    "live": ("Live", Q(state__in=Operation.LIVE)),
    "failed": ("Failed", Q(state=State.FAILED)),
    "done": ("Done", Q(state=State.DONE)),
    "cancelled": ("Cancelled", Q(state=State.CANCELLED)),
}
FAMILIES = {
    "sync": "Sync",
    "dataset": "Datasets",
    "finetune": "Fine-tunes",
    "deployment": "Deployments",
    "run": "Evaluations",
    "selection": "Selections",
    "connection": "Connections",
    "review": "Reviews",
}


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """Every operation that the person may see, newest first."""
    visible = Operation.objects.readable_by(request.user)
    state = request.GET.get("state", "")
    family = request.GET.get("kind", "")
    before = request.GET.get("before", "")
    families = sorted(
        {kind.partition(".")[0] for kind in visible.order_by().values_list("kind", flat=True).distinct()}
    )
    found = visible.filter(STATES.get(state, STATES[""])[1]).select_related("connection", "requested_by")
    if family in families:
        found = found.filter(kind__startswith=f"{family}.")
    if before.isdecimal() and len(before) < 19:
        found = found.filter(pk__lt=int(before))
    rows = list(found.order_by("-id")[: PAGE + 1])
    context = {
        "rows": rows[:PAGE],
        "older": rows[PAGE - 1].pk if len(rows) > PAGE else None,
        "state": state,
        "family": family,
        "states": [(name, words) for name, (words, _) in STATES.items()],
        "families": [(name, FAMILIES.get(name, name.replace("_", " ").capitalize())) for name in families],
        "live": any(row.is_live for row in rows),
        "first_page": not before,
    }
    return render(request, fragment(request, "portal/operations.html", {"operations"}), context)


def _fetch(request: HttpRequest, pk: int, verb: Any = "read") -> Operation:
    rows = Operation.objects.select_related("connection", "requested_by")
    operation: Operation = fetch(rows, request.user, verb, pk=pk)
    return operation


@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One operation: progress, log, what went wrong, and what one may do about it."""
    operation = _fetch(request, pk)
    acts = may(Operation.objects.all(), request.user, "act", operation)
    lines = list(operation.lines.order_by("-id")[:LINES])
    context = {
        "operation": operation,
        "lines": lines[::-1],
        "subject": address_of_subject(operation),
        "results": results_of(operation),
        "told": told_of(operation, request.user),
        "may_cancel": acts and operation.is_live and not operation.cancel_requested,
        "may_hurry": acts and operation.state == State.WAITING,
        "may_retry": acts and operation.state in (State.FAILED, State.CANCELLED),
    }
    return render(request, fragment(request, "portal/operation.html", {"operation"}), context)


@require_safe
def card(request: HttpRequest, pk: int) -> HttpResponse:
    """The fragment that follows an operation; at its end it tells the page so."""
    operation = _fetch(request, pk)
    response = render(request, "portal/operation_card.html", {"operation": operation})
    return response if operation.is_live else redraw(response, "operation-ended")


@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    operation = _fetch(request, pk, "act")
    stopped = operations.cancel(operation, request.user)
    response = go(request, reverse("operations:detail", args=[pk]))
    return toast(request, response, "It is being cancelled." if stopped else "It had ended already.")


@require_POST
def retry(request: HttpRequest, pk: int) -> HttpResponse:
    """Go on where it stopped: a waiting one now, an ended one as a new operation."""
    operation = _fetch(request, pk, "act")
    if operation.is_live:
        operations.hurry(operation)
    else:
        operation = operations.retry(operation, request.user)
    return go(request, reverse("operations:detail", args=[operation.pk]))
