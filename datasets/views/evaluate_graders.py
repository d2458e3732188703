"""The step of the Evaluate wizard where graders are chosen, written and tried."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render

from datasets import grader_forms
from datasets.evaluate import copying, obstacles, ready_made, setup, sources_seen, suggestions, trying
from datasets.evaluate.judges import connections_of
from datasets.evaluate.obstacles import ALONE
from datasets.evaluate.targets import Target
from datasets.evaluate_forms import MAX_GRADERS
from datasets.judge_forms import COSINE
from datasets.models import Evaluation, Grader
from datasets.python_forms import CodeForm
from datasets.sampling_forms import reachable_by
from datasets.trying import billed_as
from datasets.views.evaluate_page import page_of
from portal.models import Connection

PAGE = "datasets/evaluate/graders.html"
CHANGED = (
    "The graders were saved meanwhile, by somebody or in another tab, and are not those that you changed."
    " What stands here replaces them if you go on from here once more."
)
NONE = "Nothing is judged without a grader. Add one."


def step(request: HttpRequest, evaluation: Evaluation) -> HttpResponse:
    """The graders as typed; buttons add one, take one away, try them, or go on."""
    if request.method != "POST":
        saved = list(evaluation.graders.values("name", "kind", "params"))
        begun = saved or setup.default_graders(evaluation)
        forms = [_form(request, evaluation, number, grader) for number, grader in enumerate(begun)]
        return render(request, PAGE, _page(request, evaluation, forms, seen=True))
    forms = _posted(request, evaluation)
    if "add" in request.POST or "remove" in request.POST:
        return render(request, PAGE, _page(request, evaluation, forms, added="add" in request.POST))
    invalid = [form for form in forms if not form.is_valid()]
    fine = forms and not invalid and _told_apart(forms) and _comparable(evaluation, forms)
    if fine and not setup.set_graders(
        evaluation, [form.grader() for form in forms], since=request.POST.get("since", "")
    ):
        context = _page(request, evaluation, forms, seen=True) | {"problem": CHANGED, "changed": True}
        return render(request, PAGE, context, status=422)
    if fine:
        if "library" in request.POST:
            return redirect("datasets:library_take", evaluation.pk)
        if "try" not in request.POST:
            setup.finish(evaluation, "graders")
            return redirect("datasets:evaluate", evaluation.pk, "review")
        if closed := _closed(request, evaluation):
            context = _page(request, evaluation, forms, seen=True) | {"problem": closed}
            return render(request, PAGE, context, status=422)
        target = _tried_target(request, setup.targets_of(evaluation))
        trial = trying.try_on(evaluation, target, list(evaluation.graders.all()), request.user)
        return render(request, PAGE, _page(request, evaluation, forms, trial, seen=True))
    context = _page(request, evaluation, forms) | {"problem": "" if forms else NONE}
    return render(request, PAGE, context, status=422)


def partial_judges(evaluation: Evaluation) -> list[str]:
    """Judges of the saved graders that judge their own answers, in words."""
    graders = list(evaluation.graders.all())
    targets = setup.targets_of(evaluation)
    asked = connections_of(graders) | {each.connection for each in targets if each.connection is not None}
    connections = Connection.objects.filter(pk__in=asked).defer("secret").in_bulk()

    def behind(connection: int, model: str) -> str:
        found = connections.get(connection)
        return billed_as(found, model) if found is not None else model

    return ready_made.partial(graders, targets, behind)


def _form(
    request: HttpRequest, evaluation: Evaluation, number: int, grader: Mapping[str, Any], **kwargs: Any
) -> CodeForm:
    """A form that shows a grader."""
    sort = grader_forms.sort_of(grader["kind"], grader["params"])
    initial = {"name": grader["name"], **grader["params"]}
    return _make(request, evaluation, sort, number, initial=initial, **kwargs)


def _make(request: HttpRequest, evaluation: Evaluation, sort: str, number: int, **kwargs: Any) -> CodeForm:
    # What is typed needs no connection to begin with, but a part that is added to it does.
    begins = "data" not in kwargs or "add" in request.POST
    return grader_forms.make(
        sort,
        prefix=f"g{number}",
        number=number,
        has_reference=bool(evaluation.reference),
        user=request.user,
        source=sources_seen.mostly_from(evaluation, reachable_by(request.user)) if begins else None,
        **kwargs,
    )


def _posted(request: HttpRequest, evaluation: Evaluation) -> list[CodeForm]:
    """The graders as typed, one more or one less if a button asked for that."""
    data: QueryDict = request.POST
    forms = [
        _make(request, evaluation, sort, number, data=data)
        for number in range(MAX_GRADERS)
        if grader_forms.has(sort := data.get(f"g{number}-kind", "")) and data.get("remove") != str(number)
    ]
    added = str(data.get("add", ""))
    if len(forms) < MAX_GRADERS and (ready_made.makes(added) or grader_forms.has(added)):
        free = next(n for n in range(MAX_GRADERS) if n not in {form.number for form in forms})
        forms.append(_form(request, evaluation, free, _begun(evaluation, added, forms)))
    return forms


def _begun(evaluation: Evaluation, key: str, forms: list[CodeForm]) -> dict[str, Any]:
    """A grader to begin with; a judge asks the model that the last judge asks."""
    has_reference = bool(evaluation.reference)
    if not ready_made.makes(key):
        return grader_forms.first(key, has_reference=has_reference)
    grader = ready_made.begin(key, has_reference=has_reference)
    if key != COSINE:
        asked = [form for form in forms if "model" in form.fields and form.sort != COSINE]
        if asked:
            grader["params"]["model"] = asked[-1]["model"].value()
            grader["params"]["connection"] = asked[-1]["connection"].value()
    return grader


def _told_apart(forms: list[CodeForm]) -> bool:
    seen: set[str] = set()
    for form in forms:
        name = form.cleaned_data["name"]
        if name in seen:
            form.add_error("name", "Another grader has this name.")
        seen.add(name)
    return len(seen) == len(forms)


def _comparable(evaluation: Evaluation, forms: list[CodeForm]) -> bool:
    alone = len(setup.targets_of(evaluation)) < 2
    found = [form for form in forms if alone and form.makes == Grader.Kind.PAIRWISE]
    for form in found:
        form.add_error(None, ALONE)
    return not found


def _page(
    request: HttpRequest,
    evaluation: Evaluation,
    forms: list[CodeForm],
    trial: trying.Trials | None = None,
    *,
    added: bool = False,
    seen: bool = False,
) -> dict[str, Any]:
    chosen = setup.targets_of(evaluation)
    begun_from = setup.mark_of(evaluation) if seen else request.POST.get("since", "")
    asks = any(getattr(form, "asks", False) for form in forms)
    return page_of(
        evaluation,
        "graders",
        forms=forms,
        trial=trial,
        copied=copying.told(evaluation, request.user),
        groups=ready_made.GROUPS,
        can_add=len(forms) < MAX_GRADERS,
        unsaved=request.method == "POST" and trial is None,
        added=forms[-1].prefix if added and forms else "",
        target=_tried_target(request, chosen),
        choices=chosen,
        asks=asks,
        since=begun_from,
        suggestions=suggestions.models_for(request.user),
        partial=partial_judges(evaluation) if trial is not None else (),
    )


def _tried_target(request: HttpRequest, chosen: tuple[Target, ...]) -> Target:
    wanted = request.POST.get("try")
    return next((target for target in chosen if target.key == wanted), chosen[0])


def _closed(request: HttpRequest, evaluation: Evaluation) -> str:
    """Why the saved graders cannot be tried: somebody who would be asked may not be."""
    targets = setup.targets_of(evaluation)
    asked = {each.connection for each in (_tried_target(request, targets), targets[0])}
    judges = connections_of(evaluation.graders.all())
    return obstacles.of_connections(judges | {pk for pk in asked if pk is not None}, request.user)
