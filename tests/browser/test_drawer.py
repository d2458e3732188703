"""The drawer in a real browser: find, fold, copy, raw text, the JSON tree, and going through the rows."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Request, expect

from completions.models import Body, StoredCompletion
from completions.raw import pack
from portal.models import Connection, User
from tests import factories
from tests.browser.conftest import Site
from tests.browser.looks import in_looks
from tests.factories import make_completion

Visit = Callable[..., Site]
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAf"
    "FcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
MARKDOWN = """The planner expects **most rows** to match, so a sequential scan is cheaper. Check first:

```sql
EXPLAIN (ANALYZE, BUFFERS)
SELECT * FROM events
WHERE created_at > now() - '30 days'::interval;
```

If the estimate is far off, run `ANALYZE events`. Otherwise:

1. Narrow the range, or add a partial index.
2. Lower `random_page_cost`, see [the manual](https://www.postgresql.org/docs/).

| Setting | Value |
|---------|-------|
| jit     | off   |
"""


def call(identity: str, name: str, **arguments: Any) -> dict[str, Any]:
    return {
        "id": identity,
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    }


def open_one(site: Site, person: User, made: StoredCompletion, query: str = "") -> Page:
    site.sign_in(person)
    return site.open(made.get_absolute_url() + query)


def painted(page: Page, name: str) -> int:
    size: int = page.evaluate("name => CSS.highlights.get(name)?.size ?? 0", name)
    return size


def clipboard(page: Page) -> str:
    expect(page.locator(".toast").last).to_contain_text("Copied.")
    text: str = page.evaluate("navigator.clipboard.readText()")
    page.locator(".toast").last.get_by_role("button").click()
    return text


@pytest.fixture
def made(db: None) -> StoredCompletion:
    return make_completion(
        prompt="Why does my query ignore the index?", answer=MARKDOWN, metadata={"team": "data"}
    )


def test_find_marks_every_hit_and_goes_through_them(live_site: Site, builder: User) -> None:
    made = make_completion(prompt="An apple, an APPLE pie", answer="**App**le and `apple`; a pear.")
    page = open_one(live_site, builder, made)
    page.locator("#drawer .db").focus()
    page.keyboard.press("/")
    expect(page.locator("#find-inside")).to_be_focused()
    page.keyboard.type("apple")
    count = page.locator("[data-find-count]")
    expect(count).to_have_text("1 of 4")
    assert painted(page, "found") == 4
    page.keyboard.press("Enter")
    expect(count).to_have_text("2 of 4")
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    expect(count).to_have_text("4 of 4")
    page.get_by_role("button", name="Next hit").click()
    expect(count).to_have_text("1 of 4")
    page.locator("#find-inside").fill("plum")
    expect(count).to_have_text("No hits")
    page.locator("#find-inside").focus()
    page.keyboard.press("Escape")
    expect(page.locator("#find-inside")).to_have_value("")
    expect(count).to_have_text("")
    assert painted(page, "found") == 0
    page.keyboard.press("Escape")
    expect(page.locator("#drawer .db")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#drawer .drawer")).to_have_count(0)


def test_find_looks_into_what_is_folded(live_site: Site, builder: User) -> None:
    talk = [{"role": ("user", "assistant")[n % 2], "content": f"turn {n}"} for n in range(120)]
    talk[60]["content"] = "word " * 2_000 + "needle"
    page = open_one(live_site, builder, make_completion(messages=talk))
    expect(page.locator("#talk .gap")).to_contain_text("70 messages between are folded")
    page.locator("#find-inside").fill("needle")
    expect(page.locator("[data-find-count]")).to_have_text("1 of 1")
    expect(page.locator("#talk .gap")).to_have_count(0)
    expect(page.locator("#m60")).to_be_in_viewport()


def test_long_messages_and_conversations_unfold(live_site: Site, builder: User) -> None:
    talk = [{"role": ("user", "assistant")[n % 2], "content": f"turn {n}"} for n in range(100)]
    talk[0]["content"] = "\n".join(f"line {n:04}" for n in range(1_200))
    page = open_one(live_site, builder, make_completion(messages=talk))
    expect(page.locator("#talk")).not_to_contain_text("line 1199")
    page.get_by_role("link", name="Show all 11,999 characters").click()
    expect(page.locator("#m0")).to_contain_text("line 1199")
    expect(page.locator("#drawer .db")).to_be_focused()
    expect(page.locator("#m50")).to_have_count(0)
    page.get_by_role("link", name="Show all 50").click()
    expect(page.locator("#m50")).to_contain_text("turn 50")


def test_a_completion_is_copied_as_code_text_and_json(
    live_site: Site, builder: User, made: StoredCompletion
) -> None:
    live_site.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = open_one(live_site, builder, made)

    def copy(name: str) -> str:
        page.locator("#drawer summary[aria-label=Copy]").click()
        page.locator("#drawer .menu").get_by_role("button", name=name).click()
        return clipboard(page)

    python = copy("Copy as Python")
    compile(python, "copied", "exec")
    assert "Why does my query ignore the index?" in python
    assert "store=False" in python
    assert "key-of-a-test" not in python
    assert "<<'JSON'" in copy("Copy as curl")
    assert copy("Copy the answer") == MARKDOWN
    assert json.loads(copy("Copy the JSON"))["id"] == made.upstream_id
    assert copy("Copy the id") == made.upstream_id
    assert copy("Copy the address") == live_site.address + made.get_absolute_url()
    page.locator("#m0").hover()
    page.get_by_role("button", name="Copy the message of User").click()
    assert clipboard(page) == "Why does my query ignore the index?"


def test_raw_text_stays_raw_from_row_to_row(live_site: Site, builder: User) -> None:
    first = make_completion(created=20, answer="**one**")
    make_completion(created=10, answer="**two**")
    page = open_one(live_site, builder, first)
    expect(page.locator("#talk strong")).to_have_text("one")
    page.locator("#drawer").get_by_role("link", name="Raw").click()
    expect(page.locator("#talk")).to_contain_text("**one**")
    page.locator("#drawer .db").focus()
    page.keyboard.press("j")
    expect(page.locator("#talk")).to_contain_text("**two**")


def test_the_next_row_is_there_before_it_is_asked_for(live_site: Site, builder: User) -> None:
    where = factories.connection()
    rows = [make_completion(where, created=n, prompt=f"Question {n}") for n in range(4)]
    live_site.sign_in(builder)
    page = live_site.page
    asked: list[str] = []

    def listen(request: Request) -> None:
        if "chatcmpl" in request.url:
            asked.append(request.url)

    page.on("request", listen)
    with page.expect_response(re.compile(re.escape(rows[2].upstream_id))):
        live_site.open(rows[3].get_absolute_url())
    title = page.locator("#drawer h2")
    for n in (2, 1, 0):
        ahead = page.expect_response(re.compile(re.escape(rows[n - 1].upstream_id))) if n else None
        if ahead:
            with ahead:
                page.keyboard.press("j")
        else:
            page.keyboard.press("j")
        expect(title).to_have_text(f"Question {n}")
        expect(page).to_have_url(live_site.address + rows[n].get_absolute_url())
    for row in rows:
        assert sum(row.upstream_id in url for url in asked) == 1
    page.go_back()
    expect(title).to_have_text("Question 1")
    page.go_back()
    expect(title).to_have_text("Question 2")


def test_what_is_looked_for_is_found_in_the_next_row_too(live_site: Site, builder: User) -> None:
    first = make_completion(created=20, prompt="a pear")
    make_completion(created=10, prompt="pear and pear")
    page = open_one(live_site, builder, first)
    page.locator("#find-inside").fill("pear")
    expect(page.locator("[data-find-count]")).to_have_text("1 of 1")
    page.get_by_role("link", name="Next (J)").click()
    expect(page.locator("[data-find-count]")).to_have_text("1 of 2")
    expect(page.locator("#find-inside")).to_have_value("pear")


def test_words_of_the_filter_are_marked_inside_too(live_site: Site, builder: User) -> None:
    made = make_completion(prompt="An apple and a pineapple", answer="**Apple** pie")
    page = open_one(live_site, builder, made, "?q=apple")
    expect(page.locator("#talk")).to_contain_text("pineapple")
    page.wait_for_function("CSS.highlights.get('matched')?.size === 2")
    page.keyboard.press("Escape")
    assert painted(page, "matched") == 0


def test_focus_goes_into_the_drawer_and_back_to_the_row(live_site: Site, builder: User) -> None:
    rows = [make_completion(created=n, prompt=f"Question {n}") for n in range(3)]
    live_site.sign_in(builder)
    page = live_site.open("/completions/")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("#drawer h2")).to_be_focused()
    page.keyboard.press("j")
    expect(page.locator("#drawer h2")).to_have_text("Question 1")
    expect(page.locator("#drawer h2")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(f"#row-{rows[1].pk} [data-drawer-open]")).to_be_focused()


def test_the_json_tree_folds_by_keyboard_and_copies(live_site: Site, builder: User) -> None:
    live_site.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    made = make_completion(item={"extra": {"list": list(range(450)), "it's": {"deep": ["<b>"]}}})
    page = open_one(live_site, builder, made, "?tab=json")
    tree = page.locator("[data-tree]").first
    tree.locator("summary").first.focus()
    page.keyboard.press("End")
    where = page.locator("[data-tree-where]").first
    expect(where).to_have_text("extra / it's / deep / 0")
    page.keyboard.press("ArrowLeft")
    expect(where).to_have_text("extra / it's / deep")
    page.keyboard.press("ArrowLeft")
    expect(tree.get_by_text("<b>")).to_be_hidden()
    page.keyboard.press("ArrowLeft")
    expect(where).to_have_text("extra / it's")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(tree.get_by_text("<b>")).to_be_visible()
    expect(where).to_have_text("extra / it's / deep / 0")
    page.get_by_role("button", name="Copy path").first.click()
    assert clipboard(page) == 'extra["it\'s"].deep[0]'
    page.get_by_role("button", name="Copy value").first.click()
    assert clipboard(page) == "<b>"
    tree.get_by_text("list: [450]").click()
    page.get_by_role("button", name="250 more").click()
    expect(tree).to_contain_text("399: 399")
    expect(page.get_by_role("button", name="50 more")).to_be_visible()


def test_a_tab_stays_in_the_address(live_site: Site, builder: User, made: StoredCompletion) -> None:
    page = open_one(live_site, builder, made)
    page.locator("#drawer").get_by_role("link", name="Code").click()
    expect(page.locator("#drawer .db")).to_contain_text("from openai import OpenAI")
    page.reload()
    expect(page.locator("#drawer .db")).to_contain_text("from openai import OpenAI")
    page.go_back()
    expect(page.locator("#talk")).to_contain_text("The planner expects")


def pending(where: Connection) -> StoredCompletion:
    made = make_completion(where, messages_state="pending", prompt="")
    item = {"id": made.upstream_id, "choices": [{"message": {"role": "assistant", "content": "Early."}}]}
    Body.objects.filter(pk=made.pk).update(raw=pack(json.dumps(item).encode(), None))
    return made


@pytest.fixture
def states(db: None) -> dict[str, StoredCompletion]:
    """One completion for every look that the drawer has."""
    where = factories.connection()
    long = [{"role": ("user", "assistant")[n % 2], "content": f"Turn {n}. {MARKDOWN}"} for n in range(90)]
    long[1]["content"] = "A very long answer. " * 620
    refused = {
        "choices": [{"message": {"role": "assistant", "content": None, "refusal": "I cannot do that."}}]
    }
    asked = [call("call_1", "get_weather", city="Oslo"), call("call_2", "get_weather", city="Bergen")]
    smuggled = "Pay\u200b\u202e now\u00a0please " + "\u200b" * 30
    return {
        "plain": make_completion(where, prompt="Why does my query ignore the index?", answer=MARKDOWN),
        "long": make_completion(where, messages=long, answer=MARKDOWN),
        "tools": make_completion(
            where,
            messages=[
                {"role": "user", "content": "Weather in Oslo and Bergen?"},
                {"role": "assistant", "tool_calls": asked},
                {"role": "tool", "tool_call_id": "call_1", "content": '{"degrees": 12}'},
                {"role": "tool", "tool_call_id": "call_9", "content": "lost"},
            ],
            answer="12 degrees in Oslo.",
        ),
        "picture": make_completion(
            where,
            messages=[{"role": "user", "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": PIXEL}},
                {"type": "image_url", "image_url": {"url": "https://pictures.example.com/a.png"}},
                {"type": "hologram", "beam": 1},
            ]}],
        ),
        "refusal": make_completion(where, prompt="Do harm", item=refused),
        "hidden": make_completion(where, prompt=smuggled, answer="شكرا جزيلا لك"),
        "silent": make_completion(where, prompt="Say nothing", answer=""),
        "pending": pending(where),
        "gone": make_completion(where, gone_at="2026-01-01T00:00:00Z"),
    }  # fmt: skip


@in_looks
def test_every_state_of_the_drawer_is_accessible(
    visit: Visit, builder: User, states: dict[str, StoredCompletion], width: int, dark: bool
) -> None:
    site = visit(width=width, dark=dark)
    for name, made in states.items():
        page = open_one(site, builder, made)
        expect(page.locator("#drawer .drawer")).to_be_visible()
        site.check_accessibility("#drawer")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    for query in ("?tab=details", "?tab=json", "?tab=json&as=text", "?tab=code", "?text=raw"):
        page = open_one(site, builder, states["tools"], query)
        site.check_accessibility("#drawer")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), query
    page = open_one(site, builder, states["plain"])
    page.locator("#find-inside").fill("rows")
    expect(page.locator("[data-find-count]")).to_contain_text("of")
    inside = "document.querySelector('#drawer .segments').getBoundingClientRect().right <= innerWidth"
    assert page.evaluate(inside)
    site.check_accessibility("#drawer")
