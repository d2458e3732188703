"""Reviewing in a real browser: by keyboard alone, beside the table and on a page of its own."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from completions import reviewing
from completions.models import Label, ReviewEvent, ReviewState, StoredCompletion
from completions.reviewing import Said
from portal.models import User
from tests import factories
from tests.browser.conftest import Site
from tests.browser.looks import in_looks
from tests.factories import make_completion

Visit = Callable[..., Site]


@pytest.fixture
def rows(db: None) -> list[StoredCompletion]:
    """Ten rows, the newest first."""
    where = factories.connection()
    return [make_completion(where, created=n, prompt=f"Question {n}") for n in reversed(range(10))]


def label(row: StoredCompletion, name: str, kind: str = "choice", options: Any = ()) -> Label:
    made: Label = Label.objects.create(
        connection=row.connection, name=name, kind=kind, options=list(options), guideline="What **you** see."
    )
    return made


def pressed(page: Page, name: str) -> None:
    expect(page.locator(f"#review-{name}")).to_have_attribute("aria-pressed", "true")


def state(row: StoredCompletion) -> ReviewState:
    found: ReviewState = ReviewState.objects.get(pk=row.pk)
    return found


def test_ten_rows_are_reviewed_without_a_mouse(
    live_site: Site, reviewer: User, rows: list[StoredCompletion]
) -> None:
    tone = label(rows[0], "tone", "choice", ["formal", "casual"])
    score = label(rows[0], "quality", "score", [1, 5])
    live_site.sign_in(reviewer)
    page = live_site.open("/completions/")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    title = page.locator("#drawer h2")
    for n, row in enumerate(rows):
        expect(title).to_have_text(row.prompt_preview)
        expect(title).to_be_focused()
        page.keyboard.press("r" if n % 3 == 2 else "a")
        page.keyboard.press("g" if n % 2 else "b")
        page.keyboard.press("2" if n % 2 else "1")
        expect(page.locator("[data-active]")).to_contain_text("quality")
        page.keyboard.press("4")
        expect(page.locator(f"#answer-{score.pk}-4")).to_have_attribute("aria-pressed", "true")
        if n == 4:
            page.keyboard.press("n")
            expect(page.locator("#review-note")).to_be_focused()
            page.keyboard.type("Just a remark, rated a b g.")
            page.keyboard.press("Control+Enter")
            expect(page.locator("#review")).to_contain_text("1 note")
            expect(page.locator("#drawer .db")).to_be_focused()
        if n == 5:
            page.keyboard.press("v")
            pressed(page, "needs_review")
            page.keyboard.press("u")
            expect(page.locator("#review-needs_review")).to_have_attribute("aria-pressed", "false")
        if n == 6:
            page.keyboard.press("e")
            expect(page.locator("#correct-text")).to_be_focused()
            page.keyboard.press("Control+a")
            page.keyboard.type("It gives back the sum.")
            page.keyboard.press("Control+Enter")
            expect(page.locator("#talk")).to_contain_text("by reviewer")
        pressed(page, "rejected" if n % 3 == 2 else "approved")
        page.keyboard.press("j")
    for n, row in enumerate(rows):
        held = state(row)
        assert held.state == ("rejected" if n % 3 == 2 else "approved")
        assert held.rating == ("good" if n % 2 else "bad")
        assert held.labels == {str(tone.pk): ["casual" if n % 2 else "formal"], str(score.pk): ["4"]}
        assert held.notes == (1 if n == 4 else 0)
        assert (held.correction is not None) == (n == 6)
    assert ReviewEvent.objects.filter(undoes__isnull=False).count() == 1
    assert set(ReviewEvent.objects.values_list("author__username", flat=True)) == {"reviewer"}


def test_quick_keys_are_all_kept_in_order(
    live_site: Site, reviewer: User, rows: list[StoredCompletion]
) -> None:
    faults = label(rows[0], "faults", "multiple", ["slow", "wrong", "rude"])
    live_site.sign_in(reviewer)
    page = live_site.open(rows[0].get_absolute_url())
    expect(page.locator("#review")).to_be_visible()
    for key in ("1", "3", "a", "r", "g", "j", "a"):
        page.keyboard.press(key)
        if key == "j":
            expect(page.locator("#drawer h2")).to_have_text("Question 8")
    pressed(page, "approved")
    expect(page.locator("#review-good")).to_have_attribute("aria-pressed", "false")
    first = state(rows[0])
    assert (first.state, first.rating) == ("rejected", "good")
    assert first.labels == {str(faults.pk): ["slow", "rude"]}
    assert state(rows[1]).state == "approved"


def test_what_was_fetched_ahead_is_shown_after_an_answer_too(
    live_site: Site, reviewer: User, rows: list[StoredCompletion]
) -> None:
    live_site.sign_in(reviewer)
    page = live_site.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    address = f"/completions/review/{rows[1].pk}/"
    with page.expect_response(lambda answer: address in answer.url):
        live_site.open(f"/completions/review/{rows[0].pk}/")
    page.keyboard.press("a")
    page.keyboard.press("j")
    expect(page.locator("#drawer h2")).to_have_text("Question 8")
    pressed_now = page.locator("#review [aria-pressed=true]")
    expect(pressed_now).to_have_count(0)
    assert [url for url in asked if address in url] == [live_site.address + address]
    page.keyboard.press("k")
    pressed(page, "approved")


def test_nothing_is_said_while_somebody_types(
    live_site: Site, reviewer: User, rows: list[StoredCompletion]
) -> None:
    live_site.sign_in(reviewer)
    page = live_site.open(rows[0].get_absolute_url())
    for field in ("#find-inside", "#review-note", "#add"):
        page.locator(field).focus()
        page.keyboard.type("arvgbu")
        expect(page.locator(field)).to_have_value("arvgbu")
    assert not ReviewEvent.objects.exists()


def test_a_draft_outlives_what_is_said_beside_it(
    live_site: Site, reviewer: User, rows: list[StoredCompletion]
) -> None:
    live_site.sign_in(reviewer)
    page = live_site.open(rows[0].get_absolute_url())
    note = page.locator("#review-note")
    note.fill("Not done")
    note.press("Escape")
    expect(page.locator("#drawer .db")).to_be_focused()
    page.keyboard.press("a")
    pressed(page, "approved")
    expect(note).to_have_value("Not done")
    page.keyboard.press("j")
    expect(page.locator("#drawer h2")).to_have_text("Question 8")
    expect(note).to_have_value("")
    page.keyboard.press("k")
    expect(page.locator("#drawer h2")).to_have_text("Question 9")
    expect(note).to_have_value("Not done")
    page.keyboard.press("n")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#review")).to_contain_text("1 note")
    expect(note).to_have_value("")


def test_the_row_behind_follows_and_stays_selected(
    live_site: Site, reviewer: User, rows: list[StoredCompletion]
) -> None:
    live_site.sign_in(reviewer)
    page = live_site.open("/completions/?columns=text,review,rating")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("Enter")
    row = page.locator(f"#row-{rows[1].pk}")
    expect(page.locator("#drawer h2")).to_have_text("Question 8")
    page.keyboard.press("v")
    expect(row).to_contain_text("Needs review")
    page.keyboard.press("g")
    expect(row).to_contain_text("Good")
    expect(row).to_contain_class("sel cur")
    expect(row.locator("input")).to_be_checked()
    page.keyboard.press("j")
    expect(page.locator("#drawer h2")).to_have_text("Question 7")
    page.keyboard.press("x")
    expect(page.locator("[data-selection-count]")).to_have_text("2")


def test_typed_answers_are_reached_and_sent_by_keys(
    live_site: Site, reviewer: User, rows: list[StoredCompletion]
) -> None:
    tone = label(rows[0], "tone", "choice", ["formal", "casual"])
    reason, cost = label(rows[0], "reason", "text"), label(rows[0], "cost", "score", [0, 100])
    live_site.sign_in(reviewer)
    page = live_site.open(rows[0].get_absolute_url())
    expect(page.locator("[data-active]")).to_contain_text("tone")
    page.locator("#review .guide summary").first.press("Enter")
    expect(page.locator("#review").get_by_text("What you see.").first).to_be_visible()
    page.keyboard.press("l")
    expect(page.locator(f"#answer-{reason.pk}")).to_be_focused()
    page.keyboard.type("a b 1")
    page.keyboard.press("Enter")
    expect(page.locator("[data-active]")).to_contain_text("cost")
    expect(page.locator("#review").get_by_text("What you see.").first).to_be_visible()
    page.keyboard.press("Shift+L")
    page.keyboard.press("Escape")
    page.keyboard.press("l")
    expect(page.locator(f"#answer-{cost.pk}")).to_be_focused()
    page.keyboard.type("700")
    page.keyboard.press("Enter")
    expect(page.locator("#review [role=alert]")).to_contain_text("“cost” goes from 0 to 100.")
    expect(page.locator(f"#answer-{cost.pk}")).to_be_focused()
    page.keyboard.type("70")
    page.keyboard.press("Enter")
    expect(page.locator("#review [role=alert]")).to_have_count(0)
    expect(page.locator("[data-active]")).to_contain_text("tone")
    page.keyboard.press("1")
    expect(page.locator(f"#answer-{tone.pk}-1")).to_have_attribute("aria-pressed", "true")
    assert state(rows[0]).labels == {
        str(tone.pk): ["formal"], str(reason.pk): ["a b 1"], str(cost.pk): ["70"],
    }  # fmt: skip


def test_keys_are_listed_where_they_work(
    live_site: Site, reviewer: User, rows: list[StoredCompletion]
) -> None:
    live_site.sign_in(reviewer)
    page = live_site.open("/completions/")
    approve = page.locator("#keys").get_by_text("Approve, needs review, reject")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    expect(approve).to_be_hidden()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("#review")).to_be_visible()
    page.keyboard.press("?")
    expect(approve).to_be_visible()
    expect(page.locator("#keys").get_by_text("First row")).to_be_hidden()
    page.keyboard.press("a")
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    assert not ReviewEvent.objects.exists()


def test_readers_have_no_keys(live_site: Site, reader: User, rows: list[StoredCompletion]) -> None:
    live_site.sign_in(reader)
    page = live_site.open(rows[0].get_absolute_url())
    expect(page.locator("#review")).to_contain_text("Unreviewed")
    for key in "argbu1":
        page.keyboard.press(key)
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    expect(page.locator("#keys").get_by_text("Approve, needs review, reject")).to_be_hidden()
    assert not ReviewEvent.objects.exists()


def test_a_page_of_its_own_has_the_same_keys_and_the_history(
    live_site: Site, reviewer: User, rows: list[StoredCompletion]
) -> None:
    label(rows[0], "tone", "choice", ["formal", "casual"])
    live_site.sign_in(reviewer)
    page = live_site.open(rows[0].get_absolute_url())
    page.get_by_role("link", name="Review on a full page").click()
    expect(page).to_have_url(live_site.address + f"/completions/review/{rows[0].pk}/")
    page.keyboard.press("a")
    pressed(page, "approved")
    history = page.locator("#review-history")
    expect(history).to_contain_text("set the state to Approved")
    page.keyboard.press("2")
    expect(history).to_contain_text("answered tone: casual")
    page.keyboard.press("j")
    expect(page.locator("#drawer h2")).to_have_text("Question 8")
    expect(page).to_have_url(live_site.address + f"/completions/review/{rows[1].pk}/")
    page.keyboard.press("r")
    pressed(page, "rejected")
    page.keyboard.press("k")
    expect(page.locator("#drawer h2")).to_have_text("Question 9")
    expect(history).to_contain_text("answered tone: casual")
    history.get_by_role("button", name="Undo Approved of reviewer").press("Enter")
    expect(page.locator("#review-approved")).to_have_attribute("aria-pressed", "false")
    expect(history).to_contain_text("taken back")
    expect(page.locator("#drawer .beside")).to_be_focused()
    assert state(rows[0]).state == ""


def test_a_refusal_is_told_and_the_next_word_is_taken(
    live_site: Site, reviewer: User, rows: list[StoredCompletion]
) -> None:
    tone = label(rows[0], "tone", "choice", ["formal", "casual"])
    live_site.sign_in(reviewer)
    page = live_site.open(rows[0].get_absolute_url())
    expect(page.locator("[data-active]")).to_be_visible()
    Label.objects.filter(pk=tone.pk).update(options=["friendly", "casual"])
    page.keyboard.press("1")
    expect(page.locator("#review [role=alert]")).to_contain_text("“formal” is no answer to “tone”.")
    page.keyboard.press("1")
    expect(page.locator(f"#answer-{tone.pk}-1")).to_have_attribute("aria-pressed", "true")
    assert state(rows[0]).labels == {str(tone.pk): ["friendly"]}


@in_looks
def test_reviews_and_labels_are_accessible(
    visit: Visit, reviewer: User, builder: User, rows: list[StoredCompletion], width: int, dark: bool
) -> None:
    row = rows[0]
    tone = label(row, "tone", "choice", ["formal", "casual", "an answer of many words that has to wrap"])
    label(row, "quality", "score", [1, 10])
    label(row, "reason", "text")
    label(row, "cost", "score", [0, 100])
    said = [Said("state", "rejected"), Said("rating", "bad"), Said("label", "casual", tone)]
    reviewing.record(row, [*said, Said("note", "Too short.\n\nSee the `guideline`.")], reviewer)
    reviewing.record(row, [Said("state", "approved"), Said("note", "I disagree.")], builder)
    site = visit(width=width, dark=dark)
    site.sign_in(builder)
    slug = row.connection.slug
    for path in (
        row.get_absolute_url(),
        f"{row.get_absolute_url()}?tab=review",
        f"/completions/review/{row.pk}/",
        f"/completions/{slug}/labels/",
        f"/completions/{slug}/labels/new/",
        f"/completions/{slug}/labels/{tone.pk}/",
    ):
        page = site.open(path)
        expect(page.locator("h1, #drawer h2").last).to_be_visible()
        site.check_accessibility("main")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    site.sign_in(factories.user("only-reader", "reader"))
    page = site.open(f"{row.get_absolute_url()}?tab=review")
    expect(page.locator("#review")).to_contain_text("Approved")
    site.check_accessibility("#drawer")
