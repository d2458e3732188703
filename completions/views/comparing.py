"""Two completions side by side."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from completions.comparing import Comparison
from completions.models import StoredCompletion
from portal.permissions import fetch


@require_safe
def compare(request: HttpRequest) -> HttpResponse:
    """What two completions share and what differs; `a` and `b` are their numbers."""
    first, second = (_row(request.user, request.GET.get(name, "")) for name in ("a", "b"))
    return render(request, "completions/compare.html", {"compared": Comparison(first, second)})


def _row(user: Any, number: str) -> StoredCompletion:
    if not number.isascii() or not number.isdigit() or len(number) > 18:
        raise Http404
    rows = StoredCompletion.objects.select_related("connection").defer("connection__secret")
    found: StoredCompletion = fetch(rows, user, pk=int(number))
    return found
