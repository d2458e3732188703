"""Judges in a real browser: picked from the menu, tried with their price, and taken on to the review."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Dialog, expect

from datasets.evaluate import setup
from datasets.models import Evaluation
from portal.models import Connection, Price, User
from portal.sandbox import Sandbox
from tests.browser.conftest import Site
from tests.browser.looks import in_looks
from tests.datasets import measured
from tests.datasets.measured import STUDENT, TEACHER, fresh

PRESSED_TWICE = """button => {
  let sent = 0;
  window.addEventListener("submit", (event) => { sent += !event.defaultPrevented; });
  button.click();
  button.click();
  return [button.getAttribute("aria-busy"), sent];
}"""


@pytest.fixture
def aimed(
    builder: User,
    sandbox: Sandbox,
    connect_to: Callable[..., Connection],
    settings: Any,
    tmp_path: Path,
    transactional_db: None,
) -> Evaluation:
    """An evaluation of teacher and student that has no graders yet."""
    folder = settings.STORAGES["artifacts"]["OPTIONS"] | {"location": str(tmp_path / "files")}
    settings.STORAGES = settings.STORAGES | {
        "artifacts": settings.STORAGES["artifacts"] | {"OPTIONS": folder}
    }
    source = connect_to(sandbox, "openai", key="sandbox-openai-key", name="Source")
    for kind in (Price.Kind.INPUT, Price.Kind.OUTPUT):
        Price.objects.create(model=TEACHER, kind=kind, amount="3", as_of="2026-11-01")
        Price.objects.create(model=STUDENT, kind=kind, amount="1", as_of="2026-11-01")
    made = measured.evaluation(builder, measured.rows(source, 3))
    chosen = [fresh(source, TEACHER).as_dict(), fresh(source, STUDENT, "second").as_dict()]
    setup.finish(made, "targets", targets=chosen)
    return made


@in_looks
def test_judges_are_picked_tried_and_taken_on(
    visit: Callable[..., Site], builder: User, aimed: Evaluation, width: int, *, dark: bool
) -> None:
    site = visit(width=width, dark=dark)
    site.sign_in(builder)
    page = site.open(reverse("datasets:evaluate", args=[aimed.pk, "graders"]))
    page.get_by_text("Add a grader").click()
    expect(page.get_by_role("heading", name="Asks a model")).to_be_visible()
    site.check_accessibility()
    page.get_by_role("button", name="Factuality").click()
    judge = page.get_by_role("region", name="Grader 2")
    expect(judge.get_by_label("Labels that pass")).to_have_value("B\nC\nE")
    judge.get_by_label("Deployment or model").fill(TEACHER)
    page.get_by_text("Add a grader").click()
    page.get_by_role("button", name="Preference").click()
    expect(page.get_by_role("region", name="Grader 3").get_by_label("Deployment or model")).to_have_value(
        TEACHER
    )
    site.check_accessibility()
    # What was added is not saved yet, so leaving asks first.
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.once("dialog", stay)
    page.get_by_role("link", name="Leave").click()
    assert asked == ["beforeunload"]
    # Impatience does not pay twice.
    assert page.get_by_role("button", name=f"Try {STUDENT}").evaluate(PRESSED_TWICE) == ["true", 1]
    expect(page.get_by_text("A judge may favour itself")).to_be_visible()
    expect(page.get_by_text("15 calls")).to_contain_text("None was stored upstream")
    expect(page.get_by_text("price unknown")).to_have_count(0)
    expect(page.locator(".verdicts li")).to_have_count(9)
    site.check_accessibility()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("6 for answers, 12 to judge them")).to_be_visible()
    site.check_accessibility()
