"""Try a deployed model beside its teacher: a prompt box, and one request of the page for each answer."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe

from completions.models import StoredCompletion
from completions.repeating import CannotRepeat
from datasets import trying
from datasets.deploy_forms import AskForm, SideForm
from datasets.evaluate import suggestions
from datasets.models import DatasetVersion, Deployment
from datasets.prompts import Prompt
from portal.models import Connection
from portal.permissions import fetch

_RELATED = ("connection", "fine_tune__version__dataset")


def _deployment(request: HttpRequest, pk: int) -> Deployment:
    """The deployment to try, which costs something: only for those who may act."""
    found: Deployment = fetch(Deployment.objects.select_related(*_RELATED), request.user, "act", pk=pk)
    if found.state != Deployment.State.READY:
        raise Http404
    return found


def _reachable(request: HttpRequest) -> Any:
    usable = (Connection.State.CONNECTED, Connection.State.ATTENTION)
    return Connection.objects.actionable_by(request.user).with_endpoint().filter(state__in=usable)


@require_safe
def page(request: HttpRequest, pk: int) -> HttpResponse:
    """The prompt box, filled from a completion or a row where the address names one."""
    deployment = _deployment(request, pk)
    prompt, source, problem = Prompt(), "", ""
    try:
        prompt, source = _sourced(request, deployment, _wanted(request))
    except CannotRepeat as found:
        problem = str(found)
    reachable = _reachable(request)
    sides = trying.sides_of(deployment, set(reachable.values_list("pk", flat=True)))
    form = AskForm(initial={"system": prompt.system, "user": prompt.user, "source": source})
    context = {
        "deployment": deployment,
        "form": form,
        "prompt": prompt,
        "problem": problem,
        "sides": [
            (side, SideForm(initial=_initial(side), prefix=side.key, connections=reachable)) for side in sides
        ],
        "suggestions": suggestions.models_for(request.user),
        "rows": _rows(_version(request, deployment), source),
    }
    return render(request, "datasets/try.html", context)


def _initial(side: trying.Side) -> dict[str, Any]:
    return {"asked": side.asked, "model": side.model, "connection": side.connection}


def _wanted(request: HttpRequest) -> str:
    for name in ("completion", "row"):
        if name in request.GET:
            return f"{name}:{request.GET[name].strip()[:200]}".replace("\x00", "")
    return ""


def _sourced(request: HttpRequest, deployment: Deployment, source: str) -> tuple[Prompt, str]:
    """The prompt that a source names, `completion:17` or `row:3`, as far as the person may read it."""
    kind, _, number = source.partition(":")
    is_number = number.isascii() and number.isdigit() and len(number) < 16
    if kind == "completion" and number:
        rows = StoredCompletion.objects.select_related("connection").defer("connection__secret")
        named = rows.filter(pk=int(number)) if is_number else rows.filter(upstream_id=number[:200])
        row: StoredCompletion | None = named.readable_by(request.user).first()
        if row is None:
            raise CannotRepeat("There is no such completion among those that you may read.")
        return trying.prompt_of_completion(row), f"completion:{row.pk}"
    if not is_number:
        return Prompt(), ""
    version = _version(request, deployment)
    if kind == "row" and version is not None:
        return trying.prompt_of_row(version, int(number)), source
    raise Http404


def _version(request: HttpRequest, deployment: Deployment) -> DatasetVersion | None:
    """What the model learnt from, if the person may read it."""
    version_id = deployment.fine_tune.version_id if deployment.fine_tune is not None else None
    if version_id is None:
        return None
    found: DatasetVersion | None = (
        DatasetVersion.objects.readable_by(request.user).filter(pk=version_id).first()
    )
    return found


def _rows(version: DatasetVersion | None, source: str) -> dict[str, Any] | None:
    """Where the walk through the rows to try stands."""
    if version is None or not version.path:
        return None
    first, count = trying.test_part(version)
    kind, _, number = source.partition(":")
    at = int(number) if kind == "row" else None
    place = at - first if at is not None and first <= at < first + count else None
    return {
        "count": count,
        "number": place + 1 if place is not None else None,
        "next": first + (place + 1 if place is not None and place + 1 < count else 0),
        "previous": at - 1 if at is not None and place else None,
        "part": next((part.name for part in version.parts if part.first_line == first), "train"),
    }


@require_POST
def sides(request: HttpRequest, pk: int) -> HttpResponse:
    """A place for each answer that was asked for; each then asks for its own."""
    deployment = _deployment(request, pk)
    form = AskForm(request.POST)
    reachable = _reachable(request)
    chosen = [
        SideForm(request.POST, prefix=key, connections=reachable)
        for key in trying.TITLES
        if request.POST.get(f"{key}-asked")
    ]
    problems = [] if form.is_valid() else [str(text) for texts in form.errors.values() for text in texts]
    if not chosen:
        problems.append("Choose at least one model to ask.")
    for side in chosen:
        if not side.is_valid():
            problems += [f"{side.title}: {text}" for texts in side.errors.values() for text in texts]
    if problems:
        return render(request, "datasets/try_problems.html", {"problems": problems}, status=422)
    prompt, source = _prompt(request, deployment, form)
    context = {
        "deployment": deployment,
        "sides": [{"title": side.title, "key": side.prefix, **side.cleaned_data} for side in chosen],
        "sent": form.cleaned_data | {"source": source},
        "known": prompt.answer if source else "",
    }
    return render(request, "datasets/try_sides.html", context)


def _prompt(request: HttpRequest, deployment: Deployment, form: AskForm) -> tuple[Prompt, str]:
    values = form.cleaned_data
    try:
        prompt, source = _sourced(request, deployment, values["source"])
    except CannotRepeat:
        prompt, source = Prompt(), ""
    return prompt.changed(values["system"], values["user"]), source


@require_POST
def answer(request: HttpRequest, pk: int) -> HttpResponse:
    """One model's answer; the request of the page waits for it, for a bounded time."""
    deployment = _deployment(request, pk)
    key = request.POST.get("side", "")
    if key not in trying.TITLES:
        raise Http404
    form, side = AskForm(request.POST), SideForm(request.POST, prefix=key, connections=_reachable(request))
    if not form.is_valid() or not side.is_valid():
        raise PermissionDenied
    prompt, source = _prompt(request, deployment, form)
    connection, model = side.cleaned_data["connection"], side.cleaned_data["model"]
    said = trying.ask(deployment, connection, model, prompt, form.options(), request.user)
    context = {
        "deployment": deployment,
        "side": {"title": side.title, "key": key, **side.cleaned_data},
        "sent": form.cleaned_data | {"source": source},
        "said": said,
    }
    return render(request, "datasets/try_side.html", context)
