"""Saved views and the command palette in a real browser."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from completions import saved
from completions.models import SavedView
from portal.models import User
from tests import factories
from tests.browser.conftest import Site
from tests.browser.looks import in_looks
from tests.factories import make_completion

Visit = Callable[..., Site]


@pytest.fixture(autouse=True)
def rows(db: None) -> None:
    """Forty completions on two connections; every fourth is about docs."""
    first, second = factories.connection("East", slug="east"), factories.connection("West", slug="west")
    for n in range(40):
        make_completion(
            (first, second)[n % 2],
            created=1_790_000_000 + n,
            prompt=f"Question number {n}",
            upstream_id=f"chatcmpl-{n:04}",
            metadata={"category": "docs" if n % 4 == 0 else "chat"},
        )


def expect_total(page: Page, n: int) -> None:
    expect(page.locator("#results")).to_have_attribute("data-total", str(n))


def expect_count(page: Page, name: str, count: str) -> None:
    expect(page.locator(".view-line", has_text=name).locator("em")).to_have_text(count)


def save_as(page: Page, name: str, *, shared: bool = False) -> None:
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name").fill(name)
    if shared:
        dialog.get_by_label("Share it").check()
    dialog.get_by_role("button", name="Save").click()


def test_a_saved_view_opens_by_its_link_for_somebody_else(visit: Visit, builder: User, reader: User) -> None:
    site = visit()
    site.sign_in(builder)
    page = site.open("/completions/")
    page.get_by_role("link", name="docs 10").click()
    expect_total(page, 10)
    page.get_by_role("link", name="Save this view").click()
    site.check_accessibility("#dialog")
    save_as(page, "About docs", shared=True)
    page.wait_for_url(re.compile(r"\?view=\d+$"))
    expect(page.get_by_text("“About docs” is saved.")).to_be_visible()
    expect_total(page, 10)
    expect_count(page, "About docs", "10")
    expect(page.locator(".view-line [aria-current]")).to_contain_text("About docs")

    other = visit()
    other.sign_in(reader)
    theirs = other.open(page.url.removeprefix(site.address))
    expect_total(theirs, 10)
    expect(theirs.locator(".chip")).to_have_text(re.compile("category.*docs", re.DOTALL))
    expect(theirs.locator(".view-line [aria-current]")).to_contain_text("About docs")
    theirs.get_by_role("link", name="Remove category docs").click()
    expect_total(theirs, 40)
    expect(theirs.locator(".view-line .changed")).to_be_visible()
    expect(theirs.get_by_role("link", name="Save as new")).to_be_visible()
    expect(theirs.locator("#views").get_by_role("button", name="Save", exact=True)).to_have_count(0)
    other.check_accessibility()


def test_a_changed_view_is_marked_saved_and_reset(live_site: Site, builder: User) -> None:
    view = saved.save(builder, "Docs", "q=meta.category%3Adocs")
    live_site.sign_in(builder)
    page = live_site.open(f"/completions/?view={view.pk}")
    expect_total(page, 10)
    expect(page.locator(".changed")).to_have_count(0)
    expect_count(page, "Docs", "10")
    # Another order is a change too, though only the rows are drawn anew.
    page.get_by_role("link", name="Tokens", exact=True).click()
    expect(page.locator(".view-line .changed")).to_be_visible()
    expect_count(page, "Docs", "10")
    page.get_by_role("link", name="Reset").click()
    expect(page.locator(".changed")).to_have_count(0)
    expect(page).to_have_url(re.compile(rf"\?view={view.pk}$"))
    page.get_by_role("link", name="chat 30").click()
    expect_total(page, 40)
    page.locator("#views").get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".changed")).to_have_count(0)
    expect_count(page, "Docs", "40")
    assert SavedView.objects.get().query == "q=meta.category%3Adocs%2Cchat"


def test_the_default_view_opens_by_itself_and_all_are_a_click_away(live_site: Site, builder: User) -> None:
    saved.save(builder, "Docs", "q=meta.category%3Adocs")
    live_site.sign_in(builder)
    page = live_site.open("/completions/")
    expect_total(page, 40)
    page.get_by_label("Settings of the view Docs").click()
    page.get_by_role("dialog").get_by_label("Open it first").check()
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect_total(page, 10)
    page.get_by_role("link", name="All completions").click()
    expect_total(page, 40)
    expect(page).to_have_url(re.compile(r"\?view=all$"))
    page.get_by_role("navigation", name="Sections").get_by_label("Completions").click()
    expect_total(page, 10)


def test_a_deleted_view_comes_back(live_site: Site, builder: User) -> None:
    saved.save(builder, "Docs", "q=meta.category%3Adocs")
    live_site.sign_in(builder)
    page = live_site.open("/completions/")
    page.get_by_label("Settings of the view Docs").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".view-line")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect_count(page, "Docs", "10")


def test_counts_follow_a_sync(live_site: Site, builder: User) -> None:
    saved.save(builder, "Docs", "q=meta.category%3Adocs")
    live_site.sign_in(builder)
    page = live_site.open("/completions/")
    expect_count(page, "Docs", "10")
    make_completion(metadata={"category": "docs"})
    page.evaluate("htmx.trigger(document.body, 'rows-arrived')")
    expect_count(page, "Docs", "11")


@pytest.mark.parametrize("key", ["Control+k", "Meta+k"])
def test_the_palette_goes_to_a_view_and_to_a_completion(live_site: Site, builder: User, key: str) -> None:
    saved.save(builder, "Docs", "q=meta.category%3Adocs")
    live_site.sign_in(builder)
    page = live_site.open("/operations/")
    page.keyboard.press(key)
    field = page.get_by_role("combobox", name="Go to a view")
    expect(field).to_be_focused()
    expect(page.get_by_role("option").first).to_have_attribute("aria-selected", "true")
    live_site.check_accessibility()
    page.keyboard.type("docs")
    page.keyboard.press("Enter")
    expect_total(page, 10)
    page.wait_for_load_state("load")  # keys are heard once the scripts are there
    page.keyboard.press(key)
    page.keyboard.type("chatcmpl-0007")
    expect(page.get_by_role("option", name="chatcmpl-0007").first).to_be_visible()
    expect(field).to_have_attribute("aria-activedescendant", "palette-1")
    page.keyboard.press("Enter")
    expect(page.locator("#drawer")).to_contain_text("Question number 7")


def test_the_palette_moves_acts_filters_and_closes(live_site: Site, builder: User) -> None:
    live_site.sign_in(builder)
    page = live_site.open("/completions/")
    page.get_by_role("button", name="Go to anything").click()
    expect(page.get_by_role("option").first).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option").nth(1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("option").last).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).to_be_hidden()
    page.keyboard.press("Control+k")
    page.keyboard.type("sync east")
    page.get_by_role("option", name="Sync East now").click()
    expect(page.get_by_text("Looking for new rows.")).to_be_visible()
    page.wait_for_load_state()
    page.keyboard.press("Control+k")
    page.keyboard.type("meta.category:docs")
    page.keyboard.press("Enter")
    expect_total(page, 10)


@in_looks
def test_views_and_palette_can_be_used_by_everybody(
    visit: Visit, builder: User, width: int, *, dark: bool
) -> None:
    view = saved.save(builder, "Docs", "q=meta.category%3Adocs", shared=True)
    saved.save(builder, "A view with a rather long name that does not fit", "q=chat")
    saved.open_first(builder, view, first=True)
    site = visit(width, dark=dark)
    site.sign_in(builder)
    page = site.open(f"/completions/?q=&view={view.pk}")
    if width < 980:
        page.locator('[data-sheet-open="facets"]').click()
    expect_count(page, "Docs", "10")
    site.check_accessibility()
    page.get_by_label("Settings of the view Docs").click()
    expect(page.get_by_role("dialog").get_by_role("textbox", name="Name")).to_have_value("Docs")
    site.check_accessibility()
    page.keyboard.press("Escape")
    if width < 980:
        page.keyboard.press("Escape")
    page.get_by_role("button", name="Go to anything").click()
    page.keyboard.type("east")
    expect(page.get_by_role("option", name="Sync East now")).to_be_visible()
    site.check_accessibility()
    box = page.locator("#palette").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
