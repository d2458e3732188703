"""Walk a running demo as its operator: photograph every kind of page, check accessibility and CSP.

    python -m tests.screens DATA_DIR OUT_DIR                         every page, in two themes and widths
    python -m tests.screens DATA_DIR --picture FILE.png              the pane, as in README.md
    python -m tests.screens DATA_DIR --picture FILE.png --page PATH  another page, as in docs/evaluations.md

Pages are found by following links from the rail; one page is taken for each shape of address.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Error, Page, Playwright, sync_playwright

from tests import servers

START = ("/completions/", "/datasets/", "/fine-tunes/", "/evaluations/", "/connections/", "/operations/")
SKIP = re.compile(r"/(logout|download|static|healthz|readyz|results)\b|\.(jsonl|csv|gz)$")
VIEWS = tuple((scheme, width) for scheme in ("light", "dark") for width in (1440, 420))
HEIGHT = 900


def shape(path: str) -> str:
    """The address with everything that names one row taken out, so that each kind of page is met once."""
    path = re.sub(r"/[0-9a-f]{8}-[0-9a-f-]{27}(?=/)", "/<uuid>", path)
    path = re.sub(r"^/completions/[^/]+/[^/]+/", "/completions/<connection>/<id>/", path)
    path = re.sub(r"^/connections/(?!new)[^/]+/", "/connections/<slug>/", path)
    path = re.sub(r"^/admin/.*", "/admin/…", path)
    return re.sub(r"\d+", "<n>", path)


def launch(playwright: Playwright) -> Browser:
    chromium = servers.find_chromium()
    if chromium is None:
        sys.exit("no Chromium: `apt-get install chromium`, or set CHROMIUM to the path of one")
    return playwright.chromium.launch(
        executable_path=chromium.path,
        args=["--no-sandbox"] if os.geteuid() == 0 else [],
        env={**os.environ, **chromium.environment},
    )


def sign_in(browser: Browser, demo: dict[str, str], scheme: str, width: int) -> BrowserContext:
    """A signed-in browser window of one width and colour scheme."""
    context = browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": HEIGHT},
        locale="en-US",
        timezone_id="UTC",
    )
    page = context.new_page()
    page.goto(demo["url"] + "/accounts/login/")
    page.fill("input[name=login]", demo["user"])
    page.fill("input[name=password]", demo["password"])
    page.press("input[name=password]", "Enter")
    page.wait_for_url(re.compile("/completions/"))
    return context


def find_pages(page: Page, url: str) -> dict[str, str]:
    """Address shape → one address of it, breadth first from the rail."""
    found: dict[str, str] = {}
    waiting = list(START)
    while waiting:
        path = waiting.pop(0)
        key = shape(urlsplit(path).path)
        if key in found or SKIP.search(path):
            continue
        try:
            answer = page.goto(url + path)
        except Error:  # it is a file, and a download begins
            continue
        if answer is None or "text/html" not in answer.headers.get("content-type", ""):
            continue
        found[key] = path
        links = page.eval_on_selector_all(
            "a[href]:not([download])",
            "links => links.map(link => new URL(link.getAttribute('href'), location.href).href)",
        )
        waiting += [
            urlsplit(link).path
            for link in links
            if link.startswith(url) and shape(urlsplit(link).path) not in found
        ]
    return found


def inspect(page: Page, url: str) -> Iterator[str]:
    """Everything that is wrong with one page as it stands."""
    complaints: list[str] = []
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(url)
    page.wait_for_load_state("networkidle")
    yield from complaints
    for violation in Axe().run(page).response["violations"]:
        nodes = [" ".join(node["target"]) for node in violation["nodes"][:3]]
        yield f"axe {violation['id']} ({len(violation['nodes'])}): {'; '.join(nodes)}"
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        yield "the page scrolls sideways"


def photograph(demo: dict[str, str], folder: Path) -> int:
    """Every page in every view; prints what is wrong and returns how many pages have a complaint."""
    folder.mkdir(parents=True, exist_ok=True)
    bad = 0
    with sync_playwright() as playwright:
        browser = launch(playwright)
        pages: dict[str, str] = {}
        for scheme, width in VIEWS:
            context = sign_in(browser, demo, scheme, width)
            pages = pages or find_pages(context.pages[0], demo["url"])
            for key, path in pages.items():
                page = context.new_page()
                wrong = list(inspect(page, demo["url"] + path))
                name = re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-") or "home"
                page.screenshot(path=str(folder / f"{name}-{scheme}-{width}.png"))
                page.close()
                bad += bool(wrong)
                for complaint in wrong:
                    sys.stdout.write(f"{scheme} {width} {path}: {complaint}\n")
            context.close()
        sys.stdout.write(
            f"{len(pages)} pages in {len(VIEWS)} views, {bad} with complaints, pictures in {folder}\n"
        )
        browser.close()
    return bad


def open_pane(page: Page, url: str) -> None:
    """The pane with a filter and one conversation open."""
    page.goto(f"{url}/completions/?q=meta.category%3Adocs-test+model%3Agpt-4o-2024-08-06")
    for row in (1, 2, 4):
        page.locator("#results tbody input").nth(row).check()
    page.locator("#results tbody a.io", has_text="Summarise").nth(1).click()
    page.locator("#drawer .msg").first.wait_for()


def take_picture(demo: dict[str, str], file: Path, path: str | None) -> None:
    """The page of this path, else the pane."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = sign_in(browser, demo, "light", 1440).pages[0]
        if path:
            page.goto(demo["url"] + path)
        else:
            open_pane(page, demo["url"])
        page.wait_for_load_state("networkidle")
        page.screenshot(path=str(file))
        browser.close()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("out_dir", type=Path, nargs="?")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--page")
    options = parser.parse_args(arguments)
    demo = json.loads((options.data_dir / "demo.json").read_text())
    demo["url"] = demo["url"].rstrip("/")
    if options.picture:
        take_picture(demo, options.picture, options.page)
        return 0
    return 1 if photograph(demo, options.out_dir or options.data_dir / "screens") else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
