"""Sign-in, the first operator, and what a stranger may see."""

from collections.abc import Callable
from io import StringIO

import pytest
from django.core import signing
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from portal import accounts, audit
from portal.models import Grant, Role, User
from tests.factories import PASSWORD

FORM = {"username": "first", "email": "first@example.org", "password1": PASSWORD, "password2": PASSWORD}


def person(name: str = "builder") -> User:
    return User.objects.create_user(name, f"{name}@example.org", PASSWORD)


def test_a_stranger_is_sent_to_the_sign_in_page(client: Client, db: None) -> None:
    for path in ("/account/", "/admin/"):
        answer = client.get(path, follow=True)
        assert answer.redirect_chain[-1][0].startswith("/accounts/login/")


@pytest.mark.parametrize("login", ["builder", "builder@example.org"])
def test_name_and_address_both_sign_in(client: Client, db: None, login: str) -> None:
    person()
    answer = client.post("/accounts/login/", {"login": login, "password": PASSWORD})
    assert (answer.status_code, answer["Location"]) == (302, "/")


def test_password_managers_are_told_what_goes_where(client: Client, db: None) -> None:
    page = client.get("/accounts/login/").content.decode()
    (login,) = (tag for tag in page.split("<input") if 'name="login"' in tag)
    assert 'autocomplete="username"' in login
    assert 'autocomplete="email"' not in login


def test_signing_in_changes_the_session(client: Client, db: None) -> None:
    person()
    client.get("/accounts/login/")
    session = client.session
    session["before"] = True
    session.save()
    before = session.session_key
    client.post("/accounts/login/", {"login": "builder", "password": PASSWORD})
    assert client.session.session_key != before


def test_nobody_can_sign_up(client: Client, db: None) -> None:
    details = {"username": "new", "email": "new@example.org", "password1": PASSWORD, "password2": PASSWORD}
    client.post("/accounts/signup/", details)
    assert not User.objects.exists()


def test_guessing_a_password_is_throttled_after_five_tries(client: Client, db: None) -> None:
    person()
    for _ in range(5):
        assert client.post("/accounts/login/", {"login": "builder", "password": "wrong"}).status_code == 200
    client.post("/accounts/login/", {"login": "builder", "password": PASSWORD})
    assert "_auth_user_id" not in client.session


def test_the_admin_has_no_sign_in_of_its_own(client: Client, db: None) -> None:
    assert client.get("/admin/login/")["Location"].startswith("/accounts/login/")


def test_the_link_makes_the_first_operator_and_signs_in(client: Client, db: None) -> None:
    path = accounts.first_operator_path()
    assert client.get(path).status_code == 200
    answer = client.post(path, FORM)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    made = User.objects.get()
    assert made.is_superuser
    assert Grant.objects.get(user=made).role == Role.OPERATOR
    assert client.session["_auth_user_id"] == str(made.pk)
    assert audit.verify() == (1, None)


def test_the_link_works_once(client: Client, db: None) -> None:
    path = accounts.first_operator_path()
    client.post(path, FORM)
    second = Client().post(path, FORM | {"username": "second"})
    assert second.status_code == 410
    assert User.objects.count() == 1


def test_two_visitors_of_the_link_cannot_both_become_operator(db: None) -> None:
    first = accounts.FirstOperatorForm(FORM)
    second = accounts.FirstOperatorForm(FORM | {"username": "second"})
    assert first.is_valid()
    assert second.is_valid()
    accounts.create_first_operator(first)
    with pytest.raises(accounts.SomebodyWasFirst):
        accounts.create_first_operator(second)
    assert User.objects.get().username == "first"


@pytest.mark.parametrize(
    "token", ["first", "first:1:nonsense", signing.TimestampSigner(salt="else").sign("first")]
)
def test_a_forged_link_is_not_found(client: Client, db: None, token: str) -> None:
    assert client.get(reverse("first_operator", args=[token])).status_code == 404


def test_a_weak_password_is_refused_with_the_form(client: Client, db: None) -> None:
    answer = client.post(accounts.first_operator_path(), FORM | {"password1": "short", "password2": "short"})
    assert answer.status_code == 422
    assert not User.objects.exists()


def test_a_new_password_ends_the_other_sessions(client: Client, db: None) -> None:
    person()
    other = Client()
    for browser in (client, other):
        browser.post("/accounts/login/", {"login": "builder", "password": PASSWORD})
    new = "an entirely different phrase"
    client.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": new, "password2": new})
    assert client.get("/account/").status_code == 200
    assert other.get("/account/").status_code == 302


def test_the_account_page_names_my_roles(client_of: Callable[[User], Client], reviewer: User) -> None:
    page = client_of(reviewer).get("/account/")
    assert page.status_code == 200
    assert "Reviewer" in page.content.decode()


def test_the_link_can_be_had_again_until_somebody_has_used_it(client: Client, db: None) -> None:
    said = StringIO()
    call_command("first_operator", stdout=said)
    path = said.getvalue().strip().removeprefix("http://localhost")
    assert client.get(path).status_code == 200
    person()
    with pytest.raises(CommandError):
        call_command("first_operator")
