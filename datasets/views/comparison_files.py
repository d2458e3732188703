"""What of a comparison can be taken along: its items as CSV or JSONL, and a page that stands by itself."""

from django.db import transaction
from django.http import Http404, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.text import slugify
from django.views.decorators.http import require_safe

from datasets.evaluate import comparison_export, report_export
from datasets.models import Comparison
from datasets.views.comparisons import Sight
from datasets.views.evaluations import described
from datasets.views.report_files import page_of, taken
from portal import audit
from portal.permissions import fetch


@require_safe
def items(request: HttpRequest, pk: int, form: str) -> HttpResponseBase:
    """The items that an address shows on the page: the same words after its question mark mean the same."""
    sight = _sight(request, pk)
    versions = {column.run.evaluation.version.state for column in sight.columns if column.run}
    if form not in report_export.FORMS or versions != {"ready"}:
        raise Http404
    if sight.is_waiting:  # which items they are is not known yet; the page says how far that is
        return redirect(f"{reverse('datasets:comparison', args=[pk])}{sight.query()}".removesuffix("?"))
    write = comparison_export.as_csv if form == "csv" else comparison_export.as_jsonl
    _noted(request, sight.comparison, form)
    pieces = write(sight.shown, sight.labelled)
    answer = StreamingHttpResponse(pieces, content_type=report_export.FORMS[form])
    return taken(answer, _name(sight.comparison, f"-{sight.show}.{form}"))


@require_safe
def page(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The comparison without its items as one file: nothing in it is fetched, nothing runs."""
    sight = _sight(request, pk)
    run = sight.baseline.run
    assert run is not None
    compared = {one.ids[run.pk] for one in sight.shared}
    report = None if sight.is_waiting else sight.report
    context = {
        "comparison": sight.comparison,
        "sight": sight,
        "report": report,
        "columns": sight.labelled if report else [(column, column.label) for column in sight.columns],
        "graders": [each for each in described(run.evaluation, run) if each["grader"].pk in compared],
        "now": timezone.now(),
    }
    _noted(request, sight.comparison, "page")
    body = render_to_string("datasets/comparisons/print.html", context)
    return page_of(sight.comparison.name, body, _name(sight.comparison, ".html"))


def _sight(request: HttpRequest, pk: int) -> Sight:
    """A comparison that this person may read and that has two columns."""
    found: Comparison = fetch(Comparison.objects.select_related("owner"), request.user, pk=pk)
    sight = Sight(request, found)
    if not sight.can_compare:
        raise Http404
    return sight


def _noted(request: HttpRequest, comparison: Comparison, what: str) -> None:
    with transaction.atomic():
        audit.record(request.user, "comparison.downloaded", comparison, what=what)


def _name(comparison: Comparison, ending: str) -> str:
    return f"{slugify(comparison.name)[:60] or 'comparison'}{ending}"
