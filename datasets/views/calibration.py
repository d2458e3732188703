"""Calibrate a grader: how far it agrees with people, where not, and from which score on it would more."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from datasets.evaluate import calibration, calibration_pairs, rows, thresholds
from datasets.evaluate.calibration import Agreement, Cut, Pair
from datasets.evaluate.calibration_pairs import Source
from datasets.evaluate.graders import describe
from datasets.evaluate.targets import STORED
from datasets.models import Evaluation, Grader, Result, Run
from portal.charts import Chart, Line
from portal.htmx import toast
from portal.permissions import fetch, may

PAGE = 20
CELLS = {
    "pass-good": "Both say it is good",
    "fail-good": "People say it is good, the grader fails it",
    "pass-bad": "People say it is bad, the grader passes it",
    "fail-bad": "Both say it is bad",
}
JUDGES = (Grader.Kind.LABEL_MODEL, Grader.Kind.SCORE_MODEL)


@require_GET
def calibrate(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """One grader of a run beside what people said of the same answers."""
    run = _run(request, pk, number)
    sight = Sight(request, run)
    context = {
        "run": run,
        "evaluation": run.evaluation,
        "sight": sight,
        "may_act": may(Evaluation.objects, request.user, "act", run.evaluation),
    }
    return render(request, "datasets/evaluate/calibrate.html", context)


@require_POST
def take(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Let the grader pass from another score on, in the runs to come."""
    run = _run(request, pk, number)
    evaluation: Evaluation = fetch(Evaluation.objects.all(), request.user, "act", pk=pk)
    grader: Grader | None = evaluation.graders.filter(pk=_whole(request.POST.get("grader", ""))).first()
    if grader is None:
        raise Http404
    query = urlencode({"grader": grader.pk, "by": request.POST.get("by", "")})
    where = redirect(f"{reverse('datasets:calibrate', args=[pk, number])}?{query}")
    try:
        threshold = float(request.POST.get("threshold", ""))
        if threshold != threshold or abs(threshold) > 1e6:
            raise ValueError
        thresholds.take(grader, threshold, request.user, seen_in=run)
    except ValueError:
        return toast(request, where, "This is no threshold. Choose one from the table.", "bad")
    except thresholds.Refused as refused:
        return toast(request, where, str(refused), "bad")
    return toast(request, where, f"From the next run on, “{grader.name}” passes from {threshold:g} on.")


@dataclass(frozen=True)
class Judged:
    """One answer that both judged, to be looked at."""

    pair: Pair
    row: rows.Row
    result: Result | None

    @property
    def text(self) -> str:
        return next((answer.short for answer in self.row.answers if answer.target.key == STORED), "")


class Sight:
    """What a person looks at: which grader, whose judgement, which cell of the table."""

    def __init__(self, request: HttpRequest, run: Run) -> None:
        self.run, self._user = run, request.user
        self.graders = [each for each in thresholds.graders_of(run) if each.kind != Grader.Kind.PAIRWISE]
        asked = _whole(request.GET.get("grader", ""))
        usual = next((each for each in self.graders if each.kind in JUDGES), None)
        usual = usual or next(iter(self.graders), None)
        self.grader: Grader | None = next((each for each in self.graders if each.pk == asked), usual)
        self._by = request.GET.get("by", "")
        self._good = request.GET.getlist("good")
        self.cell = request.GET.get("cell", "")
        self._after = _whole(request.GET.get("after", ""))

    @property
    def is_done(self) -> bool:
        return self.run.state == Run.State.DONE

    @property
    def has_stored(self) -> bool:
        return calibration_pairs.has_stored(self.run)

    @cached_property
    def sources(self) -> list[Source]:
        return calibration_pairs.sources_of(self.run, self._user)

    @property
    def source(self) -> Source | None:
        return next(
            (each for each in self.sources if each.key == self._by), self.sources[0] if self.sources else None
        )

    @cached_property
    def disputed(self) -> int:
        return calibration_pairs.disputed_in(self.run, self._user)

    @property
    def good(self) -> list[str]:
        """Which answers of a label mean that an answer is good: those ticked, else the first one."""
        options = self.source.options if self.source is not None else ()
        return [each for each in options if each in self._good] or list(options[:1])

    @property
    def options(self) -> list[tuple[str, bool]]:
        return [(each, each in self.good) for each in (self.source.options if self.source else ())]

    @property
    def described(self) -> str:
        return describe(self.grader.kind, self.grader.params) if self.grader is not None else ""

    @cached_property
    def pairs(self) -> list[Pair]:
        if self.grader is None or self.source is None:
            return []
        return calibration_pairs.pairs_of(self.run, self.grader, self.source, self.good, self._user)

    @cached_property
    def agreement(self) -> Agreement:
        return calibration.agreement_of(self.pairs)

    @property
    def doubts(self) -> str:
        return calibration.doubts(self.pairs)

    @cached_property
    def table(self) -> list[dict[str, Any]]:
        """Rows of the table: what the grader says, with the cells of what people say."""
        counts = calibration.table_of(self.pairs)
        return [
            {
                "title": title,
                "cells": [
                    {
                        "key": f"{key}-{people}",
                        "n": counts[f"{key}-{people}"],
                        "agree": (key == "pass") == (people == "good"),
                        "said": CELLS[f"{key}-{people}"],
                        "link": self.query(cell=f"{key}-{people}"),
                    }
                    for people in ("good", "bad")
                ],
            }
            for key, title in (("pass", "Grader passes"), ("fail", "Grader fails"))
        ]

    @property
    def threshold(self) -> float | None:
        """From which score on the grader passed in this run; None if it has no such thing."""
        value = self.grader.params.get(thresholds.FIELD) if self.grader is not None else None
        return float(value) if isinstance(value, int | float) else None

    @property
    def next_threshold(self) -> float | None:
        """From which score on it passes in the next run."""
        if self.grader is None:
            return None
        now = Grader.objects.get(pk=self.grader.pk).params.get(thresholds.FIELD)
        return float(now) if isinstance(now, int | float) else None

    @cached_property
    def cuts(self) -> list[Cut]:
        if self.threshold is None or not self.pairs:
            return []
        return calibration.cuts_of(self.pairs, self.threshold)

    @cached_property
    def best(self) -> Cut | None:
        return None if self.threshold is None else calibration.best_of(self.pairs, self.threshold)

    @property
    def chart(self) -> Chart | None:
        """Agreement over the thresholds; nothing where there are too few for a curve."""
        if len(self.cuts) < 3:
            return None
        kappas = [cut.agreement.kappa for cut in self.cuts]
        return Chart(
            "cuts",
            "Agreement with people over the threshold",
            "Threshold",
            [cut.threshold for cut in self.cuts],
            [
                Line("Agreement", [_rounded(cut.agreement.percent) for cut in self.cuts], marks=True),
                Line("Cohen's kappa", [_rounded(kappa) for kappa in kappas], marks=True),
            ],
        )

    @property
    def table_of_cuts(self) -> list[Cut]:
        """Those that agree best, at most eight, in the order of the threshold."""
        ranked = sorted(self.cuts, key=lambda cut: -(cut.agreement.kappa or 0))
        kept = {id(cut) for cut in ranked[:8]}
        return [
            cut for cut in self.cuts if id(cut) in kept or cut == self.best or cut.threshold == self.threshold
        ]

    @property
    def cell_title(self) -> str:
        return CELLS.get(self.cell, "What they do not agree on")

    @cached_property
    def _chosen(self) -> list[Pair]:
        if self.cell in CELLS:
            return [pair for pair in self.pairs if pair.cell == self.cell]
        return [pair for pair in self.pairs if pair.passed != pair.good]

    @property
    def chosen_n(self) -> int:
        return len(self._chosen)

    @cached_property
    def page(self) -> list[Judged]:
        """The answers of the cell, a page by key."""
        some = [pair for pair in self._chosen if pair.item > self._after][:PAGE]
        examples = rows.examples_of(self.run).filter(line__in=[pair.item for pair in some])
        found = {row.example.line: row for row in rows.read_rows(self.run, list(examples))}
        made = []
        for pair in some:
            row = found.get(pair.item)
            if row is not None:
                results = [r for a in row.answers if a.target.key == STORED for r in a.results]
                mine = next(
                    (r for r in results if self.grader is not None and r.grader_id == self.grader.pk), None
                )
                made.append(Judged(pair, row, mine))
        return made

    @property
    def next_page(self) -> str:
        """Where the answers after this page are; empty at the end."""
        last = self.page[-1].pair.item if self.page else 0
        more = self._chosen and self._chosen[-1].item > last
        return self.query(cell=self.cell, after=last) if more else ""

    def query(self, **changes: Any) -> str:
        told: dict[str, Any] = {
            "grader": self.grader.pk if self.grader is not None else "",
            "by": self.source.key if self.source is not None else "",
            "good": self.good if self.source is not None and self.source.options else [],
        } | changes
        return "?" + urlencode({name: value for name, value in told.items() if value}, doseq=True)

    @property
    def review_filter(self) -> str:
        """Stored completions that nobody has reviewed yet."""
        return f"{reverse('completions:pane')}?{urlencode({'q': 'review:unreviewed'})}"


def _run(request: HttpRequest, pk: int, number: int) -> Run:
    queryset = Run.objects.select_related("evaluation__version__dataset")
    found: Run = fetch(queryset, request.user, evaluation=pk, number=number)
    return found


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 18 else 0


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
