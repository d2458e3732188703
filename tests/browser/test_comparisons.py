"""A comparison in a real browser: from an evaluation's runs to numbers by keyboard, and through its items."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from completions import reviewing
from completions.models import ReviewEvent
from completions.reviewing import Said
from datasets.models import Evaluation
from portal.models import Price, User
from tests import factories
from tests.browser.conftest import Site
from tests.browser.looks import in_looks
from tests.datasets import measured
from tests.datasets.compared import built, fresh, said, stored
from tests.datasets.measured import CLOSE, EQUAL


@pytest.fixture
def ran(builder: User, settings: Any, tmp_path: Path, transactional_db: None) -> Evaluation:
    """An evaluation with two runs: teacher and base; then the stored answers and the student."""
    folder = settings.STORAGES["artifacts"]["OPTIONS"] | {"location": str(tmp_path / "files")}
    settings.STORAGES = settings.STORAGES | {
        "artifacts": settings.STORAGES["artifacts"] | {"OPTIONS": folder}
    }
    library = factories.connection("Library")
    chosen = measured.rows(library, 40)
    made = built(builder, chosen, reference="meta:answer", graders=[EQUAL, CLOSE])
    draw = random.Random(11)

    def score(mean: float) -> list[tuple[float, bool]]:
        value = min(1.0, max(0.0, draw.gauss(mean, 0.15)))
        return [(value, value >= 0.7)]

    def verdicts(key: str, passes: float) -> dict[tuple[str, str], list[Any]]:
        return {
            (key, "Equal"): ["p" if draw.random() < passes else "f" for _ in chosen],
            (key, "Close"): [score(passes) for _ in chosen],
        }

    teacher, base = fresh(library, "first", "teacher"), fresh(library, "second", "base")
    said(made, [teacher, base], verdicts("first", 0.92) | verdicts("second", 0.5))
    student = fresh(library, "first", "student")
    said(made, [stored(), student], verdicts("stored", 0.9) | verdicts("first", 0.85))
    for model, amount in (("teacher", "10"), ("base", "0.5"), ("student", "0.8"), ("gpt-4o", "9")):
        for kind in (Price.Kind.INPUT, Price.Kind.OUTPUT):
            Price.objects.create(model=model, kind=kind, amount=amount, as_of="2026-11-01")
    for number, row in enumerate(chosen[:30]):
        rating = "good" if number % 4 else "bad"
        reviewing.record(row, [Said(ReviewEvent.Kind.RATING, rating)], builder)
    return made


@in_looks
def test_runs_are_compared_and_a_grader_is_calibrated(
    visit: Callable[..., Site], builder: User, ran: Evaluation, width: int, *, dark: bool
) -> None:
    site = visit(width=width, dark=dark)
    site.sign_in(builder)
    page = site.open(reverse("datasets:evaluation", args=[ran.pk]))
    page.get_by_role("checkbox", name="Compare run 1").check()
    page.get_by_role("checkbox", name="Compare run 2").check()
    site.check_accessibility()
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.locator(".headline")).to_contain_text("“base” passes every grader")
    expect(page.locator("circle")).to_have_count(4)

    change = page.locator("[data-tip]").first
    change.focus()
    expect(page.get_by_role("tooltip").first).to_contain_text("40 items judged for both")
    site.check_accessibility()
    page.keyboard.press("Escape")
    expect(page.get_by_role("tooltip").first).to_be_hidden()

    page.get_by_role("link", name="Disagreements", exact=True).click()
    expect(page.get_by_role("link", name="Disagreements", exact=True)).to_have_attribute(
        "aria-current", "true"
    )
    page.locator("[data-drawer-open]").first.click()
    drawer = page.locator(".drawer")
    expect(drawer.locator("del").first).to_be_visible()
    first = drawer.get_attribute("data-key")
    site.check_accessibility(".drawer")
    page.keyboard.press("j")
    expect(drawer).not_to_have_attribute("data-key", first or "")
    page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)

    item = page.locator("[data-drawer-open]").first.get_attribute("href") or ""
    for address in (item, reverse("datasets:comparisons"), reverse("datasets:comparison_new")):
        site.open(address)
        site.check_accessibility()
    site.open(reverse("datasets:run", args=[ran.pk, 2]))
    page.get_by_role("link", name="Calibrate").click()
    page.get_by_label("Grader", exact=True).select_option(label="Close (Text similarity)")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".headline")).to_contain_text("“Close” agrees with people on")
    site.check_accessibility()
    page.get_by_role("link", name="People say it is bad, the grader passes it").click()
    expect(page.get_by_role("heading", name="People say it is bad, the grader passes it")).to_be_visible()
    page.get_by_role("button", name="Take").first.click()
    page.get_by_role("button", name="Take it").last.click()
    expect(page.get_by_text("From the next run on")).to_be_visible()
