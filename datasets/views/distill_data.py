"""The first step of Distill: the name, the purpose and the recipe, with what its rules would take."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from completions.models import FrozenSelection, StoredCompletion
from completions.selection import name_of
from datasets import distill, recipe_choices, recipe_forms, recipe_starts, wizard
from datasets.build import survey, validate
from datasets.models import Dataset, DatasetVersion
from datasets.recipe import PERSONAL, Recipe
from datasets.recipe_forms import DataForm, NameForm
from datasets.views.distill_page import page, status
from portal.htmx import fragment, redraw
from portal.permissions import fetch


@dataclass(frozen=True)
class Asked:
    """What the form is about: a name and a recipe on a selection, and what is fixed of them."""

    frozen: FrozenSelection | None
    name: str
    recipe: Recipe
    connections: Any
    fixed: bool = False

    def form(self, data: Any = None, *, recipe: Recipe | None = None, name: str = "") -> DataForm:
        """The form as it was sent, or as it shows a recipe."""
        offer = recipe_choices.observed_on(self.connections.values_list("pk", flat=True))
        initial = {"name": name or self.name, **recipe_starts.initial_of(recipe or self.recipe)}
        return DataForm(
            data,
            initial=initial,
            base=self.recipe,
            fixed=self.fixed,
            groups=offer.groups,
            references=offer.references,
            models=offer.models,
        )

    def quick(self, request: HttpRequest) -> DataForm:
        """The form after one of its quick choices was pressed; what else was entered stays."""
        wanted, sent = request.POST["quick"], self.form(request.POST)
        valid = sent.is_valid()
        name = str(sent.cleaned_data.get("name", ""))
        recipe = sent.recipe() if valid else self.recipe
        purpose = str(sent.cleaned_data.get("purpose") or recipe.purpose)
        recipe = recipe_starts.for_purpose(recipe, purpose)
        if wanted == "recommended":
            return self.form(recipe=recipe_starts.recommended(recipe), name=name)
        if wanted == "nothing":
            return self.form(recipe=recipe_starts.plain(recipe), name=name)
        data = request.POST.copy()
        found = recipe_choices.common_beginning(self.frozen) if self.frozen is not None else ""
        if found:
            data["beginning"] = found
        form = self.form(data)
        if not found:
            form.add_error("beginning", "The first rows have no beginning in common.")
        return form


@dataclass(frozen=True)
class Glimpse:
    """A row that a rule would leave out, as people know it again."""

    prompt: str
    answer: str
    source_key: str


@require_http_methods(["GET", "POST"])
def start(request: HttpRequest, selection: UUID) -> HttpResponse:
    """The first step of a new dataset; posting confirms the frozen selection and builds its rows."""
    frozen = _selection(request, selection)
    begun = distill.version_of(frozen)
    if begun is not None and request.method == "GET":
        step = wizard.first_open(distill.STEPS, distill.done_steps(begun))
        return redirect("datasets:distill", begun.pk, step)
    asked = _of_selection(request, frozen)
    if "look" in request.POST:
        return _surveyed(request, asked)
    form = _form(request, asked)
    if form.is_bound and "quick" not in request.POST and form.is_valid():
        version = distill.start(frozen, request.user, form.cleaned_data["name"], form.recipe())
        distill.build_now(version, request.user)
        return redirect("datasets:distill", version.pk, "check")
    context = {
        "steps": wizard.steps(distill.STEPS, "data", (), lambda _: request.path),
        "selected": frozen.count,
        "here": request.path,
        "back": reverse("home"),
    }
    return _shown(request, form, asked, context)


def data(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    """The same step of a dataset that was begun; other rules make the next version of one that is built."""
    if version.origin != DatasetVersion.Origin.SELECTION:
        return _received(request, version)
    asked = _of_version(version)
    if "look" in request.POST:
        return _surveyed(request, asked)
    form = _form(request, asked)
    if form.is_bound and "quick" not in request.POST and form.is_valid():
        version = distill.change_data(version, request.user, form.cleaned_data["name"], form.recipe())
        distill.build_now(version, request.user)
        return redirect("datasets:distill", version.pk, "check")
    return _shown(request, form, asked, page(version, "data"))


def _received(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    """Rows that came as a file are taken as they are: there is only a name to give."""
    form = NameForm(request.POST or None, initial={"name": version.dataset.name})
    if form.is_valid():
        distill.rename(version.dataset, request.user, form.cleaned_data["name"])
        return redirect("datasets:distill", version.pk, "check")
    context = page(version, "data", form=form)
    return render(request, "datasets/distill/received.html", context, status=status(form))


def _selection(request: HttpRequest, pk: UUID) -> FrozenSelection:
    selections = FrozenSelection.objects.ready()
    found: FrozenSelection = fetch(selections, request.user, "act", pk=pk, owner=request.user)
    return found


def _of_selection(request: HttpRequest, frozen: FrozenSelection) -> Asked:
    own = Dataset.objects.filter(owner=request.user.pk, purpose__in=list(distill.METHODS))
    name = wizard.free_name(name_of(frozen), set(own.values_list("name", flat=True)))
    return Asked(frozen, name, Recipe(), frozen.connections.all())


def _of_version(version: DatasetVersion) -> Asked:
    return Asked(
        version.frozen_selection,
        version.dataset.name,
        distill.recipe_of(version),
        version.connections.all(),
        distill.purpose_is_fixed(version),
    )


def _form(request: HttpRequest, asked: Asked) -> DataForm:
    if request.method != "POST":
        return asked.form()
    return asked.quick(request) if "quick" in request.POST else asked.form(request.POST)


def _shown(request: HttpRequest, form: DataForm, asked: Asked, context: dict[str, Any]) -> HttpResponse:
    frozen = asked.frozen
    template = fragment(request, "datasets/distill/data.html", {"rules"})
    context |= {
        "form": form,
        "purposes": recipe_forms.PURPOSES,
        "asked": asked,
        "q": frozen.q if frozen and frozen.everything else "",
    }
    quick = "quick" in request.POST
    response = render(request, template, context, status=200 if quick else status(form))
    return redraw(response, "recipe-changed", "settle") if quick else response


def _surveyed(request: HttpRequest, asked: Asked) -> HttpResponse:
    """What the rules of the form would take of the first rows; nothing is kept."""
    form = asked.form(request.POST)
    valid = form.is_valid() and asked.frozen is not None
    if not valid or asked.frozen is None:
        return render(request, "datasets/distill/survey.html", {"errors": form.errors})
    recipe = form.recipe()
    found = survey.survey(asked.frozen, recipe)
    steps = [
        (step, [(reason, _glimpses(reason)) for reason in step.most_frequent])
        for step in found.steps
        if step.left_out
    ]
    personal = [(PERSONAL.get(kind, kind), times) for kind, times in sorted(found.personal.items())]
    context = {
        "survey": found,
        "steps": steps,
        "personal": personal,
        "sampled": recipe.sample,
        "too_few": found.is_whole and found.stays < validate.MIN_EXAMPLES,
    }
    return render(request, "datasets/distill/survey.html", context)


def _glimpses(reason: survey.Reason) -> list[Glimpse]:
    ids = [pk for pk, _ in reason.examples if pk is not None]
    rows = StoredCompletion.objects.in_bulk(ids)
    return [
        Glimpse(rows[pk].prompt_preview, rows[pk].answer_preview, key)
        for pk, key in reason.examples
        if pk in rows
    ]
