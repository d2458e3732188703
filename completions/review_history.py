"""The history of one completion's review in words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from completions.models import ReviewEvent, ReviewState

Kind = ReviewEvent.Kind
_STATES = dict(ReviewState.State.choices) | {None: "Unreviewed"}
_RATINGS = dict(ReviewState.Rating.choices) | {None: "none"}
_SET = {
    Kind.STATE: "set the state to",
    Kind.RATING: "rated it",
    Kind.LABEL: "answered",
    Kind.NOTE: "wrote a note",
    Kind.CORRECTION: "corrected the answer",
}
_CLEARED = {
    Kind.STATE: "cleared the state",
    Kind.RATING: "took the rating away",
    Kind.LABEL: "took the answer away to",
    Kind.NOTE: "took a note back",
    Kind.CORRECTION: "took the correction away",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One event in words. `name`, `value`, `before` and `note` are what people wrote, still to be escaped."""

    event: ReviewEvent
    verb: str
    name: str = ""
    value: str = ""
    before: str = ""
    note: str = ""
    stands: bool = True  # not taken back
    undoable: bool = False

    @property
    def who(self) -> str:
        return str(self.event.author) if self.event.author is not None else "somebody who is gone"

    @property
    def said(self) -> str:
        """What it said in a few words, for the button that takes it back."""
        if self.event.kind == Kind.NOTE:
            return "note"
        return f"{self.name} {self.value}".strip() or self.verb


def lines_of(
    events: Sequence[ReviewEvent], now: ReviewState, allowed: Callable[[ReviewEvent], bool]
) -> list[Line]:
    """Events, the latest first, as lines; those that still hold and are `allowed` can be taken back."""
    gone = {event.undoes for event in events if event.undoes is not None}
    undoable = {event.pk for event in _holding(events, now, gone) if allowed(event)}
    return [_line(event, stands=event.pk not in gone, undoable=event.pk in undoable) for event in events]


def taken_back_by(event: ReviewEvent) -> ReviewEvent | None:
    """The event that took this one back."""
    found: ReviewEvent | None = ReviewEvent.objects.filter(
        completion=event.completion_id, undoes=event.pk
    ).first()
    return found


def _holding(events: Sequence[ReviewEvent], now: ReviewState, gone: set[int]) -> list[ReviewEvent]:
    """What still holds: every note that stands, and of everything else the last word."""
    found: dict[tuple[str, int | None], ReviewEvent] = {}
    notes = []
    for event in events:
        if event.pk in gone or event.undoes is not None:
            continue
        about = (event.kind, event.label_id)
        if event.kind == Kind.NOTE:
            notes.append(event)
        elif about not in found and _holds(event, now):
            found[about] = event
    return [*notes, *found.values()]


def _holds(event: ReviewEvent, now: ReviewState) -> bool:
    if event.kind == Kind.CORRECTION:
        return bool(now.correction_id == event.pk)
    held: Any = {
        Kind.STATE: now.state or None,
        Kind.RATING: now.rating or None,
        Kind.LABEL: now.labels.get(str(event.label_id)),
    }[Kind(event.kind)]
    return bool(held == event.value)


def _line(event: ReviewEvent, *, stands: bool, undoable: bool) -> Line:
    kind = Kind(event.kind)
    verb = (_CLEARED if event.value is None else _SET)[kind]
    if event.undoes is not None and kind != Kind.NOTE:
        verb = {
            Kind.STATE: "took a step back: the state is",
            Kind.RATING: "took a step back: the rating is",
            Kind.LABEL: "took a step back with",
            Kind.CORRECTION: "took a step back with the correction",
        }[kind]
    name, value, before = "", "", ""
    if kind == Kind.STATE:
        value, before = _STATES.get(event.value, ""), _STATES.get(event.before, "")
    elif kind == Kind.RATING:
        value, before = _RATINGS.get(event.value, ""), _RATINGS.get(event.before, "")
    elif kind == Kind.LABEL:
        name = event.label.name if event.label is not None else ""
        value, before = _joined(event.value), _joined(event.before) or "no answer"
    if event.value is None and event.undoes is None:
        value = ""
    note = str(event.value or "") if kind == Kind.NOTE else ""
    return Line(event, verb, name, value, before, note, stands, undoable)


def _joined(answers: Any) -> str:
    return ", ".join(str(each) for each in answers) if isinstance(answers, list) else ""
