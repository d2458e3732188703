"""A run's page in a real browser: it redraws itself when the work ends, and its rows are read by key."""

from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from datasets.evaluate import run as runs
from datasets.evaluate.targets import stored
from datasets.models import Run
from portal.models import User
from tests import factories
from tests.browser.conftest import Site
from tests.datasets import material, measured
from tests.datasets.measured import CLOSE, EQUAL


@pytest.fixture
def begun(builder: User, settings: Any, tmp_path: Path, transactional_db: None) -> Run:
    """A run over four rows, one of them wrong, that nobody works on yet."""
    folder = settings.STORAGES["artifacts"]["OPTIONS"] | {"location": str(tmp_path / "files")}
    settings.STORAGES = settings.STORAGES | {
        "artifacts": settings.STORAGES["artifacts"] | {"OPTIONS": folder}
    }
    library = factories.connection("Library")
    chosen = [*measured.rows(library, 3), measured.row(library, 9, answer="Wrong.")]
    made = measured.evaluation(builder, chosen, reference="meta:answer", graders=[EQUAL, CLOSE])
    return runs.start(made, [stored()], builder)


def test_a_run_becomes_its_report_and_rows_are_read_by_key(
    live_site: Site, builder: User, begun: Run
) -> None:
    live_site.sign_in(builder)
    address = reverse("datasets:run", args=[begun.evaluation_id, begun.number])
    page = live_site.open(address)
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_visible()
    live_site.check_accessibility()
    material.drain()
    expect(page.locator(".headline")).to_contain_text(
        "passes every grader on 75.0% of 4 items", timeout=15_000
    )
    live_site.check_accessibility()

    page.locator("[data-drawer-open]").first.click()
    drawer = page.locator(".drawer")
    expect(drawer.get_by_role("heading", name="Item 1")).to_be_visible()
    expect(drawer).to_contain_text("Wrong.")
    live_site.check_accessibility()
    page.keyboard.press("j")
    expect(drawer.get_by_role("heading", name="Item 2")).to_be_visible()
    page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)
    expect(page).to_have_url(f"{live_site.address}{address}?show=all")

    page.get_by_role("link", name="Failed", exact=True).press("Enter")
    expect(page.locator("[data-row]")).to_have_count(1)
    expect(page).to_have_url(f"{live_site.address}{address}?show=failed")
    expect(page.get_by_role("link", name="Failed", exact=True)).to_be_focused()
    page.get_by_label("Words in the prompt or the answer").fill("Wrong")
    page.get_by_role("button", name="Show", exact=True).last.press("Enter")
    expect(page).to_have_url(f"{live_site.address}{address}?show=failed&q=Wrong")
    expect(page.get_by_role("heading", name="Rows")).to_be_focused()
    page.go_back()
    page.go_back()
    expect(page.locator("[data-row]")).to_have_count(4)
