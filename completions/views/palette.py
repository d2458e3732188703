"""What the command palette offers for what is typed."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from completions.addresses import pane_address
from completions.palette import entries
from portal.htmx import wants_fragment


@require_safe
def palette(request: HttpRequest) -> HttpResponse:
    """The options of the list; without scripts what is typed is a filter."""
    typed = request.GET.get("typed", "")[:300]
    if not wants_fragment(request):
        return redirect(pane_address(typed.strip()))
    return render(request, "components/palette.html#options", {"entries": entries(request.user, typed)})
