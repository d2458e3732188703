"""The rows of a page as HTML, every cell written here: a template would take longer than the database.

Everything a model or a user wrote is escaped where it is written.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from time import time
from typing import Any
from zlib import crc32

from django.db.models import F
from django.db.models.functions import Substr
from django.utils.safestring import SafeString, mark_safe

from completions.addresses import drawer_addresses
from completions.display import Display, Shown
from completions.facets import TONES
from completions.filters import Filter
from completions.filters.fields import REVIEWS, UNREVIEWED
from completions.highlights import Highlights, piece
from completions.models import Body, Label, MessagesState, StoredCompletion
from completions.models.mirror import PREVIEW_CHARS
from portal import hidden, wording
from portal.models import Connection
from portal.rendering import escaped, shortened

CHIPS = 3
COLOURS = ("blue", "violet", "teal", "gold", "green")
READ_CHARS = 60_000  # of a text, to look for what its beginning does not show
# What a link inside the pane adds to its address, so that only the pane is drawn again.
WITHIN = 'hx-target="#panes" hx-swap="outerHTML" hx-push-url="true"'
_OPENS = 'data-drawer-open hx-target="#drawer" hx-swap="innerHTML" hx-push-url="true"'
_ALWAYS = ("pk", "connection_id", "upstream_id", "prompt_preview", "messages_state", "gone_at")
_TEXTS = {"text": ("prompt", "answer"), "prompt": ("prompt",), "answer": ("answer",)}
_MUTED_NOTHING = f'<span class="muted">{wording.NOTHING}</span>'

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    id: int
    html: str


class Rows:
    """How the rows of one page are written. `only` is the pane with one pair of metadata alone."""

    def __init__(
        self,
        display: Display,
        columns: tuple[Shown, ...],
        connections: Iterable[Connection],
        query: str,
        marks: Highlights,
        only: Callable[[str, str], str],
    ) -> None:
        self.display, self.columns, self.marks, self.only = display, columns, marks, only
        self.connections = {each.pk: each for each in connections}
        self.addresses = {pk: drawer_addresses(each.slug, query) for pk, each in self.connections.items()}
        self.now = time()
        self._tags: dict[tuple[bool, str, str], str] = {}
        self._label_names: dict[str, str] = {}
        names = {each.column.name for each in columns}
        self._tells_gone = "state" not in names
        self._marked = bool(marks)
        # What opens a row is its text, or the first cell that is not a link already.
        order = sorted(range(len(columns)), key=lambda n: (columns[n].column.name not in _TEXTS, n))
        self._opener = next(n for n in order if not columns[n].column.links)
        self._plan = [(self._open(n, each), self._writer(each)) for n, each in enumerate(columns)]

    def read(self, ids: list[int]) -> list[Row]:
        """The rows of these ids, in their order: one query, another where matches have to be shown, and one
        for the names of labels.
        """
        reads = dict.fromkeys((*_ALWAYS, *(name for each in self.columns for name in each.column.reads)))
        found = {row["pk"]: row for row in StoredCompletion.objects.filter(pk__in=ids).values(*reads)}
        rows = [found[pk] for pk in ids if pk in found and found[pk]["connection_id"] in self.connections]
        pieces = self._pieces(rows) if self._marked else {}
        if keys := {int(key) for row in rows for key in row.get("review__labels") or ()}:
            self._label_names = {
                str(pk): name for pk, name in Label.objects.filter(pk__in=keys).values_list("pk", "name")
            }
        return [Row(row["pk"], self._row(row | pieces.get(row["pk"], {}))) for row in rows]

    # Matches that the beginnings of the texts do not show.

    def _pieces(self, rows: list[Values]) -> dict[int, Values]:
        """The parts of texts to show instead of their beginnings, by row."""
        shown = {part for each in self.columns for part in _TEXTS.get(each.column.name, ())}
        unseen = {}
        for row in rows:
            marks = self.marks.unseen({part: row[f"{part}_preview"] for part in shown})
            if marks and shown:
                unseen[row["pk"]] = marks
        if not unseen:
            return {}
        texts = Body.objects.filter(pk__in=list(unseen)).annotate(
            **{part: Substr(F(f"{part}_text"), 1, READ_CHARS) for part in sorted(shown)}  # names of ours
        )
        found: dict[int, Values] = {}
        for pk, *parts in texts.values_list("pk", *sorted(shown)):
            made = found.setdefault(pk, {})
            for mark in unseen[pk]:
                for part, text in zip(sorted(shown), parts, strict=True):
                    if part not in mark.columns or f"{part}_preview" in made:
                        continue
                    if found_piece := piece(text, mark, PREVIEW_CHARS):
                        made[f"{part}_preview"] = found_piece
                        break
        return found

    # A row.

    def _row(self, row: Values) -> str:
        where = self.connections[row["connection_id"]]
        upstream_id = row["upstream_id"]
        label = escape(spelled(row["prompt_preview"][:60] or upstream_id))
        cells = "".join([opened + write(row) + "</td>" for opened, write in self._plan])
        return (
            f'<tr id="row-{row["pk"]}" data-row="{escape(f"{where.slug}/{upstream_id}")}"'
            f'{" class=gone" if row["gone_at"] else ""}><td class="c"><input type="checkbox" class="cb"'
            f' data-select value="{row["pk"]}" aria-label="Select {label}"></td>{cells}</tr>'
        )

    def _open(self, number: int, shown: Shown) -> str:
        column = shown.column
        chosen = bool(self.display.columns)
        css = column.css if chosen else f"{column.css} {column.leaves}".strip()
        label = f' data-label="{escape(column.title)}"' if chosen and column.name not in _TEXTS else ""
        return f'<td class="{css}"{label}>' if css else f"<td{label}>"

    def _writer(self, shown: Shown) -> Callable[[Values], str]:
        column = shown.column
        if column.key is not None:
            key = column.key
            return lambda row: self._pair(row["metadata"], key)
        write: Callable[[Values], str]
        if column.name in _TEXTS:
            write = self._texts(_TEXTS[column.name])
        elif column.css.startswith("r ") and column.name != "temperature":
            (read,) = column.reads
            write = lambda row: _amount(row[read])  # noqa: E731  # one of several ways to write a cell
        else:
            write = getattr(self, f"_{column.name}")  # a name of the registry
        if column.name in _TEXTS or self.columns[self._opener] is not shown:
            return write
        return lambda row: self._link(row, write(row))

    # Cells.

    def _created(self, row: Values) -> str:
        return told(row["created"], self.now, ago=self.display.times == "ago")

    def _texts(self, parts: tuple[str, ...]) -> Callable[[Values], str]:
        opens = _TEXTS.get(self.columns[self._opener].column.name) == parts

        def write(row: Values) -> str:
            inside = "".join([self._spoken(row, part) for part in parts])
            return self._link(row, inside) if opens else f'<div class="io">{inside}</div>'

        return write

    def _spoken(self, row: Values, part: str) -> str:
        text = row[f"{part}_preview"]
        tag = "b" if part == "prompt" else "span"
        if text:
            shown = (
                self.marks.write(shortened(text, PREVIEW_CHARS + 2), part) if self._marked else _text(text)
            )
        elif part == "prompt":
            waits = row["messages_state"] == MessagesState.PENDING
            shown = f'<span class="muted">{"Waiting for messages" if waits else "No prompt"}</span>'
        else:
            shown = ""
        return f"<{tag}>{shown}</{tag}>"

    def _link(self, row: Values, inside: str) -> str:
        href = escape(self.addresses[row["connection_id"]](row["upstream_id"], row["pk"]))
        return f'<a class="io" href="{href}" hx-get="{href}" {_OPENS}>{inside}</a>'

    def _model(self, row: Values) -> str:
        return f'<span class="model">{escape(spelled(row["model"]))}</span>'

    def _metadata(self, row: Values) -> str:
        return self._chips(list(row["metadata"].items()))

    def _chips(self, pairs: Sequence[tuple[str, str]], *, labels: bool = False) -> str:
        """The first of some pairs of metadata or of labels and answers, and how many more there are."""
        made = [self._tag(key, value, labels=labels) for key, value in pairs[:CHIPS]]
        if len(pairs) > CHIPS:
            rest = ", ".join(f"{key}: {value}" for key, value in pairs[CHIPS:])
            title = escape(spelled(rest[:300]))
            made.append(f'<span class="more" title="{title}">+{len(pairs) - CHIPS}</span>')
        return f'<div class="tags">{"".join(made)}</div>'

    def _pair(self, pairs: Mapping[str, str], key: str) -> str:
        return self._chips([(key, pairs[key])]) if key in pairs else _MUTED_NOTHING

    def _tag(self, key: str, value: str, *, labels: bool) -> str:
        known = self._tags.get((labels, key, value))
        if known is None:
            href = escape(self.only(Filter.label(key) if labels else Filter.key(key), value))
            colour = COLOURS[crc32(value.encode("utf-8", "replace")) % len(COLOURS)]
            title = escape(spelled(f"{key}: {value}"[:200]))
            shown = f"{key}: {value}" if labels else value or "(empty)"
            known = self._tags[(labels, key, value)] = (
                f'<a class="tag {colour}" href="{href}" hx-get="{href}" {WITHIN} title="{title}"'
                f' aria-label="Only {title}">{_text(shown, 40)}</a>'
            )
        return known

    def _finish(self, row: Values) -> str:
        gone = f" {_GONE}" if row["gone_at"] and self._tells_gone else ""
        return escape(spelled(row["finish_reason"])) + gone

    def _review(self, row: Values) -> str:
        return _REVIEWS[row["review__state"] or ""]

    def _rating(self, row: Values) -> str:
        rating = row["review__rating"]
        return escape(rating.capitalize()) if rating else _MUTED_NOTHING

    def _labels(self, row: Values) -> str:
        pairs = [
            (name, answer)
            for key, answers in (row["review__labels"] or {}).items()
            if (name := self._label_names.get(key)) is not None
            for answer in answers
        ]
        return self._chips(pairs, labels=True) if pairs else _MUTED_NOTHING

    def _reviewer(self, row: Values) -> str:
        return _text(", ".join(row["review__reviewers"] or ()) or wording.NOTHING, 200)

    def _reviewed(self, row: Values) -> str:
        at = row["review__reviewed"]
        return wording.NOTHING if at is None else told(at, self.now, ago=self.display.times == "ago")

    def _language(self, row: Values) -> str:
        return escape(spelled(row["language"] or wording.NOTHING))

    def _temperature(self, row: Values) -> str:
        return wording.NOTHING if row["temperature"] is None else f"{row['temperature']:g}"

    def _connection(self, row: Values) -> str:
        return escape(spelled(self.connections[row["connection_id"]].name))

    def _state(self, row: Values) -> str:
        if row["gone_at"]:
            return _GONE
        return _STATES.get(row["messages_state"], _MUTED_NOTHING)

    def _id(self, row: Values) -> str:
        return f'<span class="id">{escape(spelled(row["upstream_id"]))}</span>'


_REVIEWS = {
    "" if value == UNREVIEWED else value: (
        f'<span class="st {TONES[value]}" title="{title.capitalize()}">{title.capitalize()}</span>'
    )
    for value, title in REVIEWS.items()
}
_GONE = '<span class="st none" title="Gone upstream, kept here">gone</span>'
_STATES = {
    MessagesState.PENDING: '<span class="st run" title="Its messages are still to come">waiting</span>',
    MessagesState.GONE: '<span class="st warn" title="Its messages are gone upstream">no messages</span>',
    MessagesState.FAILED: '<span class="st bad" title="Its messages could not be read">unreadable</span>',
}


def join(rows: Iterator[Row] | list[Row]) -> SafeString:
    """Rows as the body of a table."""
    return mark_safe("\n".join([row.html for row in rows]))  # noqa: S308  # written above, escaped


def _text(text: str, length: int = PREVIEW_CHARS) -> str:
    """One line of a text as HTML; most hold nothing that has to be looked at twice."""
    if text.isascii() and text.isprintable() and len(text) <= length:
        return escape(text, quote=False)
    return f'<bdi dir="auto">{escaped(shortened(text, length + 2))}</bdi>'


def spelled(text: str) -> str:
    """A text without hidden characters, still to be escaped."""
    return text if text.isascii() and text.isprintable() else hidden.name(text)


def _amount(value: int | None) -> str:
    return wording.NOTHING if value is None else f"{value:,}"


def told(seconds: int, now: float, *, ago: bool = False) -> str:
    """A moment as the table tells it; a script turns it to the reader's zone."""
    try:
        at = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return wording.NOTHING
    text = wording.age(now - seconds) if ago and seconds <= now else wording.clock(at)
    return (
        f'<time datetime="{at:%Y-%m-%dT%H:%M:%S}Z" title="{wording.full_clock(at)}"'
        f" {'data-ago' if ago else 'data-moment'}>{text}</time>"
    )
