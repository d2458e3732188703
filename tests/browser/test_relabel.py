"""Relabelling in a real browser: answers judged by keyboard, the rest at once, and what it did cost."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from completions.models import ReviewState
from datasets.models import Relabel
from datasets.relabel import setup
from portal.models import Budget, Connection, Price, User
from portal.sandbox import Sandbox
from tests.browser.conftest import Site
from tests.datasets import material, measured
from tests.datasets.measured import TEACHER


@pytest.fixture
def relabel(
    builder: User, sandbox: Sandbox, connect_to: Callable[..., Connection], transactional_db: None
) -> Relabel:
    """Four prompts that a teacher has answered again, with prices and a budget."""
    source = connect_to(sandbox, "openai", key="sandbox-openai-key", name="Support", slug="support")
    for kind, amount in (("input", "2.50"), ("output", "10.00")):
        Price.objects.create(
            model=TEACHER, kind=kind, amount=Decimal(amount), as_of=date(2024, 11, 1), source="A page"
        )
    Budget.objects.create(connection=source, amount=Decimal(20))
    rows = [
        measured.row(source, number, answer="It is about **something**, I believe.") for number in range(4)
    ]
    made = setup.begin(
        material.frozen(builder, rows),
        builder,
        name="Support questions",
        connection=source,
        model=TEACHER,
        params={"temperature": 0},
    )
    setup.start(made, builder)
    material.drain()
    return made


def current(page: Page, verdict: str) -> None:
    expect(page.locator("[data-current]")).to_contain_text(verdict)


def test_answers_are_judged_by_key_and_the_rest_at_once(
    visit: Callable[..., Site], builder: User, relabel: Relabel
) -> None:
    site = visit()
    site.sign_in(builder)
    page = site.open(reverse("datasets:relabel", args=[relabel.pk]))
    expect(page.locator("[data-answer]")).to_have_count(4)
    site.check_accessibility()
    first, second, third = (page.locator("[data-answer]").nth(place) for place in range(3))
    page.keyboard.press("j")
    expect(first).to_be_focused()
    page.keyboard.press("a")
    expect(first).to_contain_text("Accepted by builder")
    expect(second).to_be_focused()
    page.keyboard.press("d")
    expect(second).to_contain_text("Dismissed")
    expect(third).to_be_focused()
    page.keyboard.press("k")
    expect(second).to_be_focused()
    page.keyboard.press("u")
    expect(second.get_by_role("button", name="Accept")).to_be_visible()
    expect(second).to_be_focused()
    page.keyboard.press("d")
    expect(second).to_contain_text("Dismissed")

    page.reload()
    page.get_by_role("button", name="Accept all 2").click()
    page.get_by_role("button", name="Accept them").click()
    expect(page.get_by_text("Accept the answers of Support questions")).to_be_visible()
    material.drain()
    expect(page.get_by_text("2 changed")).to_be_visible()
    assert ReviewState.objects.filter(correction__isnull=False).count() == 3

    page.goto(f"{site.address}{reverse('spending:connection', args=['support'])}")
    expect(page.get_by_role("link", name="Relabelling Support questions")).to_be_visible()
    site.check_accessibility()
    page.get_by_role("link", name="Prices").click()
    expect(page.get_by_text("read more than 180 days ago")).to_be_visible()
    site.check_accessibility()


def test_narrow_and_dark_pages_are_accessible(
    visit: Callable[..., Site], builder: User, operator: User, relabel: Relabel
) -> None:
    site = visit(width=420, height=900, dark=True)
    site.sign_in(builder)
    page = site.open(reverse("datasets:relabel", args=[relabel.pk]))
    expect(page.locator("[data-answer]")).to_have_count(4)
    site.check_accessibility()
    frozen = relabel.frozen_selection_id
    page.goto(f"{site.address}{reverse('datasets:relabel_start', args=[frozen])}")
    page.get_by_label("Teacher", exact=True).fill(TEACHER)
    page.get_by_label("Connection", exact=True).select_option(label="Support")
    site.check_accessibility()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("button", name="Ask the teacher 4 times")).to_be_visible()
    site.check_accessibility()
    site.sign_in(operator)
    for name, arguments in (
        ("datasets:relabels", []),
        ("spending:connection", ["support"]),
        ("spending:prices", []),
        ("spending:price_new", []),
    ):
        page.goto(f"{site.address}{reverse(name, args=arguments)}")
        site.check_accessibility()
