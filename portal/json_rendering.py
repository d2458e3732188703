"""JSON from outside as safe HTML: coloured text, or a tree that folds."""

import html
import json
from collections.abc import Iterator
from typing import Any, Final

from django.utils.safestring import SafeString, mark_safe
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from portal.hidden import breakable, hold, show
from portal.rendering import PLAIN_CHARACTERS, RICH_BYTES, escaped, plain

TREE_NODES: Final = 3_000
TREE_DEPTH: Final = 40
TREE_STRING: Final = 4_000

_FORMAT = HtmlFormatter(nowrap=True)


def load_json(text: str) -> Any:
    """The value in a JSON text; raises ValueError for everything that is none, too deep ones included."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def json_text(value: Any) -> SafeString:
    """A value as indented, coloured JSON; text that is no JSON is shown as it is."""
    try:
        value = load_json(value) if isinstance(value, str) else value
        text = json.dumps(value, indent=2, ensure_ascii=False)
    except (ValueError, RecursionError, TypeError):
        return plain(str(value))
    cut = len(text) - PLAIN_CHARACTERS
    text = breakable(hold(text[:PLAIN_CHARACTERS]))
    small = len(text) <= RICH_BYTES
    body = highlight(text, get_lexer_by_name("json"), _FORMAT) if small else html.escape(text)
    tail = f'<p class="cut">{cut:,} more characters are not shown here.</p>' if cut > 0 else ""
    page = f'<pre class="untrusted mono hl" tabindex="0">{show(body)}</pre>{tail}'
    return mark_safe(page)  # noqa: S308  # Pygments escapes, show() adds only our own chips


def json_tree(value: Any) -> SafeString:
    """A value as nested <details>; text that is no JSON is shown as it is."""
    try:
        value = load_json(value) if isinstance(value, str) else value
    except ValueError:
        return plain(str(value))
    rows = "".join(_nodes(None, value, 0, [TREE_NODES]))
    return mark_safe(f'<div class="json untrusted" tabindex="0">{rows}</div>')  # noqa: S308  # escaped in _nodes


def _nodes(key: str | int | None, value: Any, depth: int, budget: list[int]) -> Iterator[str]:
    budget[0] -= 1
    if not isinstance(value, dict | list) or not value:
        yield f'<div class="row">{label(key)}{scalar(value)}</div>'
        return
    unfolded = " open" if depth < 2 and len(value) <= 50 else ""
    yield f"<details{unfolded}><summary>{label(key)}{length(value)}</summary><div>"
    for shown, (name, child) in enumerate(children(value)):
        if budget[0] <= 0 or depth >= TREE_DEPTH:
            yield f'<div class="row len">… {len(value) - shown:,} more, see the raw JSON</div>'
            break
        yield from _nodes(name, child, depth + 1, budget)
    yield "</div></details>"


def children(value: dict[str, Any] | list[Any]) -> Iterator[tuple[str | int, Any]]:
    """Keys or numbers with their values."""
    return iter(value.items() if isinstance(value, dict) else enumerate(value))


def label(key: str | int | None) -> str:
    """A key before its value, as HTML."""
    return "" if key is None else f'<span class="k">{escaped(str(key))}</span>: '


def length(value: dict[str, Any] | list[Any]) -> str:
    """How much an object or a list holds, as HTML."""
    brackets = "{}" if isinstance(value, dict) else "[]"
    return f'<span class="len">{brackets[0]}{len(value):,}{brackets[1]}</span>'


def scalar(value: Any) -> str:
    """A value without children as HTML, very long ones cut."""
    if isinstance(value, str):
        cut = len(value) - TREE_STRING
        rest = f' <span class="len">… {cut:,} more characters</span>' if cut > 0 else ""
        return f'<span class="s">"{escaped(value[:TREE_STRING])}"</span>{rest}'
    if value is None or isinstance(value, bool):
        return f'<span class="w">{json.dumps(value)}</span>'
    if isinstance(value, dict | list):
        return f'<span class="len">{"{}" if isinstance(value, dict) else "[]"}</span>'
    return f'<span class="n">{html.escape(str(value)[:TREE_STRING])}</span>'
