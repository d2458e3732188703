"""Files into the portal and out of it, as a person takes them: preview, bad lines, download."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from completions.models import Export, StoredCompletion
from portal import steps
from portal.models import Operation, User
from tests.browser.conftest import Site
from tests.browser.looks import in_looks
from tests.completions.changing import own_folder

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _here(settings: Any, tmp_path: Path) -> None:
    own_folder(settings, tmp_path / "files")


def work_off() -> None:
    """Every operation that waits, here."""
    while (waiting := Operation.objects.live().first()) is not None:
        steps.work_on(waiting.pk)


def lines(folder: Path) -> Path:
    """Three examples, one of them with a hostile text, and a line that is no JSON."""
    path = folder / "examples.jsonl"
    said = ("Paris.", "<script>alert(1)</script>", "It is 4.")
    examples = [
        {"messages": [{"role": "user", "content": f"Question {n}"}, {"role": "assistant", "content": answer}]}
        for n, answer in enumerate(said)
    ]
    path.write_text("\n".join([*map(json.dumps, examples), "{broken"]))
    return path


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@in_looks
def test_a_file_is_looked_at_taken_found_and_exported(
    visit: Callable[..., Site], operator: User, tmp_path: Path, width: int, dark: bool
) -> None:
    site = visit(width=width, dark=dark)
    site.sign_in(operator)
    page = site.open("/completions/import/new/")
    site.check_accessibility()
    page.get_by_label("File", exact=True).set_input_files(lines(tmp_path))
    page.get_by_role("button", name="Upload and look").click()
    expect(page.get_by_role("heading", name="The worst lines")).to_be_visible()
    assert fits(page)
    site.check_accessibility()
    page.locator("[name=name]").fill("From a file")
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("heading", name="examples.jsonl")).to_be_visible()
    work_off()
    page.reload()
    expect(page.locator("main")).to_contain_text("1")
    assert StoredCompletion.objects.count() == 3
    site.check_accessibility()
    assert fits(page)

    site.open("/completions/")
    page.locator("tbody tr input[type=checkbox]").first.check()
    page.locator("#bulk summary").first.click()
    page.locator("#bulk button[value=export]").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Export 1 completion")
    site.check_accessibility("#dialog")
    dialog.get_by_role("button", name="Export 1").click()
    expect(page.get_by_role("heading", name="Exports")).to_be_visible()
    work_off()
    link = page.get_by_role("link", name="Download")
    expect(link).to_be_visible()  # the page looks again by itself
    with page.expect_download() as coming:
        link.click()
    made = Export.objects.get()
    assert hashlib.sha256(coming.value.path().read_bytes()).hexdigest() == made.sha256
    site.check_accessibility()
    assert fits(page)
