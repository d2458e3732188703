"""Upload a file of one's own, or fetch one that lies at the provider, as a version of a dataset."""

from typing import BinaryIO, cast

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods

from completions.views.imports import Bounded
from datasets import received
from datasets.models import Dataset, DatasetVersion
from datasets.upload_forms import FetchForm, UploadForm
from portal.htmx import go
from portal.models import Connection
from portal.permissions import fetch
from portal.upstream import FileInfo, UpstreamError, connect

SHOWN = 200
PURPOSES = ("fine-tune", "evals")


def _into(request: HttpRequest) -> Dataset | None:
    """The dataset that the file is to continue."""
    wanted = request.GET.get("into", "")
    if not (wanted.isascii() and wanted.isdigit()) or len(wanted) > 9:
        return None
    found: Dataset = fetch(Dataset.objects, request.user, "act", pk=int(wanted))
    return found


def _there(version: DatasetVersion) -> str:
    return reverse("datasets:version", args=[version.dataset_id, version.number])


def bounded_upload(request: HttpRequest) -> Bounded:
    """Bound what somebody who may upload sends. Raises Http404 or PermissionDenied for everybody else."""
    if not Connection.objects.readable_by(request.user).exists():
        raise Http404
    if not received.may_upload(request.user):
        raise PermissionDenied
    bounded = Bounded(request)
    request.upload_handlers = [bounded, TemporaryFileUploadHandler(request)]
    return bounded


@csrf_exempt  # its own handler must be in place before anything reads the form; _upload asks for the token
def upload(request: HttpRequest) -> HttpResponse:
    """Upload a file."""
    return _upload(request, bounded_upload(request))


@csrf_protect
@require_http_methods(["GET", "HEAD", "POST"])
def _upload(request: HttpRequest, bounded: Bounded) -> HttpResponse:
    into = _into(request)
    form = UploadForm(request.POST if request.method == "POST" else None, into=into, user=request.user)
    problem = ""
    if request.method == "POST":
        problem = problem_of(request, bounded)
        if form.is_valid() and not problem:
            uploaded = request.FILES["file"]
            try:
                path, size = received.keep(cast(BinaryIO, uploaded.file))  # type: ignore[union-attr]  # one file, not a list
            except received.Refused as refused:
                problem = str(refused)
            else:
                data = form.cleaned_data
                version = received.start(
                    request.user,
                    into=into,
                    name=data.get("name", ""),
                    purpose=data.get("purpose", ""),
                    connections=list(data["connections"]),
                    source={"path": path, "size": size, "file_name": uploaded.name},  # type: ignore[union-attr]  # as above
                    mend=data["mend"],
                )
                return go(request, _there(version))
    context = {
        "form": form,
        "problem": problem,
        "into": into,
        "most": settings.IMPORT_MAX_MB,
        "connections": Connection.objects.actionable_by(request.user).with_endpoint().order_by("name"),
    }
    status = 422 if request.method == "POST" else 200
    return render(request, "datasets/upload.html", context, status=status)


def problem_of(request: HttpRequest, bounded: Bounded) -> str:
    """What is wrong with the file itself; empty if nothing is."""
    if bounded.too_large:
        return f"The file is larger than {settings.IMPORT_MAX_MB:,} MB. Split it, or pack it with gzip."
    if "file" not in request.FILES:
        return "Choose a file."
    return ""


@require_http_methods(["GET", "HEAD", "POST"])
def from_provider(request: HttpRequest, slug: str) -> HttpResponse:
    """Choose one of the files at the provider; its rows become a version."""
    connection: Connection = fetch(Connection.objects.with_endpoint(), request.user, "act", slug=slug)
    into = _into(request)
    form = FetchForm(request.POST if request.method == "POST" else None, into=into)
    found, trouble = _files(connection)
    if request.method == "POST" and form.is_valid():
        chosen = next((each for each in found if each.id == form.cleaned_data["file"]), None)
        if chosen is None:
            trouble = trouble or "The file is not there any more. Choose another one."
        else:
            version = received.start(
                request.user,
                into=into,
                name=form.cleaned_data.get("name", ""),
                purpose=form.cleaned_data.get("purpose", ""),
                connections=[connection],
                source={
                    "connection": connection.pk,
                    "file": chosen.id,
                    "file_name": chosen.name,
                    "size": chosen.bytes,
                },
                origin=DatasetVersion.Origin.UPSTREAM,
                mend=form.cleaned_data["mend"],
            )
            return go(request, _there(version))
    context = {"form": form, "into": into, "connection": connection, "files": found, "trouble": trouble}
    status = 422 if request.method == "POST" else 200
    return render(request, "datasets/upload_from.html", context, status=status)


def _files(connection: Connection) -> tuple[list[FileInfo], str]:
    """The files that hold rows, the newest first; or why they cannot be listed."""
    found: list[FileInfo] = []
    try:
        with connect(connection) as upstream:
            for purpose in PURPOSES:
                found += upstream.list_files(purpose)
    except UpstreamError as error:
        return [], str(error)
    found.sort(key=lambda each: each.created or 0, reverse=True)
    return found[:SHOWN], ""
