"""Between a library and an evaluation: take copies into one that is being set up, keep what one has."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from datasets import library, library_shown
from datasets.evaluate_forms import MAX_GRADERS
from datasets.library_forms import KeepForm
from datasets.models import Evaluation, Grader, LibraryGrader, LibraryGraderVersion
from portal.htmx import toast
from portal.models import Connection
from portal.permissions import fetch, may

SHOWN = 200


@require_http_methods(["GET", "POST"])
def take(request: HttpRequest, pk: int) -> HttpResponse:
    """Choose from every library that this person reads; copies of what is chosen join the evaluation."""
    evaluation: Evaluation = fetch(Evaluation.objects, request.user, "act", pk=pk)
    if evaluation.runs.exists():
        return redirect("datasets:evaluation", evaluation.pk)
    problem, every = "", _versions(request.user)
    wanted = set(request.POST.getlist("version"))
    if request.method == "POST":
        offered = every.select_related("grader").order_by("grader__name")
        chosen = [version for version in offered if str(version.pk) in wanted]
        try:
            if not chosen:
                raise library.Refused("Choose at least one.")
            library.take(evaluation, chosen, request.user, most=MAX_GRADERS)
        except library.Refused as reason:
            problem = str(reason)
        else:
            said = f"{len(chosen)} grader{'' if len(chosen) == 1 else 's'} taken from the library."
            return toast(request, redirect("datasets:evaluate", evaluation.pk, "graders"), said)
    context = {
        "evaluation": evaluation,
        "offered": _offered(evaluation, every, wanted, request.user),
        "more": max(0, every.count() - SHOWN),
        "problem": problem,
        "there": evaluation.graders.count(),
        "most": MAX_GRADERS,
    }
    return render(request, "datasets/library/take.html", context, status=422 if problem else 200)


@require_POST
def renew(request: HttpRequest, pk: int, grader: int) -> HttpResponse:
    """The newest version of the library in place of the one that was taken, before the first run."""
    evaluation: Evaluation = fetch(Evaluation.objects, request.user, "act", pk=pk)
    found = _grader(evaluation, grader)
    where = redirect("datasets:evaluation", evaluation.pk)
    source = found.taken_from.grader_id if found.taken_from else None
    fetch(LibraryGrader.objects, request.user, "read", pk=source)
    try:
        newest = library.renew(found, request.user)
    except library.Refused as reason:
        return toast(request, where, str(reason), "bad")
    return toast(request, where, f"“{found.name}” is v{newest.number} of the library now.")


@require_http_methods(["GET", "POST"])
def keep(request: HttpRequest, pk: int, grader: int) -> HttpResponse:
    """Put a grader of an evaluation into a library: as a new one, or as the next version of one there."""
    evaluation: Evaluation = fetch(Evaluation.objects, request.user, "read", pk=pk)
    found = _grader(evaluation, grader)
    source = found.taken_from.grader if found.taken_from else None
    first = evaluation.connections.first()
    initial = {
        "to": source.connection_id if source else first.pk if first else None,
        "name": source.name if source else found.name,
        "note": f"From the evaluation {evaluation.name}"[:200],
    }
    form = KeepForm(request.POST or None, user=request.user, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            version = _kept(found, form.cleaned_data, request.user)
            if may(Evaluation.objects, request.user, "act", evaluation):
                Grader.objects.filter(pk=found.pk).update(taken_from=version)
        except library.Refused as reason:
            form.add_error(None, str(reason))
        else:
            where = redirect("datasets:library_grader", version.grader_id)
            return toast(request, where, f"“{version.grader.name}” v{version.number} is in the library.")
    context = {
        "evaluation": evaluation,
        "grader": found,
        "fields": library_shown.fields_of(found.kind, found.params, request.user).items(),
        "form": form,
    }
    status = 422 if form.is_bound and not form.is_valid() else 200
    return render(request, "datasets/library/keep.html", context, status=status)


def _grader(evaluation: Evaluation, pk: int) -> Grader:
    found: Grader | None = evaluation.graders.select_related("taken_from__grader").filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


def _kept(found: Grader, data: dict[str, Any], user: Any) -> LibraryGraderVersion:
    if problems := library.problems_of(found.kind, found.params, user):
        raise library.Refused(" ".join(problems))
    note = " ".join(data["note"].split())
    there = LibraryGrader.objects.filter(connection=data["to"], name=data["name"]).first()
    if there is None:
        version = library.add(data["to"], data["name"], found.kind, found.params, user, note)
    else:
        newest = library.newest_of(there)
        if newest.kind != found.kind:
            raise library.Refused(
                f"“{there.name}” in the library is of another kind: {newest.get_kind_display()}."
                " Choose another name."
            )
        if newest.params == found.params:
            version = newest
        else:
            version = library.change(there, found.params, note, user, since=newest.number)
    return version


def _versions(user: Any) -> Any:
    """The newest version of every grader that this person reads and that is offered."""
    rows = LibraryGrader.objects.readable_by(user).filter(archived=False)
    newest = library.newest_by_id(rows.values_list("pk", flat=True))
    return LibraryGraderVersion.objects.filter(pk__in=[version.pk for version in newest.values()])


def _offered(evaluation: Evaluation, every: Any, wanted: set[str], user: Any) -> list[dict[str, Any]]:
    """The libraries of the evaluation's own connections first; `wanted` are those that are ticked."""
    own = set(evaluation.connections.values_list("pk", flat=True))
    there = set(evaluation.graders.exclude(taken_from=None).values_list("taken_from__grader", flat=True))
    versions = every.select_related("grader__connection").order_by("grader__name")[:SHOWN]
    by_connection: dict[Connection, list[dict[str, Any]]] = {}
    for version in versions:
        entry = {
            "version": version,
            "described": library_shown.described(version),
            "refused": library.why_not(version, evaluation, user),
            "there": version.grader_id in there,
            "ticked": str(version.pk) in wanted,
        }
        by_connection.setdefault(version.grader.connection, []).append(entry)
    ordered = sorted(by_connection.items(), key=lambda each: (each[0].pk not in own, str(each[0]).casefold()))
    return [{"connection": connection, "entries": entries} for connection, entries in ordered]
