"""The pane in a real browser: filter, select, open, go back, by mouse and by keyboard."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from completions.models import FrozenSelection
from completions.selection import ids_of
from portal.models import User
from tests import factories
from tests.browser.conftest import Site
from tests.browser.looks import in_looks
from tests.factories import make_completion

Visit = Callable[..., Site]


@pytest.fixture
def rows(db: None) -> list[int]:
    """Sixty completions on two connections; every third is about docs."""
    first, second = factories.connection("East"), factories.connection("West")
    return [
        make_completion(
            (first, second)[n % 2],
            created=1_790_000_000 + n,
            prompt=f"Question number {n} about {'apples' if n % 2 else 'pears'}",
            answer=f"Answer **{n}**",
            model="gpt-4o" if n % 4 else "gpt-4o-mini",
            metadata={"category": "docs" if n % 3 == 0 else "chat", "env": "prod"},
        ).pk
        for n in range(60)
    ]


@pytest.fixture
def pane(live_site: Site, builder: User, rows: list[int]) -> Page:
    live_site.sign_in(builder)
    return live_site.open("/completions/")


def total(page: Page) -> str | None:
    return page.locator("#results").get_attribute("data-total")


def expect_total(page: Page, n: int) -> None:
    expect(page.locator("#results")).to_have_attribute("data-total", str(n))


def test_a_click_on_a_facet_filters_and_back_undoes_it(pane: Page) -> None:
    expect_total(pane, 60)
    pane.get_by_role("link", name="docs 20").click()
    expect_total(pane, 20)
    expect(pane).to_have_url(re.compile(r"\?q=meta\.category%3Adocs$"))
    expect(pane.locator(".qbar .chip")).to_have_text(re.compile("category.*docs", re.DOTALL))
    pane.go_back()
    expect_total(pane, 60)
    expect(pane.locator(".qbar .chip")).to_have_count(0)
    pane.go_forward()
    expect_total(pane, 20)


def test_a_typed_filter_joins_and_backspace_edits_the_last_of_it(pane: Page) -> None:
    pane.keyboard.press("/")
    pane.keyboard.type("model:gpt-4o-mini pears")
    pane.keyboard.press("Enter")
    expect_total(pane, 15)
    expect(pane).to_have_url(re.compile(r"\?q=model%3Agpt-4o-mini\+pears$"))
    expect(pane.locator("#add")).to_be_focused()
    pane.keyboard.press("Backspace")
    expect(pane.locator("#add")).to_have_value("pears")
    pane.locator("#add").fill("")
    pane.keyboard.press("Enter")
    expect(pane.locator(".qbar .chip")).to_have_count(1)
    pane.get_by_role("link", name="Remove model gpt-4o-mini").click()
    expect_total(pane, 60)


def test_a_slip_is_shown_and_mended_by_a_click(pane: Page) -> None:
    pane.locator("#add").fill("modle:gpt-4o")
    pane.keyboard.press("Enter")
    expect(pane.get_by_role("heading", name="The filter cannot be read")).to_be_visible()
    expect(pane.locator(".chip.broken")).to_be_visible()
    expect(pane.locator("[data-row]")).to_have_count(0)
    expect(pane.locator("#bulk")).to_have_count(0)
    pane.get_by_role("link", name="model:gpt-4o").click()
    expect_total(pane, 45)


def test_a_metadata_tag_in_a_row_filters(pane: Page) -> None:
    pane.locator(".grid tbody tr").first.get_by_role("link", name="Only category: chat").click()
    expect_total(pane, 40)


def test_all_but_two_are_what_is_asked_about(pane: Page, rows: list[int]) -> None:
    pane.locator("[data-select-page]").check()
    pane.get_by_role("button", name="Select all 60").click()
    for row in (rows[59], rows[57]):
        pane.locator(f"#row-{row} [data-select]").uncheck()
    expect(pane.locator("[data-selection-count]")).to_have_text("58")
    pane.get_by_role("link", name="Older").click()
    expect(pane.locator(f"#row-{rows[0]} [data-select]")).to_be_checked()
    make_completion()
    pane.get_by_role("button", name="Distill").click()
    # One more arrived before the question was asked, so it is counted; what comes after is not.
    expect(pane.locator("#dialog")).to_contain_text("Distill 59 completions?")
    make_completion()
    frozen = FrozenSelection.objects.get()
    assert frozen.count == 59
    assert set(rows) - set(ids_of(frozen)) == {rows[59], rows[57]}
    pane.get_by_role("link", name="Distill 59").click()
    expect(pane).to_have_url(re.compile(rf"/distill/new/{frozen.pk}/"))


def test_rows_are_chosen_singly_and_with_shift(pane: Page, rows: list[int]) -> None:
    pane.locator(f"#row-{rows[58]} [data-select]").click()
    pane.locator(f"#row-{rows[55]} [data-select]").click(modifiers=["Shift"])
    expect(pane.locator("[data-selection-count]")).to_have_text("4")
    pane.get_by_role("link", name="docs 20").click()
    expect_total(pane, 20)
    expect(pane.locator("[data-selection-count]")).to_have_text("4")
    pane.get_by_role("button", name="Evaluate").click()
    expect(pane.locator("#dialog")).to_contain_text("Evaluate 4 completions?")
    assert sorted(ids_of(FrozenSelection.objects.get())) == rows[55:59]
    pane.keyboard.press("Escape")
    expect(pane.locator("#dialog")).to_be_hidden()


def test_the_drawer_opens_moves_and_closes_by_keyboard(pane: Page, rows: list[int]) -> None:
    pane.keyboard.press("j")
    pane.keyboard.press("j")
    pane.keyboard.press("x")
    expect(pane.locator(f"#row-{rows[59]} [data-select]")).to_be_checked(checked=False)
    pane.keyboard.press("Enter")
    title = pane.locator("#drawer h2")
    expect(title).to_contain_text("Question number 5")
    first = title.inner_text()
    expect(pane).to_have_url(re.compile(r"/completions/connection-\d+/chatcmpl-"))
    pane.keyboard.press("j")
    expect(title).not_to_have_text(first)
    pane.keyboard.press("k")
    expect(title).to_have_text(first)
    pane.keyboard.press("Escape")
    expect(pane.locator("#drawer .drawer")).to_have_count(0)
    expect(pane).to_have_url(re.compile(r"/completions/$"))


def test_a_link_to_a_row_opens_the_page_with_its_drawer(
    live_site: Site, builder: User, rows: list[int]
) -> None:
    live_site.sign_in(builder)
    page = live_site.open("/completions/?q=apples")
    page.locator(f"#row-{rows[57]} .io").click()
    expect(page.locator("#drawer h2")).to_contain_text("Question number 57")
    page.reload()
    expect(page.locator("#drawer h2")).to_contain_text("Question number 57")
    expect_total(page, 30)
    expect(page.locator("tr.cur")).to_have_id(f"row-{rows[57]}")
    page.get_by_role("link", name="Next (J)").click()
    expect(page.locator("#drawer h2")).to_contain_text("Question number 55")
    page.go_back()
    expect(page.locator("#drawer h2")).to_contain_text("Question number 57")
    page.get_by_role("link", name="Close (Esc)").click()
    expect(page.locator("#drawer .drawer")).to_have_count(0)
    expect(page).to_have_url(re.compile(r"/completions/\?q=apples$"))


def test_raw_text_stays_raw(pane: Page, rows: list[int]) -> None:
    pane.locator(f"#row-{rows[59]} .io").click()
    expect(pane.locator("#drawer strong")).to_have_text("59")
    pane.get_by_role("link", name="Raw").click()
    expect(pane.locator("#drawer")).to_contain_text("**59**")
    pane.locator(f"#row-{rows[58]} .io").click()
    expect(pane.locator("#drawer .msgs")).to_contain_text("**58**")


def test_rows_that_come_are_announced_and_not_pushed(pane: Page, rows: list[int]) -> None:
    first = pane.locator(".grid tbody tr").first
    expect(first).to_have_id(f"row-{rows[59]}")
    new = make_completion(created=1_790_000_500, prompt="Brand new")
    pane.evaluate("document.body.dispatchEvent(new Event('rows-arrived'))")
    expect(pane.locator("#news")).to_contain_text("1 new row")
    expect(first).to_have_id(f"row-{rows[59]}")
    pane.get_by_role("link", name="1 new row").click()
    expect(pane.locator(".grid tbody tr").first).to_have_id(f"row-{new.pk}")
    expect(pane.locator("#news")).to_be_empty()


def test_an_empty_mirror_fills_by_itself(live_site: Site, builder: User) -> None:
    where = factories.connection("Fresh")
    live_site.sign_in(builder)
    page = live_site.open("/completions/")
    expect(page.locator("pre").first).to_contain_text("store=True")
    make_completion(where)
    page.evaluate("document.body.dispatchEvent(new Event('rows-arrived'))")
    expect_total(page, 1)
    expect(page.locator(".grid tbody tr")).to_have_count(1)


def test_the_filters_are_a_sheet_on_a_narrow_screen(visit: Visit, builder: User, rows: list[int]) -> None:
    site = visit(width=420)
    site.sign_in(builder)
    page = site.open("/completions/")
    page.get_by_role("button", name="Filters").click()
    page.get_by_role("link", name="docs 20").click()
    expect_total(page, 20)
    expect(page.locator("#facets .value[aria-current]")).to_contain_text("docs")
    expect(page.locator("#facets.open")).to_be_visible()
    page.get_by_role("button", name="Close filters").click()
    page.locator(".grid tbody tr").first.locator(".io").click()
    box = page.locator("#drawer .drawer").bounding_box()
    assert box is not None
    assert box["width"] == 420


def display(page: Page, name: str) -> None:
    page.locator("summary[aria-label=Display]").click()
    page.locator(".items.display").get_by_role("link", name=name).click()


def test_a_head_sorts_both_ways_and_pages_keep_the_order(pane: Page, rows: list[int]) -> None:
    head = pane.get_by_role("columnheader", name="Tokens")
    expect(head).to_have_attribute("aria-sort", "none")
    head.get_by_role("link").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    expect(pane).to_have_url(re.compile(r"sort=-tokens"))
    head.get_by_role("link").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    pane.get_by_role("link", name="Next").click()
    expect(pane.locator(".grid tbody tr")).to_have_count(10)
    expect(head).to_have_attribute("aria-sort", "ascending")
    expect(pane.locator("#told")).to_have_text(re.compile("Fewest tokens first"))
    pane.go_back()
    expect(pane.locator(".grid tbody tr")).to_have_count(50)


def test_columns_are_chosen_and_put_in_order(pane: Page) -> None:
    display(pane, "Columns…")
    dialog = pane.locator("#dialog")
    dialog.get_by_role("checkbox", name="Finish").uncheck()
    dialog.get_by_role("checkbox", name="category").check()
    dialog.get_by_role("button", name="Move Model to the left").click()
    dialog.get_by_role("button", name="Show them").click()
    expect(dialog).to_be_hidden()
    heads = pane.locator(".grid thead th")
    expect(heads).to_have_text(
        ["", "Created", "Model", "Prompt → answer", "Metadata", "Tokens", "Review", "Connection", "category"]
    )
    expect(pane).to_have_url(re.compile(r"columns=created%2Cmodel%2Ctext.*meta\.category"))
    pane.locator(".grid tbody tr").first.locator("td").last.get_by_role(
        "link", name="Only category: chat"
    ).click()
    expect_total(pane, 40)
    expect(heads).to_have_count(9)
    display(pane, "Columns…")
    dialog.get_by_role("link", name="As usual").click()
    expect(heads).to_have_text(
        ["", "Created", "Prompt → answer", "Model", "Metadata", "Tokens", "Finish", "Review", "Connection"]
    )
    expect(pane).not_to_have_url(re.compile("columns"))


def test_a_column_is_resized_by_dragging_and_by_keys(pane: Page) -> None:
    grip = pane.get_by_role("separator", name="Width of Model")
    box = grip.bounding_box()
    assert box is not None
    pane.mouse.move(box["x"] + 4, box["y"] + 4)
    pane.mouse.down()
    pane.mouse.move(box["x"] + 44, box["y"] + 4, steps=4)
    pane.mouse.up()
    expect(pane).to_have_url(re.compile(r"model%3A204"))
    expect(grip).to_have_attribute("aria-valuenow", "204")
    grip.focus()
    pane.keyboard.press("ArrowLeft")
    expect(pane).to_have_url(re.compile(r"model%3A188"))
    expect(grip).to_be_focused()
    pane.keyboard.press("ArrowLeft")
    expect(pane).to_have_url(re.compile(r"model%3A172"))
    pane.reload()
    expect(grip).to_have_attribute("aria-valuenow", "172")


def test_a_width_set_while_rows_are_on_their_way_is_kept(pane: Page) -> None:
    rows = re.compile(r"/completions/\?")

    def hold(route: Route) -> None:
        """Neither answered nor let go."""

    grip = pane.get_by_role("separator", name="Width of Model")
    box = grip.bounding_box()
    assert box is not None
    pane.route(rows, hold)
    pane.mouse.move(box["x"] + 4, box["y"] + 4)
    pane.mouse.down()
    pane.mouse.move(box["x"] + 44, box["y"] + 4, steps=4)
    pane.mouse.up()
    expect(pane).to_have_url(re.compile(r"model%3A204"))
    grip.focus()
    pane.keyboard.press("ArrowLeft")
    expect(grip).to_have_attribute("aria-valuenow", "188")
    pane.unroute(rows, hold)  # what is held goes on
    expect(pane).to_have_url(re.compile(r"model%3A188"))
    expect(grip).to_have_attribute("aria-valuenow", "188")
    expect(grip).to_be_focused()


def test_rows_close_up_and_moments_are_told_as_ages(pane: Page) -> None:
    first = pane.locator(".grid tbody tr").first
    tall = first.bounding_box()
    display(pane, "Compact rows")
    expect(pane.locator(".rows.compact")).to_have_count(1)
    low = first.bounding_box()
    assert tall is not None
    assert low is not None
    assert low["height"] < tall["height"]
    display(pane, "Time ago")
    expect(first.locator("time")).to_have_text(re.compile("ago$"))
    expect(first.locator("time")).to_have_attribute("title", re.compile("UTC"))
    expect(pane).to_have_url(re.compile("density=compact&times=ago"))


def test_a_day_is_jumped_to(pane: Page, rows: list[int]) -> None:
    make_completion(created=1_780_000_000, prompt="Long before")
    pane.locator("summary[aria-label=Display]").click()
    pane.get_by_label("Go to a day").fill("2026-06-30")
    pane.get_by_role("button", name="Go", exact=True).click()
    expect(pane.locator(".grid tbody tr")).to_have_count(1)
    expect(pane.locator(".grid tbody tr b")).to_have_text("Long before")
    pane.get_by_role("link", name="Newer").click()
    expect(pane.locator(".grid tbody tr")).to_have_count(50)


def test_a_selection_outlasts_pages_orders_and_the_way_back(pane: Page, rows: list[int]) -> None:
    count = pane.locator("[data-selection-count]")
    pane.locator("[data-select]").first.check()
    pane.get_by_role("link", name="Older").click()
    expect(pane.locator(".grid tbody tr")).to_have_count(10)
    pane.locator("[data-select]").first.check()
    expect(count).to_have_text("2")
    display(pane, "Most tokens first")
    expect(pane.locator(".grid tbody tr")).to_have_count(50)
    expect(count).to_have_text("2")
    pane.go_back()
    expect(pane.locator(".grid tbody tr")).to_have_count(10)
    expect(pane.locator("[data-select]:checked")).to_have_count(1)
    pane.goto(pane.url.split("/completions/")[0] + "/datasets/")
    pane.go_back()
    expect(count).to_have_text("2")
    pane.get_by_role("button", name="Clear the selection").click()
    pane.reload()
    expect(pane.locator("#bulk")).to_be_hidden()


def test_the_keyboard_alone_is_enough(pane: Page, rows: list[int]) -> None:
    pane.keyboard.press("]")
    expect(pane.locator(".grid tbody tr")).to_have_count(10)
    pane.keyboard.press("[")
    expect(pane.locator(".grid tbody tr")).to_have_count(50)
    pane.keyboard.press("]")
    expect(pane.locator(".grid tbody tr")).to_have_count(10)
    pane.keyboard.press("g")
    pane.keyboard.press("g")
    expect(pane.locator(f"#row-{rows[59]}")).to_have_class(re.compile("cur"))
    pane.keyboard.press("x")
    for _ in range(3):
        pane.keyboard.press("j")
    pane.keyboard.press("Shift+X")
    expect(pane.locator("[data-selection-count]")).to_have_text("4")
    pane.keyboard.press("Home")
    pane.keyboard.press("Enter")
    expect(pane.locator("#drawer h2")).to_contain_text("Question number 59")
    pane.keyboard.press("Escape")
    pane.keyboard.press("?")
    expect(pane.locator("#keys")).to_contain_text("Page before and after")


def test_a_failed_page_says_so_in_place_and_is_tried_again(pane: Page, live_site: Site) -> None:
    pane.route(re.compile("after="), lambda route: route.abort(), times=1)
    pane.get_by_role("link", name="Older").click()
    alert = pane.locator("#results [role=alert]")
    expect(alert).to_contain_text("The portal cannot be reached")
    expect(pane.locator(".grid tbody tr")).to_have_count(50)
    alert.get_by_role("button", name="Try again").click()
    expect(pane.locator(".grid tbody tr")).to_have_count(10)
    expect(alert).to_have_count(0)
    live_site.complaints.clear()  # the browser reports the request that was cut off


@in_looks
def test_every_state_is_accessible(
    visit: Visit, builder: User, outsider: User, rows: list[int], width: int, dark: bool
) -> None:
    site = visit(width=width, dark=dark)
    site.sign_in(builder)
    for path in (
        "/completions/",
        "/completions/?q=meta.category:docs+-model:gpt-4o-mini+apples",
        "/completions/?q=modle:x+has:imge",
        "/completions/?q=model:nowhere",
        "/completions/?columns=created,prompt,answer,meta.category,length,state,id&density=compact&sort=-tokens",
    ):
        page = site.open(path)
        site.check_accessibility()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    page = site.open("/completions/")
    page.locator("summary[aria-label=Display]").click()
    site.check_accessibility()
    page.get_by_role("link", name="Columns…").click()
    expect(page.locator("#dialog")).to_contain_text("Answer length")
    site.check_accessibility()
    page.keyboard.press("Escape")
    page.locator("[data-select]").first.check()
    site.check_accessibility()
    page.get_by_role("button", name="Distill").click()
    expect(page.locator("#dialog")).to_contain_text("Distill 1 completion?")
    site.check_accessibility()
    page.keyboard.press("Escape")
    page.locator(".grid tbody tr").first.locator(".io").click()
    for name in ("Details", "JSON", "Conversation"):
        page.locator("#drawer").get_by_role("link", name=name).click()
        expect(page.locator("#drawer .tabs [aria-current]")).to_have_text(name)
        site.check_accessibility()
    site.sign_in(outsider)
    site.open("/completions/")
    site.check_accessibility()
