"""One command on an empty folder, then the whole loop in a browser: from the first sync to the report."""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection
from playwright.sync_api import expect

from tests.browser import journey
from tests.browser.conftest import Site
from tests.portal.test_up import Running

pytestmark = [pytest.mark.slow, pytest.mark.engines]
DATABASE = "whole_loop"
TEACHER, STUDENT = "gpt-4o", "docs-student"
LESSONS = "meta.category:docs-test connection:sandbox"


def pass_rate(site: Site, target: str) -> float:
    """The share of answers of one target that passed, as the report's table of pass rates says it."""
    difference = site.page.get_by_role("columnheader", name="Difference")
    table = site.page.get_by_role("table").filter(has=difference)
    names = table.get_by_role("columnheader").all_inner_texts()
    cell = table.locator("tbody tr").first.locator("td, th").nth(names.index(target))
    found = re.search(r"([\d.]+)%", cell.inner_text())
    assert found, cell.inner_text()
    return float(found[1])


@pytest.fixture
def servers(django_db_blocker: Any) -> Iterator[dict[str, str]]:
    """The environment of the demo: empty, or an empty database and the broker of the second pass."""
    address = urlsplit(os.environ["DATABASE_URL"])
    if not address.scheme.startswith("postgres"):
        yield {}
        return
    with django_db_blocker.unblock():
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {DATABASE}")
        yield {
            "DATABASE_URL": address._replace(path=f"/{DATABASE}").geturl(),
            **{name: os.environ[name] for name in ("BROKER_URL", "SECRET_KEY", "FIELD_KEYS")},
        }
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


def test_the_whole_loop_from_one_command(
    tmp_path: Path, visit: Callable[..., Site], servers: dict[str, str]
) -> None:
    demo = Running("demo", tmp_path / "demo", "--rows", "400", "--job-seconds", "8", **servers)
    try:
        demo.wait_until_ready()
        told = json.loads((tmp_path / "demo" / "demo.json").read_text())
        site = visit()
        page = site.page
        journey.sign_in(page, told["url"], told["user"], told["password"])
        journey.wait_for_rows(page, 520)

        journey.select_all(page, LESSONS)
        chosen = journey.confirm(page, "Distill")
        assert chosen >= 100
        journey.distill(page, model="gpt-4.1-mini", suffix="docs")
        journey.wait_for_model(page)
        journey.deploy(page, STUDENT)

        page.goto(told["url"])
        journey.select_all(page, LESSONS)
        assert journey.confirm(page, "Evaluate") == chosen
        journey.evaluate(page, teacher=TEACHER, student=STUDENT, metric="rouge_l")
        # Trained on a hundred good answers, the student comes close; the base model would be far behind.
        assert pass_rate(site, TEACHER) >= 80
        assert pass_rate(site, STUDENT) >= 60
        expect(page.locator("#rows tbody tr").first).to_be_visible()
        site.check_accessibility()
    finally:
        demo.stop()
