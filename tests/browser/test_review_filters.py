"""What people said, as filters: facets, columns and the rows of the editor, in a real browser."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from completions import reviewing
from completions.models import Label
from completions.reviewing import Said
from portal.models import User
from tests import factories
from tests.browser.conftest import Site
from tests.browser.looks import in_looks
from tests.factories import make_completion

Visit = Callable[..., Site]


@pytest.fixture
def rows(db: None) -> None:
    """Twelve completions, eight of which somebody reviewed."""
    where = factories.connection("Support")
    author = factories.user("alex", "reviewer")
    quality = Label.objects.create(connection=where, name="quality", kind="score", options=[1, 5])
    tone = Label.objects.create(connection=where, name="tone", options=["formal", "casual"])
    for n in range(12):
        row = make_completion(where, prompt=f"Question {n}", metadata={"category": "docs"})
        said = [
            *([Said("state", ("approved", "needs_review", "rejected")[n % 3])] if n < 8 else []),
            *([Said("label", str(5 - n % 5), quality), Said("label", "formal", tone)] if n < 6 else []),
            *([Said("rating", "bad"), Said("note", "wrong tone")] if n == 2 else []),
        ]
        if said:
            reviewing.record(row, said, author)


def expect_total(page: Page, n: int) -> None:
    expect(page.locator("#results")).to_have_attribute("data-total", str(n))


def q_of(page: Page) -> str:
    return parse_qs(urlsplit(page.url).query).get("q", [""])[0]


def test_reviews_are_filtered_from_the_facets(live_site: Site, builder: User, rows: None) -> None:
    live_site.sign_in(builder)
    page = live_site.open("/completions/")
    review = page.locator('[data-facet="review"]')
    scores = page.locator('[data-facet="label.quality"] .value')
    expect(scores).to_have_text(["1 1", "2 1", "3 1", "4 1", "5 2"], use_inner_text=True)
    expect(review.locator(".value")).to_have_text(
        ["Unreviewed 4", "Needs review 3", "Approved 3", "Rejected 2"], use_inner_text=True
    )
    review.locator(".value", has_text="Needs review").click()
    expect_total(page, 3)
    assert q_of(page) == "review:needs_review"
    expect(page.locator("#results tbody .st.warn")).to_have_count(3)
    expect(page.locator('[data-facet="label.quality"] .value-line')).to_have_count(2)
    page.locator('[data-facet="label.quality"] .value', has_text="4").click()
    expect_total(page, 1)
    assert q_of(page) == "review:needs_review label.quality:4"


def test_a_score_is_compared_in_the_editor(live_site: Site, builder: User, rows: None) -> None:
    live_site.sign_in(builder)
    page = live_site.open("/completions/")
    page.get_by_role("link", name="Build the filter").click()
    editor = page.locator("#builder")
    editor.get_by_label("Field").first.select_option("label")
    editor.get_by_label("Label", exact=True).fill("qua")
    editor.locator("[role=option]").first.click()
    expect(editor.get_by_label("Label", exact=True)).to_have_value("quality")
    editor.get_by_label("Comparison").select_option("at least")
    editor.get_by_label("Value").fill("4")
    expect(editor.locator("#outcome")).to_contain_text("3 completions")
    page.keyboard.press("Enter")
    expect_total(page, 3)
    assert q_of(page) == "label.quality:>=4"


def test_answers_of_a_label_are_proposed_in_the_editor(live_site: Site, builder: User, rows: None) -> None:
    live_site.sign_in(builder)
    page = live_site.open("/completions/filter/?q=label.tone:formal")
    editor = page.locator("#editor")
    editor.get_by_label("Label", exact=True).fill("quality")
    editor.get_by_label("Value").fill("")
    expect(editor.locator("[role=option]")).to_have_count(5)


@in_looks
def test_what_people_said_is_shown_accessibly(
    visit: Visit, builder: User, rows: None, width: int, dark: bool
) -> None:
    site = visit(width, dark=dark)
    site.sign_in(builder)
    for query in ("", "?columns=text,review,rating,labels,notes,reviewer,reviewed"):
        page = site.open(f"/completions/{query}")
        expect(page.locator('#counts [data-facet="review"]')).to_be_attached()
        expect(page.locator("#results .st.bad").first).to_be_visible()
        site.check_accessibility()
