"""An order to delete or change completions: how far it is, what failed and why, and its receipt."""

from typing import Any

from django.core.files.storage import storages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe

from completions import deleting, ledger, write_back
from completions.models import ChangeOrder, UpstreamChange
from portal.htmx import fragment, go, toast
from portal.models import Connection
from portal.permissions import fetch

SHOWN = 100
PAGE = 50
State = UpstreamChange.State


def _fetch(request: HttpRequest, pk: int) -> ChangeOrder:
    rows = ChangeOrder.objects.select_related("operation", "requested_by")
    made: ChangeOrder = fetch(rows, request.user, "act", pk=pk)
    return made


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """Deletions and changes of metadata, newest first, each with its receipt."""
    before = request.GET.get("before", "")
    found = ChangeOrder.objects.actionable_by(request.user).select_related("operation").order_by("-id")
    if before.isdecimal() and len(before) < 19:
        found = found.filter(pk__lt=int(before))
    rows = list(found[: PAGE + 1])
    acts = Connection.objects.actionable_by(request.user).exists()
    older = rows[PAGE - 1].pk if len(rows) > PAGE else None
    context = {"rows": rows[:PAGE], "older": older, "first": not before, "may": acts}
    return render(request, "completions/changes.html", context)


@require_safe
def change(request: HttpRequest, pk: int) -> HttpResponse:
    """What has become of it so far, and what can be done about what did not work."""
    made = _fetch(request, pk)
    counts = ledger.counts(made)
    rows = made.changes.select_related("connection").defer("connection__secret").order_by("id")
    failed = counts.get(State.FAILED, 0) + counts.get(State.UNKNOWN, 0)
    sources = list(made.connections.order_by("name").defer("secret"))
    context = {
        "made": made,
        "operation": made.operation,
        "live": made.operation is not None and made.operation.is_live,
        "sources": sources,
        "done": counts.get(State.DONE, 0),
        "open": counts.get(State.PLANNED, 0) + counts.get(State.SENT, 0),
        "gone": made.changes.filter(state=State.DONE, status=deleting.NOT_FOUND).count()
        if made.deletes
        else 0,
        "failed": failed,
        "failures": rows.filter(state__in=UpstreamChange.LEFT)[:SHOWN],
        "in_conflict": counts.get(State.CONFLICT, 0),
        "conflicts": [] if made.deletes else _conflicts(made, rows),
        "does": [(source.name, made.does.get(str(source.pk), "")) for source in sources],
        "only": rows.select_related("completion__connection").first() if made.count == 1 else None,
        "shown": SHOWN,
    }
    return render(request, fragment(request, "completions/change.html", {"change"}), context)


def _conflicts(made: ChangeOrder, rows: Any) -> list[tuple[UpstreamChange, list[tuple[str, Any, Any, Any]]]]:
    """Rows that somebody else has changed; of each key what stood here, stands there, was asked for."""
    wish = write_back.wish_of(made)
    return [
        (
            row,
            [
                (key, (row.before or {}).get(key), (row.found or {}).get(key), wish.set.get(key))
                for key in write_back.clashes(row.found or {}, row.before or {}, wish)
            ],
        )
        for row in rows.filter(state=State.CONFLICT)[:SHOWN]
    ]


@require_POST
def again(request: HttpRequest, pk: int) -> HttpResponse:
    """Try again just those that failed, or overwrite what somebody else wrote, as the person says."""
    made = _fetch(request, pk)
    if made.deletes:
        begun = deleting.try_again(made, request.user)
    else:
        begun = write_back.try_again(made, request.user, overwrite="overwrite" in request.POST)
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
