"""A job as a person follows it: live to its end, deployed, tried beside its teacher, traced, deleted."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from datasets.finetune import deploy, follow, launch, undeploy
from datasets.models import Deployment, FineTune
from portal.models import Connection, User
from portal.sandbox import Sandbox
from tests.browser.conftest import Site
from tests.datasets import material, provider

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.sandbox(rows=0, rows_elsewhere=0, job_seconds=60),
]


@pytest.fixture(autouse=True)
def _short_times(settings: Any) -> None:
    settings.FILE_POLL_SECONDS = settings.DEPLOY_POLL_SECONDS = 0.1


@pytest.fixture
def tune(builder: User, sandbox: Sandbox) -> FineTune:
    """A job that waits for its turn at the provider."""
    connection = provider.azure(sandbox, auth="entra_managed", secret="", state=Connection.State.CONNECTED)
    made = material.prepared(builder, connection)
    launch.begin(made, builder)
    material.step(launch.KIND)
    provider.advance(sandbox, 10)
    material.drain(kinds=[launch.KIND])
    made.refresh_from_db()
    return made


def seen_upstream(sandbox: Sandbox, seconds: float) -> None:
    """Time goes by at the provider, and the worker looks."""
    provider.advance(sandbox, seconds)
    material.step(follow.KIND)


def test_a_job_is_followed_deployed_tried_traced_and_its_deployment_deleted(
    tune: FineTune, sandbox: Sandbox, builder: User, visit: Callable[..., Site]
) -> None:
    site = visit()
    site.sign_in(builder)
    page = site.open(reverse("datasets:finetune", args=[tune.pk]))
    _live(page, sandbox)
    site.check_accessibility()
    _deployed(page, sandbox)
    site.check_accessibility()
    _tried(page)
    site.check_accessibility()
    _traced(page)
    _deleted(page)
    narrow = visit(420, 900, dark=True)
    narrow.sign_in(builder)
    narrow.open(reverse("datasets:finetune", args=[tune.pk]))
    expect(narrow.page.locator("#lineage .node").first).to_be_visible()
    narrow.check_accessibility()


def _live(page: Page, sandbox: Sandbox) -> None:
    """The page follows by itself, and stops asking when the job has ended."""
    stages = page.get_by_role("list", name="Stages")
    seen_upstream(sandbox, 25)
    expect(page.locator(".subtitle .st")).to_contain_text(re.compile(r"Training: step \d+ of \d+, loss"))
    expect(stages.locator("[aria-current=step]")).to_contain_text("Train")
    expect(page.locator("figure[data-drawn]").first).to_be_visible()
    seen_upstream(sandbox, 60)
    expect(page.get_by_role("link", name="Deploy", exact=True)).to_be_visible()
    expect(page.locator(".subtitle .st")).to_have_text("Succeeded")
    expect(page.locator("#job")).not_to_have_attribute("hx-get", re.compile("."))
    expect(page.get_by_label("Events")).to_contain_text("The job has successfully completed")


def _deployed(page: Page, sandbox: Sandbox) -> None:
    page.get_by_role("link", name="Deploy", exact=True).click()
    page.get_by_label("Deployment name").fill("student")
    page.get_by_role("button", name="Deploy").click()
    page.get_by_role("dialog").get_by_role("button", name="Deploy").click()
    expect(page.get_by_text("Azure creates the deployment")).to_be_visible()

    def ended() -> bool:
        provider.advance(sandbox, 2)
        return not material.step(deploy.KIND).is_live

    provider.wait_until(ended)
    expect(page.get_by_role("link", name="Try it")).to_be_visible()


def _tried(page: Page) -> None:
    """A row's prompt, answered by both beside what is known."""
    page.get_by_role("link", name="Try it").click()
    page.get_by_role("link", name="Load a row").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(re.compile(r"What is an? \w+\? \(\d+\)"))
    page.get_by_role("button", name="Ask", exact=True).click()
    for side in ("Student", "Teacher"):
        answer = page.get_by_role("article").filter(has=page.get_by_role("heading", name=side))
        expect(answer.get_by_role("button", name="Ask again")).to_be_visible()
        expect(answer).to_contain_text(re.compile(r"\d+ in, \d+ out"))
    expect(page.get_by_role("heading", name="The known answer")).to_be_visible()


def _traced(page: Page) -> None:
    """From the deployment back to its dataset by the graph."""
    page.get_by_role("link", name="student", exact=True).click()
    graph = page.get_by_role("region", name="From completions to evaluations")
    expect(graph.locator("[aria-current=true]")).to_contain_text("student")
    graph.get_by_role("link", name=re.compile("Summaries v1")).click()
    expect(page).to_have_url(re.compile(r"/datasets/\d+/v1/"))
    page.go_back()
    expect(graph.locator("[aria-current=true]")).to_contain_text("student")


def _deleted(page: Page) -> None:
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete it").click()
    expect(page.get_by_text("Azure deletes the deployment")).to_be_visible()
    material.drain(kinds=[undeploy.KIND])
    expect(page.get_by_text("It was deleted")).to_be_visible()
    assert Deployment.objects.get().state == Deployment.State.DELETED
