"""How soon the next completion is there for somebody who reviews by keyboard, in a real browser:
`python -m tests.bench next [--presses N]`, on the pane benchmark's mirror of 100,000 rows on SQLite.

Timed in the page, from the key to the first frame that shows the other completion. Read: J after half a
second, as a fast reader presses it, so that the row was fetched ahead. Hurried: J again at once, when nothing
could be fetched ahead. Judged: A (approve), then J as soon as the state shows it.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests import servers
from tests.bench import render, work_table
from tests.bench.pane import machine
from tests.bench.pane_places import HOME, ROOT, Place
from tests.bench.peers_ours import Ours

STEP = 100_000
# Resolves to milliseconds between the key and the frame after the drawer shows another completion.
WATCH = """() => {
  const key = () => document.querySelector("#drawer .drawer")?.dataset.key;
  const before = key();
  window.shown = new Promise((told) => {
    let pressed = 0;
    addEventListener("keydown", () => { pressed = performance.now(); }, { once: true, capture: true });
    const look = () => {
      if (key() === before || !key()) return;
      watcher.disconnect();
      requestAnimationFrame(() => setTimeout(() => told(performance.now() - pressed)));
    };
    const watcher = new MutationObserver(look);
    watcher.observe(document.getElementById("drawer"), { childList: true, subtree: true, attributes: true });
  });
}"""
APPROVED = "#review-approved[aria-pressed=true]"


def press_j(page: Page) -> float:
    page.evaluate(WATCH)
    page.keyboard.press("j")
    took: float = page.evaluate("window.shown")
    return took


def measure(page: Page, presses: int) -> dict[str, list[float]]:
    page.goto("/completions/")
    page.locator("[data-row] [data-drawer-open]").first.click()
    page.locator("#drawer .drawer").wait_for()
    found: dict[str, list[float]] = {"read": [], "hurried": [], "judged": []}
    for _ in range(presses):
        page.wait_for_timeout(500)
        found["read"].append(press_j(page))
    for _ in range(presses // 2):
        page.wait_for_timeout(500)
        press_j(page)
        found["hurried"].append(press_j(page))
    for _ in range(presses // 2):
        page.wait_for_timeout(500)
        page.keyboard.press("a")
        page.locator(APPROVED).wait_for()
        found["judged"].append(press_j(page))
    return found


def main(arguments: Sequence[str]) -> bool:
    """Measure, keep and print it; True if the next row is there within 150 ms for a reader (p95)."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench next", description=__doc__)
    parser.add_argument("--presses", type=int, default=40)
    options = parser.parse_args(arguments)
    source, chromium = HOME / f"sqlite-{STEP}", servers.find_chromium()
    if not (source / "portal.sqlite3").exists() or chromium is None:
        print(f"It takes a Chromium and the mirror in {source}, which `… pane --rows {STEP}` builds.")
        return False
    with tempfile.TemporaryDirectory(prefix="next-bench-") as name:
        folder = Path(name) / "mirror"
        shutil.copytree(source, folder)
        with Place.opened("sqlite", folder) as place, sync_playwright() as playwright:
            subprocess.run(
                [sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=place.environment, check=True
            )
            place.read("tests.bench.peers_session", "reviewer")
            site = Ours(place)
            browser = playwright.chromium.launch(
                executable_path=chromium.path, args=["--no-sandbox", "--disable-dev-shm-usage"]
            )
            try:
                address = f"http://localhost:{site.port}"
                context = browser.new_context(base_url=address, viewport={"width": 1440, "height": 900})
                key, _, value = site.cookie.partition("=")
                context.add_cookies([{"name": key, "value": value, "url": address}])
                times = measure(context.new_page(), options.presses)
            finally:
                browser.close()
                site.stop()
    found: dict[str, Any] = {
        name: {
            "median": median(some), "p95": quantiles(some, n=20, method="inclusive")[-1], "runs": len(some),
        }
        for name, some in times.items()
    }  # fmt: skip
    result = {"rows": STEP, "machine": machine(), **found}
    (HOME / "results" / f"next-sqlite-{STEP}.json").write_text(json.dumps(result, indent=1))
    print("\n".join(work_table.next_row(HOME)))
    render.write(render.DOCUMENT, HOME)
    return bool(found["read"]["p95"] <= work_table.NEXT_MS)
