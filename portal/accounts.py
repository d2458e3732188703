"""Sign-in without sign-up: the first operator comes by a one-time link, others are made by one."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import BaseUserCreationForm
from django.core import signing
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from portal import audit
from portal.models import Grant, Role, User

SALT = "portal.first-operator"
LINK_HOURS = 24


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth has no types
    """Nobody signs up by themselves."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False


class SomebodyWasFirst(Exception):
    """The site already has an account, so the one-time link is used up."""


class FirstOperatorForm(BaseUserCreationForm[User]):
    """Name, address and password of the person who runs this installation."""

    class Meta:
        model = User
        fields = ("username", "email")


def first_operator_path() -> str:
    """The path of the one-time link; it works for a day and only while there is no account."""
    return reverse("first_operator", args=[signing.TimestampSigner(salt=SALT).sign("first")])


def make_operator(user: User) -> None:
    """Give `user` every right on this installation, Django's admin included."""
    user.is_staff = user.is_superuser = True
    user.save()
    Grant.objects.get_or_create(user=user, connection=None, defaults={"role": Role.OPERATOR})


def create_first_operator(form: FirstOperatorForm) -> User:
    """Create the account, unless another one exists by the time it is written."""
    with transaction.atomic():
        user = form.save(commit=False)
        make_operator(user)
        audit.record(
            user, "operator.created", user
        )  # takes the lock that puts two simultaneous visitors in order
        if User.objects.exclude(pk=user.pk).exists():
            raise SomebodyWasFirst
    return user


@login_not_required
@require_http_methods(["GET", "POST"])
def first_operator(request: HttpRequest, token: str) -> HttpResponse:
    """The page behind the one-time link."""
    try:
        signing.TimestampSigner(salt=SALT).unsign(token, max_age=LINK_HOURS * 3600)
    except signing.BadSignature as error:
        raise Http404 from error
    if User.objects.exists():
        return render(request, "account/link_used.html", status=410)
    form = FirstOperatorForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            user = create_first_operator(form)
        except SomebodyWasFirst:
            return render(request, "account/link_used.html", status=410)
        login(request, user, backend="allauth.account.auth_backends.AuthenticationBackend")
        return redirect("home")
    return render(
        request, "account/first_operator.html", {"form": form}, status=422 if form.is_bound else 200
    )


@require_safe
def account(request: HttpRequest) -> HttpResponse:
    """Who I am here and what I may do on which connection."""
    assert request.user.is_authenticated  # the middleware saw to it
    context: dict[str, Any] = {
        "grants": Grant.objects.filter(user=request.user).select_related("connection"),
        "group_grants": Grant.objects.filter(group__in=request.user.groups.all()).select_related(
            "connection", "group"
        ),
    }
    return render(request, "account/account.html", context)
