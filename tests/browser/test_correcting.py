"""Correcting an answer in a real browser, by keyboard, and beside somebody else who does."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from completions import correcting
from completions.models import StoredCompletion
from portal.models import User
from tests import factories
from tests.browser.conftest import Site
from tests.factories import make_completion

Visit = Callable[..., Site]


@pytest.fixture
def made(db: None) -> StoredCompletion:
    calls = [
        {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
    ]
    message = {"role": "assistant", "content": "Let me look teh weather up.", "tool_calls": calls}
    item = {"choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]}
    return make_completion(prompt="What is the weather in Oslo?", item=item)


def reviewer(name: str) -> User:
    return factories.user(name, "reviewer")


def edit(page: Page) -> None:
    """Open the editor by its key, once the drawer has the focus."""
    page.locator("#drawer .db").focus()
    page.keyboard.press("e")
    expect(page.locator("#correct-text")).to_be_focused()


def test_an_answer_is_corrected_by_keyboard(live_site: Site, made: StoredCompletion) -> None:
    live_site.sign_in(reviewer("ada"))
    page = live_site.open(made.get_absolute_url())
    edit(page)
    live_site.check_accessibility("#drawer")
    page.keyboard.press("Control+a")
    page.keyboard.type("Let me look the weather up.")
    page.keyboard.press("Tab")
    expect(page.locator("#correct-arguments-0")).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type('{"city": }')
    page.keyboard.press("Control+Enter")
    expect(page.locator(".correct .errors")).to_have_text("Line 1, column 10: a value is expected.")
    expect(page.locator("#correct-arguments-0")).to_be_focused()
    expect(page.locator("#correct-text")).to_have_value("Let me look the weather up.")
    page.keyboard.press("Control+a")
    page.keyboard.type('{"city": "Bergen"}')
    page.keyboard.press("Control+Enter")
    answer = page.locator("#m1")
    expect(answer.locator(".versions .note")).to_contain_text("by ada")
    expect(answer.locator(".bubble")).to_have_text("Let me look the weather up.")
    page.locator("#answer-diff").focus()
    page.keyboard.press("Enter")
    expect(answer.locator("del").first).to_contain_text("teh")
    expect(page.locator("#answer-diff")).to_be_focused()
    live_site.check_accessibility("#drawer")
    page.locator("#find-inside").fill("deleted")
    expect(page.locator("[data-find-count]")).to_have_text("No hits")
    page.locator("#find-inside").fill("teh")
    expect(page.locator("[data-find-count]")).to_have_text("1 of 1")


def test_leaving_asks_only_if_something_was_typed(live_site: Site, made: StoredCompletion) -> None:
    live_site.sign_in(reviewer("ada"))
    page = live_site.open(made.get_absolute_url())
    edit(page)
    page.keyboard.press("Escape")
    expect(page.locator("#m1 .bubble")).to_be_visible()
    edit(page)
    page.keyboard.type("Well. ")
    page.keyboard.press("Escape")
    dialog = page.locator("#confirm")
    expect(dialog).to_contain_text("Leave what you typed?")
    dialog.get_by_role("button", name="Back").click()
    expect(page.locator("#correct-text")).to_have_value("Well. Let me look teh weather up.")
    page.locator("#drawer [data-drawer-close]").click()
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Continue").click()
    expect(page.locator("#m1 .bubble")).to_have_text("Let me look teh weather up.")


def test_the_second_of_two_is_told_and_saves_knowingly(visit: Visit, made: StoredCompletion) -> None:
    ada, ben = reviewer("ada"), reviewer("ben")
    one, other = visit(), visit()
    one.sign_in(ada)
    other.sign_in(ben)
    first, second = one.open(made.get_absolute_url()), other.open(made.get_absolute_url())
    edit(first)
    edit(second)
    first.locator("#correct-text").fill("I look the weather up.")
    first.keyboard.press("Control+Enter")
    expect(first.locator("#m1 .versions .note")).to_contain_text("by ada")
    second.locator("#correct-text").fill("Looking the weather up.")
    second.keyboard.press("Control+Enter")
    told = second.locator("#m1 [role=alert]")
    expect(told).to_contain_text("ada corrected it meanwhile")
    expect(told).to_be_in_viewport()
    expect(second.locator("header.top")).to_be_in_viewport()
    expect(second.locator("#m1 .theirs")).to_contain_text("I look the weather up.")
    expect(second.locator("#correct-text")).to_have_value("Looking the weather up.")
    other.check_accessibility("#drawer")
    expect(second.locator("#correct-text")).to_be_focused()
    second.keyboard.press("Control+Enter")
    expect(second.locator("#m1 .versions .note")).to_contain_text("by ben")
    second.locator("#answer-history").click()
    expect(second.locator(".revisions > li")).to_have_count(3)
    held = correcting.holding(made)
    assert held is not None
    assert held.author == ben
    assert held.value is not None
    assert held.value["text"] == "Looking the weather up."


def test_a_correction_taken_back_in_the_panel_is_gone_from_the_answer(
    live_site: Site, made: StoredCompletion
) -> None:
    live_site.sign_in(reviewer("ada"))
    page = live_site.open(made.get_absolute_url())
    edit(page)
    page.locator("#correct-text").fill("Looking.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#m1 .bubble")).to_have_text("Looking.")
    expect(page.locator("#review-undo")).to_be_visible()
    page.locator("#drawer .db").focus()
    page.keyboard.press("u")
    expect(page.locator("#m1 .bubble")).to_have_text("Let me look teh weather up.")


def test_two_selected_rows_are_compared(live_site: Site, made: StoredCompletion) -> None:
    other = make_completion(made.connection, prompt="What is the weather in Rome?", answer="Sunny.")
    make_completion(made.connection, prompt="Something else")
    live_site.sign_in(reviewer("ada"))
    page = live_site.open("/completions/")
    link = page.get_by_role("link", name="Compare")
    page.locator(f"#row-{made.pk} [data-select]").check()
    expect(page.locator("#bulk")).to_be_visible()
    expect(link).to_be_hidden()
    page.locator(f"#row-{other.pk} [data-select]").check()
    link.click()
    expect(page.get_by_role("heading", name="Compare two completions")).to_be_visible()
    expect(page.locator(".twin del").first).to_have_text("[deleted: Oslo]")
    live_site.check_accessibility()
