"""Two reviewers who do not see each other, and an adjudication, by keyboard alone."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from completions import queue_making
from completions.models import Label, QueueItem, ReviewEvent, ReviewQueue, ReviewState
from completions.selection import freeze
from portal.models import User
from tests import factories
from tests.browser.conftest import Site

pytestmark = pytest.mark.django_db(transaction=True)

Visit = Callable[..., Site]


@pytest.fixture
def tone() -> Label:
    source = factories.connection("Support")
    for number in range(3):
        factories.make_completion(source, prompt=f"question {number}", answer=f"answer {number}")
    made: Label = Label.objects.create(connection=source, name="tone", options=["formal", "casual"])
    return made


def at_work(site: Site, queue: ReviewQueue, person: User) -> Page:
    """Begin with the keyboard."""
    site.sign_in(person)
    page = site.open(f"/completions/queues/{queue.pk}/work/")
    expect(page.get_by_role("button", name="Begin")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("group", name="tone")).to_be_visible()
    return page


def wait_for(page: Page, shown: str) -> None:
    """Until this answer is shown and keys are listened to: a question is marked then."""
    expect(page.get_by_role("region", name="Conversation")).to_contain_text(shown)
    expect(page.locator("[data-ask][data-active]")).to_be_visible()


def answer(page: Page, shown: str, keys: str) -> None:
    """Press the keys once this answer is shown, and go on."""
    wait_for(page, shown)
    for key in keys:
        page.keyboard.press(key)
    page.keyboard.press("Enter")


def test_two_reviewers_and_an_adjudication(visit: Visit, tone: Label, builder: User) -> None:
    one, other = factories.user("one", "reviewer"), factories.user("other", "reviewer")

    # The builder makes a queue of everything in the table.
    boss = visit()
    boss.sign_in(builder)
    page = boss.open("/completions/")
    page.get_by_role("checkbox", name="Select this page").check()
    page.get_by_label("More to do with the selection").click()
    page.get_by_role("button", name="Queue for review").click()
    expect(page.get_by_role("heading", name="Queue for review")).to_be_visible()
    page.get_by_label("Name").fill("Tone of answers")
    page.get_by_label("Guideline").fill("Formal means **no contractions**.")
    page.get_by_label("State: approved").uncheck()
    page.get_by_label("Rating: good or bad").check()
    page.get_by_label("People per completion").fill("2")
    boss.check_accessibility()
    page.get_by_role("button", name="Make the queue").click()
    expect(page.get_by_role("heading", name="Tone of answers", level=1)).to_be_visible()
    queue = ReviewQueue.objects.get()

    # Each answers all three, the last completion differently.
    first = visit()
    work = at_work(first, queue, one)
    expect(work.get_by_text("no contractions")).to_be_visible()
    first.check_accessibility()
    answer(work, "answer 2", "g1")
    answer(work, "answer 1", "g1")
    wait_for(work, "answer 0")
    work.keyboard.press("n")
    expect(work.get_by_label("Note")).to_be_focused()
    work.keyboard.type("Rather stiff.")
    work.keyboard.press("Escape")
    answer(work, "answer 0", "b1")
    expect(work.get_by_role("heading", name="Thank you, that was all")).to_be_visible()
    first.check_accessibility()
    assert not ReviewEvent.objects.exists()

    second = visit(420, 900, dark=True)
    work = at_work(second, queue, other)
    answer(work, "answer 2", "g1")
    answer(work, "answer 1", "g1")
    wait_for(work, "answer 0")
    expect(work.get_by_text("Rather stiff.")).to_have_count(0)
    answer(work, "answer 0", "g2")
    expect(work.get_by_role("heading", name="Thank you, that was all")).to_be_visible()
    assert ReviewState.objects.count() == 2

    # The builder sees both, and decides.
    page.reload()
    expect(page.get_by_role("row", name="tone")).to_contain_text("67 %")
    boss.check_accessibility()
    page.get_by_role("row", name="tone").get_by_role("link").click()
    page.get_by_role("link", name="question 0").click()
    said = page.get_by_role("row", name="tone")
    expect(said).to_contain_text("formal")
    expect(said).to_contain_text("casual")
    expect(page.get_by_text("Rather stiff.")).to_be_visible()
    boss.check_accessibility()
    wait_for(page, "answer 0")
    for key in ("b", "2", "Enter"):
        page.keyboard.press(key)
    expect(page.get_by_text("Nothing waits for a decision.")).to_be_visible()
    assert not QueueItem.objects.exclude(state=QueueItem.State.DONE).exists()
    decided = ReviewState.objects.get(completion__prompt_preview__contains="question 0")
    assert (decided.rating, decided.labels) == ("bad", {str(tone.pk): ["casual"]})


def test_skipping_and_putting_back_by_keyboard(
    visit: Visit, tone: Label, builder: User, reviewer: User
) -> None:

    queue: Any = queue_making.make(
        builder, freeze(builder, everything=True), name="Look", labels=[tone], asks=["state"]
    )
    site = visit()
    page = at_work(site, queue, reviewer)
    wait_for(page, "answer 2")
    page.keyboard.press("s")
    expect(page.get_by_label("Why it is skipped")).to_be_focused()
    page.keyboard.type("I wrote it")
    page.keyboard.press("Enter")
    wait_for(page, "answer 1")
    page.keyboard.press("p")
    answer(page, "answer 0", "a1")
    answer(page, "answer 1", "r2")
    expect(page.get_by_text("Skipped: I wrote it")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Take up").click()
    answer(page, "answer 2", "v1")
    expect(page.get_by_text("You answered 3 completions.")).to_be_visible()
    assert set(ReviewState.objects.values_list("state", flat=True)) == {
        "approved",
        "rejected",
        "needs_review",
    }
