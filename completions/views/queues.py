"""Review queues: the list, making one, how one stands, and deciding where reviewers differ."""

from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from completions import queue_making, queues
from completions.conversing import shown_of
from completions.models import FrozenSelection, Label, QueueItem, QueueTask, ReviewQueue, Term
from completions.purposes import chosen
from completions.questions import RATING, STATE, Question, questions_of
from completions.queue_making import METADATA, MODEL, MOST_ITEMS, MOST_OVERLAP, Sample
from completions.queue_progress import agreement_of, people_at, progress_of
from completions.reviewing import Refused
from completions.selection import name_of
from portal.htmx import go, toast, wants_fragment
from portal.models import Connection, User
from portal.permissions import Verb, fetch, may

MOST = 100  # queues on a page, and items of a list
KEYS = 50  # metadata keys to draw by
SEED = 2**53


class QueueForm(forms.Form):
    """What a queue is called, what it asks whom, and of how many."""

    name = forms.CharField(max_length=120, widget=forms.TextInput({"autocomplete": "off"}))
    guideline = forms.CharField(
        required=False,
        max_length=20_000,
        help_text="Stands beside every completion. Markdown.",
        widget=forms.Textarea({"rows": 6}),
    )
    asks = forms.MultipleChoiceField(
        required=False,
        choices=[(STATE, "State: approved, rejected or needs review"), (RATING, "Rating: good or bad")],
        initial=[STATE],
        label="Questions",
        widget=forms.CheckboxSelectMultiple,
    )
    labels = forms.ModelMultipleChoiceField(
        Label.objects.none(), required=False, widget=forms.CheckboxSelectMultiple
    )
    size = forms.IntegerField(
        required=False, min_value=1, max_value=MOST_ITEMS, label="Sample", help_text="Empty: all of them."
    )
    by = forms.ChoiceField(
        required=False, label="Stratified by", help_text="Each value has its share in the sample."
    )
    seed = forms.IntegerField(
        required=False, min_value=0, max_value=SEED, help_text="The same seed draws the same completions."
    )
    overlap = forms.IntegerField(
        min_value=1,
        max_value=MOST_OVERLAP,
        initial=1,
        label="People per completion",
        help_text="With two or more, nobody sees what the others said before it is decided.",
    )
    reviewers = forms.ModelMultipleChoiceField(
        User.objects.none(),
        required=False,
        help_text="None: open to everybody who may review.",
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, *args: Any, user: Any, connections: list[int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        labels: Any = self.fields["labels"]
        found = Label.objects.readable_by(user).filter(connection__in=connections, retired=None)
        labels.queryset = found.select_related("connection").order_by("connection__name", "position", "pk")
        several = len(connections) > 1
        labels.label_from_instance = lambda label: (
            f"{label.name} ({label.connection.name})" if several else label.name
        )
        labels.initial = [label.pk for label in labels.queryset]
        people: Any = self.fields["reviewers"]
        people.queryset = queue_making.people(connections)
        by: Any = self.fields["by"]
        known = Term.objects.filter(
            connection__in=connections, kind=Term.Kind.FIELD, key__startswith=METADATA, n__gt=0
        )
        keys = sorted(set(known.order_by("-n").values_list("key", flat=True)[:KEYS]))
        by.choices = [("", "Nothing"), (MODEL, "Model"), *((key, key.removeprefix(METADATA)) for key in keys)]

    @property
    def sample(self) -> Sample | None:
        given = self.cleaned_data
        if not given["size"]:
            return None
        return Sample(given["size"], given["seed"] or 0, given["by"])


def tells(queue: ReviewQueue, *, builds: bool) -> bool:
    """Whether a person may know how many are decided: who has just answered would learn what others said."""
    return builds or queue.overlap == 1


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """Every queue that the person may see, those with something for them first."""
    found = list(ReviewQueue.objects.readable_by(request.user).select_related("created_by")[:MOST])
    workable = {
        queue.pk: queue
        for queue in queues.workable_by(request.user).filter(pk__in=[queue.pk for queue in found])
    }
    left, progress = queues.left_for(request.user, list(workable.values())), progress_of(found)
    builds = set(ReviewQueue.objects.actionable_by(request.user).values_list("pk", flat=True))
    entries = [
        {"queue": queue, "progress": progress[queue.pk], "left": left.get(queue.pk, 0),
         "workable": queue.pk in workable, "open": tells(queue, builds=queue.pk in builds)}
        for queue in found
    ]  # fmt: skip
    entries.sort(key=lambda entry: (not entry["left"], entry["queue"].closed is not None))
    return render(request, "completions/queues.html", {"entries": entries, "most": MOST})


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, frozen: UUID) -> HttpResponse:
    """Make a queue of a selection that was just frozen."""
    selected = chosen(request.user, frozen)
    if not may(type(selected).objects.all(), request.user, "act", selected):
        raise PermissionDenied
    here = reverse("completions:queue_new", args=[selected.pk])
    if request.method != "POST" and wants_fragment(request):
        return go(request, here)
    sources = list(selected.connections.order_by("name").defer("secret"))
    form = QueueForm(
        request.POST or None,
        user=request.user,
        connections=[each.pk for each in sources],
        initial={"name": name_of(selected), "seed": 1},
    )
    if form.is_valid():
        given = form.cleaned_data
        try:
            queue = queue_making.make(
                request.user,
                selected,
                name=given["name"],
                guideline=given["guideline"],
                asks=given["asks"],
                labels=list(given["labels"]),
                overlap=given["overlap"],
                reviewers=list(given["reviewers"]),
                sample=form.sample,
            )
        except Refused as refused:
            form.add_error(None, str(refused))
        else:
            return toast(request, redirect("completions:queue", queue.pk), f"“{queue.name}” is made.")
    return _new_page(request, selected, form, sources)


def _new_page(
    request: HttpRequest, selected: FrozenSelection, form: QueueForm, sources: list[Connection]
) -> HttpResponse:
    context = {
        "form": form,
        "frozen": selected,
        "sources": sources,
        "most": MOST_ITEMS,
        "others": _open_queues(request.user, sources),
    }
    return render(request, "completions/queue_new.html", context, status=422 if form.errors else 200)


def _open_queues(user: Any, sources: list[Connection]) -> list[ReviewQueue]:
    """Queues that completions of these connections can be added to, the newest first."""
    found = ReviewQueue.objects.actionable_by(user).filter(closed=None)
    for source in sources:
        found = found.filter(connections=source)
    return list(found[:MOST])


@require_POST
def add(request: HttpRequest, frozen: UUID) -> HttpResponse:
    """Add a selection that was just frozen to a queue that is there."""
    selected = chosen(request.user, frozen)
    number = _number(request.POST.get("queue", ""))
    queue: ReviewQueue = fetch(ReviewQueue.objects.all(), request.user, "act", pk=number)
    try:
        added = queue_making.add(request.user, selected, queue)
    except Refused as refused:
        return toast(request, redirect("completions:queue_new", selected.pk), str(refused), "bad")
    text = f"{added:,} added to “{queue.name}”." if added else f"All of them are in “{queue.name}” already."
    return toast(request, redirect("completions:queue", queue.pk), text)


def queue_of(request: HttpRequest, pk: int, verb: Verb = "read") -> ReviewQueue:
    """The queue, if the person may do that with it."""
    found: ReviewQueue = fetch(ReviewQueue.objects.select_related("created_by"), request.user, verb, pk=pk)
    return found


@require_safe
def queue(request: HttpRequest, pk: int) -> HttpResponse:
    """How it stands: for builders who did what, how far they agree, and what they disagree on."""
    found = queue_of(request, pk)
    builds = may(ReviewQueue.objects, request.user, "act", found)
    workable = queues.workable_by(request.user).filter(pk=found.pk).exists()
    mine = people_at(found, request.user)
    left, more = queues.left_in(request.user, found)
    context: dict[str, Any] = {
        "queue": found,
        "progress": progress_of([found])[found.pk],
        "questions": questions_of(found),
        "sources": found.connections.order_by("name").defer("secret"),
        "assigned": list(found.reviewers.order_by("username")),
        "builds": builds,
        "open": tells(found, builds=builds),
        "workable": workable and found.closed is None,
        "left": left,
        "more": more,
        "mine": mine[0] if mine else None,
    }
    if builds:
        agreement = agreement_of(found) if found.overlap > 1 else []
        context |= {"people": people_at(found), "agreement": agreement} | _listed(request, found, agreement)
    return render(request, "completions/queue.html", context)


def _listed(request: HttpRequest, found: ReviewQueue, agreement: Any) -> dict[str, Any]:
    """The completions that the page lists: to be decided, disagreed on, or skipped by somebody."""
    show = request.GET.get("show", "")
    about = request.GET.get("about", "")
    items = QueueItem.objects.filter(queue=found.pk)
    if show == "differing":
        keys = {key for each in agreement if about in ("", each.question.about) for key in each.differing}
        items = items.filter(pk__in=sorted(keys)[:1000])
    elif show == "skipped":
        items = items.filter(
            pk__in=QueueTask.objects.filter(item__queue=found.pk, state=QueueTask.State.SKIPPED).values(
                "item"
            )
        ).exclude(state=QueueItem.State.DONE)
    else:
        show, items = "disputed", items.filter(state=QueueItem.State.DISPUTED)
    some = list(
        items.select_related("completion").prefetch_related("tasks__reviewer").order_by("position")[:MOST]
    )
    asked = next((each.question.title for each in agreement if each.question.about == about), "")
    return {"show": show, "asked": asked, "items": some, "items_count": items.count(), "most": MOST}


@require_POST
def close(request: HttpRequest, pk: int) -> HttpResponse:
    """End a queue, or open it again."""
    found = queue_of(request, pk, "act")
    closed = request.POST.get("to") != "open"
    queues.close(found, request.user, closed=closed)
    said = "is closed. What was answered stays." if closed else "is open again."
    return toast(request, redirect("completions:queue", found.pk), f"“{found.name}” {said}")


# Deciding.


def _item(request: HttpRequest, pk: int, number: int) -> tuple[ReviewQueue, QueueItem]:
    found = queue_of(request, pk, "act")
    item = (
        QueueItem.objects.filter(queue=found.pk, pk=number)
        .select_related("completion__connection", "decided_by")
        .defer("completion__connection__secret")
        .first()
    )
    if item is None:
        raise Http404
    return found, item


@require_http_methods(["GET", "HEAD", "POST"])
def adjudicate(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Everybody's answers to one completion, and the decision."""
    found, item = _item(request, pk, number)
    problem = ""
    if request.method == "POST":
        try:
            queues.adjudicate(item, request.user, dict(request.POST.lists()), request.POST.get("note", ""))
        except Refused as refused:
            problem = str(refused)
        else:
            return toast(request, redirect(_following(found, item)), "Decided.")
    questions = questions_of(found, item.connection_id)
    tasks = list(item.tasks.select_related("reviewer").order_by("submitted", "pk"))
    answered = [task for task in tasks if task.state == QueueTask.State.SUBMITTED]
    said = [
        {"question": question, "differs": question.compared and _differs(question, answered),
         "answers": [question.in_words(task.answers) for task in answered]}
        for question in questions
    ]  # fmt: skip
    context = {
        "queue": found,
        "item": item,
        "row": item.completion,
        "shown": shown_of(item.completion),
        "tasks": tasks,
        "answered": answered,
        "said": said,
        "decided": item.state == QueueItem.State.DONE,
        "decision": [(question.title, question.in_words(item.decision or {})) for question in questions],
        "asked": asked_of(questions, request.POST if problem else _agreed(questions, answered)),
        "note": request.POST.get("note", ""),
        "problem": problem,
    }
    return render(request, "completions/queue_item.html", context, status=422 if problem else 200)


def _following(found: ReviewQueue, item: QueueItem) -> str:
    """The next completion that waits for a decision, or the queue."""
    waiting = QueueItem.objects.filter(queue=found.pk, state=QueueItem.State.DISPUTED)
    following = waiting.filter(position__gt=item.position).order_by("position").first() or waiting.first()
    if following is None:
        return reverse("completions:queue", args=[found.pk])
    return reverse("completions:queue_item", args=[found.pk, following.pk])


def _differs(question: Question, answered: list[QueueTask]) -> bool:
    return len({question.comparable(task.answers) for task in answered}) > 1


def _agreed(questions: list[Question], answered: list[QueueTask]) -> dict[str, Any]:
    """What everybody said alike, to begin with."""
    if not answered:
        return {}
    return {
        each.about: answered[0].answers[each.about]
        for each in questions
        if each.about in answered[0].answers and not _differs(each, answered)
    }


def asked_of(questions: list[Question], held: Any) -> list[dict[str, Any]]:
    """The questions with what stands in the form: of a QueryDict or of answers."""
    made = []
    for at, each in enumerate(questions):
        values = held.getlist(each.about) if hasattr(held, "getlist") else held.get(each.about, [])
        values = values if isinstance(values, list) else [values]
        keys = each.keys
        options = [(value, words, value in values, keys.get(value, "")) for value, words in each.options]
        made.append(
            {"question": each, "id": f"q{at}", "options": options, "text": "".join(values[:1]),
             "limits": each.label.options if each.interval and each.label is not None else None}
        )  # fmt: skip
    return made


@require_POST
def send_back(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Ask somebody to look again."""
    found, item = _item(request, pk, number)
    task = item.tasks.select_related("item").filter(pk=_number(request.POST.get("task", ""))).first()
    here = redirect("completions:queue_item", found.pk, item.pk)
    try:
        if task is None:
            raise Refused("There is no answer of theirs to be sent back.")
        queues.send_back(task, request.user, request.POST.get("reason", ""))
    except Refused as refused:
        return toast(request, here, str(refused), "bad")
    return toast(request, here, f"{task.reviewer} is asked to look again.")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
