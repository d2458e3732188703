"""A grader of the library typed anew, or changed into its next version."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from datasets import grader_forms, library
from datasets.evaluate import ready_made, suggestions
from datasets.library_forms import ChangeForm, NoteForm
from datasets.models import LibraryGrader, LibraryGraderVersion
from datasets.views.library import connection_of, grader_of
from portal.htmx import toast
from portal.models import Connection

PREFIX = "g0"


@require_safe
def choose(request: HttpRequest, connection: str) -> HttpResponse:
    """With what kind of grader to begin."""
    found = connection_of(request, connection, "act")
    context = {"connection": found, "groups": ready_made.GROUPS}
    return render(request, "datasets/library/choose.html", context)


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest, connection: str, start: str) -> HttpResponse:
    """A further grader in a library, as its version 1."""
    found = connection_of(request, connection, "act")
    if ready_made.makes(start):
        begun = ready_made.begin(start, has_reference=True)
    elif grader_forms.has(start):
        begun = grader_forms.first(start, has_reference=True)
    else:
        raise Http404
    form = _form(request, found, begun["name"], begun["kind"], begun["params"])
    note = NoteForm(request.POST or None)
    if _is_saved(request) and form.is_valid() and note.is_valid():
        made = form.grader()
        try:
            version = library.add(
                found, _plain(made["name"]), made["kind"], made["params"], request.user, note.said()
            )
        except library.Refused as reason:
            form.add_error("name", str(reason))
        else:
            said = f"“{version.grader.name}” is in the library."
            return toast(request, redirect("datasets:library_grader", version.grader_id), said)
    context = {"title": "New grader", "save": "Save to library", "connection": found, "note": note}
    return _page(request, form, context)


@require_http_methods(["GET", "POST"])
def change(request: HttpRequest, pk: int) -> HttpResponse:
    """Another name, or other fields as the next version."""
    found = grader_of(request, pk, "act")
    version = library.newest_of(found)
    form = _form(request, found.connection, found.name, version.kind, version.params)
    note = NoteForm(request.POST or None, initial={"since": version.number})
    if _is_saved(request) and form.is_valid() and note.is_valid():
        made = form.grader()
        try:
            said = _changed(found, version, made["name"], made["params"], note, request.user)
        except library.Refused as reason:
            form.add_error(None, str(reason))
        else:
            return toast(request, redirect("datasets:library_grader", found.pk), said)
    context = {
        "title": f"Change {found.name}",
        "save": "Save as a new version",
        "connection": found.connection,
        "grader": found,
        "version": version,
        "note": note,
    }
    return _page(request, form, context)


@require_http_methods(["GET", "POST"])
def change_json(request: HttpRequest, pk: int) -> HttpResponse:
    """The same with the fields as the API names them, in JSON."""
    found = grader_of(request, pk, "act")
    form = ChangeForm(request.POST or None, user=request.user, version=library.newest_of(found))
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            said = _changed(found, form.version, data["name"], data["params"], form, request.user)
        except library.Refused as reason:
            form.add_error(None, str(reason))
        else:
            return toast(request, redirect("datasets:library_grader", found.pk), said)
    status = 422 if form.is_bound and not form.is_valid() else 200
    context = {"grader": found, "connection": found.connection, "form": form, "version": form.version}
    return render(request, "datasets/library/change_json.html", context, status=status)


def _form(
    request: HttpRequest, connection: Connection, name: str, kind: str, params: Mapping[str, Any]
) -> Any:
    return grader_forms.make(
        grader_forms.sort_of(kind, params),
        user=request.user,
        source=connection.pk,
        data=request.POST or None,
        prefix=PREFIX,
        number=0,
        has_reference=True,
        initial={**params, "name": name},
    )


def _is_saved(request: HttpRequest) -> bool:
    """Whether it is to be saved, and not a part of it added or taken away."""
    return request.method == "POST" and not {"add", "remove"} & set(request.POST)


def _page(request: HttpRequest, form: Any, context: dict[str, Any]) -> HttpResponse:
    wrong = _is_saved(request) and not form.is_valid()
    context |= {"form": form, "suggestions": suggestions.models_for(request.user)}
    return render(request, "datasets/library/edit.html", context, status=422 if wrong else 200)


def _changed(
    found: LibraryGrader,
    version: LibraryGraderVersion,
    name: str,
    params: dict[str, Any],
    note: NoteForm,
    user: Any,
) -> str:
    name = _plain(name)
    renamed = name != found.name
    with transaction.atomic():  # what is refused renames nothing either
        if renamed:
            library.rename(found, name, user)
        if params == version.params and renamed:
            return f"It is called “{name}” now."
        made = library.change(found, params, note.said(), user, since=note.cleaned_data["since"])
    return f"This is v{made.number} now. Evaluations keep the version that they took."


def _plain(name: str) -> str:
    return " ".join(name.split())
