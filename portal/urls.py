"""Where each part of the site is mounted; the apps are named, never imported."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.templatetags.static import static
from django.urls import include, path
from django.utils.functional import lazy
from django.views.generic import RedirectView

from portal import accounts, health

admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]  # one sign-in, one throttle

icon = lazy(static, str)("icon.svg")  # its hashed name is known only after the start

urlpatterns = [
    path("", RedirectView.as_view(url="/completions/", query_string=True), name="home"),
    path("completions/", include("completions.urls")),
    path("", include("datasets.urls")),
    path("", include("portal.spending_urls")),
    path("connections/", include("portal.connection_urls")),
    path("operations/", include("portal.operation_urls")),
    path("audit/", include("portal.audit_urls")),
    path("account/", accounts.account, name="account"),
    path("accounts/first-operator/<str:token>/", accounts.first_operator, name="first_operator"),
    path("accounts/", include("allauth.account.urls")),
    path("admin/", admin.site.urls),
    path("favicon.ico", login_not_required(RedirectView.as_view(url=icon)), name="favicon"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
]
