"""Counts beside the rows and the timeline above them, in a real browser: mouse, finger and keyboard."""

import re
from collections.abc import Callable, Iterator
from urllib.parse import quote_plus

import pytest
from playwright.sync_api import Page, Route, expect

from completions.filters import Filter
from portal.models import User
from tests import factories
from tests.browser.conftest import Site
from tests.browser.looks import in_looks
from tests.factories import make_completion

Visit = Callable[..., Site]
DAY = 86_400
MIDNIGHT = 1_790_294_400  # 2026-09-25 00:00 UTC


@pytest.fixture
def rows(db: None) -> list[int]:
    """Forty completions, one a day."""
    where = factories.connection()
    return [
        make_completion(
            where,
            created=MIDNIGHT + n * DAY,
            prompt=f"Question {n}",
            model=("gpt-4o", "gpt-4o", "o4-mini", "gpt-4.1")[n % 4],
            metadata={"category": "docs" if n % 5 == 0 else "chat", "user": f"user-{n % 25}"},
        ).pk
        for n in range(40)
    ]


@pytest.fixture
def pane(live_site: Site, builder: User, rows: list[int]) -> Page:
    live_site.sign_in(builder)
    page = live_site.open("/completions/")
    settled(page)
    return page


def settled(page: Page) -> None:
    """Wait until both parts have come and none is awaited."""
    expect(page.locator("#counts .facet").first).to_be_attached()
    expect(page.locator("#timeline .plot")).to_be_attached()
    expect(page.locator("#counts[aria-busy], #timeline[aria-busy]")).to_have_count(0)


def expect_total(page: Page, n: int) -> None:
    expect(page.locator("#results")).to_have_attribute("data-total", str(n))


def facet(page: Page, name: str) -> dict[str, str]:
    """Values and counts of a facet as they are shown."""
    found: dict[str, str] = page.locator(f'[data-facet="{name}"] .value-line').evaluate_all(
        "all => Object.fromEntries(all.map(one => [one.dataset.value, one.querySelector('em').textContent]))"
    )
    return found


def expect_facet(page: Page, name: str, values: dict[str, str]) -> None:
    for value, count in values.items():
        line = page.locator(f'[data-facet="{name}"] .value-line[data-value="{value}"] em')
        expect(line).to_have_text(count)


# Facets.


def test_only_and_exclude_by_mouse(pane: Page) -> None:
    line = pane.locator('[data-facet="model"] [data-value="o4-mini"]')
    line.hover()
    line.get_by_role("link", name="Only o4-mini").click()
    expect_total(pane, 10)
    expect(pane).to_have_url(re.compile(r"q=model%3Ao4-mini$"))
    settled(pane)
    expect_facet(pane, "model", {"gpt-4o": "20", "o4-mini": "10", "gpt-4.1": "10"})
    line.hover()
    line.get_by_role("link", name="Exclude o4-mini").click()
    expect_total(pane, 30)
    expect(pane.locator(".value-line.out")).to_have_attribute("data-value", "o4-mini")
    pane.locator(".value-line.out").get_by_role("link", name="No longer exclude").click()
    expect_total(pane, 40)
    expect(pane).to_have_url(re.compile(r"/completions/$"))


def test_values_are_chosen_one_after_another_by_keyboard(pane: Page) -> None:
    pane.locator('[data-facet="model"] summary').focus()
    pane.keyboard.press("ArrowDown")
    pane.keyboard.press("Enter")
    expect_total(pane, 20)
    settled(pane)
    chosen = pane.locator('[data-facet="model"] [data-value="gpt-4o"] .value')
    expect(chosen).to_be_focused()
    expect(chosen).to_have_attribute("aria-current", "true")
    pane.keyboard.press("ArrowDown")
    pane.keyboard.press("Enter")
    expect_total(pane, 30)
    settled(pane)
    expect(pane.locator('[data-facet="model"] [data-value="gpt-4.1"] .value')).to_be_focused()
    pane.keyboard.press("Tab")
    expect(pane.locator("#counts .acts a:focus")).to_have_text("only")
    pane.keyboard.press("Tab")
    pane.keyboard.press("Enter")
    expect_total(pane, 20)
    settled(pane)
    pane.get_by_role("link", name="Clear Model").focus()
    pane.keyboard.press("Enter")
    expect_total(pane, 40)


def test_a_long_facet_is_searched_inside(pane: Page) -> None:
    box = pane.get_by_role("searchbox", name="Search in user")
    box.press_sequentially("R-12")
    expect(pane.locator('[data-facet="meta.user"] .value-line')).to_have_count(1)
    expect(box).to_be_focused()
    expect_total(pane, 40)
    box.press("ArrowDown")
    pane.keyboard.press("Enter")
    expect_total(pane, 2)
    expect(pane).to_have_url(re.compile(r"q=meta\.user%3Auser-12$"))


def test_more_values_come_when_they_are_asked_for(pane: Page) -> None:
    values = pane.locator('[data-facet="meta.user"] .value-line')
    expect(values).to_have_count(8)
    pane.get_by_role("link", name="17 more").click()
    expect(values).to_have_count(25)
    expect(pane).to_have_url(re.compile(r"/completions/$"))


def test_a_closed_facet_stays_closed(pane: Page) -> None:
    pane.locator('[data-facet="meta.category"] summary').click()
    pane.locator('[data-facet="model"] [data-value="gpt-4o"] .value').click()
    expect_total(pane, 20)
    settled(pane)
    expect(pane.locator('[data-facet="meta.category"]')).not_to_have_attribute("open", "")
    expect(pane.locator('[data-facet="model"]')).to_have_attribute("open", "")
    pane.reload()
    settled(pane)
    expect(pane.locator('[data-facet="meta.category"]')).not_to_have_attribute("open", "")
    pane.locator('[data-facet="meta.category"] summary').click()
    pane.reload()
    settled(pane)
    expect(pane.locator('[data-facet="meta.category"]')).to_have_attribute("open", "")


def test_counts_that_are_overtaken_never_land(pane: Page) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        if "category%3Adocs" in route.request.url and "model" not in route.request.url:
            held.append(route)
        else:
            route.continue_()

    pane.route("**/completions/facets/**", hold)
    pane.locator('[data-facet="meta.category"] [data-value="docs"] .value').click()
    expect_total(pane, 8)
    expect(pane.locator("#counts")).to_have_attribute("aria-busy", "true")
    expect_facet(pane, "model", {"gpt-4o": "20"})
    pane.locator('[data-facet="model"] [data-value="o4-mini"] .value').click()
    expect_total(pane, 10)
    settled(pane)
    assert held
    for route in held:
        route.continue_()
    pane.wait_for_load_state("networkidle")
    settled(pane)
    expect_facet(pane, "meta.category", {"docs": "2", "chat": "8"})
    expect(pane.locator('#counts [data-value="o4-mini"] .value')).to_have_attribute("aria-current", "true")


def test_the_last_of_fast_changes_wins(pane: Page) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.headers.get("hx-target") == "panes" and "gpt-4o" in route.request.url:
            held.append(route)
        else:
            route.continue_()

    pane.route("**/completions/?q=**", hold)
    pane.locator('[data-facet="model"] [data-value="gpt-4o"] .value').click()
    expect(pane.locator("#counts")).to_have_attribute("aria-busy", "true")
    pane.locator('[data-facet="model"] [data-value="o4-mini"] .value').click()
    expect_total(pane, 10)
    settled(pane)
    for route in held:
        route.continue_()
    pane.wait_for_load_state("networkidle")
    expect_total(pane, 10)
    expect(pane).to_have_url(re.compile(r"q=model%3Ao4-mini$"))
    expect_facet(pane, "meta.category", {"docs": "2", "chat": "8"})


@pytest.fixture
def failing(visit: Visit, builder: User, rows: list[int]) -> Iterator[Page]:
    """A page whose counts fail to come once they are asked for."""
    site = visit()
    site.sign_in(builder)
    site.page.route("**/completions/facets/**", lambda route: route.fulfill(status=500, body="no"))
    site.page.route("**/completions/timeline/**", lambda route: route.fulfill(status=500, body="no"))
    yield site.open("/completions/")
    site.complaints = [each for each in site.complaints if "500" not in each]


def test_counts_that_fail_are_asked_for_again(failing: Page) -> None:
    for part, words in (
        ("#facets", "The counts did not come."),
        (".later-part", "The timeline did not come."),
    ):
        note = failing.locator(part).get_by_text(words)
        expect(note).to_be_visible()
    failing.unroute("**/completions/facets/**")
    failing.unroute("**/completions/timeline/**")
    failing.locator("#facets").get_by_role("button", name="Try again").click()
    failing.locator(".later-part").get_by_role("button", name="Try again").click()
    settled(failing)
    expect(failing.get_by_role("button", name="Try again")).to_have_count(0)


def test_a_finger_excludes_in_the_sheet(visit: Visit, builder: User, rows: list[int]) -> None:
    site = visit(width=420)
    site.sign_in(builder)
    page = site.open("/completions/")
    page.get_by_role("button", name="Filters").click()
    page.get_by_role("link", name="Exclude docs").focus()
    page.keyboard.press("Enter")
    expect_total(page, 32)
    expect(page.locator("#facets.open")).to_be_visible()
    expect(page.locator(".value-line.out")).to_have_attribute("data-value", "docs")


# The timeline.


def bars(page: Page) -> tuple[float, float, float, float]:
    box = page.locator("#timeline .bars").bounding_box()
    assert box is not None
    return box["x"], box["y"] + box["height"] / 2, box["width"], box["height"]


def chosen(page: Page) -> str:
    return str(page.evaluate("new URLSearchParams(location.search).get('q')"))


def test_a_drag_over_the_timeline_filters(pane: Page) -> None:
    x, y, width, _ = bars(pane)
    pane.mouse.move(x + width * 0.25, y)
    pane.mouse.down()
    pane.mouse.move(x + width * 0.4, y, steps=4)
    pane.mouse.move(x + width * 0.5, y, steps=4)
    expect(pane.locator(".reading")).to_have_text(
        re.compile(r"^\d+ (Sep|Oct).* . \d+ Oct.*: \d+ completions$")
    )
    told = pane.locator(".reading").inner_text()
    pane.mouse.up()
    n = int(re.findall(r"(\d+) completions", told)[0])
    assert 5 < n < 15
    expect_total(pane, n)
    first, last = Filter.parse(chosen(pane)).bounds(0)
    assert first is not None
    assert last is not None
    assert first % (DAY / 2) == 0, "from the beginning of a bar"
    assert (last + 1) % (DAY / 2) == 0, "to the end of one"
    settled(pane)
    expect(pane.locator("#timeline .range").first).to_be_visible()
    pane.get_by_role("link", name="All time").click()
    expect_total(pane, 40)


def test_a_click_takes_one_bar_and_a_double_click_widens(pane: Page) -> None:
    pane.locator('#timeline .bars a[data-n="1"]').nth(20).click()
    expect_total(pane, 1)
    settled(pane)
    first = chosen(pane)
    low, high = Filter.parse(first).bounds(0)
    assert low is not None
    assert high is not None
    x, y, width, _ = bars(pane)
    pane.mouse.dblclick(x + width * 0.5, y)
    expect(pane).not_to_have_url(re.compile(re.escape(quote_plus(first))))
    span = high - low + 1
    assert Filter.parse(chosen(pane)).bounds(0) == (low - span, high + span)
    pane.go_back()
    expect_total(pane, 1)
    assert chosen(pane) == first


def test_the_timeline_works_by_keyboard_alone(pane: Page) -> None:
    slider = pane.get_by_role("slider", name="Time range")
    slider.focus()
    pane.keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuenow", "1")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"^25 Sep.*: 1 completion$"))
    pane.keyboard.press("ArrowRight")
    for _ in range(4):
        pane.keyboard.press("Shift+ArrowRight")
    told = slider.get_attribute("aria-valuetext") or ""
    n = int(re.findall(r"(\d+) completion", told)[0])
    pane.keyboard.press("Enter")
    expect_total(pane, n)
    settled(pane)
    expect(slider).to_be_focused()
    pane.keyboard.press("-")
    expect(pane.locator("#results")).not_to_have_attribute("data-total", str(n))
    settled(pane)
    expect(slider).to_be_focused()
    pane.keyboard.press("Escape")
    expect_total(pane, 40)
    settled(pane)
    expect(slider).to_be_focused()
    pane.keyboard.press("+")
    expect(pane.locator("#results")).not_to_have_attribute("data-total", "40")


def test_a_finger_drags_and_still_scrolls(visit: Visit, builder: User, rows: list[int]) -> None:
    site = visit(width=420)
    site.sign_in(builder)
    page = site.open("/completions/")
    settled(page)
    x, y, width, _ = bars(page)
    assert page.locator("#timeline .plot").evaluate("plot => getComputedStyle(plot).touchAction") == "pan-y"
    touch = {
        "pointerId": 7,
        "pointerType": "touch",
        "isPrimary": True,
        "bubbles": True,
        "clientY": y,
        "button": 0,
    }
    bar = page.locator("#timeline .bars a").first
    # A pointer that Chromium does not know cannot be captured, and that is the only part left out here.
    page.evaluate("Element.prototype.setPointerCapture = () => {}")
    bar.dispatch_event("pointerdown", touch | {"clientX": x + width * 0.2})
    bar.dispatch_event("pointermove", touch | {"clientX": x + width * 0.6})
    expect(page.locator(".reading")).to_be_visible()
    bar.dispatch_event("pointercancel", touch)
    expect(page.locator(".reading")).to_be_hidden()
    expect_total(page, 40)
    bar.dispatch_event("pointerdown", touch | {"clientX": x + width * 0.2})
    bar.dispatch_event("pointermove", touch | {"clientX": x + width * 0.6})
    told = page.locator(".reading").inner_text()
    bar.dispatch_event("pointerup", touch | {"clientX": x + width * 0.6})
    expect_total(page, int(re.findall(r"(\d+) completions", told)[0]))


def test_the_reader_s_zone_is_told(visit: Visit, builder: User, rows: list[int]) -> None:
    site = visit()
    site.sign_in(builder)
    page = site.open("/completions/")
    settled(page)
    cookies = {each.get("name"): each.get("value") for each in page.context.cookies()}
    assert cookies["portal-zone"] == page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone")
    expect(page.locator("#timeline")).to_contain_text("Times are in UTC")


@in_looks
def test_counts_and_timeline_are_accessible(
    visit: Visit, builder: User, rows: list[int], width: int, dark: bool
) -> None:
    site = visit(width=width, dark=dark)
    site.sign_in(builder)
    for q in ("", "?q=-meta.category:docs+created:2026-10-01..2026-10-20", "?q=created:2026-09-30"):
        page = site.open(f"/completions/{q}")
        settled(page)
        if width == 420:
            page.get_by_role("button", name="Filters").click()
        site.check_accessibility("#facets")
        if width == 420:
            page.get_by_role("button", name="Close filters").click()
        page.get_by_role("slider", name="Time range").focus()
        site.check_accessibility("#timeline")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), q
