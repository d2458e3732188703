"""Working in a review queue: one completion at a time, answered, skipped or put back."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from completions import queues
from completions.conversing import shown_of
from completions.models import QueueItem, QueueTask, ReviewQueue, StoredCompletion
from completions.questions import questions_of
from completions.queue_progress import people_at, progress_of
from completions.reviewing import Refused
from completions.views.drawer import reads_raw
from completions.views.queues import asked_of, queue_of, tells
from portal.htmx import toast
from portal.permissions import may

LEFT = 50  # skipped and put back, on one page


@require_safe
def work(request: HttpRequest, pk: int) -> HttpResponse:
    """What the person has at hand; if nothing, the way to the next or a word of thanks."""
    found = queue_of(request, pk, "review")
    return _page(request, found, None if found.closed else queues.at_hand(found, request.user))


def _page(
    request: HttpRequest, found: ReviewQueue, task: QueueTask | None, problem: str = ""
) -> HttpResponse:
    mine = people_at(found, request.user)
    left, more = queues.left_in(request.user, found)
    context: dict[str, Any] = {
        "queue": found,
        "task": task,
        "progress": progress_of([found])[found.pk],
        "mine": mine[0] if mine else None,
        "left": left,
        "more": more,
        "workable": queues.workable_by(request.user).filter(pk=found.pk).exists(),
        "open": tells(found, builds=may(ReviewQueue.objects, request.user, "act", found)),
        "problem": problem,
    }
    if task is None:
        context["aside"] = _aside(request, found)
        return render(request, "completions/queue_done.html", context)
    rows = StoredCompletion.objects.select_related("connection").defer("connection__secret")
    row: StoredCompletion = rows.get(pk=task.item.completion_id)
    questions = questions_of(found, task.item.connection_id)
    context |= {
        "row": row,
        "shown": shown_of(row, raw=reads_raw(request)),
        "questions": questions,
        "asked": asked_of(questions, request.POST if problem else task.answers),
        "note": request.POST.get("note", "") if problem else task.note,
        "again": task.reason if task.returned_by_id not in (None, request.user.pk) else "",
    }
    return render(request, "completions/queue_work.html", context, status=422 if problem else 200)


def _aside(request: HttpRequest, found: ReviewQueue) -> list[QueueTask]:
    """What the person skipped or put back and can still take up."""
    tasks = QueueTask.objects.filter(
        item__queue=found.pk, item__state=QueueItem.State.OPEN, reviewer=request.user.pk,
        state__in=(QueueTask.State.SKIPPED, QueueTask.State.RETURNED),
    )  # fmt: skip
    return list(tasks.select_related("item__completion").order_by("item__position")[:LEFT])


def _next(request: HttpRequest, found: ReviewQueue) -> HttpResponse:
    """Claim the next one and show it."""
    response = redirect("completions:queue_work", found.pk)
    try:
        queues.claim(found, request.user)
    except Refused as refused:
        return toast(request, response, str(refused), "warn")
    return response


@require_POST
def begin(request: HttpRequest, pk: int) -> HttpResponse:
    """Take the next completion, or the one that is named."""
    found = queue_of(request, pk, "review")
    item = request.POST.get("item", "")
    if not item:
        return _next(request, found)
    response = redirect("completions:queue_work", found.pk)
    try:
        if not (item.isascii() and item.isdigit() and len(item) < 19):
            raise Http404
        queues.claim(found, request.user, int(item))
    except Refused as refused:
        return toast(request, response, str(refused), "warn")
    return response


def _task(request: HttpRequest, pk: int, number: int) -> tuple[ReviewQueue, QueueTask]:
    found = queue_of(request, pk, "review")
    task = (
        QueueTask.objects.select_related("item")
        .filter(item__queue=found.pk, pk=number, reviewer=request.user.pk)
        .first()
    )
    if task is None:
        raise Http404
    return found, task


@require_POST
def submit(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Answer, and go on with the next."""
    found, task = _task(request, pk, number)
    try:
        queues.submit(task, request.user, dict(request.POST.lists()), request.POST.get("note", ""))
    except Refused as refused:
        if task == queues.at_hand(found, request.user):
            return _page(request, found, task, str(refused))
        return toast(request, redirect("completions:queue_work", found.pk), str(refused), "warn")
    return _next(request, found)


@require_POST
def leave(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Skip it for a reason, or put it back; and go on with the next."""
    found, task = _task(request, pk, number)
    try:
        if request.POST.get("to") == "pool":
            queues.put_back(task, request.user)
        else:
            queues.skip(task, request.user, request.POST.get("reason", ""))
    except Refused as refused:
        return toast(request, redirect("completions:queue_work", found.pk), str(refused), "warn")
    return _next(request, found)
