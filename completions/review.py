"""What is said about one completion and what can be, as the drawer and the page show it; and saying it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.db import transaction
from django.urls import reverse

from completions import columns, reviewing
from completions.addresses import drawer_address
from completions.models import Label, ReviewEvent, ReviewState, StoredCompletion
from completions.review_history import Line, lines_of, taken_back_by
from completions.reviewing import Refused, Said, Written, checked
from portal.models import Connection
from portal.permissions import may

Kind = ReviewEvent.Kind
STATES = (
    ("approved", "Approve", "Approved", "ok", "a"),
    ("needs_review", "Needs review", "Needs review", "warn", "v"),
    ("rejected", "Reject", "Rejected", "bad", "r"),
)
RATINGS = (("good", "Good", "thumbs-up", "g"), ("bad", "Bad", "thumbs-down", "b"))
STEPS = 11  # a score of that many steps at most is a row of buttons
LINES = 200  # of a history
LONGEST = 16_000  # characters of a query
ABOUT = ("state", "rating", "note")
_SHAPES = {Label.Kind.TEXT: "text", Label.Kind.SCORE: "number"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One button: what it stands for, whether it holds, and the key that presses it."""

    value: str
    title: str
    chosen: bool
    key: str = ""
    look: str = ""
    offered: bool = True


@dataclass(frozen=True, slots=True)
class Question:
    """One label of the connection, with its answers as they stand for one completion."""

    label: Label
    held: tuple[str, ...]
    choices: tuple[Choice, ...]
    shape: str  # buttons, number or text
    active: bool

    @property
    def about(self) -> str:
        return f"label:{self.label.pk}"

    @property
    def several(self) -> bool:
        return bool(self.label.kind == Label.Kind.MULTIPLE)


class ReviewPanel:
    """What a person sees of the review of one completion. `query` is the result that it was opened from."""

    def __init__(
        self,
        user: Any,
        row: StoredCompletion,
        query: str = "",
        *,
        wide: bool = False,
        answered: str = "",
        problem: str = "",
        typed: tuple[str, str] = ("", ""),
    ) -> None:
        self.user, self.row, self.wide = user, row, wide
        self.query = urlencode(parse_qsl(query[:LONGEST], keep_blank_values=True))
        self.answered, self.problem = answered, problem
        self.typed = dict([typed])  # what a refused form held, by what it is about

    # Where things are.

    @property
    def _tail(self) -> str:
        return f"{'?' * bool(self.query)}{self.query}"

    @cached_property
    def drawer(self) -> str:
        """The completion in the drawer, in the same result."""
        return drawer_address(self.row.connection.slug, self.row.upstream_id, self.row.pk, self.query)

    @property
    def tab(self) -> str:
        """Its notes and its history."""
        return f"{self.drawer}{'&' if '?' in self.drawer else '?'}{urlencode({'tab': 'review'})}"

    @property
    def page(self) -> str:
        """The completion on a page of its own."""
        return reverse("completions:review", args=[self.row.pk]) + self._tail

    @property
    def address(self) -> str:
        """This panel alone."""
        return f"{reverse('completions:review_panel', args=[self.row.pk])}?{self._said_of_itself}"

    @property
    def history_address(self) -> str:
        return f"{reverse('completions:review_history', args=[self.row.pk])}?{self._said_of_itself}"

    @property
    def row_address(self) -> str:
        """Its row in the table; the table says how it shows rows."""
        return reverse("completions:review_row", args=[self.row.pk])

    @property
    def _said_of_itself(self) -> str:
        return urlencode({"query": self.query, "on": "page" if self.wide else ""})

    # What the person may do.

    @cached_property
    def may_review(self) -> bool:
        return may(Connection.objects, self.user, "review", self.row.connection)

    @cached_property
    def may_build(self) -> bool:
        return self.may_review and may(Connection.objects, self.user, "act", self.row.connection)

    # What holds.

    @cached_property
    def now(self) -> ReviewState:
        found = ReviewState.objects.filter(pk=self.row.pk).first()
        return found or ReviewState(completion=self.row, connection_id=self.row.connection_id)

    @property
    def state(self) -> tuple[str, str]:
        """The state in a word, and its mark."""
        held = self.now.state
        return next(
            ((word, mark) for name, _, word, mark, _ in STATES if name == held), ("Unreviewed", "none")
        )

    @property
    def told(self) -> str:
        """What holds in one line, for who hears it."""
        said = [self.state[0], *(each.title for each in self.ratings if each.chosen)]
        said += [f"{name}: {text}" for name, text in self.answers]
        return ". ".join([*said, f"{len(self.notes)} notes"] if self.notes else said) + "."

    @property
    def states(self) -> list[Choice]:
        held = self.now.state
        return [Choice(name, verb, name == held, key, mark) for name, verb, _, mark, key in STATES]

    @property
    def ratings(self) -> list[Choice]:
        held = self.now.rating
        return [Choice(name, title, name == held, key, icon) for name, title, icon, key in RATINGS]

    @cached_property
    def labels(self) -> list[Label]:
        return list(Label.objects.filter(connection=self.row.connection_id))

    @cached_property
    def questions(self) -> list[Question]:
        """The labels that are asked, one of them the one that number keys answer."""
        asked = [label for label in self.labels if label.retired is None]
        active = self._active(asked)
        return [self._question(label, active=label is active) for label in asked]

    def _active(self, asked: Sequence[Label]) -> Label | None:
        """The label that was answered last if it takes more, else the next one without an answer."""
        held = self.now.labels
        at = next((n for n, each in enumerate(asked) if f"label:{each.pk}" == self.answered), -1)
        if at >= 0 and asked[at].kind == Label.Kind.MULTIPLE:
            return asked[at]
        ordered = [*asked[at + 1 :], *asked[: at + 1]]
        open_ones = [each for each in ordered if str(each.pk) not in held]
        return next(iter(open_ones or (asked[at:] if at >= 0 else asked)), None)

    def _question(self, label: Label, *, active: bool) -> Question:
        held = tuple(self.now.labels.get(str(label.pk), ()))
        offered = offered_by(label)
        if offered is None:
            typed = self.typed.get(f"label:{label.pk}")
            return Question(label, (typed,) if typed else held, (), _SHAPES[Label.Kind(label.kind)], active)
        keys = keys_of(label, offered)
        made = [Choice(each, each, each in held, keys.get(each, "")) for each in offered]
        made += [Choice(each, each, True, offered=False) for each in held if each not in offered]
        return Question(label, held, tuple(made), "buttons", active)

    @property
    def answers(self) -> list[tuple[str, str]]:
        """Names of labels and what was answered, for who only reads."""
        held = self.now.labels
        return [(each.name, ", ".join(held[str(each.pk)])) for each in self.labels if str(each.pk) in held]

    @property
    def bygone(self) -> list[tuple[str, str]]:
        """The same of labels that are asked no more."""
        retired = {each.name for each in self.labels if each.retired is not None}
        return [(name, text) for name, text in self.answers if name in retired]

    @property
    def note(self) -> str:
        """What stands in the field for a note."""
        return self.typed.get("note", "")

    # What was said.

    @cached_property
    def events(self) -> list[ReviewEvent]:
        """The latest first, one more than is shown."""
        found = ReviewEvent.objects.filter(completion=self.row.pk).order_by("-pk")
        return list(found.select_related("author", "label")[: LINES + 1])

    @property
    def is_cut(self) -> bool:
        """Whether more was said than is shown."""
        return len(self.events) > LINES

    @cached_property
    def lines(self) -> list[Line]:
        """The history in words, the latest first."""
        return lines_of(self.events[:LINES], self.now, self.may_take_back)

    def may_take_back(self, event: ReviewEvent) -> bool:
        """A note is its author's; whatever else holds, any reviewer may say otherwise anyway."""
        if not self.may_review:
            return False
        return event.kind != Kind.NOTE or event.author_id == self.user.pk or self.may_build

    @property
    def notes(self) -> list[Line]:
        return [each for each in self.lines if each.event.kind == Kind.NOTE and each.stands]

    @cached_property
    def last(self) -> Line | None:
        """What the person said last that can be taken back."""
        mine = (each for each in self.lines if each.event.author_id == self.user.pk)
        return next((each for each in mine if each.undoable), None)


def offered_by(label: Label) -> list[str] | None:
    """The answers that are offered as buttons, None if the answer is typed."""
    if label.kind == Label.Kind.TEXT:
        return None
    if label.kind == Label.Kind.SCORE:
        low, high = label.options
        return [str(each) for each in range(low, high + 1)] if high - low < STEPS else None
    return list(label.options)


def keys_of(label: Label, offered: Sequence[str]) -> dict[str, str]:
    """Which number key stands for which answer: of a score its own number where it has one."""
    if label.kind == Label.Kind.SCORE and int(offered[0]) in (0, 1):
        return {each: each for each in offered if len(each) == 1}
    return {each: str(n) for n, each in enumerate(offered[:9], start=1)}


def say(row: StoredCompletion, author: Any, about: str, value: str, way: str = "value") -> Written:
    """Write one thing that a person says: `about` is state, rating, note or label:<key>.

    An empty `value` takes away what holds; `way` is add or remove for one of several answers to a label.
    Raises Refused if it cannot be said.
    """
    if about in ABOUT:
        return reviewing.record(row, [Said(about, value or None)], author)
    label = _label(row, about)
    if way == "value":
        return reviewing.record(row, [Said(Kind.LABEL, value or None, label)], author)
    with transaction.atomic():
        columns.next_change(row.connection_id, 0)  # what holds stays so until this is written
        known = ReviewState.objects.filter(pk=row.pk).values_list("labels", flat=True).first() or {}
        held = [each for each in known.get(str(label.pk), []) if each != value]
        if way == "add":
            # Only the new one has to be on offer; an answer that was, and was given, stays.
            held += checked(Said(Kind.LABEL, [value], label)).value or []
        ordered = [each for each in label.options if each in held]
        ordered += [each for each in held if each not in ordered]
        written = reviewing.write(
            row.connection_id, {row.pk: [Said(Kind.LABEL, ordered or None, label)]}, author
        )
    columns.pack_if_due(row.connection_id, written.unpacked)
    return written


def _label(row: StoredCompletion, about: str) -> Label:
    kind, _, key = about.partition(":")
    if kind != "label" or not key.isascii() or not key.isdigit() or len(key) > 15:
        raise Refused("This cannot be said about a completion.")
    found: Label | None = Label.objects.filter(connection=row.connection_id, pk=int(key)).first()
    if found is None or found.retired is not None:
        raise Refused("This label is not asked any more. Reload to see the ones that are.")
    return found


def take_back(row: StoredCompletion, author: Any, key: str) -> Written:
    """Take one event of a completion back; raises Refused if that cannot be, or not by this person."""
    known = ReviewEvent.objects.filter(completion=row.pk)
    event = known.filter(pk=int(key)).first() if key.isdecimal() and len(key) < 19 else None
    if event is None:
        raise Refused("There is nothing to take back.")
    if taken_back_by(event) is not None:
        raise Refused("This is taken back already.")
    if not ReviewPanel(author, row).may_take_back(event):
        raise Refused("Only who wrote a note and builders may take it back.")
    return reviewing.undo(event, author)
