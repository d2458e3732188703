"""Comparisons: the list, one with its numbers, and the items behind them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from completions.models import StoredCompletion
from datasets.evaluate import comparison as compared
from datasets.evaluate import comparison_kept
from datasets.evaluate import comparison_scatter as scatter
from datasets.evaluate.comparison import Column
from datasets.evaluate.comparison_count import Counted
from datasets.evaluate.comparison_match import graders_in
from datasets.evaluate.comparison_rows import SHOWS, Row, Shown
from datasets.evaluate.comparison_spent import Spent, spent_by
from datasets.evaluate.report import Report
from datasets.evaluate.report_costs import EACH
from datasets.models import Comparison, Run
from portal.htmx import fragment, go, wants_fragment
from portal.models import Operation
from portal.permissions import Verb, fetch, may

PER_PAGE = 50
AXES = {"price": "Price", "time": "Time"}


@require_GET
def list_all(request: HttpRequest) -> HttpResponse:
    """Every comparison whose sources this person may read."""
    found = Comparison.objects.readable_by(request.user).select_related("owner").order_by("-pk")
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    can_compare = Run.objects.readable_by(request.user).filter(state=Run.State.DONE).exists()
    return render(request, "datasets/comparisons/list.html", {"page": page, "can_compare": can_compare})


@require_http_methods(["GET", "POST"])
def comparison(request: HttpRequest, pk: int) -> HttpResponse:
    """The columns beside each other: rates, differences, what they took, the items. Posting counts again."""
    verb: Verb = "act" if request.method == "POST" else "read"
    found: Comparison = fetch(Comparison.objects.select_related("owner"), request.user, verb, pk=pk)
    sight = Sight(request, found)
    if request.method == "POST":
        if sight.is_waiting:
            comparison_kept.begin(found, sight.columns, sight.shared, request.user, again=True)
        return redirect(request.get_full_path())
    template = fragment(request, "datasets/comparisons/comparison.html", {"items", "numbers"})
    if sight.is_waiting and template.endswith("#items"):
        return go(request, request.get_full_path())
    context = {
        "comparison": found,
        "sight": sight,
        "operation": sight.operation,
        "here": request.get_full_path(),
        "may_act": may(Comparison.objects, request.user, "act", found),
        "may_change": compared.may_change(found, request.user),
    }
    return render(request, template, context)


@require_GET
def item(request: HttpRequest, pk: int, line: int) -> HttpResponse:
    """One item with the answers of all columns: in the drawer, or as a page of its own."""
    found: Comparison = fetch(Comparison.objects.all(), request.user, pk=pk)
    sight = Sight(request, found)
    if sight.is_waiting:
        return go(request, f"{reverse('datasets:comparison', args=[pk])}{sight.query()}")
    row = sight.shown.row(line) if sight.can_compare else None
    if row is None:
        raise Http404
    previous, following = sight.shown.neighbours(line)
    in_drawer = wants_fragment(request)
    context = {
        "comparison": found,
        "sight": sight,
        "row": row,
        "twins": row.twins(),
        "completion": _completion(request, row),
        "previous": previous,
        "following": following,
    }
    page = "item.html" if in_drawer else "item_page.html"
    return render(request, f"datasets/comparisons/{page}", context)


def _completion(request: HttpRequest, row: Row) -> StoredCompletion | None:
    """What the item was made of, if this person may read it."""
    found: StoredCompletion | None = row.row.example.completion
    if found is None:
        return None
    return found if StoredCompletion.objects.readable_by(request.user).filter(pk=found.pk).exists() else None


@dataclass(frozen=True)
class Spending:
    """A column with what its answers took."""

    column: Column
    label: str
    spent: Spent
    rate: float | None


class Sight:
    """A comparison as one person looks at it: with which baseline, which grader, which items."""

    def __init__(self, request: HttpRequest, comparison: Comparison) -> None:
        self.comparison = comparison
        saved = compared.columns_of(comparison, request.user)
        asked = request.GET.get("baseline", "")
        first = next((c for c in saved if c.key == asked and c.is_there), None)
        self.every = sorted(saved, key=lambda column: column != first) if first is not None else saved
        self.columns = [column for column in self.every if column.is_there]
        self.missing = [column for column in self.every if not column.is_there]
        self.show = request.GET.get("show", "regressions")
        if self.show not in SHOWS:
            self.show = "regressions"
        self._grader = _number(request, "grader")
        self._against = request.GET.get("against", "")
        self.after, self.before = _number(request, "after"), _number(request, "before")
        self._axis = request.GET.get("x", "")
        self._path = request.path
        self._user = request.user

    @property
    def can_compare(self) -> bool:
        return len(self.columns) > 1

    @property
    def items(self) -> int:
        """How many items the largest of its runs has."""
        return max(int(column.run.summary.get("items", 0)) for column in self.columns if column.run)

    @cached_property
    def _look(self) -> comparison_kept.Look:
        return comparison_kept.look(self.comparison, self.columns, self.shared, self._user)

    @property
    def is_waiting(self) -> bool:
        """Whether a worker has to count first."""
        return self.can_compare and self._look.counted is None

    @property
    def operation(self) -> Operation | None:
        return self._look.operation if self.can_compare else None

    @property
    def baseline(self) -> Column:
        return self.columns[0]

    @property
    def is_other_baseline(self) -> bool:
        """Whether this is not the baseline that everybody sees."""
        first = self.comparison.columns[0]
        return self.baseline.key != f"{first['run']}:{first['target']}"

    @cached_property
    def _graders(self) -> Any:
        return graders_in(self.columns)

    @property
    def shared(self) -> Any:
        return self._graders[0]

    @property
    def apart(self) -> Any:
        return self._graders[1]

    @property
    def counted(self) -> Counted:
        assert self._look.counted is not None
        return self._look.counted

    @cached_property
    def report(self) -> Report:
        return self.counted.report(self.shared)

    @property
    def labels(self) -> list[str]:
        return [target["label"] for target in self.report.targets]

    @property
    def rates(self) -> list[dict[str, Any]]:
        """Each grader with its cells, and beside each what differs from the baseline."""
        return [
            {"judged": judged, "cells": list(zip(judged.cells, (None, *judged.differences), strict=True))}
            for judged in self.report.graders
        ]

    @property
    def labelled(self) -> Sequence[tuple[Column, str]]:
        return list(zip(self.columns, self.labels, strict=True))

    @property
    def elsewhere(self) -> list[tuple[str, int]]:
        """Of each evaluation with other items: how many it has."""
        named = {c.run.evaluation.version_id: c.run.evaluation.name for c in self.columns if c.run}
        return [(named[version], n) for version, n in self.counted.elsewhere.items()]

    @property
    def references(self) -> list[str]:
        """The evaluations, where they do not compare with the same reference."""
        found = {c.run.evaluation_id: c.run.evaluation for c in self.columns if c.run}
        differ = len({each.reference for each in found.values()}) > 1
        return [each.name for each in found.values()] if differ else []

    @property
    def grader(self) -> int:
        """The number of the grader whose verdicts choose the items; 0 for all together."""
        known = {one.number for one in self.shared}
        return self._grader if self._grader in known else 0

    @property
    def against(self) -> int:
        """The place of the column whose regressions and improvements are looked at; 0 for any."""
        keys = [column.key for column in self.columns]
        return keys.index(self._against) if self._against in keys else 0

    @property
    def graders(self) -> list[tuple[int, str]]:
        named = [(one.number, one.name) for one in self.shared]
        return [(0, "All graders"), *named] if len(named) > 1 else [(0, name) for _, name in named]

    @property
    def shows(self) -> dict[str, str]:
        return SHOWS

    @cached_property
    def shown(self) -> Shown:
        return Shown(self.counted, self.columns, self.show, self.grader, self.against)

    @cached_property
    def page(self) -> Any:
        return self.shown.page(self.after, self.before)

    @cached_property
    def spending(self) -> list[Spending]:
        taken = spent_by(self.columns)
        cells = self.report.chief.cells if self.report.chief else ()
        rates = {cell.target: cell.rate for cell in cells}
        return [
            Spending(column, label, taken[column.key], rates.get(column.key))
            for column, label in self.labelled
        ]

    @property
    def each(self) -> int:
        return EACH

    @cached_property
    def axis(self) -> str:
        """The one that was asked for, else price, or time where no two prices are known."""
        if self._axis in AXES:
            return self._axis
        priced = sum(one.spent.cost_each is not None for one in self.spending)
        timed = sum(one.spent.p50 is not None for one in self.spending)
        return "time" if priced < 2 <= timed else "price"

    @property
    def axes(self) -> dict[str, str]:
        return AXES

    @cached_property
    def scatter(self) -> scatter.Scatter | None:
        """Quality against price or time, where more than two columns say both."""
        chief = self.report.chief
        if chief is None or len(self.columns) < 3:
            return None
        cells = {cell.target: cell for cell in chief.cells}
        given = []
        for one in self.spending:
            cell, x = cells[one.column.key], self._x(one.spent)
            if x is not None and cell.rate is not None and cell.interval is not None:
                given.append(
                    scatter.Given(one.label, float(x), cell.rate, cell.interval.low, cell.interval.high)
                )
        if len(given) < 2:
            return None
        if self.axis == "time":
            return scatter.draw(given, "Median time of an answer", "{} ms")
        return scatter.draw(given, f"Price of {EACH:,} answers")

    def _x(self, spent: Spent) -> Any:
        return spent.p50 if self.axis == "time" else spent.cost_each

    def query(self, **changes: Any) -> str:
        """The end of an address with this sight, changed so; what is empty or usual is left out."""
        told = {
            "baseline": self.baseline.key if self.can_compare and self.is_other_baseline else "",
            "show": "" if self.show == "regressions" else self.show,
            "grader": self.grader if self.can_compare else 0,
            "against": self.columns[self.against].key if self.against else "",
            "x": self._axis if self._axis in AXES else "",
        } | changes
        return "?" + urlencode({name: value for name, value in told.items() if value})

    @property
    def here(self) -> str:
        """The same items, the same page of them; empty where all is as usual."""
        return self.query(after=self.after, before=self.before).removesuffix("?")

    @property
    def whole(self) -> str:
        """All items, with the same baseline."""
        return self.query(show="all", grader=0, against="", x="")

    @property
    def links(self) -> dict[str, str]:
        """Where the buttons of the list of items lead."""
        return {
            "next": self.query(after=self.page.next),
            "previous": self.query(before=self.page.previous),
        }

    @property
    def show_links(self) -> list[tuple[str, str, bool]]:
        return [
            (self.query(show="" if key == "regressions" else key), label, key == self.show)
            for key, label in SHOWS.items()
        ]

    @property
    def axis_links(self) -> list[tuple[str, str, bool]]:
        return [(self.query(x=key), label, key == self.axis) for key, label in AXES.items()]

    @property
    def baseline_links(self) -> list[tuple[Column, str, str]]:
        """Every column with its name and the address at which it is the baseline."""
        return [(column, label, self.query(baseline=column.key)) for column, label in self.labelled]


def _number(request: HttpRequest, name: str) -> int:
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
