"""What is to be said about many completions at once, of whatever connections they are.

Labels belong to a connection; here they go by their name, and each connection answers for itself whether it
asks for it and takes the answer.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from completions.models import Label, ReviewEvent, ReviewState
from completions.reviewing import Refused, Said, checked

Kind = ReviewEvent.Kind
ABOUT = (Kind.STATE.value, Kind.RATING.value, Kind.LABEL.value)
_VERBS = {
    (Kind.STATE.value, "approved"): "approve",
    (Kind.STATE.value, "rejected"): "reject",
    (Kind.STATE.value, "needs_review"): "mark as needing review",
    (Kind.STATE.value, None): "mark as unreviewed",
    (Kind.RATING.value, "good"): "rate good",
    (Kind.RATING.value, "bad"): "rate bad",
    (Kind.RATING.value, None): "take the rating from",
}


@dataclass(frozen=True, slots=True)
class Saying:
    """One thing to say: a state, a rating or the answers to the label of this name; None takes it away."""

    about: str
    value: Any = None
    label: str = ""

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Self:
        """What `kept` wrote."""
        return cls(kept["about"], kept["value"], kept["label"])

    @property
    def kept(self) -> dict[str, Any]:
        """As it is written down with an operation."""
        return {"about": self.about, "value": self.value, "label": self.label}

    @property
    def words(self) -> str:
        """What is done, to go before "48,213 completions"."""
        if self.about != Kind.LABEL:
            return _VERBS[self.about, self.value]
        answers = ", ".join(self.value or ())
        return f"label {self.label}: {answers} on" if answers else f"take the answers to {self.label} from"

    def on(self, labels: Mapping[str, Label], connection: str) -> Said:
        """The same for one connection, by its labels' names. Raises Refused with the reason."""
        if self.about not in ABOUT:
            raise Refused("This cannot be said about a completion.")
        if self.about != Kind.LABEL:
            return checked(Said(self.about, self.value))
        label = labels.get(self.label)
        if label is None or (label.retired is not None and self.value is not None):
            raise Refused(f"{connection} does not ask for the label “{self.label}”.")
        return checked(Said(Kind.LABEL, self.value, label))


def in_words(sayings: Sequence[Saying], count: int) -> str:
    """The title of the whole: "Approve and rate good 48,213 completions"."""
    parts = [each.words for each in sayings]
    text = " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
    return f"{text[:1].upper()}{text[1:]} {count:,} completion{'s' * (count != 1)}"


@dataclass(frozen=True, slots=True)
class Question:
    """A label as the dialog asks for it: of one name and kind, with the answers of every connection."""

    key: int
    name: str
    kind: str
    options: tuple[Any, ...]
    guideline: str


def questions(connections: Iterable[int]) -> list[Question]:
    """The labels that these connections ask for, same names and kinds together."""
    found: dict[tuple[str, str], list[Label]] = {}
    for label in Label.objects.filter(connection__in=list(connections), retired=None):
        found.setdefault((label.name, label.kind), []).append(label)
    return [_question(labels) for labels in found.values()]


def _question(labels: Sequence[Label]) -> Question:
    first = labels[0]
    if first.kind == Label.Kind.SCORE:
        options: tuple[Any, ...] = (
            min(label.options[0] for label in labels),
            max(label.options[1] for label in labels),
        )
    else:
        options = tuple(dict.fromkeys(option for label in labels for option in label.options))
    return Question(min(label.pk for label in labels), first.name, first.kind, options, first.guideline)


def states() -> list[tuple[str, str]]:
    """The states that can be said, with their words."""
    return list(ReviewState.State.choices)
