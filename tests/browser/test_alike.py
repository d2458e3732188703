"""What belongs together in a real browser: begun, followed to its groups, and left as one of each."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from completions import belonging
from completions.models import ReviewState
from portal.models import Connection, User
from tests import factories
from tests.browser.conftest import Site
from tests.completions.mirroring import drain, hurry
from tests.factories import make_completion

Visit = Callable[..., Site]
TIMES = 4


@pytest.fixture
def connection(db: None, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """A connection with duplicates, near-duplicates, prompts of two templates, and a conversation."""
    hurry(monkeypatch)
    where = factories.connection("Production")
    for _ in range(TIMES):
        make_completion(where, prompt="Reset my password, please.", answer="Open Settings, then Security.")
    long = "Our invoice of last month shows the old address although we moved to the harbour in spring and "
    long += "told you about it by letter. Could somebody correct it, and send the new one to my colleague? "
    for end in ("Thanks!", "Thank you!", "Regards"):
        make_completion(where, prompt=f"{long}{end}", answer="We have corrected the address on the invoice.")
    for name, day in (("Anna", "May 4, 2026"), ("Bo Lee", "May 5, 2026"), ("Chidi", "June 1, 2026")):
        make_completion(
            where,
            system=f'You are a patient support assistant for {name} on the plan "Team". Today is {day}.',
            prompt=f"Hello from {name}",
            answer=f"Hello {name}, what can I do?",
        )
    said = [{"role": "user", "content": "How do I export my data?"}]
    answers = ("From the menu Export.", "CSV and JSON.", "Once a day.")
    for n, answer in enumerate(answers):
        make_completion(where, messages=list(said), answer=answer)
        said += [
            {"role": "assistant", "content": answer},
            {"role": "user", "content": ("Which formats are there?", "How often?", "")[n]},
        ]
    return where


def compare(connection: Connection) -> None:
    belonging.begin(connection)
    drain(connection)


def test_from_comparing_to_what_is_alike_and_to_a_conversations_turns(
    live_site: Site, builder: User, connection: Connection
) -> None:
    live_site.sign_in(builder)
    page = live_site.open("/completions/alike/")
    live_site.check_accessibility()
    page.get_by_role("button", name="Compare all").click()
    expect(
        page.get_by_text("Queued").or_(page.get_by_text("Ready")).or_(page.get_by_text("Waiting"))
    ).to_be_visible()
    drain(connection)
    expect(page.get_by_role("button", name="Compare again")).to_be_enabled()
    expect(page.get_by_text("You are a patient support assistant for")).to_be_visible()
    expect(page.get_by_text("Bo Lee")).to_be_visible()
    live_site.check_accessibility()
    page.locator(".tile", has_text="Same conversation").get_by_role("link").click()
    expect(page.locator("#results tbody tr")).to_have_count(3)
    page.locator("#results tbody tr").first.click()
    expect(page.locator("#drawer h2")).to_have_text("How often?")
    page.get_by_text("Part 3 of a conversation in 3 completions").click()
    live_site.check_accessibility("#drawer")
    page.locator(".thread-turns").get_by_role("link", name="How do I export my data?").click()
    expect(page.locator("#drawer h2")).to_have_text("How do I export my data?")
    expect(page.get_by_text("Part 1 of a conversation in 3 completions")).to_be_visible()


def test_all_but_the_best_of_each_are_rejected(
    live_site: Site, builder: User, connection: Connection
) -> None:
    compare(connection)
    live_site.sign_in(builder)
    page = live_site.open("/completions/?q=same:*")
    page.locator("#results thead input[type=checkbox]").check()
    page.get_by_label("More to do with the selection").click()
    page.get_by_role("button", name="Only one of each…").click()
    dialog = page.locator("#dialog")
    expect(dialog.get_by_text("4 in 1 group, 3 beside the best")).to_have_count(2)  # near, too
    live_site.check_accessibility("#dialog")
    dialog.get_by_role("button", name="Select").click()
    expect(dialog.get_by_role("heading", name="3 completions selected")).to_be_visible()
    live_site.check_accessibility("#dialog")
    dialog.get_by_role("link", name="Reject").click()
    dialog.get_by_role("button", name="Reject 3").click()
    expect(dialog.get_by_text("Waiting for a worker")).to_be_visible()
    drain(connection)
    expect(dialog.get_by_role("button", name="Done")).to_be_visible()
    assert ReviewState.objects.filter(state="rejected").count() == TIMES - 1
