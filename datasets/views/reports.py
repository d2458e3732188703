"""The report of a run, its slices, its rows, and one row of it."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods
from django_htmx.http import retarget

from completions.models import StoredCompletion
from datasets.evaluate import rows, slices, slices_kept, tally
from datasets.evaluate import run as runs
from datasets.evaluate.judges import judges_of
from datasets.evaluate.report import Report
from datasets.evaluate.report_costs import costs_of
from datasets.evaluate.row_filters import SHOWS, Filter
from datasets.evaluate.slice_facts import label_of
from datasets.evaluate.targets import read
from datasets.models import Call, Evaluation, Grader, Run
from datasets.views.evaluations import described, left_out
from portal.htmx import fragment, wants_fragment
from portal.models import Connection, Operation
from portal.permissions import Verb, fetch, may


@dataclass(frozen=True)
class Where:
    """Which rows are shown, and which page of them."""

    filter: Filter
    after: int
    before: int

    @property
    def query(self) -> str:
        """The same as the end of an address."""
        if self.before:
            return self.filter.address(before=self.before)
        return self.filter.address(after=self.after)

    @property
    def slice_label(self) -> str:
        return label_of(self.filter.dimension)

    @property
    def slice_shown(self) -> str:
        return slices.shown(self.filter.dimension, self.filter.value)


@require_GET
def run(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """The report; while the run goes on, how far it is."""
    found = run_of(request, pk, number)
    done = found.state == Run.State.DONE
    polled = fragment(request, "datasets/evaluate/run.html", {"calls"}).endswith("#calls")
    if polled and request.GET.get("seen") == found.state:
        told = {"run": found, "calls": _calls(found), "is_live": found.state in runs.LIVE}
        return render(request, "datasets/evaluate/run_calls.html", told)
    context: dict[str, Any] = {
        "run": found,
        "evaluation": found.evaluation,
        "is_live": found.state in runs.LIVE,
        "targets": targets_of(found),
        "may_act": may(Evaluation.objects, request.user, "act", found.evaluation),
    }
    if done:
        context |= _rows(request, found)
        only_rows = fragment(request, "datasets/evaluate/report.html", {"rows"})
        if only_rows.endswith("#rows"):
            answer = render(request, only_rows, context)
            # The form sends its empty fields too; the address to share leaves them out.
            answer["HX-Push-Url"] = f"{request.path}{context['where'].query}"
            return answer
        made = tally.report_of(found)
        context |= {
            "report": made,
            "costs": costs_of(found, made),
            "chosen_slices": _slice_choice(found, made),
        }
    else:
        context |= {"operation": _operation(request, found), "calls": _calls(found)}
    context |= {"graders": described(found.evaluation, found), "left_out": left_out(found.evaluation)}
    if polled:
        # It was paused, goes on, or has ended since the page was drawn.
        return retarget(render(request, "datasets/evaluate/run.html#run", context), "#run")
    return render(request, fragment(request, "datasets/evaluate/run.html", {"run"}), context)


@require_http_methods(["GET", "POST"])
def run_slices(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """How each target does on parts of the items, under all graders or one; posting counts them again."""
    found = run_of(request, pk, number, "act" if request.method == "POST" else "read")
    if found.state != Run.State.DONE:
        raise Http404
    made = tally.report_of(found)
    asked = request.GET.get("grader", "")
    offered = _slice_choice(found, made)
    grader = next((pk for pk, _ in offered if str(pk) == asked), offered[-1][0] if offered else 0)
    if request.method == "POST":
        slices_kept.begin(found, request.user, again=True)
        return redirect(request.get_full_path())
    look = slices_kept.look(found, request.user, grader) if offered else None
    context = {
        "run": found,
        "evaluation": found.evaluation,
        "slices": look.slices if look else None,
        "operation": look.operation if look else None,
        "here": request.get_full_path(),
        "may_act": may(Run.objects, request.user, "act", found),
        "least": slices.LEAST,
        "most": slices.MOST_VALUES,
        "chosen_slices": offered,
        "grader": grader,
    }
    template = "datasets/evaluate/report_slices.html"
    if not wants_fragment(request):
        template = "datasets/evaluate/report_slices_page.html"
    return render(request, template, context)


@require_GET
def run_row(request: HttpRequest, pk: int, number: int, line: int) -> HttpResponse:
    """One item with its answers and verdicts: in the drawer, or as a page of its own."""
    found = run_of(request, pk, number)
    where = _where(request, found)
    if found.evaluation.version.state != "ready":
        raise Http404
    example = rows.examples_of(found).select_related("completion__connection").filter(line=line).first()
    if example is None:
        raise Http404
    (row,) = rows.read_rows(found, [example])
    previous, following = rows.neighbours(found, where.filter, line)
    completion = example.completion
    visible = completion is not None and StoredCompletion.objects.readable_by(request.user).filter(
        pk=completion.pk
    )
    context = {
        "run": found,
        "evaluation": found.evaluation,
        "row": row,
        "completion": completion if visible else None,
        "previous": previous,
        "following": following,
        "where": where,
        "is_page": not wants_fragment(request),
    }
    return render(
        request,
        "datasets/evaluate/row.html" if wants_fragment(request) else "datasets/evaluate/row_page.html",
        context,
    )


def run_of(request: HttpRequest, pk: int, number: int, verb: Verb = "read") -> Run:
    """The run at an address, if this person may read it, or act on it."""
    queryset = Run.objects.select_related("evaluation__version__dataset", "operation", "created_by")
    found: Run = fetch(queryset, request.user, verb, evaluation=pk, number=number)
    return found


def targets_of(run: Run) -> list[dict[str, Any]]:
    """The targets with the names of their connections and how they were asked."""
    chosen = read(run.targets)
    names = dict(
        Connection.objects.filter(pk__in=[t.connection for t in chosen if t.connection]).values_list(
            "pk", "name"
        )
    )
    return [
        {
            "target": target,
            "place": names.get(target.connection or 0, "a deleted connection"),
            "params": ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in target.params.items()),
        }
        for target in chosen
    ]


def _rows(request: HttpRequest, run: Run) -> dict[str, Any]:
    """A page of rows and everything that narrows them down."""
    where = _where(request, run)
    page = rows.page_of(run, where.filter, where.after, where.before)
    chosen = where.filter
    shows = [
        (chosen.but(show=show).address(), label, chosen.show == show)
        for show, label in SHOWS.items()
        if show != "changed" or run.repetitions > 1
    ]
    return {
        "where": where,
        "page": page,
        "shows": shows,
        "all_graders": run.evaluation.graders.all(),
        "has_scores": any("pass_threshold" in grader.params for grader in run.evaluation.graders.all()),
        "without_slice": chosen.but(dimension="", value="").address(),
        "previous_page": chosen.address(before=page.previous) if page.previous else "",
        "next_page": chosen.address(after=page.next) if page.next else "",
    }


def _where(request: HttpRequest, run: Run) -> Where:
    return Where(Filter.read(request.GET, run), _number(request, "after"), _number(request, "before"))


def _number(request: HttpRequest, name: str) -> int:
    text = request.GET.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _slice_choice(run: Run, report: Report) -> list[tuple[int, str]]:
    """The graders whose pass rates are told by slices; a preference has none."""
    apart = {grader.pk for grader in run.evaluation.graders.all() if grader.kind == Grader.Kind.PAIRWISE}
    return [(judged.id, judged.name) for judged in report.graders if judged.id not in apart]


def _operation(request: HttpRequest, run: Run) -> Operation | None:
    """The run's operation, if this person may watch it."""
    found: Operation | None = Operation.objects.readable_by(request.user).filter(pk=run.operation_id).first()
    return found


def _calls(run: Run) -> dict[str, Any]:
    """How many calls of an unfinished run are in which state; and whether judges are asked next."""
    counted = dict(Call.objects.filter(run=run).order_by().values_list("state").annotate(n=Count("pk")))
    total = sum(counted.values())
    made = counted.get(Call.State.DONE, 0)
    judges = bool(judges_of(run.evaluation.graders.all()))
    return {
        "total": total,
        "answered": made,
        "failed": counted.get(Call.State.FAILED, 0),
        "judges_follow": judges and not Call.objects.filter(run=run).exclude(grader="").exists(),
    }
