"""The whole loop as a person goes through it: filter, select, distill, watch, deploy, evaluate, read.

Steps on a signed-in page of a running demo; each ends where the next begins.
"""

import re
from time import monotonic

from playwright.sync_api import Locator, Page, expect

PATIENCE = 90_000  # ms: a build, a job or a deployment on a busy machine


def sign_in(page: Page, url: str, user: str, password: str) -> None:
    """From the sign-in page to the pane."""
    page.goto(url)
    page.get_by_label("User name or email").fill(user)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Stored completions")).to_be_visible()


def wait_for_rows(page: Page, at_least: int) -> None:
    """The first rows appear by themselves while the sync runs; then until it has brought that many."""
    expect(page.locator("#results tbody tr").first).to_be_visible(timeout=PATIENCE)
    deadline = monotonic() + PATIENCE / 1000
    while int(page.locator("#results").get_attribute("data-total") or 0) < at_least:
        assert monotonic() < deadline, "the sync does not get on"
        page.wait_for_timeout(500)
        page.reload()


def select_all(page: Page, q: str) -> None:
    """Type a filter, and select everything that matches it."""
    page.get_by_label("Search text, or type a field").fill(q)
    page.get_by_label("Search text, or type a field").press("Enter")
    page.wait_for_url(re.compile("q="))
    page.get_by_label("Select this page").check()
    page.locator("[data-selection-all]").click()


def confirm(page: Page, verb: str) -> int:
    """Open the confirmation of `verb`, agree; returns how many completions it counted."""
    page.locator("#bulk").get_by_role("button", name=verb).click()
    dialog = page.get_by_role("dialog")
    count = int(dialog.locator("#frozen-count").inner_text().replace(",", ""))
    dialog.get_by_role("link", name=re.compile(verb)).click()
    expect(page.get_by_role("heading", name=verb, exact=True)).to_be_visible()
    return count


def follow(page: Page, name: str) -> None:
    button(page, name).click()


def button(page: Page, name: str) -> Locator:
    """A button of the wizard, or a link that looks like one."""
    pattern = re.compile(name)
    return page.get_by_role("button", name=pattern).or_(page.get_by_role("link", name=pattern)).first


def distill(page: Page, *, model: str, suffix: str) -> None:
    """From the first step of the wizard to the page of the launched job."""
    follow(page, "Build the rows")
    expect(page.get_by_text(re.compile(r"rows are ready"))).to_be_visible(timeout=PATIENCE)
    follow(page, "Next")
    page.get_by_label(model, exact=False).first.check()
    follow(page, "Next")
    page.get_by_label("Suffix").fill(suffix)
    follow(page, r"Launch on")
    expect(page.get_by_role("list", name="Stages")).to_be_visible()


def wait_for_model(page: Page) -> None:
    """On the page of a job: until it has succeeded, and can be deployed."""
    expect(page.get_by_role("link", name="Deploy", exact=True)).to_be_visible(timeout=4 * PATIENCE)
    expect(page.locator("[data-chart]").first).to_be_visible()


def deploy(page: Page, name: str) -> None:
    """From the page of a finished job to a deployment that answers."""
    page.get_by_role("link", name="Deploy", exact=True).click()
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Deploy").click()
    page.get_by_role("dialog").get_by_role("button", name="Deploy").click()
    expect(page.get_by_text("Use it")).to_be_visible(timeout=PATIENCE)


def evaluate(page: Page, *, teacher: str, student: str, metric: str) -> None:
    """From the first step of the wizard to the report of teacher against student."""
    follow(page, "Next")
    page.locator("input[name=reference][value=answer]").check()
    follow(page, "Next")
    page.locator("input[name=first_model]").fill(teacher)
    page.locator("input[name=second_model]").fill(student)
    follow(page, "Next")
    page.locator("select[name$=evaluation_metric]").first.select_option(metric)
    follow(page, "Next")
    follow(page, "Run")
    expect(page.get_by_role("heading", name="Rows")).to_be_visible(timeout=2 * PATIENCE)
