"""The frame and its components in a real browser: keys, dialogs, drawer, selection, themes."""

import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from portal.models import User
from tests.browser.conftest import Site
from tests.browser.looks import in_looks

Visit = Callable[..., Site]


@pytest.fixture(autouse=True)
def _kit(settings: Any) -> None:
    """The pages of tests/browser/kit beside the portal's own."""
    templates = deepcopy(settings.TEMPLATES)
    templates[0]["DIRS"].append(Path(__file__).parent)
    settings.TEMPLATES = templates
    settings.ROOT_URLCONF = "tests.browser.kit"


@pytest.fixture
def pane(live_site: Site, operator: User) -> Page:
    live_site.sign_in(operator)
    return live_site.open("/kit/pane/")


def bar(page: Page) -> str:
    return page.locator("[data-selection-count]").inner_text()


def send(page: Page) -> str:
    page.get_by_role("button", name="Distill").click()
    page.wait_for_url("**/kit/chosen/")
    return page.locator("body").inner_text()


@in_looks
def test_every_component_is_accessible(visit: Visit, operator: User, width: int, dark: bool) -> None:
    site = visit(width=width, dark=dark)
    site.sign_in(operator)
    for path in (
        "/kit/",
        "/kit/wizard/",
        "/kit/pane/",
        "/kit/pane/3/",
        "/account/",
        "/accounts/password/change/",
    ):
        page = site.open(path)
        site.check_accessibility()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
            f"{path} is wider than the window"
        )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("path", ["/accounts/login/", "/accounts/password/reset/", "/accounts/signup/"])
def test_pages_for_strangers_are_accessible(visit: Visit, db: None, path: str, dark: bool) -> None:
    site = visit(dark=dark)
    site.open(path)
    site.check_accessibility()


def test_the_chosen_theme_stays(live_site: Site, operator: User) -> None:
    live_site.sign_in(operator)
    page = live_site.open("/kit/")
    expect(page.locator("html")).not_to_have_attribute("data-theme", re.compile(".*"))
    page.get_by_role("button", name="Switch between light and dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_label("Account of operator").click()
    page.get_by_role("button", name="System").click()
    expect(page.locator("html")).not_to_have_attribute("data-theme", re.compile(".*"))


def test_htmx_is_version_2_and_evaluates_nothing(pane: Page) -> None:
    assert pane.evaluate("htmx.version").startswith("2.")
    assert pane.evaluate("[htmx.config.allowEval, htmx.config.allowScriptTags]") == [False, False]


def test_the_keys_are_listed(pane: Page) -> None:
    pane.keyboard.press("?")
    expect(pane.get_by_role("dialog", name="Keys")).to_be_visible()
    pane.keyboard.press("Escape")
    expect(pane.get_by_role("dialog", name="Keys")).to_be_hidden()


def test_slash_goes_to_the_search_field(pane: Page) -> None:
    pane.keyboard.press("/")
    expect(pane.get_by_role("textbox", name="Search")).to_be_focused()


def test_a_menu_closes_on_escape_and_gives_the_focus_back(pane: Page) -> None:
    pane.get_by_label("Account of operator").click()
    expect(pane.get_by_role("link", name="Account and roles")).to_be_visible()
    pane.keyboard.press("Escape")
    expect(pane.get_by_role("link", name="Account and roles")).to_be_hidden()
    expect(pane.get_by_label("Account of operator")).to_be_focused()


def test_a_confirmation_asks_first(live_site: Site, operator: User) -> None:
    live_site.sign_in(operator)
    page = live_site.open("/kit/")
    page.get_by_role("button", name="Cancel", exact=True).click()
    dialog = page.get_by_role("dialog", name="Cancel this fine-tune?")
    expect(dialog.get_by_text("Tokens trained so far are billed.")).to_be_visible()
    expect(dialog.get_by_role("button", name="Keep as it is")).to_be_focused()
    dialog.get_by_role("button", name="Keep as it is").click()
    expect(dialog).to_be_hidden()
    assert page.url.endswith("/kit/")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel the fine-tune").click()
    page.wait_for_url("**/kit/chosen/")


def still_loading(live_site: Site, script: str) -> list[Route]:
    """Go to a page one of whose scripts is on its way; what is in the list brings it."""
    held: list[Route] = []
    live_site.page.route(f"**/{script}*.js*", lambda route: held.append(route))
    live_site.page.goto(f"{live_site.address}/kit/", wait_until="commit")
    return held


def test_a_press_before_the_scripts_are_there_is_not_lost(live_site: Site, operator: User) -> None:
    live_site.sign_in(operator)
    held, page = still_loading(live_site, "dialogs"), live_site.page
    button = page.get_by_role("button", name="Cancel", exact=True)
    button.click()
    expect(button).to_have_attribute("aria-busy", "true")
    assert page.url.endswith("/kit/"), "the form was sent unasked"
    held[0].continue_()
    expect(page.get_by_role("dialog", name="Cancel this fine-tune?")).to_be_visible()
    expect(button).not_to_have_attribute("aria-busy", "true")


def test_a_key_pressed_before_the_scripts_are_there_is_not_lost(live_site: Site, operator: User) -> None:
    live_site.sign_in(operator)
    held, page = still_loading(live_site, "shortcuts"), live_site.page
    expect(page.locator("#keys")).to_be_attached()
    page.keyboard.press("?")
    held[0].continue_()
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()


def test_a_chart_is_drawn_and_has_a_table(live_site: Site, operator: User) -> None:
    live_site.sign_in(operator)
    page = live_site.open("/kit/")
    expect(page.locator("figure[data-chart] canvas")).to_be_visible()
    assert page.locator("figure[data-chart] table tbody tr").count() == 100


# The drawer


def test_the_drawer_opens_with_its_own_address_and_gives_the_focus_back(pane: Page) -> None:
    pane.get_by_role("link", name="Prompt 3 Answer").click()
    expect(pane.get_by_role("heading", name="Completion 3")).to_be_focused()
    expect(pane.locator("#row-3")).to_have_class(re.compile("cur"))
    assert pane.url.endswith("/kit/pane/3/")
    pane.keyboard.press("Escape")
    expect(pane.locator(".drawer")).to_have_count(0)
    expect(pane.get_by_role("link", name="Prompt 3 Answer")).to_be_focused()
    assert pane.url.endswith("/kit/pane/")


def test_of_two_steps_back_the_last_one_is_shown_though_the_first_answers_late(pane: Page) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.headers.get("hx-history-restore-request") and not held:
            held.append(route)
        else:
            route.continue_()

    pane.get_by_role("link", name="Prompt 3 Answer").click()
    expect(pane.get_by_role("heading", name="Completion 3")).to_be_focused()
    pane.keyboard.press("j")
    expect(pane.get_by_role("heading", name="Completion 4")).to_be_focused()
    pane.route("**/kit/pane/**", hold)
    pane.evaluate("history.back()")
    pane.wait_for_url("**/kit/pane/3/")
    with pane.expect_response("**/kit/pane/"):
        pane.evaluate("history.back()")
    expect(pane.locator(".drawer")).to_have_count(0)
    held[0].continue_()
    pane.evaluate("fetch('/kit/')")
    assert pane.url.endswith("/kit/pane/")
    expect(pane.locator(".drawer")).to_have_count(0)


def test_a_step_back_after_signing_out_elsewhere_leads_to_the_sign_in(pane: Page) -> None:
    pane.get_by_role("link", name="Prompt 3 Answer").click()
    expect(pane.get_by_role("heading", name="Completion 3")).to_be_focused()
    pane.context.clear_cookies()
    pane.evaluate("history.back()")
    pane.wait_for_url("**/accounts/login/**")


def test_a_click_anywhere_in_a_row_opens_it(pane: Page) -> None:
    pane.locator("#row-4 .model").click()
    expect(pane.get_by_role("heading", name="Completion 4")).to_be_visible()


def test_j_and_k_walk_through_the_rows_and_the_drawer(pane: Page) -> None:
    pane.keyboard.press("j")
    pane.keyboard.press("j")
    pane.keyboard.press("j")
    pane.keyboard.press("k")
    expect(pane.locator("tr.cur")).to_have_id("row-2")
    pane.keyboard.press("Enter")
    expect(pane.get_by_role("heading", name="Completion 2")).to_be_visible()
    pane.keyboard.press("j")
    expect(pane.get_by_role("heading", name="Completion 3")).to_be_visible()
    expect(pane.locator("tr.cur")).to_have_id("row-3")


def test_back_and_forward_restore_the_drawer(pane: Page) -> None:
    pane.get_by_role("link", name="Prompt 3 Answer").click()
    expect(pane.get_by_role("heading", name="Completion 3")).to_be_visible()
    pane.keyboard.press("Escape")
    expect(pane.locator(".drawer")).to_have_count(0)
    pane.go_back()
    expect(pane.get_by_role("heading", name="Completion 3")).to_be_visible()
    expect(pane.locator("header.top")).to_have_count(1)
    pane.go_back()
    expect(pane.locator(".drawer")).to_have_count(0)
    expect(pane.locator("tbody tr")).to_have_count(20)
    pane.go_forward()
    expect(pane.get_by_role("heading", name="Completion 3")).to_be_visible()


def test_untrusted_text_asks_the_server_for_nothing(pane: Page) -> None:
    asked: list[str] = []
    pane.on("request", lambda request: asked.append(request.url))
    # The script of the drawer reads the next completion ahead; no text asks for anything.
    with pane.expect_response("**/pane/4/"):
        pane.get_by_role("link", name="Prompt 3 Answer").click()
        expect(pane.get_by_role("heading", name="Completion 3")).to_be_visible()
        expect(pane.get_by_text("⟦U+202E⟧")).to_be_visible()
    pane.wait_for_load_state("networkidle")
    assert [url.rpartition("/kit/")[2] for url in asked if "/static/" not in url] == ["pane/3/", "pane/4/"]


# The selection


def test_rows_are_selected_one_by_one_and_in_ranges(pane: Page) -> None:
    pane.get_by_label("Select 2", exact=True).click()
    pane.get_by_label("Select 5", exact=True).click(modifiers=["Shift"])
    pane.get_by_label("Select 3", exact=True).click()
    assert bar(pane) == "3"
    assert send(pane) == "ids|2,4,5|||distill"


def test_the_page_box_selects_the_page_and_shows_what_is_missing(pane: Page) -> None:
    whole = pane.get_by_label("Select this page")
    whole.click()
    assert bar(pane) == "20"
    pane.get_by_label("Select 7", exact=True).click()
    assert whole.evaluate("box => [box.checked, box.indeterminate]") == [False, True]


def test_everything_that_matches_minus_exceptions(pane: Page) -> None:
    pane.get_by_label("Select 1", exact=True).click()
    pane.get_by_role("button", name="Select all 412").click()
    assert bar(pane) == "412"
    pane.get_by_label("Select 7", exact=True).click()
    assert bar(pane) == "411"
    assert send(pane) == "all||7||distill"


def test_a_selection_goes_on_over_pages_and_drawers(pane: Page) -> None:
    pane.get_by_label("Select 2", exact=True).click()
    pane.locator("#next").click()
    pane.get_by_label("Select 21", exact=True).click()
    pane.locator("#row-22 .model").click()
    expect(pane.get_by_role("heading", name="Completion 22")).to_be_visible()
    pane.go_back()
    expect(pane.get_by_label("Select 2", exact=True)).to_be_checked()
    assert send(pane) == "ids|2,21|||distill"


def test_all_matching_never_outlives_its_question(pane: Page) -> None:
    pane.get_by_label("Select 1", exact=True).click()
    pane.get_by_role("button", name="Select all 412").click()
    pane.locator("#other").click()
    expect(pane.locator("[data-rows]")).to_have_attribute("data-q", "other")
    expect(pane.locator("[data-selection]")).to_be_hidden()


def test_x_selects_the_current_row(pane: Page) -> None:
    pane.keyboard.press("j")
    pane.keyboard.press("x")
    expect(pane.get_by_label("Select 1", exact=True)).to_be_checked()
    pane.get_by_label("Clear the selection").click()
    expect(pane.locator("[data-selection]")).to_be_hidden()


# Narrow screens, and answers that are no success


def test_on_a_narrow_screen_filters_are_a_sheet_and_the_drawer_fills_the_window(
    visit: Visit, operator: User
) -> None:
    site = visit(width=420)
    site.sign_in(operator)
    page = site.open("/kit/pane/")
    expect(page.locator("#facets")).to_be_hidden()
    page.get_by_role("button", name="Filters", exact=True).click()
    expect(page.get_by_role("link", name="gpt-4o 12")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#facets")).to_be_hidden()
    page.get_by_role("link", name="Prompt 3 Answer").click()
    expect(page.get_by_role("heading", name="Completion 3")).to_be_visible()
    box = page.locator(".drawer").bounding_box()
    assert box is not None
    assert (box["width"], box["height"]) == (420, 900)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (200, "Saved."),
        (403, "You are not permitted"),
        (404, "no longer exists"),
        (409, "Somebody changed this"),
    ],
)
def test_an_answer_is_told_in_words(pane: Page, status: int, words: str) -> None:
    pane.evaluate("status => htmx.ajax('GET', `/kit/answer/${status}/`, '#drawer')", status)
    expect(pane.get_by_role("status").get_by_text(words)).to_be_visible()
    expect(pane.locator("#drawer")).to_have_text("swapped" if status == 200 else "")


def test_an_answer_that_asks_for_mending_is_shown(pane: Page) -> None:
    pane.evaluate("htmx.ajax('GET', '/kit/answer/422/', '#drawer')")
    expect(pane.locator("#drawer")).to_have_text("swapped")


def test_only_the_page_itself_sends_the_token(pane: Page) -> None:
    sent = pane.evaluate(
        """async () => {
          const seen = [];
          document.addEventListener("htmx:configRequest", (event) => {
            seen.push("X-CSRFToken" in event.detail.headers);
            event.preventDefault();
          });
          for (const place of ["#main", "body", ".untrusted"]) {
            const button = document.createElement("button");
            button.setAttribute("hx-post", "/kit/chosen/");
            (document.querySelector(place) ?? document.querySelector("#main").appendChild(
              Object.assign(document.createElement("div"), { className: "untrusted" }))).append(button);
            htmx.process(button);
            button.click();
          }
          return seen;
        }"""
    )
    assert sent == [True, False, False]
