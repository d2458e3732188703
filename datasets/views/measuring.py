"""From a student to its evaluation: set up with the rows it has not seen, its teacher and its base."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from datasets import trying
from datasets.evaluate import prefill
from datasets.evaluate.prefill import Student
from datasets.models import Checkpoint, DatasetVersion, Deployment, FineTune, Sweep
from portal.htmx import toast
from portal.models import Connection
from portal.permissions import fetch

_DEPLOYMENTS = Deployment.objects.select_related("connection", "fine_tune__version__dataset")


@require_POST
def deployment(request: HttpRequest, pk: int) -> HttpResponse:
    """Evaluate a deployment on the test part of what its model learnt from."""
    found: Deployment = fetch(_DEPLOYMENTS.all(), request.user, "act", pk=pk)
    if found.state != Deployment.State.READY or found.fine_tune is None:
        raise Http404
    sides = trying.sides_of(found, _mine(request))
    models = [Student(side.connection, side.model) for side in (sides[1], sides[2], sides[0])]
    return _begin(request, found.fine_tune.version_id, models, found.name, ("datasets:deployment", found.pk))


@require_POST
def checkpoint(request: HttpRequest, pk: int, checkpoint: int) -> HttpResponse:
    """Evaluate a checkpoint beside the finished model, where both answer under their own names."""
    tune: FineTune = fetch(FineTune.objects.select_related("connection"), request.user, "act", pk=pk)
    chosen: Checkpoint | None = tune.checkpoints.filter(pk=checkpoint).first()
    if chosen is None or tune.connection.is_azure or not chosen.model:
        raise Http404
    names = [name for name in (tune.base_model, tune.fine_tuned_model, chosen.model) if name]
    models = [Student(tune.connection_id, name) for name in names]
    title = f"{tune.base_model} at step {chosen.step}"
    return _begin(request, tune.version_id, models, title, ("datasets:finetune", tune.pk))


@require_POST
def sweep(request: HttpRequest, pk: int) -> HttpResponse:
    """Evaluate every model of a group that answers."""
    found: Sweep = fetch(Sweep.objects.all(), request.user, "act", pk=pk)
    ready = answering(found)
    back = redirect("datasets:sweep", found.pk)
    if not ready:
        return toast(request, back, "None of its models answers yet. Deploy them first.", "warn")
    models = [Student(each.connection_id, each.name) for each in ready]
    teacher = trying.teacher_of(found.version)
    if teacher is not None:
        side = trying.sides_of(ready[0], _mine(request))[1]
        models.insert(0, Student(side.connection, side.model))
    return _begin(request, found.version_id, models, found.name, ("datasets:sweep", found.pk))


def answering(found: Sweep) -> list[Deployment]:
    """One deployment that answers of each of the group's jobs."""
    ready = Deployment.objects.filter(fine_tune__sweep=found, state=Deployment.State.READY)
    newest: dict[int, Deployment] = {}
    for each in ready.select_related("connection", "fine_tune__version").order_by("fine_tune", "-id"):
        newest.setdefault(each.fine_tune_id, each)
    return list(newest.values())


def _mine(request: HttpRequest) -> set[int]:
    return set(Connection.objects.actionable_by(request.user).with_endpoint().values_list("pk", flat=True))


def _begin(
    request: HttpRequest, version_id: int | None, models: list[Student], name: str, back: tuple[str, int]
) -> HttpResponse:
    versions = DatasetVersion.objects.select_related("dataset")
    version: DatasetVersion = fetch(versions, request.user, pk=version_id)
    try:
        evaluation = prefill.begin(version, models, request.user, f"{name[:80]} on {version.dataset}"[:110])
    except prefill.NothingToMeasure as problem:
        return toast(request, redirect(*back), str(problem), "warn")
    return redirect("datasets:evaluate", evaluation.pk, "targets")
