"""The audit trail as pages; read only."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.http import urlencode
from django.views.decorators.http import require_POST, require_safe

from portal import audit
from portal.htmx import go, toast
from portal.models import AuditEntry, Connection
from portal.permissions import operator_required

PAGE = 100


@require_safe
@operator_required
def index(request: HttpRequest) -> HttpResponse:
    """The newest deeds first, narrowed by who, what and where."""
    asked = {name: _asked(request.GET.get(name, "")) for name in ("actor", "verb", "connection")}
    rows: Any = AuditEntry.objects.select_related("connection").defer("connection__secret")
    if asked["actor"]:
        rows = rows.filter(actor_name=asked["actor"])
    if asked["verb"]:
        rows = rows.filter(verb__startswith=asked["verb"])
    if asked["connection"]:
        rows = rows.filter(connection__slug=asked["connection"])
    before = request.GET.get("before", "")
    if before.isascii() and before.isdigit() and len(before) < 19:
        rows = rows.filter(pk__lt=int(before))
    page = list(rows.order_by("-pk")[: PAGE + 1])
    older = ""
    if len(page) > PAGE:
        page = page[:PAGE]
        kept = {name: value for name, value in asked.items() if value}
        older = urlencode(kept | {"before": page[-1].pk})
    context = {
        "entries": page,
        "asked": asked,
        "older": older,
        "is_first": not before,
        "connections": Connection.objects.order_by("name").values_list("slug", "name"),
        "verbs": AuditEntry.objects.order_by("verb").values_list("verb", flat=True).distinct(),
    }
    return render(request, "portal/audit.html", context)


@require_POST
@operator_required
def verify(request: HttpRequest) -> HttpResponse:
    """Walk the whole chain of hashes."""
    checked, broken = audit.verify()
    response = go(request, request.path.removesuffix("verify/"))
    if broken is None:
        return toast(request, response, f"All {checked:,} entries are as they were written.")
    return toast(
        request, response, f"Entry {broken} was changed or removed: {checked:,} before it are whole.", "bad"
    )


def _asked(text: str) -> str:
    """What a field says; a NUL, which PostgreSQL cannot be asked about, becomes a sign that nothing has."""
    return text.replace("\x00", "\ufffd").strip()[:150]
