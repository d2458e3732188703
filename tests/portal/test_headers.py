"""What every answer says to the browser."""

from collections.abc import Callable

import pytest
from django.test import Client

from portal.models import User
from tests.factories import PASSWORD

STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'"
)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/accounts/login/",
        "/healthz",
        "/admin/",
        "/no/such/page",
        "/static/css/base.css",
        "/static/no.css",
    ],
)
def test_strangers_get_the_strict_policy_everywhere(client: Client, db: None, path: str) -> None:
    answer = client.get(path)
    answer.close()
    assert answer["Content-Security-Policy"] == STRICT
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/account/", "/admin/", "/admin/auth/group/", "/accounts/password/change/"])
def test_pages_of_a_person_are_never_cached(client_of: Callable[[User], Client], path: str, db: None) -> None:
    boss = User.objects.create_superuser("boss", "boss@example.org", PASSWORD)
    answer = client_of(boss).get(path)
    assert answer.status_code == 200
    assert answer["Content-Security-Policy"] == STRICT
    assert "no-store" in answer["Cache-Control"]
    assert answer["X-Frame-Options"] == "DENY"


def test_a_failing_page_still_carries_the_policy(client: Client, db: None) -> None:
    answer = client.post("/healthz")
    assert answer.status_code == 405
    assert answer["Content-Security-Policy"] == STRICT
