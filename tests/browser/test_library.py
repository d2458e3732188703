"""The grader library in a real browser: graders brought in, changed, and compared with what they were."""

from collections.abc import Callable

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from portal.models import User
from tests import factories
from tests.browser.conftest import Site
from tests.browser.looks import in_looks

CONFIGURATION = """description: Support answers
defaultTest:
  assert:
    - {type: contains, value: "{{ expected }}", metric: Names the product}
    - {type: not-contains, value: sorry}
    - {type: javascript, value: "output.length < 500"}
    - {type: rouge-n, value: "{{ reference }}", threshold: 0.6, weight: 2}
"""


@in_looks
@pytest.mark.django_db(transaction=True)
def test_graders_are_brought_in_changed_and_compared(
    visit: Callable[..., Site], builder: User, width: int, dark: bool
) -> None:
    home = factories.connection("Support", slug="support")
    site = visit(width=width, dark=dark)
    site.sign_in(builder)
    page = site.open(reverse("datasets:library", args=[home.slug]))
    expect(page.get_by_role("heading", name="No graders in this library yet")).to_be_visible()
    site.check_accessibility()
    page.get_by_role("link", name="Import").first.click()
    page.get_by_label("Paste it here").fill(CONFIGURATION)
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_text("JavaScript is not run here")).to_be_visible()
    site.check_accessibility()
    page.get_by_role("button", name="Add 3 graders to the library").click()
    page.get_by_role("link", name="Names the product").click()
    page.get_by_role("link", name="Change", exact=True).click()
    page.get_by_label("Passes if it").select_option("ilike")
    page.get_by_label("What changes, and why").fill("Case does not matter")
    page.get_by_role("button", name="Save as a new version").click()
    expect(page.get_by_role("heading", name="From v1 to v2")).to_be_visible()
    expect(page.locator("ins")).to_contain_text("ilike")
    site.check_accessibility()
    site.open(reverse("datasets:library_export", args=[home.slug]))
    expect(page.get_by_role("link", name="Download 2 graders")).to_be_visible()
    site.check_accessibility()
