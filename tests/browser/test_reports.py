"""A report in a real browser: its slices come by themselves, its rows are narrowed down and read by keys."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from datasets.models import Run
from portal.models import User
from tests import factories
from tests.browser.conftest import Site
from tests.browser.looks import in_looks
from tests.datasets.reported import reported


@pytest.fixture
def run(builder: User, settings: Any, tmp_path: Path, transactional_db: None) -> Run:
    folder = settings.STORAGES["artifacts"]["OPTIONS"] | {"location": str(tmp_path / "files")}
    settings.STORAGES = settings.STORAGES | {
        "artifacts": settings.STORAGES["artifacts"] | {"OPTIONS": folder}
    }
    return reported(builder, factories.connection("Library"))


@in_looks
def test_a_report_is_cut_and_narrowed_down(
    visit: Callable[..., Site], builder: User, run: Run, width: int, *, dark: bool
) -> None:
    site = visit(width=width, dark=dark)
    site.sign_in(builder)
    page = site.open(reverse("datasets:run", args=[run.evaluation_id, run.number]))
    slices = page.locator("#slices")
    expect(slices.locator(".worst").first).to_contain_text("The lowest is category = refund with 25% of 12")
    site.check_accessibility()

    # The page scrolls in its own frame: nothing below makes the window longer.
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    slices.get_by_role("link", name="refund", exact=True).click()
    rows = page.locator("#rows")
    expect(rows.locator("[data-row]")).to_have_count(12)
    rows.get_by_role("link", name="Unsteady").click()
    expect(rows).to_contain_text("No row is like that.")
    rows.get_by_role("link", name="Leave this slice").click()
    expect(rows.locator("[data-row]")).to_have_count(1)

    page.keyboard.press("j")
    page.keyboard.press("Enter")
    drawer = page.locator(".drawer")
    expect(drawer.get_by_text("Answer 3").first).to_be_visible()
    expect(drawer).to_contain_text("2 of 3 passed, mean score 0.667")
    site.check_accessibility(".drawer")
    page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)

    one = [run.evaluation_id, run.number]
    for address in (
        reverse("datasets:run_slices", args=one),
        reverse("datasets:run_row", args=[*one, 1]),
        reverse("datasets:evaluations"),
        reverse("datasets:evaluate_new"),
    ):
        site.open(address)
        site.check_accessibility()
