"""Untrusted text to safe HTML.

Everything a model or a user wrote goes through here on its way to a page: markdown without HTML, colours for
code, and the sanitiser last, with a short list of what may stay. No images, no relative links, nothing that a
script listens to.
"""

import html
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import find_lexer_class_by_name
from pygments.token import STANDARD_TYPES
from pygments.util import ClassNotFound

from portal.hidden import breakable, hold, show

RICH_BYTES: Final = 64_000
RICH_PIPES: Final = 2_000
PLAIN_CHARACTERS: Final = 500_000
COLOURED_CHARACTERS: Final = 20_000

Render = Callable[[str], SafeString]

_CLASSES = frozenset(STANDARD_TYPES.values()) - {""} | {"hl", "host"}
_FORMAT = HtmlFormatter(nowrap=True)
# Encoded data, say: `plain` can break it. Text in scripts without spaces is no word of that kind.
# One line in which markdown means nothing, which is most of what people ask: there is nothing to parse.
_ORDINARY = re.compile(r"[^\W\d_][^\\`*_\[\]<~&\r\n]*")
_LONG_WORD = re.compile(r"[!-~]{2000}|\S{10000}")


def rich(text: str) -> SafeString:
    """Markdown as HTML; text too big to render in a reasonable time is shown plain and says so."""
    if len(text.encode(errors="replace")) > RICH_BYTES or text.count("|") > RICH_PIPES:
        return plain(text, note="Shown without formatting because it is long.")
    if _LONG_WORD.search(text):
        return plain(text, note="Shown without formatting because it holds a very long word.")
    return mark_safe(_rich(text))  # noqa: S308  # nh3 sanitised it, show() adds only our own chips


def plain(text: str, note: str = "") -> SafeString:
    """The text as it is, line breaks kept."""
    cut = len(text) - PLAIN_CHARACTERS
    if cut > 0:
        text, note = text[:PLAIN_CHARACTERS], f"{cut:,} more characters are not shown here."
    tail = f'<p class="cut">{html.escape(note)}</p>' if note else ""
    body = f'<pre class="untrusted plain" dir="auto">{escaped(text)}</pre>'
    return mark_safe(body + tail)  # noqa: S308  # escaped above


def code(text: str, language: str) -> SafeString:
    """Source code with colours; of a very long one the beginning."""
    cut = len(text) - COLOURED_CHARACTERS
    held = breakable(hold(text[:COLOURED_CHARACTERS]))
    body = show(highlight(held, _lexer(language)(), _FORMAT))
    tail = f'<p class="cut">{cut:,} more characters are not shown here.</p>' if cut > 0 else ""
    page = f'<pre class="untrusted mono hl" tabindex="0">{body}</pre>{tail}'
    return mark_safe(page)  # noqa: S308  # Pygments escapes, show() adds only our own chips


def line(text: str, length: int = 300) -> SafeString:
    """One line of a long text, for lists."""
    return mark_safe(f'<bdi dir="auto">{escaped(shortened(text, length))}</bdi>')  # noqa: S308  # escaped


def shortened(text: str, length: int) -> str:
    """The beginning of `text` on one line, at most `length` characters."""
    short = " ".join(text[: length * 4].split())
    return short if len(short) <= length else f"{short[: length - 1]}…"


def escaped(text: str) -> str:
    """`text` as HTML text, hidden characters as chips."""
    return show(html.escape(breakable(hold(text))))


# -- markdown ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _rich(text: str) -> str:
    held = hold(text)
    if _ORDINARY.fullmatch(held):
        return f'<div class="untrusted" dir="auto"><p>{show(html.escape(held.rstrip()))}</p>\n</div>'
    try:
        raw = _markdown().render(held)
    except RecursionError:
        raw = f"<pre>{html.escape(held)}</pre>"
    return f'<div class="untrusted" dir="auto">{show(_CLEANER.clean(raw))}</div>'


def _allowed(tag: str, attribute: str, value: str) -> str | None:
    if attribute == "class":
        return value if set(value.split()) <= _CLASSES else None
    if attribute == "tabindex":
        return "0"
    if attribute == "start":
        return value if value.isdecimal() else None
    return value


_CLEANER = nh3.Cleaner(
    tags={
        *(
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
            "a",
        ),
        *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
    },
    attributes={
        "a": {"href"},
        "span": {"class"},
        "pre": {"class", "tabindex"},
        "table": {"tabindex"},
        "ol": {"start"},
    },
    attribute_filter=_allowed,
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
    link_rel="noopener noreferrer nofollow",
    set_tag_attribute_values={"a": {"target": "_blank"}},
    generic_attribute_prefixes=set(),
)


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "highlight": _coloured, "maxNesting": 40})
    markdown.enable(["table", "strikethrough"])
    markdown.add_render_rule("link_close", _close_link)
    markdown.add_render_rule("image", _link_instead_of_image)
    markdown.add_render_rule("code_block", _code_block)
    markdown.add_render_rule("table_open", lambda *_: '<table tabindex="0">')
    return markdown


@lru_cache(maxsize=256)
def _lexer(language: str) -> type[Lexer]:
    found: type[Lexer] = find_lexer_class_by_name(language)
    return found


def _coloured(code: str, language: str, _attributes: str) -> str:
    if language and len(language) <= 40 and len(code) <= COLOURED_CHARACTERS:
        try:
            code = highlight(code, _lexer(language)(stripnl=False), _FORMAT)
        except ClassNotFound:
            code = html.escape(code)
    else:
        code = html.escape(code)
    return f'<pre class="hl" tabindex="0"><code>{code}</code></pre>'


def _code_block(_self: RendererHTML, tokens: Sequence[Token], place: int, *_: Any) -> str:
    return f'<pre tabindex="0"><code>{html.escape(tokens[place].content)}</code></pre>'


def _close_link(_self: RendererHTML, tokens: Sequence[Token], place: int, *_: Any) -> str:
    """Say where a link leads, unless its text already is the address."""
    opened = next((token for token in reversed(tokens[:place]) if token.type == "link_open"), None)
    href = str(opened.attrGet("href") or "") if opened else ""
    text = "".join(token.content for token in tokens[place - 1 : place])
    return "</a>" if text == href else f"</a>{_host(href)}"


def _link_instead_of_image(_self: RendererHTML, tokens: Sequence[Token], place: int, *_: Any) -> str:
    href = str(tokens[place].attrGet("src") or "")
    text = html.escape(tokens[place].content or "image")
    return f'<a href="{html.escape(href)}">{text}</a>{_host(href, "image on ")}'


def _host(href: str, before: str = "") -> str:
    try:
        parts = urlsplit(href)
    except ValueError:
        return ""
    where = parts.path if parts.scheme == "mailto" else parts.netloc.rpartition("@")[2]
    return f' <span class="host">({html.escape(before + where)})</span>' if where else ""
