"""What a queue asks about a completion, and what is made of the answers that a form sends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from completions import reviewing
from completions.models import Label, ReviewEvent, ReviewQueue
from completions.review import RATINGS, STATES, keys_of, offered_by
from completions.reviewing import Refused, Said

STATE, RATING = ReviewEvent.Kind.STATE.value, ReviewEvent.Kind.RATING.value
NOTHING = ""  # of a question with any number of answers: none of them


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a queue. `about` names it in forms, in answers and as Said.about does."""

    about: str
    title: str
    kind: str
    options: tuple[tuple[str, str], ...] = ()
    guideline: str = ""
    label: Label | None = None

    @property
    def optional(self) -> bool:
        """Whether leaving it out says something, or nothing that people could agree on."""
        return self.kind in (Label.Kind.MULTIPLE, Label.Kind.TEXT)

    @property
    def compared(self) -> bool:
        """Whether two people can answer it alike."""
        return self.kind != Label.Kind.TEXT

    @property
    def interval(self) -> bool:
        """Whether its answers are numbers that lie nearer to or farther from each other."""
        return self.kind == Label.Kind.SCORE

    @property
    def keys(self) -> dict[str, str]:
        """The key that chooses each answer."""
        if self.about == STATE:
            return {name: key for name, _, _, _, key in STATES}
        if self.about == RATING:
            return {name: key for name, _, _, key in RATINGS}
        return (
            keys_of(self.label, [value for value, _ in self.options]) if self.label and self.options else {}
        )

    def said(self, value: Any) -> Said:
        """The value in order; raises Refused if it is none of the answers."""
        kind = ReviewEvent.Kind.LABEL.value if self.label is not None else self.about
        return reviewing.checked(Said(kind, value, self.label))

    def comparable(self, answers: Mapping[str, Any]) -> str | int | None:
        """One person's answer as what agreement is counted from; None if there is none."""
        value = answers.get(self.about)
        if value is None:
            return NOTHING if self.kind == Label.Kind.MULTIPLE else None
        if self.interval:
            return int(value[0])
        return "\x1f".join(value) if isinstance(value, list) else str(value)

    def in_words(self, answers: Mapping[str, Any]) -> str:
        """One person's answer as people read it."""
        value = answers.get(self.about)
        if value is None:
            return "none" if self.kind == Label.Kind.MULTIPLE else ""
        words = dict(self.options)
        given: list[str] = value if isinstance(value, list) else [value]
        return ", ".join(words.get(each, each) for each in given)


_STATE = Question(
    STATE, "State", Label.Kind.CHOICE.value, tuple((name, word) for name, _, word, _, _ in STATES)
)
_RATING = Question(
    RATING, "Rating", Label.Kind.CHOICE.value, tuple((name, title) for name, title, _, _ in RATINGS)
)


def of_label(label: Label) -> Question:
    """The question that a label asks."""
    options = tuple((each, each) for each in offered_by(label) or ())
    return Question(f"label:{label.pk}", label.name, label.kind, options, label.guideline, label)


def questions_of(queue: ReviewQueue, connection_id: int | None = None) -> list[Question]:
    """What it asks, about completions of one connection or of any."""
    labels = queue.labels.filter(retired=None)
    if connection_id is not None:
        labels = labels.filter(connection=connection_id)
    general = [each for each in (_STATE, _RATING) if each.about in queue.asks]
    return [*general, *(of_label(label) for label in labels)]


def read_answers(questions: Sequence[Question], sent: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Answers by what they are about, from a form's fields; raises Refused if one is missing or wrong."""
    answers: dict[str, Any] = {}
    for each in questions:
        given = [text for text in sent.get(each.about, ()) if text.strip()]
        if not given:
            if not each.optional:
                raise Refused(f"Answer “{each.title}” first.")
            continue
        value = each.said(given if each.label is not None else given[0]).value
        if value is not None:
            answers[each.about] = value
    return answers


def agreed(questions: Sequence[Question], answers: Sequence[Mapping[str, Any]]) -> bool:
    """Whether everybody said the same wherever people can."""
    return all(len({each.comparable(one) for one in answers}) < 2 for each in questions if each.compared)


def said_of(questions: Sequence[Question], answers: Mapping[str, Any]) -> list[Said]:
    """What is to be written; an answer that a label has ceased to take is left out."""
    said = []
    for each in questions:
        if each.about in answers:
            try:
                said.append(each.said(answers[each.about]))
            except Refused:
                continue
    return said
