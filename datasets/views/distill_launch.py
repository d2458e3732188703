"""The last step of Distill: how to train, what it costs, and the launch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from datasets import base_models, distill, grader_starts, preview
from datasets.build import validate
from datasets.distill import VARIANTS
from datasets.finetune import estimate, launch, sweep
from datasets.launch_forms import MOST_VARIANTS, LaunchForm, VariantForm
from datasets.models import DatasetVersion, FineTune
from datasets.views.distill_page import page
from portal import prices, spending
from portal.htmx import fragment
from portal.models import Connection
from portal.permissions import fetch


@dataclass(frozen=True)
class Job:
    """One job that the form describes, and what can be said of it before it runs."""

    base_model: str
    said: estimate.Estimate
    problems: Sequence[validate.Problem]


def launch_step(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    """Review what is launched, and launch it once; variants become jobs of one sweep."""
    tune = _tune(request, version)
    if tune is None:
        begun = distill.sweep_of(version, request.user) if "fine_tune" in request.POST else None
        if begun is not None:  # the form was sent twice, and the first one became a sweep
            return redirect("datasets:sweep", begun.pk)
        return redirect("datasets:distill", version.pk, "model")
    if tune.state != FineTune.State.DRAFT:
        return redirect(distill.where(tune))
    if version.state != DatasetVersion.State.READY:
        return redirect("datasets:distill", version.pk, "check")
    # The right is asked for again: it may have gone since the model was chosen.
    fetch(Connection.objects, request.user, "act", pk=tune.connection_id)
    form, variants = _form(request, tune), _variants(request, tune)
    changing = {"add", "remove", "begin", "look"} & set(request.POST)
    if request.method == "POST" and not changing and _are_valid(form, variants):
        values = form.values()
        if not distill.set_up(tune, values):
            return redirect(distill.where(tune))
        if "later" in request.POST:
            return redirect("datasets:version", version.dataset_id, version.number)
        try:
            others = [each.values(tune.base_model, values) for each in variants if each.differs()]
            return redirect(distill.launch(tune, others, request.user))
        except (launch.NotReady, sweep.NotPossible, spending.OverBudget) as why:
            form.add_error(None, str(why))
    return _shown(request, tune, form, variants, changing=bool(changing))


def _tune(request: HttpRequest, version: DatasetVersion) -> FineTune | None:
    """The fine-tune that the posted form was made for, so that a form sent twice launches once."""
    named = request.POST.get("fine_tune", "")
    if named.isdecimal() and len(named) < 19:
        found: FineTune | None = (
            FineTune.objects.readable_by(request.user)
            .filter(pk=int(named), version=version)
            .select_related("connection", "version__dataset")
            .first()
        )
        return found
    return distill.draft_of(version)


def _form(request: HttpRequest, tune: FineTune) -> LaunchForm:
    fields = grader_starts.fields_of(distill.recipe_of(tune.trained_on))
    grader = tune.grader or grader_starts.starts(fields)[0].grader
    data = request.POST.copy() if request.method == "POST" else None
    if data is not None and "begin" in data:
        chosen = {start.key: start.grader for start in grader_starts.starts(fields)}.get(str(data["begin"]))
        data["grader"] = _as_text(chosen or grader)
    initial = {
        **tune.hyperparameters,
        "seed": tune.seed,
        "suffix": tune.suffix,
        "training_type": tune.training_type,
        "grader": _as_text(grader),
    }
    azure = tune.connection.is_azure
    return LaunchForm(data, initial=initial, method=tune.method, azure=azure, fields=fields)


def _as_text(grader: Mapping[str, Any]) -> str:
    return json.dumps(grader, indent=2, ensure_ascii=False)


def _variants(request: HttpRequest, tune: FineTune) -> list[VariantForm]:
    """The further jobs of the form; each has a number that stays its own while others come and go."""
    numbers = [int(each) for each in request.POST.getlist("variant") if each in VARIANTS]
    numbers = [n for n in dict.fromkeys(numbers) if request.POST.get("remove") != str(n)][:MOST_VARIANTS]
    forms = [VariantForm(request.POST, prefix=f"v{n}", method=tune.method) for n in numbers]
    if "add" in request.POST and len(forms) < MOST_VARIANTS:
        free = next(int(n) for n in VARIANTS if int(n) not in numbers)
        forms.append(VariantForm(prefix=f"v{free}", method=tune.method))
    return forms


def _are_valid(form: LaunchForm, variants: Sequence[VariantForm]) -> bool:
    return all([form.is_valid(), *(each.is_valid() for each in variants)])


def _shown(
    request: HttpRequest,
    tune: FineTune,
    form: LaunchForm,
    variants: Sequence[VariantForm],
    *,
    changing: bool,
) -> HttpResponse:
    version, connection = tune.trained_on, tune.connection
    jobs = _jobs(tune, form, variants)
    context = page(
        version,
        "launch",
        form=form,
        tune=tune,
        variants=variants,
        can_add=len(variants) < MOST_VARIANTS,
        models=_models(tune),
        starts=grader_starts.starts(form.row_fields),
        parts=version.parts,
        jobs=jobs,
        total=_total(jobs),
        standing=spending.state_of(connection),
        old_price=any(job.said.as_of and prices.is_old(job.said.as_of) for job in jobs),
        left_out=preview.left_out(version),
        left_out_count=version.left_out_total,
    )
    template = fragment(request, "datasets/distill/launch.html", {"review", "variants", "grader"})
    mend = form.is_bound and not changing and (form.errors or any(each.errors for each in variants))
    return render(request, template, context, status=422 if mend else 200)


def _jobs(tune: FineTune, form: LaunchForm, variants: Sequence[VariantForm]) -> list[Job]:
    """What the form launches as it stands; where it has to be mended, the draft as it was kept."""
    if form.is_bound and form.is_valid():
        first = form.values()
    else:
        first = {"hyperparameters": tune.hyperparameters, "training_type": tune.training_type}
    wanted = [{**first, "base_model": tune.base_model}]
    wanted += [
        each.values(tune.base_model, first)
        for each in variants
        if each.is_bound and each.is_valid() and each.differs()
    ]
    return [_job(tune, each) for each in wanted]


def _job(tune: FineTune, values: Mapping[str, Any]) -> Job:
    version, model = tune.trained_on, str(values["base_model"])
    said = estimate.training(
        version, model, tune.connection, values["training_type"], values["hyperparameters"], tune.method
    )
    problems = validate.of_job(
        version.dataset.purpose,
        model,
        prices.provider_of(tune.connection),
        examples=said.rows,
        validation=said.validation_rows,
        tokens=said.tokens,
        epochs=said.epochs,
        known=version.counts.get("problems", {}),
    )
    return Job(model, said, problems)


def _total(jobs: Sequence[Job]) -> Decimal | None:
    """What all of it may cost; None as soon as one price is unknown."""
    amounts = [job.said.amount for job in jobs]
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None


def _models(tune: FineTune) -> list[str]:
    """Names to propose for a variant, without asking the service again."""
    offer = base_models.suggested(tune.connection, tune.trained_on.dataset.purpose)
    return [version.id for family in offer.families for version in family.versions]
