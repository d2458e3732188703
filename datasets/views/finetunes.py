"""The page of one fine-tuning job, and what a person can decide there."""

from collections.abc import Callable, Sequence
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.text import slugify
from django.views.decorators.http import require_POST, require_safe

from datasets import radar
from datasets.finetune import (
    advice,
    costs,
    elsewhere,
    follow,
    launch,
    metrics,
    parting,
    pause,
    picture,
    timeline,
    upload,
)
from datasets.finetune import cancel as cancelling
from datasets.models import Checkpoint, Deployment, FineTune, FineTuneEvent
from datasets.views import deployments
from portal import spending
from portal.htmx import fragment, toast, wants_fragment
from portal.permissions import fetch, may
from portal.upstream import UpstreamError, connect

EVENTS, ALL_EVENTS = 100, 5000
RESULT_SECONDS = 20.0
State = FineTune.State
_RELATED = (
    "connection",
    "version__dataset",
    "action",
    "file__action",
    "validation_file",
    "operation",
    "created_by",
    "adopted_by",
    "sweep",
)


def _tune(request: HttpRequest, pk: int, *, act: bool = False) -> FineTune:
    found: FineTune = fetch(
        FineTune.objects.select_related(*_RELATED), request.user, "act" if act else "read", pk=pk
    )
    return found


@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """The page of one job; while it lives, it asks for itself again."""
    tune = _tune(request, pk)
    if tune.state == State.DRAFT:
        if tune.version_id is None:
            raise Http404
        return redirect("datasets:distill", tune.version_id, "launch")
    names = list(
        Deployment.objects.readable_by(request.user)
        .filter(fine_tune=tune)
        .exclude(state=Deployment.State.DELETED)
        .order_by("-id")
    )
    stamp = picture.stamp(tune, names)
    if wants_fragment(request) and request.GET.get("seen") == stamp:
        return HttpResponse(status=204)  # nothing is new: what is shown stays, the curves are not drawn again
    checkpoints = list(tune.checkpoints.order_by("-step"))
    context = {
        "tune": tune,
        "stamp": stamp,
        "deployments": names,
        "ready": [each for each in names if each.state == Deployment.State.READY],
        "checkpoints": [_offered(each) for each in checkpoints],
        "costs": costs.of(tune),
        "files": _files(tune),
        "parts": tune.version.parts if tune.version is not None else [],
        "retirement": radar.of(tune),
        "hyperparameters": picture.used_hyperparameters(tune),
        "advice": advice.advise(tune.error, azure=tune.connection.is_azure) if tune.error else None,
        **_state(tune),
        **_curve(tune, checkpoints),
        **_events(request, tune),
        **_possible(request, tune),
    }
    return render(request, fragment(request, "datasets/finetune.html", {"job"}), context)


def _state(tune: FineTune) -> dict[str, Any]:
    told = list(tune.events.exclude(kind="metrics").order_by("created", "id")[:ALL_EVENTS])
    return {
        "words": picture.in_words(tune),
        "tone": picture.tone(tune),
        "explanation": picture.explanation(tune),
        "stages": timeline.stages(tune, told),
        "too_late": tune.state in FineTune.ENDED and tune.cancel_requested and tune.state != State.CANCELLED,
    }


def _curve(tune: FineTune, checkpoints: Sequence[Checkpoint]) -> dict[str, Any]:
    rows = picture.curve(tune, checkpoints)
    saved = [checkpoint.step for checkpoint in checkpoints]
    charts = picture.drawn(rows, saved)
    return {
        "charts": [(chart, picture.unchanged(chart)) for chart in charts],
        "parting": parting.of(rows, saved),
    }


def _events(request: HttpRequest, tune: FineTune) -> dict[str, Any]:
    every = request.GET.get("events") == "all"
    told: Any = tune.events.exclude(kind="metrics").order_by("-created", "-id")
    events: list[FineTuneEvent] = list(told[: ALL_EVENTS if every else EVENTS])
    total = told.count()
    return {"events": events, "all_events": total, "more_events": total > len(events), "every_event": every}


def _possible(request: HttpRequest, tune: FineTune) -> dict[str, Any]:
    """What this person can do with the job now."""
    may_act = may(FineTune.objects, request.user, "act", tune)
    ours = may_act and tune.is_ours
    ended = tune.state in FineTune.ENDED
    live = not ended and tune.state != State.ASKING
    turning = pause.live(tune) if live else None
    return {
        "live": live,
        "may_act": may_act,
        "question": picture.question(tune) if may_act else None,
        "waits": tune.state == State.ASKING and not may_act,
        "may_cancel": ours and live and not tune.cancel_requested,
        "may_retry": ours and tune.state in (State.FAILED, State.CANCELLED) and not tune.remote_id,
        "may_deploy": ours and deployments.can_be_deployed(tune),
        "may_adopt": may_act and not tune.is_ours,
        "may_pause": ours and live and turning is None and pause.possible(tune) == pause.PAUSE,
        "may_resume": ours and live and turning is None and pause.possible(tune) == pause.RESUME,
        "turning": turning,
        "may_look": may_act and live and bool(tune.remote_id),
    }


def _offered(checkpoint: Checkpoint) -> dict[str, Any]:
    rows = metrics.of_checkpoints([checkpoint])
    told = rows[0] if rows else {}
    return {
        "checkpoint": checkpoint,
        "training": told.get("train_loss"),
        "validation": told.get("full_valid_loss", told.get("valid_loss")),
    }


def _files(tune: FineTune) -> list[dict[str, Any]]:
    """The job's files at the provider."""
    raw = tune.raw
    training = tune.file.remote_id if tune.file is not None else raw.get("training_file")
    validation = (
        tune.validation_file.remote_id if tune.validation_file is not None else raw.get("validation_file")
    )
    found = [
        {"title": title, "id": name, "size": file.size if file is not None else None}
        for title, name, file in (
            ("Training file", training, tune.file),
            ("Validation file", validation, tune.validation_file),
        )
        if isinstance(name, str) and name
    ]
    results = [name for name in tune.result_files if isinstance(name, str) and name]
    left = [
        {"title": "Left behind by an upload", "id": name, "size": None, "left": True}
        for file in (tune.file, tune.validation_file)
        for name in (file.leftovers if file is not None else ())
    ]
    return (
        found
        + left
        + [
            {"title": "Result file", "id": name, "size": None, "number": number}
            for number, name in enumerate(results, start=1)
        ]
    )


@require_safe
def results(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """A result file as the provider gave it, or what it stands for where it came as base64."""
    tune = _tune(request, pk)
    names = [name for name in tune.result_files if isinstance(name, str) and name]
    if not 1 <= number <= len(names):
        raise Http404
    back = redirect("datasets:finetune", tune.pk)
    try:
        with connect(tune.connection, tries=1, seconds=RESULT_SECONDS) as upstream:
            content = metrics.as_csv(upstream.file_content(names[number - 1]))
    except UpstreamError as error:
        return toast(
            request, back, f"The provider did not give it: {error.message} {error.hint}".strip(), "bad"
        )
    stem = slugify(tune.suffix or tune.base_model) or "fine-tune"
    return HttpResponse(
        content,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{stem}-{tune.pk}-results.csv"'},
    )


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
    back = redirect("datasets:finetune", tune.pk)
    try:
        launch.try_again(tune, request.user)
    except spending.OverBudget as problem:
        return toast(request, back, str(problem), "bad")
    return back


@require_POST
def refresh(request: HttpRequest, pk: int) -> HttpResponse:
    """Look at the job upstream now."""
    tune = _tune(request, pk, act=True)
    follow.hurry([tune])
    return redirect("datasets:finetune", tune.pk)


@require_POST
def remove_file(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a file that an upload of this job left behind at the provider."""
    tune = _tune(request, pk, act=True)
    back, name = redirect("datasets:finetune", tune.pk), request.POST.get("file", "")
    try:
        done = any(
            upload.remove_leftover(file, name, request.user)
            for file in (tune.file, tune.validation_file)
            if file is not None
        )
    except UpstreamError as error:
        return toast(request, back, f"It was not deleted: {error.message} {error.hint}".strip(), "bad")
    text = "The file is deleted at the provider." if done else "The file is gone already."
    return toast(request, back, text, "ok" if done else "info")


@require_POST
def hold(request: HttpRequest, pk: int) -> HttpResponse:
    """Pause a job that trains."""
    return _turn(request, pk, pause.begin, "The job is being paused.")


@require_POST
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a paused job go on."""
    return _turn(request, pk, pause.resume, "The job goes on.")


def _turn(request: HttpRequest, pk: int, turn: Callable[[FineTune, Any], Any], text: str) -> HttpResponse:
    tune = _tune(request, pk, act=True)
    back = redirect("datasets:finetune", tune.pk)
    try:
        turn(tune, request.user)
    except pause.NotPossible as problem:
        return toast(request, back, str(problem), "warn")
    return toast(request, back, text)


@require_POST
def adopt(request: HttpRequest, pk: int) -> HttpResponse:
    """Make a job that was started elsewhere one to act on."""
    tune = _tune(request, pk, act=True)
    done = elsewhere.adopt(tune, request.user)
    text = "The job is yours to cancel, pause and deploy." if done else "Somebody has adopted it already."
    return toast(request, redirect("datasets:finetune", tune.pk), text, "ok" if done else "info")
