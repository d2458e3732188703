"""Many at once in a real browser: all but two are labelled, and one press takes it back."""

import pytest
from playwright.sync_api import Page, expect

from completions.models import Label, ReviewEvent, ReviewState
from portal.models import Connection, User
from tests import factories
from tests.browser.conftest import Site
from tests.datasets import material
from tests.factories import make_completion


@pytest.fixture
def source(transactional_db: None) -> Connection:
    return factories.connection("East")


@pytest.fixture
def rows(source: Connection) -> list[int]:
    return [
        make_completion(source, created=1_790_000_000 + n, metadata={"env": "a" if n % 5 else "b"}).pk
        for n in range(80)
    ]


@pytest.fixture
def tone(source: Connection) -> Label:
    made: Label = Label.objects.create(
        connection=source, name="tone", kind="choice", options=["formal", "casual"]
    )
    return made


def test_all_that_match_except_two_are_labelled_and_it_is_undone(
    live_site: Site, builder: User, rows: list[int], tone: Label
) -> None:
    live_site.sign_in(builder)
    pane = live_site.open("/completions/?q=meta.env%3Aa")
    pane.get_by_label("Select this page").check()
    pane.locator("[data-selection-all]").click()
    for box in pane.locator("[data-select]").all()[:2]:
        box.uncheck()
    expect(pane.locator("[data-selection-count]")).to_have_text("62")
    pane.get_by_role("button", name="Label…").click()
    dialog = pane.get_by_role("dialog")
    expect(dialog.locator("#frozen-count")).to_have_text("62")
    live_site.check_accessibility("#dialog")
    dialog.get_by_role("radio", name="formal").check()
    dialog.get_by_role("button", name="Label 62").click()
    expect(dialog.locator("progress")).to_be_visible()
    material.drain()
    expect(dialog).to_contain_text("62 changed.", timeout=15_000)
    live_site.check_accessibility("#dialog")
    newest = [pk for n, pk in reversed(list(enumerate(rows))) if n % 5][:2]
    said = {state.pk for state in ReviewState.objects.all() if state.labels == {str(tone.pk): ["formal"]}}
    assert said == {pk for n, pk in enumerate(rows) if n % 5} - set(newest)

    dialog.get_by_role("button", name="Undo").click()
    expect(dialog.locator("progress")).to_be_visible()
    material.drain()
    expect(dialog).to_contain_text("62 taken back.", timeout=15_000)
    assert all(state.labels == {} for state in ReviewState.objects.all())
    assert ReviewEvent.objects.filter(undoes__isnull=False).count() == 62
    dialog.get_by_role("button", name="Done").click()
    expect(pane.get_by_role("dialog")).to_have_count(0)


def test_what_runs_on_is_found_again_from_a_message(live_site: Site, builder: User, rows: list[int]) -> None:
    live_site.sign_in(builder)
    pane = live_site.open("/completions/")
    pane.locator("[data-select]").first.check()
    pane.locator("#bulk").get_by_text("More", exact=True).click()
    pane.get_by_role("button", name="Approve", exact=True).click()
    pane.get_by_role("dialog").get_by_role("button", name="Approve 1").click()
    pane.get_by_role("dialog").get_by_role("button", name="Close").click()
    pane.locator(".toast").get_by_role("link", name="Watch it").click()
    expect(pane.get_by_role("heading", name="Approve 1 completion")).to_be_visible()
    material.drain()
    expect(pane.get_by_role("heading", name="1 changed.")).to_be_visible(timeout=15_000)
    pane.get_by_role("button", name="Undo").click()
    expect(pane.get_by_role("heading", name="Undo: Approve 1 completion")).to_be_visible()


def test_a_reviewer_is_told_what_it_takes(live_site: Site, rows: list[int], source: Connection) -> None:
    live_site.sign_in(factories.user("rev", "reviewer", source))
    pane: Page = live_site.open("/completions/")
    pane.locator("[data-select]").first.check()
    pane.locator("#bulk").get_by_text("More", exact=True).click()
    pane.get_by_role("button", name="Reject", exact=True).click()
    expect(pane.get_by_role("dialog")).to_contain_text("the role builder on East")
    expect(pane.get_by_role("dialog").get_by_role("button", name="Reject 1")).to_be_disabled()
