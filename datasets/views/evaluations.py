"""Evaluations, their runs and reports, and the rows behind them."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.db.models import Count, OuterRef, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from completions.models import StoredCompletion
from datasets.build.lines import in_words
from datasets.evaluate import graders, removal, rows, tally
from datasets.evaluate import run as runs
from datasets.evaluate.targets import read
from datasets.models import Call, Evaluation, Run
from portal.htmx import fragment, toast, wants_fragment
from portal.models import Connection, Operation
from portal.permissions import fetch, may

PER_PAGE = 50


@require_GET
def list_all(request: HttpRequest) -> HttpResponse:
    """Every evaluation whose sources this person may read, with its last run."""
    newest = Run.objects.filter(evaluation=OuterRef("pk")).order_by("-number")
    found = (
        Evaluation.objects.readable_by(request.user)
        .select_related("version", "owner")
        .prefetch_related("connections")
        .annotate(run_count=Count("runs"), last_id=Subquery(newest.values("pk")[:1]))
        .order_by("-pk")
    )
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    last = Run.objects.select_related("evaluation").in_bulk([row.last_id for row in page if row.last_id])
    entries = [
        {"evaluation": row, "run": last.get(row.last_id), "said": _said(last.get(row.last_id))}
        for row in page
    ]
    return render(request, "datasets/evaluate/list.html", {"page": page, "entries": entries})


@require_GET
def evaluation(request: HttpRequest, pk: int) -> HttpResponse:
    """What is measured and how, and every run."""
    found = _evaluation(request, pk)
    ran = list(found.runs.select_related("created_by", "operation"))
    context = {
        "evaluation": found,
        "graders": _described(found),
        "runs": [{"run": run, "said": _said(run), "targets": read(run.targets)} for run in ran],
        "may_act": may(Evaluation.objects, request.user, "act", found),
        "draft": not ran,
        "left_out": _left_out(found),
    }
    return render(request, "datasets/evaluate/evaluation.html", context)


@require_POST
def evaluation_delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove an evaluation with its runs, here only."""
    found = _evaluation(request, pk, "act")
    try:
        removal.delete(found, request.user)
    except removal.InUse as reason:
        return toast(request, redirect("datasets:evaluation", pk), str(reason), "bad")
    return toast(request, redirect("datasets:evaluations"), f"“{found.name}” was deleted.")


@require_GET
def run(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """The report; while the run goes on, how far it is."""
    found = _run(request, pk, number)
    where = _where(request)
    operation = _operation(request, found)
    done = found.state == Run.State.DONE
    page = rows.page_of(found, where.show, where.after, where.before) if done else None
    context = {
        "run": found,
        "evaluation": found.evaluation,
        "operation": operation,
        "is_live": found.state in runs.LIVE,
        "targets": _named(found),
        "report": tally.report_of(found) if done else None,
        "calls": _calls(found) if not done else None,
        "page": page,
        "where": where,
        "shows": rows.SHOWS.items(),
        "graders": _described(found.evaluation),
        "may_act": may(Evaluation.objects, request.user, "act", found.evaluation),
        "left_out": _left_out(found.evaluation),
    }
    page_or_part = fragment(request, "datasets/evaluate/run.html", {"run"})
    if done and page_or_part == "datasets/evaluate/run.html":
        rows_alone = fragment(request, "datasets/evaluate/report.html", {"rows"})
        page_or_part = rows_alone if rows_alone.endswith("#rows") else page_or_part
    return render(request, page_or_part, context)


@require_GET
def run_row(request: HttpRequest, pk: int, number: int, line: int) -> HttpResponse:
    """One item with its answers and verdicts: in the drawer, or as a page of its own."""
    found = _run(request, pk, number)
    where = _where(request)
    if found.evaluation.version.state != "ready":
        raise Http404
    example = rows.examples_of(found).select_related("completion__connection").filter(line=line).first()
    if example is None:
        raise Http404
    (row,) = rows.read_rows(found, [example])
    previous, following = rows.neighbours(found, where.show, line)
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


def _evaluation(request: HttpRequest, pk: int, verb: Any = "read") -> Evaluation:
    found: Evaluation = fetch(
        Evaluation.objects.select_related("version__dataset", "version__frozen_selection", "owner"),
        request.user,
        verb,
        pk=pk,
    )
    return found


def _run(request: HttpRequest, pk: int, number: int, verb: Any = "read") -> Run:
    queryset = Run.objects.select_related("evaluation__version__dataset", "operation", "created_by")
    found: Run = fetch(queryset, request.user, verb, evaluation=pk, number=number)
    return found


def _operation(request: HttpRequest, run: Run) -> Operation | None:
    """The run's operation, if this person may watch it."""
    found: Operation | None = Operation.objects.readable_by(request.user).filter(pk=run.operation_id).first()
    return found


@dataclass(frozen=True)
class Where:
    """Which rows are shown, and which page of them."""

    show: str
    after: int
    before: int

    @property
    def query(self) -> str:
        """The same as the end of an address."""
        page = {"before": self.before} if self.before else {"after": self.after} if self.after else {}
        return "?" + urlencode({"show": self.show, **page})


def _where(request: HttpRequest) -> Where:
    show = request.GET.get("show", "all")
    return Where(show if show in rows.SHOWS else "all", _number(request, "after"), _number(request, "before"))


def _number(request: HttpRequest, name: str) -> int:
    text = request.GET.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _described(evaluation: Evaluation) -> list[dict[str, Any]]:
    return [
        {
            "grader": grader,
            "described": graders.describe(grader.kind, grader.params),
            "explained": graders.explain(grader.kind, grader.params),
        }
        for grader in evaluation.graders.all()
    ]


def _said(run: Run | None) -> str:
    """The run's result as a sentence; empty until it is done."""
    return tally.report_of(run).headline if run is not None and run.state == Run.State.DONE else ""


def _named(run: Run) -> list[dict[str, Any]]:
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


def _calls(run: Run) -> dict[str, int]:
    """How many calls are in which state, for a run that has no report yet."""
    counted = dict(Call.objects.filter(run=run).order_by().values_list("state").annotate(n=Count("pk")))
    total = sum(counted.values())
    made = counted.get(Call.State.DONE, 0)
    return {"total": total, "answered": made, "failed": counted.get(Call.State.FAILED, 0)}


def _left_out(evaluation: Evaluation) -> list[dict[str, Any]]:
    counts = evaluation.version.counts.get("left_out", {})
    return [
        {"text": in_words(reason), "n": n}
        for reason, n in sorted(counts.items(), key=lambda entry: -entry[1])
    ]
