"""The editor of a correction: what it begins with, what was typed, and what somebody else wrote meanwhile."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from django.utils.safestring import SafeString

from completions import correcting, diff, diff_html
from completions.answer_html import Answer, who
from completions.correcting import Field, Flawed, Value
from completions.models import ReviewEvent
from completions.reviewing import Overtaken

ORIGINAL = "original"


class CorrectionForm:
    """What one person is writing in place of an answer.

    `version` names what it begins with (ORIGINAL or an event's number), otherwise it is what holds.
    """

    def __init__(self, answer: Answer, *, version: str = "") -> None:
        assert answer.first is not None, "there is an answer"
        self.answer, self.version = answer, version
        self.first: Value = answer.first
        self.seen = None if answer.event is None else answer.event.pk
        self.given: Mapping[str, str] = {}
        self.problems: Mapping[str, str] = {}
        self.overtaken = self.changed = False

    @cached_property
    def base(self) -> Value:
        """What it begins with."""
        if self.version == ORIGINAL:
            return self.first
        event = self._named() or self.answer.event
        return self.first if event is None or event.value is None else event.value

    def _named(self) -> ReviewEvent | None:
        number = self.version
        if not (number.isascii() and number.isdigit() and len(number) < 19):
            return None
        events = ReviewEvent.objects.filter(completion=self.answer.row, kind=ReviewEvent.Kind.CORRECTION)
        found: ReviewEvent | None = events.filter(pk=int(number)).first()
        return found

    @cached_property
    def holds(self) -> bool:
        """Whether there is a correction that can be taken away."""
        return self.answer.event is not None

    @property
    def begins_at(self) -> str:
        """The field that one writes in first: one with a problem, or the first."""
        return next(iter(self.problems), "text" if self.base["text"] is not None else "arguments-0")

    @property
    def fields(self) -> list[Field]:
        """Its fields with what was typed so far."""
        made = correcting.fields(self.base, self.answer.talk.conversation, self.problems)
        return [replace(each, text=self.given.get(each.name, each.text)) for each in made]

    def save(self, given: Mapping[str, str], author: Any) -> bool:
        """Write down what was typed. False if it has to be looked at again: see `problems`, `overtaken`."""
        self.given = given
        self.seen = _number(given.get("seen", ""))
        try:
            value = correcting.typed(given, self.base, self.first, self.answer.talk.conversation)
        except Flawed as flawed:
            self.problems = flawed.problems
            self._note_others()
            return False
        return self._write(value, author)

    def remove(self, given: Mapping[str, str], author: Any) -> bool:
        """Go back to the original. False if somebody else has written meanwhile."""
        self.given = given
        self.seen = _number(given.get("seen", ""))
        return self._write(self.first, author)

    def _write(self, value: Value, author: Any) -> bool:
        try:
            written = correcting.save(self.answer.row, value, self.first, author, self.seen)
        except Overtaken as overtaken:
            self.answer.event = overtaken.event
            if (self.first if overtaken.event is None else overtaken.event.value) == value:
                return True  # they wrote the very same
            self._note_others()
            return False
        self.changed = bool(written.changed)
        return True

    # What somebody else wrote.

    def _note_others(self) -> None:
        """Remember that another correction holds than the one seen; the next time it is written over."""
        now = None if self.answer.event is None else self.answer.event.pk
        self.overtaken = now != self.seen
        self.seen = now

    @property
    def other(self) -> str:
        """Who wrote what holds."""
        return "" if self.answer.event is None else who(self.answer.event)

    @property
    def theirs(self) -> Value:
        """What holds now."""
        event = self.answer.event
        return self.first if event is None or event.value is None else event.value

    @property
    def differences(self) -> list[tuple[str, str, SafeString]]:
        """By field: its title, what holds now, and what becomes of it if what was typed is saved."""
        held = correcting.fields(self.theirs, self.answer.talk.conversation)
        theirs = {each.name: each for each in held}
        mine = {each.name: each for each in self.fields}
        names = [*mine, *(name for name in theirs if name not in mine)]
        made, room = [], [diff.STEPS]
        for name in names:
            one, other = theirs.get(name), mine.get(name)
            title = one.title if one is not None else mine[name].title
            before, after = one.shown if one else "", other.shown if other else ""
            if before != after:
                made.append((title, before, diff_html.changes(before, after, room)))
        return made


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
