"""Fine-tuning jobs: the list, the page of one, and what a person can decide there."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from datasets.finetune import cancel as cancelling
from datasets.finetune import follow, launch, picture
from datasets.models import Deployment, FineTune
from portal.htmx import fragment, toast, wants_fragment
from portal.permissions import fetch, may

MOST = 200
EVENTS = 100


@require_safe
def list_all(request: HttpRequest) -> HttpResponse:
    """Every job on the connections that the person may read."""
    found = (
        FineTune.objects.readable_by(request.user)
        .exclude(state=FineTune.State.DRAFT)
        .select_related("connection", "version__dataset", "action", "file")
    )[:MOST]
    jobs = [{"tune": tune, "words": picture.in_words(tune), "tone": picture.tone(tune)} for tune in found]
    deployments = Deployment.objects.readable_by(request.user).select_related("connection").order_by("-id")
    return render(request, "datasets/finetunes.html", {"jobs": jobs, "deployments": deployments[:MOST]})


def _tune(request: HttpRequest, pk: int, *, act: bool = False) -> FineTune:
    related = ("connection", "version__dataset", "action", "file__action", "operation", "created_by")
    found: FineTune = fetch(
        FineTune.objects.select_related(*related), request.user, "act" if act else "read", pk=pk
    )
    return found


@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """The page of one job; while it lives, its status asks for itself again."""
    tune = _tune(request, pk)
    if tune.state == FineTune.State.DRAFT:
        return redirect("datasets:distill", tune.version_id, "launch")
    deployments = list(Deployment.objects.readable_by(request.user).filter(fine_tune=tune).order_by("-id"))
    stamp = picture.stamp(tune, deployments)
    if wants_fragment(request) and request.GET.get("seen") == stamp:
        return HttpResponse(status=204)  # nothing is new: what is shown stays, the curves are not drawn again
    checkpoints = list(tune.checkpoints.order_by("-step"))
    may_act = may(FineTune.objects, request.user, "act", tune)
    ended = tune.state in FineTune.ENDED
    live = not ended and tune.state != FineTune.State.ASKING
    context = {
        "tune": tune,
        "words": picture.in_words(tune),
        "tone": picture.tone(tune),
        "explanation": picture.explanation(tune),
        "stages": picture.stages(tune),
        "charts": picture.charts(tune, checkpoints[::-1]),
        "checkpoints": checkpoints,
        "events": tune.events.exclude(kind="metrics").order_by("-created", "-id")[:EVENTS],
        "hyperparameters": picture.used_hyperparameters(tune),
        "question": picture.question(tune) if may_act else None,
        "waits": tune.state == FineTune.State.ASKING and not may_act,
        "live": live,
        "may_act": may_act,
        "may_cancel": may_act and live and not tune.cancel_requested,
        "too_late": ended and tune.cancel_requested and tune.state != FineTune.State.CANCELLED,
        "may_retry": may_act
        and tune.state in (FineTune.State.FAILED, FineTune.State.CANCELLED)
        and not tune.remote_id,
        "may_deploy": may_act and tune.state == FineTune.State.SUCCEEDED and tune.connection.is_azure,
        "deployments": deployments,
        "stamp": stamp,
    }
    return render(request, fragment(request, "datasets/finetune.html", {"job"}), context)


@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for the end of a job."""
    tune = _tune(request, pk, act=True)
    asked = cancelling.request(tune, request.user)
    text = "The job is being cancelled." if asked else "The job had ended already."
    return toast(request, redirect("datasets:finetune", tune.pk), text, "ok" if asked else "info")


@require_POST
def decide(request: HttpRequest, pk: int) -> HttpResponse:
    """What a person says where the machine may not go on."""
    tune = _tune(request, pk, act=True)
    done = launch.decide(
        tune, request.POST.get("choice", ""), request.user, request.POST.get("candidate", "")
    )
    if done:
        return redirect("datasets:finetune", tune.pk)
    return toast(request, redirect("datasets:finetune", tune.pk), "Somebody has decided already.", "info")


@require_POST
def again(request: HttpRequest, pk: int) -> HttpResponse:
    """Launch a job again that failed before it was created."""
    tune = _tune(request, pk, act=True)
    launch.try_again(tune, request.user)
    return redirect("datasets:finetune", tune.pk)


@require_POST
def refresh(request: HttpRequest, pk: int) -> HttpResponse:
    """Look at the job upstream now."""
    tune = _tune(request, pk, act=True)
    follow.hurry([tune])
    return redirect("datasets:finetune", tune.pk)
