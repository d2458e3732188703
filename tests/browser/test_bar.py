"""The typed bar and the editor in a real browser: one state, whichever way it is edited."""

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from portal.models import User
from tests import factories
from tests.browser.conftest import Site
from tests.browser.looks import in_looks
from tests.factories import make_completion

Visit = Callable[..., Site]


@pytest.fixture
def rows(db: None) -> list[int]:
    """Twenty-four completions on one connection."""
    where = factories.connection("East")
    return [
        make_completion(
            where,
            created=1_790_000_000 + n,
            prompt=f"Question {n} about {'apples' if n % 2 else 'pears'}",
            model="gpt-4o" if n % 4 else "gpt-4o-mini",
            metadata={"category": "docs" if n % 3 == 0 else "small talk"},
            total_tokens=100 * n,
        ).pk
        for n in range(24)
    ]


@pytest.fixture
def pane(live_site: Site, builder: User, rows: list[int]) -> Page:
    live_site.sign_in(builder)
    return live_site.open("/completions/")


def expect_total(page: Page, n: int) -> None:
    expect(page.locator("#results")).to_have_attribute("data-total", str(n))


def q_of(page: Page) -> str:
    return parse_qs(urlsplit(page.url).query).get("q", [""])[0]


def options(page: Page) -> list[str]:
    return page.locator("[role=option] b").all_inner_texts()


def test_a_filter_is_typed_with_completed_field_and_value(pane: Page) -> None:
    pane.keyboard.press("/")
    pane.keyboard.type("meta.cat")
    expect(pane.locator("[role=option]").first).to_contain_text("category")
    pane.keyboard.press("Tab")
    expect(pane.locator("#add")).to_have_value("meta.category:")
    expect(pane.locator("[role=option]")).to_have_count(3)
    pane.keyboard.type("sm")
    expect(pane.locator("[role=option]")).to_have_count(1)
    pane.keyboard.press("ArrowDown")
    expect(pane.locator("#add")).to_have_attribute("aria-activedescendant", "add-suggestions-0")
    pane.keyboard.press("Enter")
    expect_total(pane, 16)
    assert q_of(pane) == 'meta.category:"small talk"'
    expect(pane.locator("#add")).to_be_focused()
    pane.keyboard.type("tokens:>1500 -model:gpt-4o-mini")
    pane.keyboard.press("Escape")
    pane.keyboard.press("Enter")
    expect(pane.locator(".qbar .chip")).to_have_count(3)
    assert q_of(pane) == 'meta.category:"small talk" tokens:>1500 -model:gpt-4o-mini'
    pane.go_back()
    expect_total(pane, 16)
    expect(pane.locator(".qbar .chip")).to_have_count(1)
    pane.go_back()
    expect_total(pane, 24)


def test_escape_closes_the_proposals_and_leaves_the_text(pane: Page) -> None:
    pane.keyboard.press("/")
    pane.keyboard.type("mod")
    expect(pane.locator("#add-suggestions")).to_be_visible()
    expect(pane.locator("#add")).to_have_attribute("aria-expanded", "true")
    pane.keyboard.press("Escape")
    expect(pane.locator("#add-suggestions")).to_be_hidden()
    expect(pane.locator("#add")).to_have_value("mod")
    expect(pane.locator("#add")).to_have_attribute("aria-expanded", "false")


def test_a_condition_is_edited_where_it_stands(pane: Page) -> None:
    pane.goto(pane.url + "?q=model:gpt-4o+tokens:>500+apples")
    pane.get_by_role("link", name="Edit tokens").click()
    expect(pane.locator("#add")).to_have_value("tokens:>500")
    pane.keyboard.press("Escape")
    pane.keyboard.press("Escape")
    expect(pane.locator(".qbar .chip:visible")).to_have_count(3)
    pane.get_by_role("link", name="Edit tokens").click()
    pane.locator("#add").fill("tokens:>2000")
    pane.keyboard.press("Enter")
    expect(pane.locator(".qbar .chip").nth(1)).to_contain_text(">2000")
    assert q_of(pane) == "model:gpt-4o tokens:>2000 apples"
    pane.locator("#add").focus()
    pane.keyboard.press("Backspace")
    expect(pane.locator("#add")).to_have_value("apples")
    pane.locator("#add").fill("pears")
    pane.keyboard.press("Enter")
    expect(pane.locator(".qbar .chip").nth(2)).to_contain_text("pears")
    assert q_of(pane) == "model:gpt-4o tokens:>2000 pears"


def test_the_whole_filter_is_one_text(pane: Page) -> None:
    pane.goto(pane.url + "?q=model:gpt-4o+apples")
    pane.keyboard.press("F2")
    expect(pane.locator("#add")).to_have_value("model:gpt-4o apples")
    pane.locator("#add").fill("(model:gpt-4o-mini OR apples) tokens:<1000")
    pane.keyboard.press("Enter")
    expect_total(pane, 8)
    assert q_of(pane) == "(model:gpt-4o-mini OR apples) tokens:<1000"


def test_text_that_was_not_sent_is_kept_when_a_chip_is_clicked(pane: Page) -> None:
    pane.goto(pane.url + "?q=model:gpt-4o+apples")
    pane.locator("#add").fill("tokens:>7")
    pane.get_by_role("link", name="Edit apples").click()
    expect(pane.locator("#add")).to_have_value("model:gpt-4o apples tokens:>7")


def test_a_slip_stays_to_be_mended(pane: Page) -> None:
    pane.locator("#add").fill('modle:gpt-4o "open')
    pane.keyboard.press("Enter")
    expect(pane.locator(".chip.broken")).to_have_count(2)
    expect(pane.locator("[data-row]")).to_have_count(0)
    expect(pane.locator("#bulk")).to_have_count(0)
    pane.keyboard.press("F2")
    expect(pane.locator("#add")).to_have_value('modle:gpt-4o "open')
    pane.keyboard.press("Escape")
    pane.get_by_role("link", name="model:gpt-4o").click()
    expect(pane.locator(".chip.broken")).to_have_count(1)
    pane.get_by_role("link", name="Leave out what cannot be read").click()
    expect_total(pane, 18)


def test_the_way_out_of_no_match_is_a_click(pane: Page) -> None:
    pane.goto(pane.url + "?q=meta.category:docs+tokens:>90000")
    pane.get_by_role("link", name=re.compile("Without: tokens")).click()
    expect_total(pane, 8)


def test_the_editor_leads_to_the_address_that_typing_does(pane: Page) -> None:
    pane.locator("#add").fill("apples (model:gpt-4o-mini OR tokens:>=2000)")
    pane.keyboard.press("Enter")
    expect(pane.locator(".qbar .chip")).to_have_count(2)
    typed = pane.url
    pane.goto(typed.partition("?")[0] + "?q=apples")
    pane.get_by_role("link", name="Build the filter").click()
    editor = pane.locator("#builder")
    expect(editor).to_be_visible()
    editor.get_by_role("button", name="Group", exact=True).click()
    group = editor.locator("fieldset fieldset")
    expect(group).to_have_count(1)
    group.get_by_label("Field").first.select_option("model")
    group.get_by_label("Value").first.fill("gpt-4o-mini")
    group.get_by_label("Field").nth(1).select_option("tokens")
    group.get_by_label("Comparison").nth(1).select_option("at least")
    group.get_by_label("Value").nth(1).fill("2000")
    expect(editor.locator("#outcome")).to_contain_text("2 completions")
    editor.get_by_role("button", name="Show them").click()
    expect_total(pane, 2)
    expect(editor).to_be_hidden()
    assert pane.url == typed
    pane.go_back()
    expect_total(pane, 12)


def test_the_editor_proposes_values_and_enter_shows_the_rows(pane: Page) -> None:
    pane.get_by_role("link", name="Build the filter").click()
    editor = pane.locator("#builder")
    editor.get_by_label("Field").first.select_option("meta")
    editor.get_by_label("Metadata key").fill("cat")
    editor.locator("[role=option]").first.click()
    expect(editor.get_by_label("Metadata key")).to_have_value("category")
    editor.get_by_label("Value").fill("do")
    expect(editor.locator("[role=option]")).to_have_count(1)
    pane.keyboard.press("ArrowDown")
    pane.keyboard.press("Enter")
    expect(editor.get_by_label("Value")).to_have_value("docs")
    expect(editor.locator("#outcome")).to_contain_text("8 completions")
    pane.keyboard.press("Enter")
    expect_total(pane, 8)
    assert q_of(pane) == "meta.category:docs"


def test_a_count_that_comes_late_does_not_swallow_what_was_typed_meanwhile(pane: Page) -> None:
    pane.get_by_role("link", name="Build the filter").click()
    editor = pane.locator("#builder")
    editor.get_by_label("Field").first.select_option("meta")
    value = editor.get_by_label("Value")
    expect(value).to_be_visible()
    pane.route("**/completions/filter/", lambda route: None)
    with pane.expect_request("**/completions/filter/"):
        editor.get_by_label("Metadata key").fill("category")
    value.fill("docs")
    pane.unroute("**/completions/filter/")  # what was held goes on
    expect(editor.locator("#outcome")).to_contain_text("8 completions")


def test_suggestions_stay_while_counts_arrive(pane: Page) -> None:
    held: list[Route] = []
    pane.route("**/completions/facets/**", lambda route: held.append(route))
    with pane.expect_request("**/completions/facets/**"):
        pane.reload(wait_until="domcontentloaded")
    pane.locator("#add").click()
    expect(pane.locator("#add-suggestions")).to_be_visible()
    with pane.expect_response("**/completions/facets/**"):
        held.pop().continue_()
    expect(pane.locator("#counts .facet").first).to_be_attached()
    expect(pane.locator("#add-suggestions")).to_be_visible()


def test_the_filter_works_without_script(visit: Visit, builder: User, rows: list[int]) -> None:
    site = visit()
    site.sign_in(builder)
    site.page.route("**/*.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    page = site.open("/completions/?q=apples")
    page.locator("#add").fill("model:gpt-4o tokens:>500")
    page.keyboard.press("Enter")
    expect(page.locator(".qbar .chip")).to_have_count(3)
    page.get_by_role("link", name="Build the filter").click()
    expect(page.get_by_role("heading", name="Build the filter")).to_be_visible()
    page.get_by_label("Value").nth(2).fill("1000")
    page.get_by_role("button", name="Show them").click()
    assert q_of(page) == "apples model:gpt-4o tokens:>1000"


@in_looks
def test_every_state_of_the_bar_is_accessible(
    visit: Visit, builder: User, rows: list[int], width: int, dark: bool
) -> None:
    site = visit(width=width, dark=dark)
    site.sign_in(builder)
    page = site.open("/completions/?q=meta.category:docs+-model:gpt-4o-mini+(apples+OR+tokens:>500)")
    page.locator("#add").click()
    expect(page.locator("#add-suggestions")).to_be_visible()
    site.check_accessibility()
    page.keyboard.press("ArrowDown")
    site.check_accessibility("#bar")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Build the filter").click()
    expect(page.locator("#builder #outcome")).to_be_visible()
    site.check_accessibility()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.querySelector('#builder').scrollWidth <= innerWidth")
    for path in (
        "/completions/?q=modle:x+has:imge",
        "/completions/?q=model:nowhere+apples",
        "/completions/filter/?q=apples+(model:a+OR+meta.x:*)+modle:b",
    ):
        page = site.open(path)
        site.check_accessibility()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
