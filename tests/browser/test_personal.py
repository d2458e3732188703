"""Personal data before it is replaced: a person looks at it, tries a pattern and keeps the choice."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from datasets import distill
from datasets.recipe import Personal
from portal.models import User
from tests import factories
from tests.browser.conftest import Site
from tests.datasets import material

pytestmark = pytest.mark.django_db(transaction=True)


def test_one_looks_at_personal_data_tries_a_pattern_and_keeps_the_choice(
    live_site: Site, builder: User
) -> None:
    source = factories.connection("Library")
    rows = [
        material.stored(
            source,
            question=f"I am ada@example.com, customer K-10{n:04d}, call +49 30 90182{n % 3}. <b>Help</b>",
            answer="Ask bob@example.com at 192.0.2.7, or pay with 4111 1111 1111 1111.",
        )
        for n in range(12)
    ]
    version = material.draft(builder, rows)
    site = live_site
    site.sign_in(builder)
    page = site.open(reverse("datasets:personal", args=[version.pk]))
    table = page.get_by_role("table")
    expect(table.get_by_role("row", name="ada@example.com")).to_contain_text("12")
    page.get_by_label("E-mail addresses").check()
    page.get_by_label("Name of pattern 1").fill("Customer")
    page.get_by_label("Expression of pattern 1").fill("(K-[0-9]{6}")
    page.get_by_role("button", name="Try the patterns").click()
    expect(page.get_by_role("alert")).to_contain_text("A pattern cannot be used")
    site.check_accessibility()
    page.get_by_label("Expression of pattern 1").fill("K-[0-9]{6}")
    page.get_by_role("button", name="Try the patterns").click()
    expect(table.get_by_role("row", name="Customer pattern")).to_contain_text("12 different")
    expect(page.get_by_label("E-mail addresses")).to_be_checked()
    site.check_accessibility()
    page.set_viewport_size({"width": 420, "height": 900})
    page.emulate_media(color_scheme="dark")
    site.check_accessibility()
    page.get_by_role("button", name="Keep this in the recipe").click()
    expect(page).to_have_url(site.address + reverse("datasets:distill", args=[version.pk, "data"]))
    version.refresh_from_db()
    kept = distill.recipe_of(version).personal
    assert kept == Personal(("email",), (("Customer", "K-[0-9]{6}"),))
