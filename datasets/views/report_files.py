"""What of a report can be taken along: its rows as CSV or JSONL, and a page that stands by itself."""

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import content_disposition_header
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify
from django.views.decorators.http import require_safe

from datasets.evaluate import report_export, slices, slices_kept, tally
from datasets.evaluate.report_costs import costs_of
from datasets.evaluate.row_filters import Filter
from datasets.models import Run
from datasets.views.evaluations import described, left_out
from datasets.views.reports import run_of, targets_of
from portal import audit


@require_safe
def rows(request: HttpRequest, pk: int, number: int, form: str) -> HttpResponseBase:
    """Every row, or those that a filter in the address asks for."""
    found = _done(request, pk, number)
    if form not in report_export.FORMS or found.evaluation.version.state != "ready":
        raise Http404
    write = report_export.as_csv if form == "csv" else report_export.as_jsonl
    _noted(request, found, form)
    pieces = write(found, Filter.read(request.GET, found))
    return taken(StreamingHttpResponse(pieces, content_type=report_export.FORMS[form]), _name(found, form))


@require_safe
def page(request: HttpRequest, pk: int, number: int) -> HttpResponseBase:
    """The report without its rows as one file: nothing in it is fetched, nothing runs."""
    found = _done(request, pk, number)
    made = tally.report_of(found)
    look = slices_kept.look(found, request.user) if made.rated else None
    context = {
        "run": found,
        "evaluation": found.evaluation,
        "report": made,
        "costs": costs_of(found, made),
        "slices": look.slices if look else None,
        "counted_later": bool(look and look.operation),
        "least": slices.LEAST,
        "targets": targets_of(found),
        "graders": described(found.evaluation, found),
        "left_out": left_out(found.evaluation),
        "now": timezone.now(),
    }
    _noted(request, found, "page")
    return page_of(
        f"Run {found.number} of {found.evaluation.name}",
        render_to_string("datasets/evaluate/print.html", context),
        _name(found, "html"),
    )


def page_of(title: str, body: SafeString, name: str) -> HttpResponseBase:
    """A page that stands alone, as a file of that name."""
    text = _document(title, render_to_string("datasets/evaluate/print.css"), body)
    return taken(HttpResponse(text, content_type="text/html; charset=utf-8"), name)


def _document(title: str, style: str, body: SafeString) -> SafeString:
    """A page of its own; the portal's pages never hold their style themselves."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return format_html(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="{}"><title>{}</title>\n'
        "<style>\n{}</style></head>\n{}</html>\n",
        policy,
        title,
        mark_safe(style),  # noqa: S308  # our own file, without anything that people wrote
        body,
    )


def _done(request: HttpRequest, pk: int, number: int) -> Run:
    found = run_of(request, pk, number)
    if found.state != Run.State.DONE:
        raise Http404
    return found


def _noted(request: HttpRequest, run: Run, what: str) -> None:
    with transaction.atomic():
        audit.record(request.user, "run.downloaded", run, what=what)


def taken(response: HttpResponseBase, name: str) -> HttpResponseBase:
    """An answer as a file of that name, which nobody keeps on the way."""
    response["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store"
    return response


def _name(run: Run, ending: str) -> str:
    return f"{slugify(run.evaluation.name)[:60] or 'evaluation'}-run-{run.number}.{ending}"
