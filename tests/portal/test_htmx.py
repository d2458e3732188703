"""Fragments, toasts and redirects, as htmx asks for them."""

import json
from collections.abc import Callable

import pytest
from django.contrib.auth.models import AnonymousUser
from django.contrib.messages import get_messages
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django_htmx.middleware import HtmxMiddleware

from portal import htmx
from portal.models import User

HTMX = {"HX-Request": "true"}


def asked(**headers: str) -> HttpRequest:
    """A request that passed the middleware a view relies on."""
    request = RequestFactory().get("/datasets/", headers=headers)
    request.user = AnonymousUser()
    answer = HttpResponse()
    for middleware in (SessionMiddleware, MessageMiddleware, HtmxMiddleware):
        middleware(lambda _request: answer)(request)
    return request


def test_a_plain_request_gets_the_page() -> None:
    assert htmx.fragment(asked(), "datasets/list.html", {"rows"}) == "datasets/list.html"


def test_a_known_target_gets_its_fragment() -> None:
    request = asked(**HTMX, **{"HX-Target": "rows"})
    assert htmx.fragment(request, "datasets/list.html", {"rows"}) == "datasets/list.html#rows"


@pytest.mark.parametrize(
    "headers",
    [
        {"HX-Target": "unknown"},
        {},
        {"HX-Target": "rows", "HX-History-Restore-Request": "true"},
        {"HX-Target": "rows", "HX-Boosted": "true"},
    ],
    ids=["unknown target", "no target", "back in history", "boosted"],
)
def test_everything_else_gets_the_page(headers: dict[str, str]) -> None:
    assert htmx.fragment(asked(**HTMX, **headers), "datasets/list.html", {"rows"}) == "datasets/list.html"


def test_a_target_header_without_htmx_is_ignored() -> None:
    assert (
        htmx.fragment(asked(**{"HX-Target": "rows"}), "datasets/list.html", {"rows"}) == "datasets/list.html"
    )


def test_a_toast_for_a_fragment_comes_at_once() -> None:
    answer = htmx.toast(asked(**HTMX), HttpResponse(), "Saved “Ünïcode”.", "warn")
    assert json.loads(answer["HX-Trigger"]) == {"toast": {"text": "Saved “Ünïcode”.", "kind": "warn"}}


def test_a_toast_for_a_page_waits_for_the_next_one() -> None:
    request = asked()
    answer = htmx.toast(request, HttpResponse(status=303), "Saved.")
    assert "HX-Trigger" not in answer
    assert [str(message) for message in get_messages(request)] == ["Saved."]


def test_a_toast_beside_a_redirect_of_htmx_waits_for_the_next_page() -> None:
    request = asked(**HTMX)
    answer = htmx.toast(request, htmx.go(request, "/datasets/1/"), "Saved.")
    assert "HX-Trigger" not in answer
    assert [str(message) for message in get_messages(request)] == ["Saved."]


def test_going_elsewhere_is_a_redirect_or_what_htmx_takes_for_one() -> None:
    plain = htmx.go(asked(), "/datasets/1/")
    assert (plain.status_code, plain["Location"]) == (303, "/datasets/1/")
    assert htmx.go(asked(**HTMX), "/datasets/1/")["HX-Redirect"] == "/datasets/1/"


def test_going_to_a_script_is_refused() -> None:
    for request in (asked(), asked(**HTMX)):
        with pytest.raises(ValueError, match="page of this site"):
            htmx.go(request, "javascript:alert(1)")


def test_caches_keep_pages_and_fragments_apart(client_of: Callable[[User], Client], operator: User) -> None:
    varied = client_of(operator).get("/account/")["Vary"]
    assert {"HX-Request", "HX-Target"} <= {name.strip() for name in varied.split(",")}


def test_an_ended_session_sends_the_whole_page_to_the_sign_in(client: Client, db: None) -> None:
    answer = client.get(
        "/account/", headers={**HTMX, "HX-Current-URL": "http://testserver/account/?tab=roles"}
    )
    assert answer["HX-Redirect"] == "/accounts/login/?next=%2Faccount%2F%3Ftab%3Droles"
    assert answer.content == b""


def test_an_ended_session_bears_an_address_that_cannot_be_read(client: Client, db: None) -> None:
    answer = client.get("/account/", headers={**HTMX, "HX-Current-URL": "http://[x"})
    assert answer["HX-Redirect"] == "/accounts/login/?next=%2F"
