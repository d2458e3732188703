"""Fetch and authorise in one call: invisible is 404, visible but not permitted is 403."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Literal

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse

from portal.querysets import is_operator

Verb = Literal["read", "review", "act", "manage"]
_METHOD = {
    "read": "readable_by",
    "review": "reviewable_by",
    "act": "actionable_by",
    "manage": "manageable_by",
}


def fetch(queryset: Any, user: Any, verb: Verb = "read", **lookup: Any) -> Any:
    """The one row matching `lookup` on which `user` may do `verb`.

    `lookup` holds names written in our code, never names from a request.
    Raises Http404 if the row does not exist or the user may not read it, PermissionDenied if the user may
    read it but not do `verb`.
    """
    row = queryset.readable_by(user).filter(**lookup).first()
    if row is None:
        raise Http404
    if verb != "read" and not getattr(queryset, _METHOD[verb])(user).filter(pk=row.pk).exists():
        raise PermissionDenied
    return row


def may(queryset: Any, user: Any, verb: Verb, row: Any) -> bool:
    """Whether `user` may do `verb` on `row`; for showing or leaving out a button, the view checks again."""
    return bool(getattr(queryset, _METHOD[verb])(user).filter(pk=row.pk).exists())


def operator_required(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Only for people who run this installation; 403 for everybody else who is signed in."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not is_operator(request.user):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return wrapped
