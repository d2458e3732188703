"""Deploy a fine-tuned model on Azure, and watch until it answers."""

import re
from datetime import datetime, timedelta

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from datasets import radar
from datasets.deploy_forms import DeployForm
from datasets.finetune import deploy, undeploy
from datasets.models import Checkpoint, Deployment, FineTune
from portal.htmx import fragment, toast
from portal.models import Auth, RemoteAction
from portal.permissions import fetch, may
from portal.upstream import UpstreamError

DEVELOPER_LASTS = timedelta(hours=24)


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest, pk: int) -> HttpResponse:
    """The form to deploy the model of a finished job; what is missing is said instead."""
    related = FineTune.objects.select_related("connection", "version__dataset")
    tune: FineTune = fetch(related, request.user, "act", pk=pk)
    if not can_be_deployed(tune):
        raise Http404
    models = _models(tune)
    form = DeployForm(
        request.POST or None,
        models=models,
        initial={"model": _wanted(request, tune), "name": _name_of(tune), "sku": "GlobalStandard"},
    )
    can_deploy = tune.connection.can_deploy and tune.connection.auth != Auth.KEY
    if request.method == "POST" and can_deploy and form.is_valid():
        try:
            deployment = deploy.begin(tune, request.user, **form.cleaned_data)
        except deploy.Taken:
            form.add_error("name", "A deployment of this name exists already.")
        else:
            return redirect("datasets:deployment", deployment.pk)
    context = {"tune": tune, "form": form, "can_deploy": can_deploy}
    status = 422 if form.is_bound and form.errors else 200
    return render(request, "datasets/deploy.html", context, status=status)


def can_be_deployed(tune: FineTune) -> bool:
    """Whether there is a model to deploy on Azure: the finished one, or a checkpoint of a stopped job."""
    stopped = (FineTune.State.PAUSED, FineTune.State.CANCELLED)
    if not tune.connection.is_azure or not tune.is_ours:
        return False
    if tune.state == FineTune.State.SUCCEEDED:
        return bool(tune.fine_tuned_model)
    return tune.state in stopped and tune.checkpoints.exclude(model="").exists()


def _wanted(request: HttpRequest, tune: FineTune) -> str:
    """The model of the checkpoint that the address names, else the finished one."""
    number = request.GET.get("checkpoint", "")
    if number.isascii() and number.isdigit() and len(number) < 16:
        checkpoint = tune.checkpoints.filter(pk=int(number)).first()
        if checkpoint is not None:
            return str(checkpoint.model)
    return tune.fine_tuned_model


def _models(tune: FineTune) -> list[tuple[str, str]]:
    found = []
    if tune.fine_tuned_model:
        found.append((tune.fine_tuned_model, f"{tune.fine_tuned_model} (finished model)"))
    for checkpoint in tune.checkpoints.order_by("-step"):
        if checkpoint.model and checkpoint.model != tune.fine_tuned_model:
            found.append((checkpoint.model, f"{checkpoint.model} (checkpoint at step {checkpoint.step})"))
    return found


def _name_of(tune: FineTune) -> str:
    """A name to begin with: the base model and the suffix, as far as a deployment's name allows."""
    base = re.sub(r"-\d{4}-\d{2}-\d{2}$", "", tune.base_model)
    origin = str(tune.version.dataset) if tune.version is not None else ""
    parts = [part for part in (base, tune.suffix or origin, str(tune.pk)) if part]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(parts)).strip("-._")[:64]


@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """The page of one deployment."""
    related = (
        "connection",
        "fine_tune__version__dataset",
        "action",
        "operation",
        "created_by",
    )
    found: Deployment = fetch(Deployment.objects.select_related(*related), request.user, pk=pk)
    may_act = may(Deployment.objects, request.user, "act", found)
    states = Deployment.State
    context = {
        "deployment": found,
        "live": found.state in (states.CREATING, states.WARMING, states.DELETING),
        "may_act": may_act,
        "may_evaluate": may_act and found.state == states.READY and _has_rows(found),
        "asks": found.state == states.ASKING and may_act,
        "may_delete": may_act and found.connection.is_azure and found.state in undeploy.MAY_BE_DELETED,
        "may_look": may_act and found.connection.is_azure and found.state == states.READY,
        "retirement": radar.of(found.fine_tune) if found.fine_tune is not None else None,
        "removed_at": _removed_at(found),
        "may_retry": found.state in (states.FAILED, states.DELETED) and may_act and _is_deployable(found),
        "not_found": found.action is not None and found.action.state == RemoteAction.State.NOT_FOUND,
    }
    return render(request, fragment(request, "datasets/deployment.html", {"state"}), context)


def _has_rows(deployment: Deployment) -> bool:
    """Whether it is known what its model learnt from, to measure it on what was held back."""
    return deployment.fine_tune is not None and deployment.fine_tune.version_id is not None


def _is_deployable(deployment: Deployment) -> bool:
    return deployment.fine_tune_id is not None and deployment.connection.is_azure


def _removed_at(deployment: Deployment) -> datetime | None:
    """When Azure takes it away by itself."""
    if "developer" not in deployment.sku.lower() or deployment.state == Deployment.State.DELETED:
        return None
    return deployment.created + DEVELOPER_LASTS


@require_POST
def decide(request: HttpRequest, pk: int) -> HttpResponse:
    """What a person says where nobody knows whether the deployment was made."""
    found: Deployment = fetch(Deployment.objects, request.user, "act", pk=pk)
    done = deploy.decide(found, request.POST.get("choice", ""), request.user)
    if done:
        return redirect("datasets:deployment", found.pk)
    return toast(request, redirect("datasets:deployment", found.pk), "Somebody has decided already.", "info")


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete it on Azure; the model stays."""
    found: Deployment = fetch(Deployment.objects.select_related("connection"), request.user, "act", pk=pk)
    asked = undeploy.request(found, request.user)
    text = "The deployment is being deleted." if asked else "There is nothing to delete any more."
    return toast(request, redirect("datasets:deployment", found.pk), text, "ok" if asked else "info")


@require_POST
def look(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask Azure whether it still has it: developer ones leave by themselves."""
    found: Deployment = fetch(Deployment.objects.select_related("connection"), request.user, "act", pk=pk)
    back = redirect("datasets:deployment", found.pk)
    if not found.connection.is_azure or found.state != Deployment.State.READY:
        return back
    try:
        there = undeploy.look(found, request.user)
    except UpstreamError as error:
        return toast(request, back, f"{error.message} {error.hint}".strip(), "bad")
    return toast(
        request, back, "Azure has it." if there else "Azure no longer has it.", "ok" if there else "warn"
    )


@require_POST
def use_checkpoint(request: HttpRequest, pk: int, checkpoint: int) -> HttpResponse:
    """Try a checkpoint's model where it answers under its own name."""
    tune: FineTune = fetch(FineTune.objects.select_related("connection"), request.user, "act", pk=pk)
    chosen: Checkpoint | None = tune.checkpoints.filter(pk=checkpoint).first()
    if chosen is None or tune.connection.is_azure or not chosen.model:
        raise Http404
    return redirect("datasets:try", deploy.offer_checkpoint(tune, chosen, request.user).pk)
