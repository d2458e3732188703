"""Who may use a connection: give, change and take roles."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from portal import audit
from portal.connection_forms import GrantForm
from portal.htmx import go, toast
from portal.models import Connection, Grant, Role
from portal.permissions import fetch, operator_required
from portal.querysets import is_operator


def _rows(connection: Connection | None) -> list[Grant]:
    found = Grant.objects.filter(connection=connection).select_related("user", "group")
    return sorted(found, key=lambda grant: (-_rank(grant), str(grant.user or grant.group)))


def _rank(grant: Grant) -> int:
    return Role.values.index(grant.role)


@require_http_methods(["GET", "HEAD", "POST"])
def connection_access(request: HttpRequest, slug: str) -> HttpResponse:
    connection: Connection = fetch(Connection.objects.defer("secret"), request.user, "manage", slug=slug)
    return _page(request, connection)


@require_http_methods(["GET", "HEAD", "POST"])
@operator_required
def everywhere_access(request: HttpRequest) -> HttpResponse:
    """Roles on every connection, those made later included."""
    return _page(request, None)


def _page(request: HttpRequest, connection: Connection | None) -> HttpResponse:
    operator = is_operator(request.user)
    form = GrantForm(request.POST or None, may_name_operators=operator)
    if request.method == "POST" and form.is_valid():
        grant = _give(form.cleaned_data, connection, request.user, operator=operator)
        if grant is not None:
            return toast(
                request, go(request, _url(connection)), f"{grant.user or grant.group}: {grant.role}."
            )
        form.add_error(None, "This role can only be changed by an operator.")
    context = {
        "connection": connection,
        "form": form,
        "grants": _rows(connection),
        "everywhere": _rows(None) if connection is not None else [],
        "is_operator": operator,
    }
    return render(request, "portal/connection_access.html", context, status=422 if form.is_bound else 200)


def _give(data: dict[str, Any], connection: Connection | None, actor: Any, *, operator: bool) -> Grant | None:
    """The grant as it is now; None if the actor may not touch the one that is there."""
    user, group, role = data.get("user"), data.get("group"), Role(data["role"])
    with transaction.atomic():
        rows = Grant.objects.select_for_update()
        grant = rows.filter(user=user, group=group, connection=connection).first()
        if grant is not None and grant.role == Role.OPERATOR and not operator:
            return None
        before = grant.role if grant is not None else ""
        if grant is None:
            grant = Grant(user=user, group=group, connection=connection)
        grant.role = role
        grant.save()
        audit.record(
            actor, "grant.changed" if before else "grant.given", grant, connection=connection,
            role=role.value, before=before,
        )  # fmt: skip
    return grant


@require_POST
def take(request: HttpRequest, pk: int) -> HttpResponse:
    """Take a role away."""
    grant = Grant.objects.filter(pk=pk).select_related("user", "group", "connection").first()
    connection = grant.connection if grant is not None else None
    operator = is_operator(request.user)
    if grant is None or connection is None:
        if not operator:
            raise PermissionDenied
        if grant is None:
            return go(request, reverse("connections:list"))
    else:
        fetch(Connection.objects.defer("secret"), request.user, "manage", pk=connection.pk)
    if grant.role == Role.OPERATOR and not operator:
        raise PermissionDenied
    with transaction.atomic():
        audit.record(request.user, "grant.taken", grant, connection=connection, role=grant.role)
        Grant.objects.filter(pk=grant.pk).delete()
    return toast(
        request, go(request, _url(connection)), f"{grant.user or grant.group} has no role here any more."
    )


def _url(connection: Connection | None) -> str:
    if connection is None:
        return reverse("connections:access")
    return reverse("connections:grants", args=[connection.slug])
