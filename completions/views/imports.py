"""Import: upload a file, look at what it says, begin, and see what came of it."""

from typing import Any, BinaryIO, cast
from uuid import UUID

from django import forms
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.files.uploadhandler import FileUploadHandler, StopUpload, TemporaryFileUploadHandler
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from completions.addresses import pane_address
from completions.importing import preview, run, shapes, taking
from completions.models import Import
from portal import tables
from portal.htmx import fragment, go, toast
from portal.models import Connection
from portal.permissions import fetch

SHOWN = 100
PROBLEMS = 50
NEW = "new"
TAKEN = "This name is taken."


class Bounded(FileUploadHandler):
    """Stops keeping a file that grows too large; the rest of the request is read and thrown away."""

    too_large = False

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:
        if start + len(raw_data) > settings.IMPORT_MAX_MB * 1024 * 1024:
            self.too_large = True
            raise StopUpload(connection_reset=False)
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None


class TargetForm(forms.Form):
    """Where the rows go: a connection of files that is there, or a new one."""

    target = forms.ChoiceField(label="Into", widget=forms.Select)
    name = forms.CharField(
        required=False,
        max_length=80,
        strip=True,
        label="Name of the new connection",
        help_text="Whoever begins the import manages it, and decides who else sees its rows.",
    )

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        known = [(str(each.pk), each.name) for each in run.targets(user)]
        self.fields["target"] = forms.ChoiceField(label="Into", choices=[(NEW, "A new connection"), *known])
        self.use_required_attribute = False  # a browser would ask for it where a connection is chosen too
        self.fields["name"].required = not self.is_bound or self.data.get("target") == NEW

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        name = " ".join((data.get("name") or "").split())
        if data.get("target") == NEW and name and Connection.objects.filter(name=name).exists():
            self.add_error("name", TAKEN)
        return {**data, "name": name}

    def chosen(self) -> Connection | None:
        """The connection that was chosen; None for a new one."""
        target = self.cleaned_data["target"]
        if target == NEW:
            return None
        found: Connection = fetch(run.targets(self.user), self.user, "act", pk=int(target))
        return found


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """Imports, newest first."""
    rows = Import.objects.readable_by(request.user).select_related("connection", "owner", "operation")
    context = {"imports": rows.order_by("-created")[:SHOWN], "may_import": run.may_import(request.user)}
    return render(request, "completions/imports.html", context)


@csrf_exempt  # its own handler must be in place before anything reads the form; _new asks for the token
def new(request: HttpRequest) -> HttpResponse:
    """Upload a file."""
    if not run.may_import(request.user):
        raise PermissionDenied
    bounded = Bounded(request)
    request.upload_handlers = [bounded, TemporaryFileUploadHandler(request)]
    return _new(request, bounded)


@csrf_protect
@require_http_methods(["GET", "HEAD", "POST"])
def _new(request: HttpRequest, bounded: Bounded) -> HttpResponse:
    problem = ""
    if request.method == "POST":
        uploaded = request.FILES.get("file")
        if bounded.too_large:
            problem = (
                f"The file is larger than {settings.IMPORT_MAX_MB:,} MB. Split it, or pack it with gzip."
            )
        elif uploaded is None:
            problem = "Choose a file." if "file" not in request.FILES else "The file is empty."
        else:
            try:
                made = taking.take(cast(BinaryIO, uploaded.file), uploaded.name or "", request.user)
            except taking.Refused as refused:
                problem = str(refused)
            else:
                return go(request, reverse("completions:import", args=[made.pk]))
    context = {"problem": problem, "most": settings.IMPORT_MAX_MB}
    return render(request, "completions/import_new.html", context, status=422 if problem else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Before it is begun: what the file says, and what to do with it. After: what came of it."""
    source: Import = fetch(Import.objects.select_related("connection", "operation"), request.user, pk=pk)
    if source.begun:
        return _outcome(request, source)
    return _preview(request, source)


def _preview(request: HttpRequest, source: Import) -> HttpResponse:
    if not source.path:
        raise Http404
    form = TargetForm(initial={"target": NEW, "name": _suggested(source)}, user=request.user)
    problem, status = "", 200
    if request.method == "POST":
        problem = _reshape(source, request)
        if request.POST.get("do") == "begin" and not problem:
            form = TargetForm(request.POST, user=request.user)
            if form.is_valid():
                try:
                    run.begin(source, request.user, into=form.chosen(), name=form.cleaned_data["name"])
                except IntegrityError:  # somebody took it between our look and our insert
                    form.add_error("name", TAKEN)
                else:
                    return go(request, source.get_absolute_url())
        status = 422 if problem or form.errors else 200
    look = preview.look(source)
    context = {
        "source": source,
        "form": form,
        "look": look,
        "problem": problem,
        "shapes": Import.Shape.choices,
        "columns": _columns(source),
        "roles": shapes.ROLES.items(),
    }
    return render(request, "completions/import_preview.html", context, status=status)


def _reshape(source: Import, request: HttpRequest) -> str:
    """Take over which shape the file is said to have and what its columns are; says what is wrong with it."""
    wanted = request.POST.get("shape", source.shape)
    if wanted not in Import.Shape.values:
        return "The page sent a shape that there is none of. Reload it."
    mapping: dict[str, Any] = {}
    if wanted == Import.Shape.TABLE:
        mapping = source.mapping
        if not mapping:
            try:
                with taking.open_file(source) as file:
                    mapping = taking.mapping_of(file)
            except taking.Refused as refused:
                return str(refused)
        else:
            given = [request.POST.get(f"column-{n}", role) for n, role in enumerate(mapping["columns"])]
            mapping = {**mapping, "columns": [role if role in shapes.ROLES else "" for role in given]}
    source.shape, source.mapping = wanted, mapping
    source.save(update_fields=["shape", "mapping"])
    return shapes.why_not(mapping) if mapping else ""


def _columns(source: Import) -> list[tuple[int, str, str]]:
    if source.shape != Import.Shape.TABLE:
        return []
    both = zip(source.mapping["names"], source.mapping["columns"], strict=True)
    return [(number, name, role) for number, (name, role) in enumerate(both)]


def _suggested(source: Import) -> str:
    """A free name for a new connection, from the file's."""
    stem = source.file_name.split(".")[0].replace("_", " ").replace("-", " ").strip()[:60] or "Import"
    name, number = stem, 1
    while Connection.objects.filter(name=name).exists():
        number += 1
        name = f"{stem} {number}"
    return name


def _outcome(request: HttpRequest, source: Import) -> HttpResponse:
    assert source.connection is not None
    context = {
        "source": source,
        "counts": [(words, source.counts.get(name, 0)) for name, words in run.WORDS.items()],
        "bad": source.counts.get("bad", 0),
        "problems": source.problems.order_by("line")[:PROBLEMS],
        "kept": run.MOST_PROBLEMS,
        "rows": pane_address(f"connection:{source.connection.slug}"),
    }
    return render(request, fragment(request, "completions/import.html", {"outcome"}), context)


@require_safe
def problems(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """The bad lines of an import as a table."""
    source: Import = fetch(Import.objects, request.user, pk=pk)
    found = source.problems.order_by("line").values_list("line", "reason")

    def parts() -> Any:
        yield tables.rows([("line", "reason")])
        for row in found.iterator(chunk_size=1000):
            yield tables.rows([row])

    response = StreamingHttpResponse(parts(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="bad-lines.csv"'
    return response


@require_POST
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Throw a preview away. What was begun stays on record."""
    source: Import = fetch(Import.objects, request.user, pk=pk)
    if source.begun:
        raise PermissionDenied
    run.forget(source)
    return toast(request, go(request, reverse("completions:imports")), "Thrown away.")
