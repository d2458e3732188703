"""Looking inside a version by keyboard, leaving a row out, and what the next version says of it."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from portal.models import Connection, User
from tests import factories
from tests.browser.conftest import Site
from tests.datasets import material

Visit = Callable[..., Site]
ROWS = 30


@pytest.fixture
def source(db: None) -> Connection:
    return factories.connection("Library")


def test_a_row_is_found_by_keyboard_left_out_and_told_of(
    visit: Visit, builder: User, source: Connection
) -> None:
    odd = (material.stored(source, answer=""), material.stored(source, finish="length"))
    version = material.built(builder, [*material.many(source, ROWS), *odd])
    site = visit()
    site.sign_in(builder)
    page = site.open("/datasets/")
    site.check_accessibility()
    page.get_by_role("link", name="Summaries").click()
    expect(page.locator(".look-row")).to_have_count(20)
    site.check_accessibility()

    page.keyboard.press("j")
    page.keyboard.press("j")
    second = page.locator(".look-row").nth(1)
    expect(second.locator("summary")).to_be_focused()
    page.keyboard.press("Enter")
    expect(second.locator("details")).to_have_attribute("open", "")
    expect(page).to_have_url(re.compile(r"open=2"))
    page.keyboard.press("x")
    expect(page.get_by_text("One row", exact=True)).to_be_visible()
    site.check_accessibility()
    page.get_by_label("Why they are excluded").fill("It asks for nothing.")
    page.get_by_role("button", name="Make the next version without them").click()
    expect(page.get_by_role("heading", name="Summaries v2")).to_be_visible()
    material.drain()
    expect(page.locator(".look-row")).to_have_count(20)  # the page notices by itself

    page.get_by_role("link", name="Changes").click()
    expect(page.get_by_text("Excluded by hand: It asks for nothing.")).to_be_visible()
    expect(page.locator(".change")).to_have_count(1)
    site.check_accessibility()
    search_and_page(page, f"/datasets/{version.dataset_id}/v2/", site)
    narrow(visit, builder, version.dataset_id)


def search_and_page(page: Page, where: str, site: Site) -> None:
    """A search is a state of its own; a page goes on by key."""
    site.open(where)
    page.keyboard.press("/")
    page.keyboard.type("a fjord")
    page.keyboard.press("Enter")
    expect(page.get_by_text("found in 30 rows")).to_be_visible()
    expect(page).to_have_url(re.compile(r"q=a\+fjord"))
    for text in page.locator(".look-row .io b").all_inner_texts():
        assert "a fjord" in text
    site.open(where)
    page.locator(".look-row summary").first.focus()
    page.keyboard.press("]")
    expect(page.locator(".look-row")).to_have_count(10)


def narrow(visit: Visit, builder: User, dataset: int) -> None:
    """The same pages on a phone in the dark."""
    site = visit(420, 800, dark=True)
    site.sign_in(builder)
    this = f"/datasets/{dataset}/v2/"
    shows = (f"{this}?show={show}" for show in ("raw", "left-out", "about"))
    for path in ("/datasets/", f"/datasets/{dataset}/", this, *shows, f"{this}changes/", "/datasets/upload/"):
        page = site.open(path)
        site.check_accessibility()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
