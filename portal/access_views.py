"""Who may use a connection: give, change and take roles."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from portal import audit
from portal.connection_forms import GrantForm
from portal.htmx import go, toast
from portal.models import Connection, Grant, Role
from portal.permissions import fetch, may, operator_required
from portal.querysets import is_operator, roles_from


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
    lowered = None
    if request.method == "POST" and form.is_valid():
        lowered = _lowered(form.cleaned_data, connection, request.user)
    if request.method == "POST" and form.is_valid() and (lowered is None or "sure" in request.POST):
        grant = _give(form.cleaned_data, connection, request.user, operator=operator)
        if grant is not None:
            return toast(
                request,
                go(request, _url(connection, request.user)),
                f"{grant.user or grant.group}: {grant.role}.",
            )
        form.add_error(None, "This role can only be changed by an operator.")
        lowered = None
    rows = _rows(connection)
    context = {
        "connection": connection,
        "form": form,
        "lowered": lowered,
        "grants": rows,
        "own_last": [grant.pk for grant in rows if _is_last_right(grant, request.user)],
        "everywhere": _rows(None) if connection is not None else [],
        "is_operator": operator,
    }
    status = 422 if form.is_bound and lowered is None else 200
    return render(request, "portal/connection_access.html", context, status=status)


def _is_last_right(grant: Grant, user: Any) -> bool:
    """Whether this role alone lets the person be on this page: without it they could not come back."""
    needed = roles_from("manager" if grant.connection_id else "operator")
    if user.is_superuser or grant.role not in needed:
        return False
    own = Grant.objects.filter(Q(user=user) | Q(group__in=user.groups.all()))
    if not own.filter(pk=grant.pk).exists():
        return False
    here = Q(connection=None) | Q(connection=grant.connection_id)
    return not own.filter(here, role__in=needed).exclude(pk=grant.pk).exists()


def _lowered(data: dict[str, Any], connection: Connection | None, user: Any) -> Grant | None:
    """The person's own right to be on this page, if the role to give would end it."""
    found = Grant.objects.filter(user=data.get("user"), group=data.get("group"), connection=connection)
    grant = found.select_related("user", "group").first()
    if grant is None or data["role"] in roles_from("manager" if connection else "operator"):
        return None
    return grant if _is_last_right(grant, user) else None


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
        request,
        go(request, _url(connection, request.user)),
        f"{grant.user or grant.group} has no role here any more.",
    )


def _url(connection: Connection | None, user: Any) -> str:
    """The page of roles; for people who have just lost the right to see it, the list of connections."""
    if connection is None:
        return reverse("connections:access" if is_operator(user) else "connections:list")
    if may(Connection.objects, user, "manage", connection):
        return reverse("connections:grants", args=[connection.slug])
    return reverse("connections:list")
