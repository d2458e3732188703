"""A conversation as HTML, written here and not by a template since these are most of the drawer.

Everything from outside passes through `portal.rendering`, or is escaped where it stands.
"""

from typing import Final

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from completions.answer_html import Answer
from completions.talk import Call, Piece, Speech, Talk
from portal.hidden import count_hidden
from portal.json_rendering import json_text, json_tree, load_json
from portal.rendering import Render, line, plain, rich
from portal.templatetags.portal import icon

FOLD: Final = 4_000  # characters from which on a text shows its beginning only
BEGINNING: Final = 3_000
FORMATTED: Final = 300_000  # characters of markdown on one page; what follows is shown as it is
FIRST_CALLS: Final = 20
MOST_CALLS: Final = 500


class Writer:
    """Writes messages; `address` ends where parameters are added to the drawer's own address."""

    def __init__(self, address: str, *, raw: bool, whole: bool = False, answer: Answer | None = None) -> None:
        self.address = escape(address + (answer.kept if answer is not None else ""))
        self.raw, self.whole, self.answer = raw, whole, answer
        self.room = FORMATTED
        self._icons: dict[str, str] = {}

    def _icon(self, name: str) -> str:
        if name not in self._icons:
            self._icons[name] = icon(name)
        return self._icons[name]

    def conversation(self, talk: Talk) -> SafeString:
        """Every message that is shown at once."""
        html = "".join(self._gap(speech) + self.speech(speech) for speech in talk.speeches(whole=self.whole))
        if not html and not talk.pending and not talk.problem:
            html = '<p class="muted">There is no message in it.</p>'
        return mark_safe(html)  # noqa: S308  # each escapes what it holds

    def speech(self, speech: Speech) -> SafeString:
        """One message with its calls and their results."""
        answer = self.answer if self.answer is not None and self.answer.id == speech.id else None
        if answer is not None:
            speech = answer.spoken(speech)
        note = f"<span>{line(speech.note, 120)}</span>" if speech.note else ""
        body = answer.body if answer is not None else ""
        compared = bool(body)
        body = body or "".join(self.piece(piece, speech.id) for piece in speech.pieces) + self._calls(speech)
        if speech.is_silent and not compared:
            said = (
                "Only spaces were said."
                if any(piece.text for piece in speech.pieces)
                else "Nothing was said."
            )
            body = f'<div class="bubble muted">{said}</div>'
        name = escape(speech.title[:60])
        copied = speech.id if answer is None else answer.copied
        html = (
            f'<div class="msg {speech.role}" id="{speech.id}">'
            f'<span class="role">{self._icon(speech.icon)}</span><div>'
            f'<div class="who"><b>{line(speech.title, 60)}</b>{note}{self._hidden(speech)}'
            f'<button class="ib" type="button" data-copy-url="{self.address}copy={copied}"'
            f' aria-label="Copy the message of {name}">{self._icon("copy")}</button></div>'
            f"{answer.controls if answer is not None else ''}{body}</div></div>"
        )
        return mark_safe(html)  # noqa: S308  # as above

    def _gap(self, speech: Speech) -> str:
        if not speech.skipped:
            return ""
        count = f"{speech.skipped:,} messages between"
        if self.whole:
            return (
                f'<div class="gap">{self._icon("info")}<span>{count} are not shown: a browser could not'
                " bear them. They are in the JSON.</span></div>"
            )
        return (
            f'<div class="gap">{self._icon("chevrons-up-down")}<span>{count} are folded.</span>'
            f"{self._link('all', '#talk', f'Show all {speech.skipped:,}')}</div>"
        )

    def _link(self, full: str, target: str, text: str) -> str:
        href = f"{self.address}full={full}"
        return (
            f'<a class="link more" href="{href}" data-unfold hx-get="{href}" hx-target="{target}"'
            f' hx-swap="outerHTML">{text}</a>'
        )

    def _hidden(self, speech: Speech) -> str:
        texts = [piece.text for piece in speech.pieces if piece.kind in ("text", "refusal")]
        found = sum(count_hidden(text) for text in texts)
        if not found:
            return ""
        return f'<span class="tag red"><span>{found:,} hidden character{"s" * (found > 1)}</span></span>'

    # What a message holds.

    def piece(self, piece: Piece, speech_id: str) -> str:
        """One bubble; a long text is folded."""
        if piece.kind == "text":
            return f'<div class="bubble">{self._text(piece.text, speech_id)}</div>'
        if piece.kind == "refusal":
            label = f'<span class="label">{escape(piece.title)}</span>'
            return f'<div class="bubble refusal">{label}{self._folded(piece.text, speech_id, plain)}</div>'
        if piece.kind == "picture":
            picture = f'<img class="picture" src="{escape(piece.text)}" alt="Image in the message">'
            return f'<div class="bubble">{picture}</div>'
        if piece.kind == "link":
            return (
                f'<div class="bubble"><a class="link" href="{escape(piece.text)}"'
                f' rel="noopener noreferrer nofollow" target="_blank">{self._icon("external-link")}'
                f"Image on {line(piece.title, 80)}</a></div>"
            )
        return (
            f'<details class="call"><summary>{self._icon("braces")}{line(piece.title, 100)}</summary>'
            f"{json_text(piece.text)}</details>"
        )

    def _text(self, text: str, speech_id: str) -> str:
        if self.raw or self.room <= 0:
            return self._folded(text, speech_id, plain)
        self.room -= len(text) if self.whole else min(len(text), FOLD)
        return _tree(text) or self._folded(text, speech_id, rich)

    def _folded(self, text: str, speech_id: str, shown: Render) -> str:
        if self.whole or len(text) <= FOLD:
            return str(shown(text))
        unfold = self._link(speech_id, f"#{speech_id}", f"Show all {len(text):,} characters")
        return f'<div class="begun">{shown(beginning(text))}</div>{unfold}'

    def _calls(self, speech: Speech) -> str:
        most = MOST_CALLS if self.whole else FIRST_CALLS
        written = "".join(self._call(call, speech.id) for call in speech.calls[:most])
        rest = len(speech.calls) - most
        if rest <= 0:
            return written
        if self.whole:
            return (
                f'{written}<p class="cut">{rest:,} more calls are not shown here. They are in the JSON.</p>'
            )
        shown = min(len(speech.calls), MOST_CALLS)
        text = f"Show {'all' if shown == len(speech.calls) else 'the first'} {shown:,} calls"
        return written + self._link(speech.id, f"#{speech.id}", text)

    def _call(self, call: Call, speech_id: str) -> str:
        identity = f'<span class="id">{line(call.id, 40)}</span>' if call.id else ""
        if call.readable and not self.raw and len(call.arguments) <= FOLD:
            arguments = str(json_tree(call.arguments))
        else:
            arguments = self._folded(call.arguments, speech_id, plain) if call.arguments else ""
        result = ""
        if call.answers:
            pieces = "".join(self.piece(piece, speech_id) for piece in call.answers)
            label = f'<span class="label">{self._icon("arrow-right")}Result</span>'
            result = f'<div class="answered">{label}{pieces}</div>'
        elif call.missing:
            result = (
                f'<div class="answered"><span class="label lost">{self._icon("triangle-alert")}'
                "No result for this call in the conversation</span></div>"
            )
        return (
            f'<details class="call" open><summary>{self._icon("wrench")}{line(call.name, 80)}{identity}'
            f"</summary>{arguments}{result}</details>"
        )


def _tree(text: str) -> str:
    """Text that is a JSON object or list and not long, as a tree; else nothing."""
    if len(text) > FOLD or not text.lstrip().startswith(("{", "[")):
        return ""
    try:
        value = load_json(text)
    except ValueError:
        return ""
    return str(json_tree(value)) if isinstance(value, dict | list) else ""


def beginning(text: str) -> str:
    """The first lines of a long text, cut at the end of a line or a word where there is one near."""
    head = text[:BEGINNING]
    for end in ("\n", " "):
        at = head.rfind(end, BEGINNING // 2)
        if at > 0:
            return head[:at]
    return head
