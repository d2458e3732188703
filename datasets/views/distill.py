"""The Distill wizard: a selection, a model, a look at the rows, a launch. Every step is an address."""

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from completions.models import FrozenSelection
from completions.selection import name_of
from datasets import base_models, distill, preview, wizard
from datasets.build import build, validate
from datasets.build.lines import in_words
from datasets.distill_forms import DataForm, LaunchForm, ModelForm
from datasets.finetune import launch
from datasets.models import Dataset, DatasetVersion, FineTune
from datasets.recipe import Recipe
from portal.htmx import fragment, go, toast, wants_fragment
from portal.models import Connection
from portal.permissions import fetch

PREVIEW_ROWS = 4


@require_http_methods(["GET", "POST"])
def start(request: HttpRequest, selection: UUID) -> HttpResponse:
    """Step 1 of a new dataset; posting confirms the frozen selection."""
    selections = FrozenSelection.objects.ready()
    frozen: FrozenSelection = fetch(selections, request.user, "act", pk=selection, owner=request.user)
    begun = distill.version_of(frozen)
    if begun is not None and request.method == "GET":
        return redirect(
            "datasets:distill", begun.pk, wizard.first_open(distill.STEPS, distill.done_steps(begun))
        )
    own = Dataset.objects.filter(owner=request.user.pk, purpose__in=list(distill.METHODS))
    name = wizard.free_name(name_of(frozen), set(own.values_list("name", flat=True)))
    form = DataForm(request.POST or None, initial={"name": name})
    if request.method == "POST" and form.is_valid():
        recipe = Recipe(train_on=form.cleaned_data["train_on"])
        version = distill.start(frozen, request.user, form.cleaned_data["name"], recipe)
        distill.build_now(version, request.user)
        return redirect("datasets:distill", version.pk, "check")
    context = {
        "form": form,
        "steps": wizard.steps(distill.STEPS, "data", (), lambda _: request.path),
        "selected": frozen.count,
        "q": frozen.q if frozen.everything else "",
        "sources": frozen.connections.all(),
        "back": reverse("home"),
    }
    return render(request, "datasets/distill/data.html", context, status=_status(form))


@require_http_methods(["GET", "POST"])
def step(request: HttpRequest, pk: int, step: str) -> HttpResponse:
    """One of the steps of a dataset that was begun."""
    versions = DatasetVersion.objects.select_related("dataset", "frozen_selection")
    version: DatasetVersion = fetch(
        versions, request.user, "act", pk=pk, dataset__purpose__in=list(distill.METHODS)
    )
    views = {"data": _data, "model": _model, "check": _check, "launch": _launch}
    if step not in views:
        raise Http404
    done = distill.done_steps(version)
    earlier = [key for key, _ in distill.STEPS[: [key for key, _ in distill.STEPS].index(step)]]
    missing = next((key for key in earlier if key not in done), None)
    if missing is not None and not (step == "launch" and request.method == "POST"):
        return redirect("datasets:distill", version.pk, missing)
    return views[step](request, version)


def _page(version: DatasetVersion, current: str, **context: Any) -> dict[str, Any]:
    def url_of(key: str) -> str:
        return reverse("datasets:distill", args=[version.pk, key])

    keys = [key for key, _ in distill.STEPS]
    place = keys.index(current)
    return {
        "version": version,
        "steps": wizard.steps(distill.STEPS, current, distill.done_steps(version), url_of),
        "back": url_of(keys[place - 1]) if place else reverse("datasets:list"),
        "selected": version.counts.get("selected", 0),
        "here": url_of(current),
        **context,
    }


def _status(form: Any) -> int:
    return 422 if form.is_bound and not form.is_valid() else 200


def _data(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    initial = {"name": version.dataset.name, "train_on": distill.recipe_of(version).train_on}
    form = DataForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        recipe = replace(distill.recipe_of(version), train_on=form.cleaned_data["train_on"])
        version = distill.change_data(version, request.user, form.cleaned_data["name"], recipe)
        distill.build_now(version, request.user)
        return redirect("datasets:distill", version.pk, "check")
    frozen = version.frozen_selection
    context = _page(
        version,
        "data",
        form=form,
        q=frozen.q if frozen and frozen.everything else "",
        sources=version.connections.all(),
    )
    return render(request, "datasets/distill/data.html", context, status=_status(form))


def _model(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    connections = Connection.objects.actionable_by(request.user).with_endpoint().order_by("name")
    if not connections.exists():
        text = "Training takes a connection with an endpoint; you act on none. Rows from files cannot train."
        return toast(
            request, go(request, reverse("datasets:distill", args=[version.pk, "data"])), text, "warn"
        )
    draft = distill.draft_of(version)
    form = ModelForm(request.POST or None, connections=connections, initial=_chosen(request, version, draft))
    if request.method == "POST" and form.is_valid():
        version, _ = distill.choose_model(
            version, request.user, form.cleaned_data["connection"], form.cleaned_data["base_model"]
        )
        if version.state == DatasetVersion.State.READY:
            return redirect("datasets:distill", version.pk, "launch")
        distill.build_now(version, request.user)  # the model takes shorter rows than were built
        return redirect("datasets:distill", version.pk, "check")
    connection = _connection(request, form, connections)
    asks = wants_fragment(request) or request.method == "POST"
    offer = base_models.ask(connection) if asks else base_models.suggested(connection)
    picked = _picked(request, draft, offer)
    context = _page(
        version, "model", form=form, offer=offer, connection=connection, asks=not asks, picked=picked
    )
    return render(
        request,
        fragment(request, "datasets/distill/model.html", {"models"}),
        context,
        status=_status(form),
    )


def _chosen(request: HttpRequest, version: DatasetVersion, draft: FineTune | None) -> dict[str, Any]:
    """What the form shows first: the draft's choice, else a source that may be acted on."""
    if draft is not None:
        return {"connection": draft.connection_id}
    sources = Connection.objects.actionable_by(request.user).with_endpoint().filter(dataset_versions=version)
    return {"connection": distill.main_source(version, sources)}


def _connection(request: HttpRequest, form: ModelForm, connections: Any) -> Connection:
    wanted = request.POST.get("connection") or request.GET.get("connection") or form.initial.get("connection")
    number = int(str(wanted)) if str(wanted).isdigit() else 0
    found: Connection | None = connections.filter(pk=number).first() or connections.first()
    if found is None:
        raise Http404
    return found


def _picked(request: HttpRequest, draft: FineTune | None, offer: base_models.Offer) -> dict[str, Any]:
    """The family and version that are marked, and the free text of a model that is not on the list."""
    sent = request.POST if request.method == "POST" else request.GET
    model = sent.get("version") or (draft.base_model if draft and "model" not in sent else "")
    family = offer.named(sent.get("model", "")) or offer.family_of(model)
    other = sent.get("other", "") or (model if draft and family is None else "")
    if family is None and not other and offer.families:
        family = offer.families[0]
    return {"family": family, "version": model, "other": other}


def _check(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    if request.method == "POST":
        distill.build_now(version, request.user)
        return redirect("datasets:distill", version.pk, "check")
    if wants_fragment(request):  # the build has ended: steps and buttons change too, so the page comes anew
        return go(request, request.path)
    ready = version.state == DatasetVersion.State.READY
    context = _page(
        version,
        "check",
        operation=build.operation_of(version),
        ready=ready,
        left_out=preview.left_out(version),
        left_out_count=version.left_out_total,
        problems=problems_in_words(version),
        first=preview.first_rows(version, PREVIEW_ROWS) if ready else [],
        worst=preview.worst_rows(version, PREVIEW_ROWS + 2) if ready else [],
        choose=_pane_of(version),
    )
    return render(request, "datasets/distill/check.html", context)


def _pane_of(version: DatasetVersion) -> str:
    """The pane with the filter that the version was chosen by."""
    frozen = version.frozen_selection
    q = frozen.q if frozen is not None and frozen.everything else ""
    return f"{reverse('home')}?{urlencode({'q': q})}" if q else reverse("home")


def problems_in_words(version: DatasetVersion) -> list[dict[str, Any]]:
    """Each kind of problem with its count and the first lines where it occurs."""
    lines: dict[str, list[int]] = {}
    for problem in version.problems:
        lines.setdefault(problem["code"], []).append(problem["line"])
    return [
        {
            "code": code,
            "text": validate.WARNINGS.get(code, in_words(code)),
            "count": count,
            "lines": lines.get(code, [])[:12],
            "more": max(count - 12, 0),
        }
        for code, count in sorted(version.counts.get("problems", {}).items(), key=lambda each: -each[1])
    ]


def _launch(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    tune = _tune(request, version)
    if tune is None:
        return redirect("datasets:distill", version.pk, "model")
    if tune.state != FineTune.State.DRAFT:
        return redirect("datasets:finetune", tune.pk)
    if version.state != DatasetVersion.State.READY:
        return redirect("datasets:distill", version.pk, "check")
    # The right is asked for again: it may have gone since the model was chosen.
    fetch(Connection.objects, request.user, "act", pk=tune.connection_id)
    initial = {
        **tune.hyperparameters,
        "seed": tune.seed,
        "suffix": tune.suffix,
        "training_type": tune.training_type,
    }
    form = LaunchForm(request.POST or None, initial=initial, azure=tune.connection.is_azure)
    if request.method == "POST" and form.is_valid():
        distill.set_up(tune, form.cleaned_data)
        if "later" in request.POST:
            return redirect("datasets:version", version.dataset_id, version.number)
        launch.begin(tune, request.user)
        return redirect("datasets:finetune", tune.pk)
    epochs = distill.epochs(version.rows, tune.hyperparameters.get("n_epochs"))
    context = _page(
        version,
        "launch",
        form=form,
        tune=tune,
        epochs=epochs,
        trained=version.counts.get("tokens", 0) * epochs,
        left_out=preview.left_out(version),
        left_out_count=version.left_out_total,
    )
    return render(request, "datasets/distill/launch.html", context, status=_status(form))


def _tune(request: HttpRequest, version: DatasetVersion) -> FineTune | None:
    """The fine-tune that the posted form was made for, so that a form sent twice launches once."""
    named = request.POST.get("fine_tune", "")
    if named.isdigit():
        found: FineTune | None = (
            FineTune.objects.readable_by(request.user)
            .filter(pk=named, version=version)
            .select_related("connection", "version__dataset")
            .first()
        )
        return found
    return distill.draft_of(version)
