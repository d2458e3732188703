"""Deleting and writing metadata as a person does it: from ticked rows to the receipt."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from completions import deleting
from completions.models import ChangeOrder, StoredCompletion
from portal.models import Connection, User
from portal.sandbox import Sandbox
from tests.browser.conftest import Site
from tests.completions.changing import answers, copies, metadata_of, own_folder, work_off
from tests.completions.mirroring import hurry

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _here(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_folder(settings, tmp_path / "files")
    hurry(monkeypatch)


@pytest.fixture
def source(sandbox: Sandbox, connect_to: Callable[..., Connection]) -> Connection:
    return connect_to(sandbox, name="Source")


def test_ticked_rows_are_deleted_once_their_number_is_typed_and_the_receipt_lists_them(
    sandbox: Sandbox,
    source: Connection,
    builder: User,
    live_site: Site,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(deleting, "TYPED_ABOVE", 1)
    rows = copies(source, sandbox, "azure-v1", 3)
    live_site.sign_in(builder)
    page = live_site.open("/completions/")
    for at in (0, 1):
        page.locator("tbody tr input[type=checkbox]").nth(at).check()
    page.locator("#bulk summary").first.click()
    page.locator("#bulk button[value=delete]").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Delete 2 completions?")
    live_site.check_accessibility("#dialog")
    dialog.get_by_text("Upstream and here").click()
    dialog.get_by_label("Type 2 to go on").fill("3")
    dialog.get_by_role("button", name="Delete 2").click()
    expect(dialog).to_contain_text("Nothing was deleted")
    expect(dialog.get_by_role("radio", name="Upstream and here")).to_be_checked()
    assert not ChangeOrder.objects.exists()
    dialog.get_by_label("Type 2 to go on").fill("2")
    dialog.get_by_role("button", name="Delete 2").click()
    expect(page.get_by_role("heading", name="Deletion of 2 completions")).to_be_visible()
    work_off(ChangeOrder.objects.get())
    expect(page.get_by_role("link", name="Download")).to_be_visible()
    live_site.check_accessibility()
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download").click()
    downloading.value.save_as(tmp_path / "receipt.jsonl")
    _, *lines = (tmp_path / "receipt.jsonl").read_text().splitlines()
    gone = {row.upstream_id for row in rows} - {row.upstream_id for row in StoredCompletion.objects.all()}
    assert len(gone) == 2
    assert {(json.loads(line)["id"], json.loads(line)["status"]) for line in lines} == {
        (name, 200) for name in gone
    }
    assert set(answers(sandbox, "DELETE")) == {(name, 200) for name in gone}


def test_metadata_of_one_completion_is_written_from_its_drawer(
    sandbox: Sandbox, source: Connection, builder: User, live_site: Site
) -> None:
    row = copies(source, sandbox, "azure-v1", 1)[0]
    live_site.sign_in(builder)
    page = live_site.open(f"{row.get_absolute_url()}?tab=details")
    page.get_by_role("link", name="Edit", exact=True).click()
    expect(page.get_by_role("heading", name="Edit metadata")).to_be_visible()
    live_site.check_accessibility()
    free = page.locator("input[name=key]").nth(len(row.metadata))
    free.fill("checked")
    page.locator("input[name=value]").nth(len(row.metadata)).fill("yes")
    free.press("Enter")
    expect(page.get_by_role("heading", name="Change of metadata of 1 completion")).to_be_visible()
    work_off(ChangeOrder.objects.get())
    expect(page.get_by_role("link", name="Download")).to_be_visible()
    page.get_by_role("link", name="Open the completion").click()
    expect(page.locator(".drawer")).to_contain_text("checked")
    assert metadata_of(sandbox, row.upstream_id) == row.metadata | {"checked": "yes"}
