"""Starting, pausing and scheduling runs in a real browser."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Route, expect

from datasets.evaluate import run as runs
from datasets.evaluate import schedules
from datasets.evaluate.targets import stored
from datasets.models import Evaluation, Schedule
from portal.models import User
from tests import factories
from tests.browser.conftest import Site
from tests.browser.looks import in_looks
from tests.completions.changing import own_folder
from tests.datasets import material, measured
from tests.datasets.measured import CLOSE, EQUAL


@pytest.fixture
def made(builder: User, settings: Any, tmp_path: Path, transactional_db: None) -> Evaluation:
    """An evaluation over four rows, one of them wrong, with a run that missed its goal."""
    own_folder(settings, tmp_path / "files")
    library = factories.connection("Library")
    chosen = [*measured.rows(library, 3), measured.row(library, 9, answer="Wrong.")]
    evaluation = measured.evaluation(builder, chosen, reference="meta:answer", graders=[EQUAL, CLOSE])
    evaluation.setup |= {
        "targets": [stored().as_dict()],
        "run": {"repetitions": 1, "goal": {"at_least": 0.9}},
    }
    evaluation.save()
    runs.start(evaluation, [stored()], builder, goal={"at_least": 0.9})
    material.drain()
    return evaluation


@in_looks
def test_a_run_is_held_to_a_goal_paused_gone_on_with_and_scheduled(
    visit: Callable[..., Site], builder: User, made: Evaluation, width: int, dark: bool
) -> None:
    site = visit(width, dark=dark)
    site.sign_in(builder)
    page = site.open(reverse("datasets:run", args=[made.pk, 1]))
    expect(page.get_by_text("This run is red")).to_be_visible()
    site.check_accessibility()

    page = site.open(reverse("datasets:run_new", args=[made.pk]))
    expect(page.get_by_label("Each target passes at least (%)")).to_have_value("90.0")
    page.get_by_label("Each target passes at least (%)").fill("50")
    page.get_by_label("Fresh answers to each item").fill("3")
    page.get_by_role("button", name="Count calls again").click()
    expect(page.get_by_text("This is what it comes to")).to_be_in_viewport()
    expect(page.get_by_label("Fresh answers to each item")).to_have_value("3")
    site.check_accessibility()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("The run is paused")).to_be_visible()
    site.check_accessibility()
    run = made.runs.get(number=2)
    assert runs.go_on(run, builder)  # in another window
    expect(page.get_by_role("button", name="Pause")).to_be_visible(timeout=15_000)
    assert runs.pause(run, builder)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    late: list[Route] = []
    page.route(re.compile("seen="), lambda route: late.append(route))
    page.wait_for_event("request", lambda request: "seen=" in request.url)
    material.drain()
    expect(page.get_by_text("The goal is met")).to_be_visible(timeout=15_000)
    for route in late:  # asked while it ran, answered after the page was drawn anew
        route.continue_()
    page.evaluate("fetch('/healthz')")

    page = site.open(reverse("datasets:evaluation", args=[made.pk]))
    page.get_by_role("link", name="Set a time").click()
    page.get_by_label("How often").select_option("month")
    page.get_by_label("Day of the month").fill("31")
    page.get_by_label("Time zone").fill("Europe/Oslo")
    site.check_accessibility()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("On the last day of every month at 06:00 (Europe/Oslo)").first).to_be_visible()
    Schedule.objects.update(next_at=timezone.now() - timedelta(hours=1))
    builder.grants.all().delete()
    assert schedules.begin_due() == 0
    factories.grant(builder, "builder")
    page.reload()
    expect(page.get_by_text("may no longer act on every connection")).to_be_visible()
    site.check_accessibility()
    page.get_by_role("button", name="Switch on").click()
    expect(page.get_by_role("button", name="Switch off")).to_be_visible()
