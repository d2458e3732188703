"""The grader library: what a connection has, one grader with its versions, and what can be done to it."""

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from datasets import library, library_shown
from datasets.evaluate import graders as grading
from datasets.evaluate import suggestions
from datasets.library_forms import CopyForm, FindForm
from datasets.models import LibraryGrader, LibraryGraderVersion
from portal.htmx import toast
from portal.models import Connection
from portal.permissions import Verb, fetch, may

PER_PAGE = 50


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The library of the first connection that has one; without any connection, what a library is for."""
    readable = Connection.objects.readable_by(request.user).order_by("name")
    filled = LibraryGrader.objects.readable_by(request.user).values("connection")
    first = readable.filter(pk__in=filled).first() or readable.first()
    if first is not None:
        return redirect("datasets:library", first.slug)
    return render(request, "datasets/library/list.html", {"connection": None})


@require_safe
def of_connection(request: HttpRequest, connection: str) -> HttpResponse:
    """The graders of one connection, by name and kind."""
    found = connection_of(request, connection)
    form = FindForm(request.GET)
    wanted = form.cleaned_data if form.is_valid() else {}
    rows = library.listed(found, archived=bool(wanted.get("archived")))
    if not wanted:
        rows = rows.none()  # what cannot be read finds nothing
    if wanted.get("q"):
        rows = rows.filter(name__icontains=wanted["q"])
    if wanted.get("kind"):
        rows = rows.filter(kind=wanted["kind"])
    page = Paginator(rows.order_by("name", "pk"), PER_PAGE).get_page(request.GET.get("page"))
    versions = LibraryGraderVersion.objects.in_bulk([row.newest for row in page])
    context = {
        "connection": found,
        "connections": Connection.objects.readable_by(request.user).order_by("name"),
        "form": form,
        "page": page,
        "entries": [
            {
                "grader": row,
                "version": versions[row.newest],
                "described": library_shown.described(versions[row.newest]),
            }
            for row in page
        ],
        "narrowed": not wanted or bool(wanted["q"] or wanted["kind"]),
        "any": LibraryGrader.objects.filter(connection=found).exists(),
        "may_act": may(Connection.objects, request.user, "act", found),
    }
    return render(request, "datasets/library/list.html", context)


@require_safe
def grader(request: HttpRequest, pk: int) -> HttpResponse:
    """One grader: a version of it, what that changed, and where it is used."""
    found = grader_of(request, pk)
    versions = list(found.versions.select_related("created_by"))
    version = _chosen(request, "v", versions) or versions[0]
    before = _chosen(request, "from", versions)
    if before is None:
        before = next((each for each in versions if each.number < version.number), None)
    context = {
        "grader": found,
        "connection": found.connection,
        "versions": versions,
        "version": version,
        "before": before,
        "fields": library_shown.fields_of(version.kind, version.params, request.user).items(),
        "changed": library_shown.compare(before, version, request.user) if before else [],
        "described": library_shown.described(version),
        "off": library.off_for(version.kind, version.params),
        "explained": grading.explain(version.kind, version.params),
        "uses": library_shown.uses_of(found, request.user),
        "may_act": may(LibraryGrader.objects, request.user, "act", found),
    }
    return render(request, "datasets/library/grader.html", context)


@require_http_methods(["GET", "POST"])
def grader_copy(request: HttpRequest, pk: int) -> HttpResponse:
    """The newest version in the library of another connection, whose judges are chosen anew."""
    found = grader_of(request, pk)
    version = library.newest_of(found)
    form = CopyForm(request.POST or None, user=request.user, version=version)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        note = f"Copied from v{version.number} in the library of another connection"
        try:
            made = library.add(data["to"], data["name"], version.kind, data["params"], request.user, note)
        except library.Refused as reason:
            form.add_error("name", str(reason))
        else:
            where = redirect("datasets:library_grader", made.grader_id)
            return toast(request, where, f"Copied to the library of {data['to']}.")
    status = 422 if form.is_bound and not form.is_valid() else 200
    context = {
        "grader": found,
        "connection": found.connection,
        "version": version,
        "form": form,
        "asks": library.asks(version.kind, version.params),
        "suggestions": suggestions.models_for(request.user),
    }
    return render(request, "datasets/library/copy.html", context, status=status)


@require_POST
def grader_archive(request: HttpRequest, pk: int) -> HttpResponse:
    """Offer it no longer, or again."""
    found = grader_of(request, pk, "act")
    archived = request.POST.get("archived") == "1"
    library.archive(found, request.user, archived=archived)
    said = "is archived: it is no longer offered." if archived else "is offered again."
    return toast(request, redirect("datasets:library_grader", found.pk), f"“{found.name}” {said}")


@require_POST
def grader_delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove one that no evaluation took."""
    found = grader_of(request, pk, "act")
    try:
        library.delete(found, request.user)
    except library.Refused as reason:
        return toast(request, redirect("datasets:library_grader", pk), str(reason), "bad")
    return toast(request, redirect("datasets:library", found.connection.slug), f"“{found.name}” was deleted.")


def connection_of(request: HttpRequest, slug: str, verb: Verb = "read") -> Connection:
    connection: Connection = fetch(Connection.objects, request.user, verb, slug=slug)
    return connection


def grader_of(request: HttpRequest, pk: int, verb: Verb = "read") -> LibraryGrader:
    found: LibraryGrader = fetch(
        LibraryGrader.objects.select_related("connection", "created_by"), request.user, verb, pk=pk
    )
    return found


def _chosen(
    request: HttpRequest, name: str, versions: list[LibraryGraderVersion]
) -> LibraryGraderVersion | None:
    wanted = request.GET.get(name, "")
    if not wanted:
        return None
    found = next((version for version in versions if str(version.number) == wanted), None)
    if found is None:
        raise Http404
    return found
