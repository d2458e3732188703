"""The answer of a completion as HTML: as given, as corrected, what differs, and every version."""

from functools import cached_property
from itertools import zip_longest
from typing import Final
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from completions import correcting, diff_html
from completions.correcting import Value
from completions.diff import STEPS
from completions.models import ReviewEvent, ReviewState
from completions.talk import Speech, Talk, plain_text
from portal.rendering import line
from portal.templatetags.portal import ago, icon

WAYS: Final = (
    ("original", "Original"),
    ("corrected", "Corrected"),
    ("diff", "Diff"),
    ("history", "History"),
)

MOST: Final = 20  # versions of a history


class Answer:
    """The first answer of one completion, shown in one of the WAYS; without a correction there is one only.

    `state` is what holds of its review, `here` the drawer's address, ready for one more parameter, `query`
    the result that it was opened from.
    """

    def __init__(
        self, state: ReviewState, talk: Talk, *, asked: str, here: str, query: str, may_correct: bool
    ) -> None:
        self.row, self.state, self.talk, self.here, self.query = talk.row, state, talk, here, query
        self.may_correct = may_correct and self.first is not None
        self._asked = asked

    # What there is.

    @cached_property
    def first(self) -> Value | None:
        """The original, None if nothing was answered."""
        return correcting.original(self.talk.conversation)

    @cached_property
    def event(self) -> ReviewEvent | None:
        """The correction that holds."""
        held = self.state.correction_id
        if held is None or self.first is None:
            return None
        found: ReviewEvent | None = ReviewEvent.objects.select_related("author").filter(pk=held).first()
        return found

    @cached_property
    def has_history(self) -> bool:
        if self.event is not None or not self.state.version or self.first is None:
            return self.event is not None
        return bool(correcting.versions(self.row, 1))

    @property
    def ways(self) -> tuple[tuple[str, str], ...]:
        if self.event is not None:
            return WAYS
        return tuple(way for way in WAYS if way[0] in ("original", "history")) if self.has_history else ()

    @cached_property
    def shown(self) -> str:
        usual = "original" if self.event is None else "corrected"
        return self._asked if self._asked in dict(self.ways) else usual

    @property
    def kept(self) -> str:
        """What an address says to show it in this way again."""
        usual = "original" if self.event is None else "corrected"
        return "" if self.shown == usual else f"answer={self.shown}&"

    # Where things are.

    @cached_property
    def id(self) -> str:
        """The name of its element; nothing if there is no answer."""
        answer = self.talk.conversation.answer
        return "" if answer is None else f"m{answer.index}"

    @cached_property
    def editor(self) -> str:
        """Where it is corrected."""
        address = reverse("completions:correct", args=[self.row.pk])
        return f"{address}{'?' * bool(self.query)}{self.query}"

    def editor_of(self, version: str) -> str:
        """The same, beginning with another version than the one that holds."""
        return f"{self.editor}{'&' if self.query else '?'}{urlencode({'version': version})}"

    def shown_as(self, way: str) -> str:
        return f"{self.here}answer={way}"

    # As HTML.

    def spoken(self, speech: Speech) -> Speech:
        """What is said in the bubble: the corrected answer, if that is what is shown."""
        if self.shown != "corrected" or self.event is None:
            return speech
        message = correcting.corrected(self.talk.conversation, self.event.value).answer
        return speech if message is None else self.talk.spoken(message, speech.note)

    @property
    def copied(self) -> str:
        """The name of what its copy button gives."""
        return self.id if self.event is None or self.shown == "original" else "correction"

    @property
    def correction_text(self) -> str | None:
        """The corrected answer as plain text, calls of tools included."""
        if self.event is None:
            return None
        message = correcting.corrected(self.talk.conversation, self.event.value).answer
        return None if message is None else plain_text(message)

    @property
    def controls(self) -> str:
        """The switch between the ways to show it, who corrected it, and the button that corrects it."""
        if not self.ways and not self.may_correct:
            return ""
        redraw = escape(f"{self.here}{self.kept}full={self.id}")
        html = f'<div class="versions" data-answer-redraw="{redraw if self.ways else ""}">'
        if self.ways:
            segments = "".join(self._segment(name, title) for name, title in self.ways)
            html += f'<span class="segments" role="group" aria-label="Answer">{segments}</span>'
        if self.event is not None:
            html += f'<span class="note">by {line(who(self.event), 40)} {ago(self.event.at)}</span>'
        if self.may_correct:
            html += (
                f'<a class="btn sm" id="answer-edit" href="{escape(self.editor)}" data-correct'
                f' hx-get="{escape(self.editor)}" hx-target="#{self.id}" hx-swap="outerHTML"'
                f' aria-keyshortcuts="e">{icon("pencil")}Edit<kbd aria-hidden="true">E</kbd></a>'
            )
        return f"{html}</div>"

    def _segment(self, name: str, title: str) -> str:
        href = escape(self.shown_as(name))
        current = ' aria-current="true"' if name == self.shown else ""
        return (
            f'<a id="answer-{name}" href="{href}" hx-get="{href}&amp;full={self.id}" hx-target="#{self.id}"'
            f' hx-swap="outerHTML"{current}>{title}</a>'
        )

    @property
    def body(self) -> str:
        """What stands in place of the bubbles, where a comparison is shown."""
        if self.shown == "diff" and self.event is not None and self.first is not None:
            return compared(self.first, self.event.value or self.first)
        return self._history() if self.shown == "history" else ""

    def _history(self) -> str:
        events, room = correcting.versions(self.row, MOST + 1), [2 * STEPS]
        items = "".join(self._version(event, room) for event in events[:MOST])
        if len(events) > MOST:
            items += '<li><p class="muted">Earlier versions are kept, and not shown here.</p></li>'
        begin = self._begin("original", "Start from the original")
        return f'<ol class="revisions">{items}<li><p><b>As it was answered</b>{begin}</p></li></ol>'

    def _version(self, event: ReviewEvent, room: list[int]) -> str:
        assert self.first is not None, "nothing can be said about an answer that is not there"
        before, after = event.before or self.first, event.value or self.first
        verb = "wrote" if event.value is not None else "went back to the original"
        if event.undoes is not None:
            verb = "took a step back"
        holds = ' <span class="tag green"><span>holds</span></span>' if event == self.event else ""
        begin = self._begin(str(event.pk), "Start from this") if event.value is not None else ""
        return (
            f"<li><p><b>{line(who(event), 60)}</b> {verb} <span>{ago(event.at)}</span>{holds}{begin}</p>"
            f"{compared(before, after, room)}</li>"
        )

    def _begin(self, version: str, words: str) -> str:
        if not self.may_correct:
            return ""
        href = escape(self.editor_of(version))
        return (
            f'<a class="link" href="{href}" hx-get="{href}" hx-target="#{self.id}" hx-swap="outerHTML">'
            f"{words}</a>"
        )


def who(event: ReviewEvent) -> str:
    """Who wrote it, by name."""
    return str(event.author) if event.author is not None else "somebody who is gone"


def compared(before: Value, after: Value, room: list[int] | None = None) -> SafeString:
    """What one version of an answer became: its text and its calls. `room` as `diff` takes it."""
    room = [STEPS] if room is None else room
    html = ""
    if before["text"] is not None or after["text"] is not None:
        said = diff_html.changes(before["text"] or "", after["text"] or "", room)
        html = f'<div class="bubble">{said}</div>'
    nothing = {"name": "", "arguments": ""}
    # A call that a version says nothing about stays as it was.
    calls = (
        before["tool_calls"] or after["tool_calls"] or [],
        after["tool_calls"] or before["tool_calls"] or [],
    )
    for old, new in zip_longest(*calls, fillvalue=nothing):
        html += (
            f'<div class="call"><p class="name">{icon("wrench")}{line(new["name"] or old["name"], 80)}</p>'
            f"{diff_html.changes(old['arguments'], new['arguments'], room)}</div>"
        )
    return mark_safe(html)  # noqa: S308  # each part escapes what it holds
