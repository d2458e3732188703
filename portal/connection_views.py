"""Pages of connections: list, make, change, look, test, disconnect, delete."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal import connections, deletion, first_completion
from portal.connection_forms import ConnectionForm, DeleteForm, FilesForm, StoreTestForm
from portal.htmx import go, toast, wants_fragment
from portal.models import Connection, Grant, Kind
from portal.permissions import fetch, may
from portal.querysets import granted, is_operator
from portal.upstream import UpstreamError

State = Connection.State
KIND_LINES = (
    (Kind.AZURE_V1, "cloud", "The current API of Azure OpenAI and Foundry resources. Key or Entra ID."),
    (Kind.AZURE_DATED, "cloud", "For resources or tools that are bound to a dated API version."),
    (Kind.OPENAI, "key-round", "An OpenAI project, by its API key."),
    (Kind.COMPATIBLE, "server", "Another service with the same API; the operator allows its host."),
    (Kind.FILES, "upload", "Rows that you import: exports, training files, tables. Nothing is called."),
)


def may_create(user: Any) -> bool:
    """Operators, and managers of every connection."""
    if is_operator(user):
        return True
    # A right on every connection is an empty condition.
    return bool(user.is_active) and not granted(user, "manager")


def _found(request: HttpRequest, slug: str, verb: Any = "read") -> Connection:
    found: Connection = fetch(Connection.objects.defer("secret"), request.user, verb, slug=slug)
    return found


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    rows = list(connections.visible_to(request.user).order_by("name"))
    return render(
        request,
        "portal/connections.html",
        {
            "connections": rows,
            "may_create": may_create(request.user),
            "may_import": not granted(request.user, "builder")
            or Connection.objects.actionable_by(request.user).exists(),
            "is_operator": is_operator(request.user),
        },
    )


@sensitive_post_parameters("api_key", "client_secret")
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """First the kind, then its fields."""
    if not may_create(request.user):
        raise PermissionDenied
    kind = request.POST.get("kind") or request.GET.get("kind", "")
    if kind not in Kind.values:
        return render(request, "portal/connection_kinds.html", {"kinds": KIND_LINES})
    if kind == Kind.FILES:
        return go(request, reverse("completions:import_new"))  # it begins with a file
    form = ConnectionForm(request.POST or None, kind=kind, instance=Connection(kind=kind))
    if request.method == "POST" and form.is_valid():
        connection = form.edited()
        connections.save(connection, request.user, new_secret=form.new_secret())
        url = reverse("connections:detail", args=[connection.slug])
        return toast(request, go(request, f"{url}?new=1"), f"{connection.name} is saved.")
    status = 422 if form.is_bound else 200
    return render(request, "portal/connection_form.html", {"form": form, "kind": Kind(kind)}, status=status)


@sensitive_post_parameters("api_key", "client_secret")
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, slug: str) -> HttpResponse:
    connection = _found(request, slug, "manage")
    if connection.state == State.DELETING:
        raise PermissionDenied
    connection.secret = ""  # what is stored never comes near the form
    if connection.has_endpoint:
        form: Any = ConnectionForm(request.POST or None, kind=connection.kind, instance=connection)
    else:
        form = FilesForm(request.POST or None, instance=connection)
    if request.method == "POST" and form.is_valid():
        dropped = connections.save(form.edited(), request.user, new_secret=form.new_secret())
        response = go(request, reverse("connections:detail", args=[connection.slug]))
        if dropped:
            return toast(
                request, response, f"Saved. The stored secret was dropped because {dropped}.", "warn"
            )
        return toast(request, response, "Saved.")
    context = {
        "form": form,
        "kind": Kind(connection.kind),
        "connection": Connection.objects.defer("secret").get(pk=connection.pk),
    }
    return render(request, "portal/connection_form.html", context, status=422 if form.is_bound else 200)


@require_safe
def detail(request: HttpRequest, slug: str) -> HttpResponse:
    connection = _found(request, slug)
    return render(request, "portal/connection.html", _context(request, connection))


def _context(request: HttpRequest, connection: Connection) -> dict[str, Any]:
    objects, user = Connection.objects, request.user
    can_manage = may(objects, user, "manage", connection)
    twins = connections.twins_of(connection) if can_manage else []
    seen = set(connections.visible_to(user).values_list("pk", flat=True)) if twins else set()
    grants = connection.grants.select_related("user", "group").order_by("role") if can_manage else []
    return {
        "connection": connection,
        "root": connections.shown_root(connection),
        "can_manage": can_manage,
        "health_url": _above("completions:health", connection) if connection.has_endpoint else "",
        "labels_url": _above("completions:labels", connection),
        "first_url": _first_url(connection) if connection.has_endpoint else "",
        "can_act": may(objects, user, "act", connection),
        "is_live": connection.state in (State.CONNECTED, State.ATTENTION),
        "twins": [twin for twin in twins if twin.pk in seen],
        "hidden_twins": sum(twin.pk not in seen for twin in twins),
        "grants": grants,
        "everywhere": Grant.objects.filter(connection=None).count() if can_manage else 0,
        "is_operator": is_operator(user),
        "findings": connection.last_test.get("findings", []),
        "tested_at": first_completion.moment_of(connection.last_test.get("at")),
        "test_now": request.GET.get("new") == "1" and can_manage and not connection.last_test,
    }


def _above(name: str, connection: Connection) -> str:
    """A page about the connection that lies in the app above."""
    try:
        return reverse(name, args=[connection.slug])
    except NoReverseMatch:
        return ""


def _first_url(connection: Connection) -> str:
    """Where it says how to store a first completion; empty once something is mirrored."""
    mirrored: Any = getattr(connection, "completions", None)  # rows of the app above
    if mirrored is None or mirrored.exists():
        return ""
    try:
        return f"{reverse('completions:pane')}?{urlencode({'q': f'connection:{connection.slug}'})}"
    except NoReverseMatch:
        return ""


@require_POST
def test(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask the endpoint for one of everything and show what came of it."""
    connection = _found(request, slug, "manage")
    if connection.state == State.DELETING or not connection.has_endpoint:
        raise PermissionDenied
    findings = connections.try_out(connection, request.user)
    if not wants_fragment(request):
        return go(request, reverse("connections:detail", args=[slug]))
    well = connections.all_well(findings)
    response = render(request, "portal/connection.html#report", _context(request, connection))
    text = f"{connection.name} works." if well else "The test found a problem."
    return toast(request, response, text, "ok" if well else "warn")


test.__test__ = False  # type: ignore[attr-defined]  # a view, not a test


@require_http_methods(["GET", "HEAD", "POST"])
def store(request: HttpRequest, slug: str) -> HttpResponse:
    """Store one test completion upstream, so that there is something to see."""
    connection = _found(request, slug, "act")
    if connection.state not in (State.CONNECTED, State.ATTENTION) or not connection.has_endpoint:
        raise PermissionDenied
    back = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure()):
        back = reverse("connections:detail", args=[slug])
    typed = request.POST.get("model", "").strip()
    if request.method != "POST":
        return _ask_for_model(request, connection, StoreTestForm(), 200)
    try:
        model = typed or first_completion.likely_model(connection)
        if not model:
            return _ask_for_model(request, connection, StoreTestForm(), 200)
        first_completion.store_one(connection, request.user, model)
    except UpstreamError as error:
        form = StoreTestForm({"model": typed or ""})
        form.is_valid()
        form.add_error(None, " ".join(part for part in (error.message, error.hint) if part))
        return _ask_for_model(request, connection, form, 422)
    return toast(request, go(request, back), "Stored. It is here after the next sync.")


def _ask_for_model(
    request: HttpRequest, connection: Connection, form: StoreTestForm, status: int
) -> HttpResponse:
    context = {"connection": connection, "form": form}
    return render(request, "portal/connection_store_test.html", context, status=status)


@require_POST
def disconnect(request: HttpRequest, slug: str) -> HttpResponse:
    connection = _found(request, slug, "manage")
    connections.disconnect(connection, request.user)
    response = go(request, reverse("connections:detail", args=[slug]))
    return toast(request, response, f"{connection.name} is disconnected. Its rows stay.")


@require_POST
def reconnect(request: HttpRequest, slug: str) -> HttpResponse:
    connection = _found(request, slug, "manage")
    connections.reconnect(connection, request.user)
    return toast(
        request, go(request, reverse("connections:detail", args=[slug])), f"{connection.name} is connected."
    )


@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, slug: str) -> HttpResponse:
    """Say what goes along, ask for the name, then delete in the background."""
    connection = _found(request, slug, "manage")
    if connection.state == State.DELETING:
        return go(request, reverse("connections:list"))
    form = DeleteForm(request.POST or None, expected=connection.name)
    reasons = deletion.obstacles(connection)
    if request.method == "POST" and form.is_valid() and not reasons:
        try:
            operation = deletion.begin(connection, request.user)
        except deletion.Blocked as blocked:
            reasons = blocked.reasons
        else:
            url = reverse("operations:detail", args=[operation.pk])
            return toast(request, go(request, url), f"{connection.name} is being deleted.")
    counts = [(name, number) for name, number in deletion.counts(connection) if number]
    context = {
        "connection": connection,
        "form": form,
        "counts": counts,
        "rows": sum(number for _, number in counts),
        "reasons": reasons,
    }
    return render(
        request, "portal/connection_delete.html", context, status=422 if request.method == "POST" else 200
    )
