"""The only reader of htmx's headers: which fragment is asked for, what else the answer should make happen."""

from collections.abc import Callable, Collection
from typing import Literal
from urllib.parse import SplitResult, urlencode, urlsplit

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.cache import patch_vary_headers
from django_htmx.http import HttpResponseClientRedirect, trigger_client_event
from django_htmx.middleware import HtmxDetails

Kind = Literal["ok", "info", "warn", "bad"]
_LEVELS = {"ok": messages.SUCCESS, "info": messages.INFO, "warn": messages.WARNING, "bad": messages.ERROR}


class HtmxRequest(HttpRequest):
    """A request as views see it: signed in, and with what htmx told about itself."""

    htmx: HtmxDetails


def wants_fragment(request: HttpRequest) -> bool:
    """Whether htmx asks for a part of a page; going back in history asks for the whole."""
    htmx: HtmxDetails = request.htmx  # type: ignore[attr-defined]  # put there by django_htmx's middleware
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def fragment(request: HttpRequest, template: str, names: Collection[str]) -> str:
    """The template to render: the partial named like the element that htmx fills, if it is one of `names`.

    Otherwise the whole page.
    """
    target = request.htmx.target if wants_fragment(request) else None  # type: ignore[attr-defined]  # as above
    return f"{template}#{target}" if target in names else template


def comes_from(request: HttpRequest) -> SplitResult:
    """The address of the page that htmx is on, as it says itself; an empty one if it cannot be read."""
    try:
        return urlsplit(request.headers.get("HX-Current-URL", ""))
    except ValueError:
        return urlsplit("")


def toast(request: HttpRequest, response: HttpResponse, text: str, kind: Kind = "ok") -> HttpResponse:
    """Tell the person something in passing: now for a fragment, on the next page for a redirect."""
    if wants_fragment(request) and response.status_code < 300 and "HX-Redirect" not in response:
        return trigger_client_event(response, "toast", {"text": text, "kind": kind})
    messages.add_message(request, _LEVELS[kind], text)
    return response


def redraw(
    response: HttpResponse, event: str, after: Literal["receive", "settle"] = "receive"
) -> HttpResponse:
    """Let distant parts of the page that listen for `event` ask for themselves again.

    With "settle" they do so once what the answer brings stands on the page, as parts of it are sent along.
    """
    return trigger_client_event(response, event, after=after)


def go(request: HttpRequest, url: str) -> HttpResponse:
    """Send the browser to another page of this site, in the form that htmx follows as a whole page too."""
    if not url.startswith("/") or url.startswith("//"):
        raise ValueError(f"not the path of a page of this site: {url}")
    if wants_fragment(request):
        return HttpResponseClientRedirect(url)
    return HttpResponse(status=303, headers={"Location": url})


class Fragments:
    """Middleware: caches keep pages and fragments apart, and a sign-in page never lands inside a page."""

    def __init__(self, respond: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.respond = respond

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.respond(request)
        if request.headers.get("HX-Request") == "true" and response.status_code == 302:
            where = urlsplit(response["Location"])
            if where.path == urlsplit(resolve_url(settings.LOGIN_URL)).path:
                page = comes_from(request)
                back = f"{page.path}?{page.query}" if page.query else page.path or "/"
                response = HttpResponseClientRedirect(f"{where.path}?{urlencode({'next': back})}")
        patch_vary_headers(response, ("HX-Request", "HX-Target", "HX-History-Restore-Request"))
        return response
