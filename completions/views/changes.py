"""An order to delete or change completions: how far it is, what failed and why, and its receipt."""

from typing import Any

from django.core.files.storage import storages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe

from completions import deleting, ledger
from completions.models import ChangeOrder, UpstreamChange
from portal.htmx import fragment, go, toast
from portal.permissions import fetch

SHOWN = 100
State = UpstreamChange.State


def _fetch(request: HttpRequest, pk: int) -> ChangeOrder:
    rows = ChangeOrder.objects.select_related("operation", "requested_by")
    made: ChangeOrder = fetch(rows, request.user, "act", pk=pk)
    return made


@require_safe
def change(request: HttpRequest, pk: int) -> HttpResponse:
    """What has become of it so far, and what can be done about what did not work."""
    made = _fetch(request, pk)
    counts = ledger.counts(made)
    rows = made.changes.select_related("connection").defer("connection__secret").order_by("id")
    failed = counts.get(State.FAILED, 0) + counts.get(State.UNKNOWN, 0)
    context = {
        "made": made,
        "operation": made.operation,
        "live": made.operation is not None and made.operation.is_live,
        "sources": made.connections.order_by("name").defer("secret"),
        "done": counts.get(State.DONE, 0),
        "open": counts.get(State.PLANNED, 0) + counts.get(State.SENT, 0),
        "gone": made.changes.filter(state=State.DONE, status=deleting.NOT_FOUND).count()
        if made.deletes
        else 0,
        "failed": failed,
        "failures": rows.filter(state__in=UpstreamChange.LEFT)[:SHOWN],
        "shown": SHOWN,
    }
    return render(request, fragment(request, "completions/change.html", {"change"}), context)


@require_POST
def again(request: HttpRequest, pk: int) -> HttpResponse:
    """Try again just those that failed."""
    made = _fetch(request, pk)
    begun = deleting.try_again(made, request.user)
    response = go(request, made.get_absolute_url())
    if not begun:
        return toast(request, response, "There is nothing to try again.", "info")
    return response


@require_safe
def receipt(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The receipt as a file."""
    made = _receipt(request, pk)
    return FileResponse(
        storages["artifacts"].open(made.receipt, "rb"),
        as_attachment=True,
        filename=_name(made),
        content_type="application/x-ndjson",
    )


@require_safe
def checksum(request: HttpRequest, pk: int) -> HttpResponse:
    """Its SHA-256 in the form that `sha256sum -c` reads."""
    made = _receipt(request, pk)
    response = HttpResponse(
        f"{made.receipt_sha256}  {_name(made)}\n", content_type="text/plain; charset=utf-8"
    )
    response["Content-Disposition"] = f'attachment; filename="{_name(made)}.sha256"'
    return response


def _receipt(request: HttpRequest, pk: int) -> ChangeOrder:
    made = _fetch(request, pk)
    if not made.receipt or not storages["artifacts"].exists(made.receipt):
        raise Http404
    return made


def _name(made: ChangeOrder) -> str:
    kind: Any = "deletion" if made.deletes else "metadata"
    return f"receipt-{kind}-{made.pk}.jsonl"
