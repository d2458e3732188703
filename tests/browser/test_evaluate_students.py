"""The question behind distillation, asked in a browser: is the student good enough, and how sure is that?"""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from datasets.models import Comparison, DatasetVersion, Evaluation, FineTune
from portal.models import Connection, User
from portal.sandbox import Sandbox
from tests.browser import journey
from tests.browser.conftest import Site
from tests.datasets import material, students
from tests.datasets.measured import TEACHER

pytestmark = [
    pytest.mark.sandbox(rows=0, rows_elsewhere=0, job_seconds=60),
    pytest.mark.usefixtures("own_artifacts"),
]
ITEMS = 70
POINTS = re.compile(r"([+−]?[\d.]+) to ([+−]?[\d.]+)")  # noqa: RUF001  # a minus sign is meant


@pytest.fixture
def source(transactional_db: None, sandbox: Sandbox, connect_to: Callable[..., Connection]) -> Connection:
    return connect_to(sandbox, "openai", key="sandbox-openai-key", name="Support")


@pytest.fixture
def taught(builder: User, source: Connection, sandbox: Sandbox) -> tuple[FineTune, FineTune]:
    """Two students of the same rows: one learnt from the teacher's answers, one from shuffled ones."""
    version: DatasetVersion = material.built(builder, students.lessons(source))
    return (
        students.taught(builder, sandbox, version),
        students.taught(builder, sandbox, students.shuffled(builder, version)),
    )


@pytest.fixture(autouse=True)
def _looked_at_soon(settings: Any) -> None:
    settings.FILE_POLL_SECONDS = 0.1


def test_the_student_is_better_than_the_base_and_near_the_teacher_and_the_control_is_not(
    live_site: Site, builder: User, source: Connection, taught: tuple[FineTune, FineTune]
) -> None:
    student, control = (tune.fine_tuned_model for tune in taught)
    students.to_measure(source, ITEMS)
    live_site.sign_in(builder)
    page = live_site.open("/completions/?q=meta.use%3Atest")
    page.get_by_label("Select this page").check()
    page.locator("[data-selection-all]").click()
    assert journey.confirm(page, "Evaluate") == ITEMS

    _set_up(page, [TEACHER, students.BASE, student, control])
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_visible()
    material.drain(120)
    expect(page.locator(".headline")).to_be_visible(timeout=30_000)
    _compare(page)

    # The baseline is the base model, then the teacher.
    low, high = _interval(page, student)
    assert 0 < low < high
    low, high = _interval(page, control)
    assert low <= 0 <= high
    page.get_by_role("link", name=re.compile(f"Take {re.escape(TEACHER)}")).click()
    expect(page.locator(".headline")).to_contain_text(TEACHER)
    low, high = _interval(page, student)
    assert -10 < low <= high
    assert Comparison.objects.count() == 1
    live_site.check_accessibility()


def _set_up(page: Page, models: list[str]) -> None:
    """From the first step of the wizard to the run."""
    page.get_by_label("Name").fill("Students")
    journey.follow(page, "Next")
    page.locator("input[name=reference][value=answer]").check()
    journey.follow(page, "Next")
    for key, model in zip(("first", "second", "third", "fourth"), models, strict=True):
        page.locator(f"input[name={key}_model]").fill(model)
    journey.follow(page, "Next")
    expect(page.get_by_role("heading", name="How an answer is judged")).to_be_visible()
    for place, kind in enumerate(("string_check", "check", "check"), 1):
        page.get_by_text("Add a grader").click()
        page.locator(f"button[name=add][value={kind}]").click()
        expect(page.locator(f"[name=g{place}-name]")).to_be_visible()
    contains, answers, short = (page.locator(f"[name=g{place}-name]") for place in (1, 2, 3))
    contains.fill("Says what it is")
    page.locator("[name=g1-operation]").select_option("ilike")
    page.locator("[name=g1-reference]").fill("{{ item.metadata.expected }}")
    answers.fill("Answers")
    short.fill("Short")
    page.locator("[name=g3-check]").select_option("max_words")
    page.locator("[name=g3-value]").fill("120")
    journey.follow(page, "Next")
    expect(page.get_by_role("heading", name="Before it runs")).to_be_visible()
    assert Evaluation.objects.get().graders.count() == 4
    journey.follow(page, "^Run")


def _compare(page: Page) -> None:
    """From the report to the comparison of all its targets, with the base model as the baseline."""
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_role("link", name=re.compile(f"Take {re.escape(students.BASE)}")).click()
    expect(page.locator(".headline")).to_contain_text(students.BASE)


def _interval(page: Page, label: str) -> tuple[float, float]:
    """The change of a column to the baseline over all graders together, in points."""
    row = page.locator("table.rates tbody tr").last
    expect(row).to_contain_text("All graders")
    cell = row.locator(f'td[data-label="{label}"]')
    found = POINTS.fullmatch(cell.locator(".change > .num").first.inner_text())
    assert found, cell.inner_text()
    low, high = (float(each.replace("−", "-")) for each in found.groups())  # noqa: RUF001  # as above
    return low, high
