"""What the typed bar asks for: proposals while one types, and the conditions as rows to edit."""

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe
from django_htmx.http import HttpResponseLocation

from completions import tree
from completions.editing import filter_of, tree_of
from completions.filters import FIELDS
from completions.pane import Pane
from completions.proposals import proposals, values
from portal.htmx import wants_fragment
from portal.models import Connection


@require_safe
def suggest(request: HttpRequest) -> HttpResponse:
    """What may stand where the caret is; with `of`, values of that field alone."""
    readable = list(Connection.objects.readable_by(request.user).defer("secret").order_by("name"))
    typed, caret, of = request.GET.get("q", ""), request.GET.get("caret", ""), request.GET.get("of")
    if of is not None:
        found = values(readable, of, typed)
    else:
        at = int(caret) if caret.isascii() and caret.isdigit() and len(caret) < 8 else len(typed)
        found = proposals(readable, typed, at)
    return render(request, "completions/suggest.html", {"found": found})


@require_http_methods(["GET", "HEAD", "POST"])
def editor(request: HttpRequest) -> HttpResponse:
    """The conditions as rows: inside the pane as a dialog, or a page of its own.

    A GET takes the pane's own parameters. A POST takes the rows, and in `pane` what the pane was; `act` is a
    button between the rows, or `show` to go there.
    """
    posted = request.method == "POST"
    asked = QueryDict(request.POST.get("pane", "")) if posted else request.GET
    before = Pane.of(request.user, asked)
    rows = (
        tree.act(tree.read(request.POST), request.POST.get("act", "")) if posted else tree_of(before.wanted)
    )
    wanted = filter_of(rows)
    address = before.address(wanted)
    if request.POST.get("act") == "show":
        if wants_fragment(request):
            return HttpResponseLocation(address, target="#panes", swap="outerHTML")
        return redirect(address)
    if not rows.members:
        rows = tree.act(rows, "add 0")
    inside = wants_fragment(request) or "inside" in request.POST
    context = {
        "tree": rows,
        "wanted": wanted,
        "count": before.listing.with_filter(wanted).count(),
        "kinds": tree.KINDS,
        "fields": FIELDS.values(),
        "query": before.query,
        "back": before.here,
        "inside": inside,
    }
    template = "completions/editor.html"
    if wants_fragment(request):
        target = request.htmx.target  # type: ignore[attr-defined]  # put there by django_htmx's middleware
        template += "#outcome" if target == "outcome" else "#rows"
    return render(request, template, context)
