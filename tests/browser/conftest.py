"""A real Chromium on the live site, with an eye on its console."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, ConsoleMessage, Page

from portal.models import User
from tests import servers

# Chromium and htmx report these answers as console errors; pages give them on purpose.
HONEST_REFUSALS = tuple(
    f"{words} {status} "
    for status in (403, 404, 409, 410, 422)
    for words in ("status of", "Status Error Code")
)
# A request that a newer one makes needless is given up. htmx tells the console that it has ended, and how:
# what ended otherwise is told as htmx:sendError, htmx:timeout or htmx:responseError as well.
GIVEN_UP = ("htmx:sendAbort", "htmx:afterRequest")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(os.path.dirname(__file__)):
            item.add_marker("browser")


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    chromium = servers.find_chromium()
    if chromium is None:
        pytest.skip("no Chromium: `apt-get install chromium`, or set CHROMIUM to the path of one")
    arguments = ["--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")
    return {
        **browser_type_launch_args,
        "executable_path": chromium.path,
        "args": arguments,
        "env": {**os.environ, **chromium.environment},
    }


class Site:
    """The live site and a page on it; what the browser complains about fails the test at its end."""

    def __init__(self, address: str, page: Page) -> None:
        self.address = address
        self.page = page
        self.complaints: list[str] = []
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type != "error" or message.text.startswith(GIVEN_UP):
            return
        if not any(known in message.text for known in HONEST_REFUSALS):
            self.complaints.append(f"{self.page.url}: {message.text}")

    def open(self, path: str = "/") -> Page:
        """Go to `path` and return the page."""
        self.page.goto(self.address + path)
        return self.page

    def sign_in(self, person: User) -> None:
        """Become `person`, as after a sign-in."""
        client = Client()
        client.force_login(person, backend="allauth.account.auth_backends.AuthenticationBackend")
        session = client.cookies[settings.SESSION_COOKIE_NAME].value
        self.page.context.add_cookies(
            [{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": self.address}]
        )

    def check_accessibility(self, only: str = "") -> None:
        """Run axe on the page as it stands, or on the part that the selector `only` names."""
        found = Axe().run(self.page, context=only or None)
        assert found.violations_count == 0, found.generate_report()


@pytest.fixture
def visit(live_server: Any, browser: Browser) -> Iterator[Callable[..., Site]]:
    """`visit(width=…, height=…, dark=…)`: a fresh browser window on the live site."""
    contexts, sites = [], []

    def begin(width: int = 1440, height: int = 900, *, dark: bool = False) -> Site:
        context = browser.new_context(
            locale="en-US",
            timezone_id="UTC",
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        context.set_default_timeout(15_000)
        contexts.append(context)
        site = Site(live_server.url, context.new_page())
        sites.append(site)
        return site

    yield begin
    for context in contexts:
        context.close()
    complaints = [complaint for site in sites for complaint in site.complaints]
    assert not complaints, "the browser complained:\n" + "\n".join(complaints)


@pytest.fixture
def live_site(visit: Callable[..., Site]) -> Site:
    """One light window of 1440 by 900 on the live site."""
    return visit()
