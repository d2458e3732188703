"""Distill as a person goes through it: 300 selected completions become a student that answers."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from datasets.build import build
from datasets.finetune import deploy, follow, launch
from datasets.models import DatasetVersion, Deployment, FineTune
from portal.models import Connection, User
from portal.sandbox import Sandbox
from tests import factories
from tests.browser import journey
from tests.browser.conftest import Site
from tests.datasets import material, provider

pytestmark = pytest.mark.sandbox(rows=0, rows_elsewhere=0, job_seconds=60)
ASKED = "Please classify the following support ticket in one word.\n"
REFUSED, CUT_OFF = "I'm sorry, but I can't help with that.", "Hardw"


@pytest.fixture(autouse=True)
def _short_times(settings: Any) -> None:
    settings.FILE_POLL_SECONDS = settings.DEPLOY_POLL_SECONDS = 0.1


@pytest.fixture
def workshop(transactional_db: None, sandbox: Sandbox) -> Connection:
    """A connection with 300 good tickets to learn from, some refused, cut off or asked twice."""
    found = provider.azure(sandbox, auth="entra_managed", secret="", name="Workshop")
    for n in [*range(290), *[0] * 10]:
        factories.make_completion(
            found,
            system="You sort tickets.",
            prompt=f"{ASKED}Ticket {n}: the printer on floor {n % 40} is on fire.",
            answer=REFUSED if 10 <= n < 20 else CUT_OFF if 20 <= n < 30 else "Hardware",
            finish_reason="length" if 20 <= n < 30 else "stop",
            metadata={"category": "ticket", "floor": str(n % 40)},
        )
    return found


def test_three_hundred_completions_become_a_student_that_answers(
    live_site: Site, builder: User, workshop: Connection, sandbox: Sandbox
) -> None:
    live_site.sign_in(builder)
    page = live_site.open("/completions/?q=meta.category%3Aticket")
    page.get_by_label("Select this page").check()
    page.locator("[data-selection-all]").click()
    assert journey.confirm(page, "Distill") == 300
    _recipe(live_site, page)
    _check(live_site, page)
    _model_and_launch(live_site, page)
    tune = _trained(page, sandbox)
    _tried(page, tune, sandbox)


def _recipe(site: Site, page: Page) -> None:
    """Choose what is recommended, cut off what every prompt begins with, and see what that would do."""
    survey = page.locator("#survey")
    expect(survey).to_contain_text("300 of 300 rows stay")
    page.get_by_label("Name of the dataset").fill("Tickets")
    page.get_by_role("button", name="Recommended").click()
    expect(page.get_by_label("Refusals")).to_be_checked()
    expect(page.get_by_label("Name of the dataset")).to_have_value("Tickets")
    expect(survey).to_contain_text("270 of 300 rows stay")
    page.get_by_label("Cut off a fixed beginning").check()
    page.get_by_role("button", name="Find what the rows have in common").click()
    expect(page.get_by_label("The beginning to cut off")).to_have_value(ASKED)
    expect(survey).to_contain_text("280 rows would say something else")
    page.locator("#survey summary").first.click()
    site.check_accessibility()
    page.get_by_role("button", name="Build the rows").click()
    expect(page.get_by_role("heading", name="The rows are being built")).to_be_visible()


def _check(site: Site, page: Page) -> None:
    """The rows are looked at; one more rule makes the next version, and the first one stays."""
    material.drain(kinds=[build.KIND])
    expect(page.get_by_role("heading", name="270 rows are ready")).to_be_visible(timeout=20_000)
    expect(page.get_by_text("No leak: no conversation stands in more than one part.")).to_be_visible()
    expect(page.get_by_role("link", name="Its answer is a refusal")).to_be_visible()
    site.check_accessibility()
    page.get_by_role("list", name="Steps").get_by_role("link", name="Data").click()
    page.get_by_label("At most so many of a kind").check()
    page.get_by_label("Of the same").select_option("meta.floor")
    page.get_by_label("Most rows of each").fill("5")
    page.get_by_label("Most rows of each").press("Tab")
    expect(page.locator("#survey")).to_contain_text("200 of 300 rows stay")
    page.get_by_role("button", name="Build the rows").click()
    expect(page.get_by_role("heading", name="The rows are being built")).to_be_visible()
    material.drain(kinds=[build.KIND])
    expect(page.get_by_role("heading", name="200 rows are ready")).to_be_visible(timeout=20_000)
    rows = DatasetVersion.objects.order_by("number").values_list("number", "rows", "state")
    assert list(rows) == [(1, 270, "ready"), (2, 200, "ready")]
    journey.follow(page, "Next")


def _model_and_launch(site: Site, page: Page) -> None:
    page.get_by_label("gpt-4.1-mini", exact=False).first.check()
    site.check_accessibility()
    journey.follow(page, "Next")
    page.get_by_label("Suffix").fill("tickets")
    page.get_by_label("Epochs").first.fill("2")
    review = page.get_by_label("What you launch")
    page.get_by_label("Batch size").focus()
    expect(review).to_contain_text("Epochs2")
    page.get_by_role("button", name="Another variant").click()
    expect(page.get_by_role("heading", name="Variant 1")).to_be_visible()
    site.check_accessibility()
    page.get_by_role("button", name="Remove variant 1").click()
    expect(page.get_by_role("heading", name="Variant 1")).to_have_count(0)
    expect(page.get_by_label("Suffix")).to_have_value("tickets")
    journey.follow(page, r"Launch on \d+ rows")
    expect(page.get_by_role("list", name="Stages")).to_be_visible()


def _trained(page: Page, sandbox: Sandbox) -> FineTune:
    """Let the work be done, until the page offers to deploy the model."""
    material.step(launch.KIND)
    provider.advance(sandbox, 30)
    material.drain(kinds=[launch.KIND])
    provider.advance(sandbox, 90)
    material.step(follow.KIND)
    tune = FineTune.objects.get()
    assert (tune.state, tune.hyperparameters["n_epochs"]) == (FineTune.State.SUCCEEDED, 2)
    page.reload()
    expect(page.get_by_role("link", name="Deploy", exact=True)).to_be_visible()
    return tune


def _tried(page: Page, tune: FineTune, sandbox: Sandbox) -> None:
    """Deploy the student, and ask it beside its teacher."""
    page.get_by_role("link", name="Deploy", exact=True).click()
    page.get_by_label("Deployment name").fill("sorter")
    page.get_by_role("button", name="Deploy").click()
    page.get_by_role("dialog").get_by_role("button", name="Deploy").click()
    expect(page.get_by_role("heading", name=re.compile("sorter"))).to_be_visible()

    def is_ready() -> bool:
        provider.advance(sandbox, 2)
        return not material.step(deploy.KIND).is_live

    provider.wait_until(is_ready)
    assert Deployment.objects.get().state == Deployment.State.READY
    page.reload()
    page.get_by_role("link", name="Try it").click()
    page.get_by_label("Prompt", exact=True).fill("Ticket 7: the printer on floor 7 is on fire.")
    page.get_by_role("button", name="Ask").click()
    answers = page.locator("#answers")
    expect(answers.get_by_text("Answered by")).to_have_count(2, timeout=20_000)
    expect(answers).to_contain_text(tune.fine_tuned_model)
