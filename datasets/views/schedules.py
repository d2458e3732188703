"""The schedule of an evaluation: set it up, switch it on and off, delete it."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from datasets.evaluate import schedules, setup
from datasets.evaluate.targets import Target, read
from datasets.models import Evaluation, Schedule
from datasets.run_forms import RunForm
from datasets.schedule_forms import in_words, schedule_form
from datasets.views.evaluate import readable
from datasets.views.runs import check_reach, costs, evaluation_to_run
from portal.htmx import toast
from portal.zones import zone_of


@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Set up or change it; whoever saves lends it their rights."""
    evaluation = evaluation_to_run(request, pk)
    if not evaluation.runs.exists():
        return redirect("datasets:evaluation", evaluation.pk)
    schedule = Schedule.objects.filter(evaluation=evaluation).first()
    latest = setup.targets_of(evaluation)
    kept = read(schedule.targets) if schedule is not None else latest
    posted = request.POST if request.method == "POST" else None
    anew = posted is not None and posted.get("targets") == "latest"
    targets = latest if anew else kept
    saved = (
        {"repetitions": schedule.repetitions, "goal": schedule.goal}
        if schedule is not None
        else evaluation.setup.get("run") or {}
    )
    form = schedule_form(posted, schedule, request.COOKIES)
    asked = RunForm(posted, evaluation=evaluation, saved=saved)
    valid = [form.is_valid(), asked.is_valid()]
    look = all(valid) and asked.must_look(targets)
    if posted is not None and all(valid) and not look:
        check_reach(request, evaluation, targets)
        made = schedules.save(evaluation, request.user, form.when(), targets=targets, **asked.options())
        text = f"{in_words(form.when())}. The next run begins {made.next_at:%d %B %Y %H:%M} UTC."
        return toast(request, redirect("datasets:evaluation", evaluation.pk), text)
    context = {
        "evaluation": evaluation,
        "schedule": schedule,
        "form": form,
        "run_form": asked,
        "look": look,
        "targets": _told(request, kept),
        "others": _told(request, latest) if latest != kept else (),
        "anew": anew,
        **costs(evaluation, targets, asked.repetitions_shown, request.user),
    }
    status = 422 if posted is not None and not all(valid) else 200
    return render(request, "datasets/evaluate/schedule.html", context, status=status)


@require_POST
def switch(request: HttpRequest, pk: int) -> HttpResponse:
    """On, with this person's rights, or off."""
    schedule = _schedule(request, pk)
    on = bool(request.POST.get("on"))
    if on:
        check_reach(request, schedule.evaluation, read(schedule.targets))
    schedules.switch(schedule, request.user, on=on)
    text = "It is switched on." if on else "It is switched off: no run begins by itself."
    return toast(request, redirect("datasets:evaluation", pk), text)


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Forget it."""
    schedules.delete(_schedule(request, pk), request.user)
    return toast(request, redirect("datasets:evaluation", pk), "The schedule was deleted.")


def panel_of(request: HttpRequest, evaluation: Evaluation) -> dict[str, Any]:
    """What the evaluation's page shows of it."""
    schedule = Schedule.objects.select_related("owner").filter(evaluation=evaluation).first()
    if schedule is None:
        return {"schedule": None}
    return {
        "schedule": schedule,
        "schedule_words": in_words(schedules.When.of(schedule)),
        "schedule_targets": _told(request, read(schedule.targets)),
        "zone": zone_of(request.COOKIES),
    }


def _told(request: HttpRequest, targets: tuple[Target, ...]) -> list[str]:
    """The targets by name; those on a connection that this person may not read stay unnamed."""
    known = readable(targets, request.user)
    return [target.label if target in known else "a deployment elsewhere" for target in targets]


def _schedule(request: HttpRequest, pk: int) -> Schedule:
    evaluation = evaluation_to_run(request, pk)
    rows = Schedule.objects.select_related("evaluation__version")
    found: Schedule | None = rows.filter(evaluation=evaluation).first()
    if found is None:
        raise Http404
    return found
