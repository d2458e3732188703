"""What every answer says to the browser, the admin and error pages included."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

Respond = Callable[[HttpRequest], HttpResponseBase]


def policy() -> str:
    """The Content-Security-Policy, one constant: nothing inline, nothing from elsewhere."""
    return "; ".join(f"{directive} {' '.join(sources)}" for directive, sources in settings.SECURE_CSP.items())


class SecurityHeaders:
    """Adds the policy to every answer, and forbids caches to keep what a view made for one person.

    A view that may be cached says so by setting Cache-Control itself, as static files do.
    """

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        self.policy = policy()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.respond(request)
        response["Content-Security-Policy"] = self.policy
        response.setdefault("Cache-Control", "private, no-store")
        # Set here too, since answers made before Django's own middleware runs would lack them.
        response.setdefault("X-Content-Type-Options", "nosniff")
        response.setdefault("Referrer-Policy", settings.SECURE_REFERRER_POLICY)
        response.setdefault("Cross-Origin-Opener-Policy", settings.SECURE_CROSS_ORIGIN_OPENER_POLICY)
        response.setdefault(
            "Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()"
        )
        return response
