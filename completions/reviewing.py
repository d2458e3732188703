"""What people say about completions is written here, and nowhere else: one row or many, done or taken back.

An event is added for every word of it, and what holds now (ReviewState) follows in the same transaction, with
the terms that filters and facets count. Whoever writes holds the connection's mirror, so two writers never
build on the same state.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from completions import bulk, columns
from completions.models import Label, ReviewEvent, ReviewState, StoredCompletion, Term
from completions.readings import term_of
from completions.search import reviews
from completions.terms import Change, Dictionary, Name

Kind = ReviewEvent.Kind
AT_ONCE = 500  # completions in one transaction
OPINIONS = (Kind.STATE, Kind.RATING, Kind.LABEL)  # what people may disagree about

_STATE = (
    "pk", "state", "rating", "labels", "correction_id", "notes", "disputed", "said", "reviewers",
    "reviewed", "version", "terms", "correction__value",
)  # fmt: skip


class Refused(ValueError):
    """What was said cannot be taken; the text tells a person why."""


class Overtaken(Exception):
    """Somebody else corrected it meanwhile. `event` is what they wrote, None if they took theirs back."""

    def __init__(self, event: ReviewEvent | None) -> None:
        super().__init__("Somebody else has corrected this answer since it was opened.")
        self.event = event


@dataclass(frozen=True, slots=True)
class Said:
    """One thing to say: `value` as in ReviewEvent, None to take away what holds (not for notes)."""

    kind: str
    value: Any = None
    label: Label | None = None

    @property
    def about(self) -> str:
        """What it is about: two of the same cannot hold together."""
        return f"label:{self.label.pk}" if self.label is not None else self.kind


@dataclass(slots=True)
class Written:
    """What became of it: the events added, and how many completions were changed or left as they were."""

    events: list[int] = field(default_factory=list)
    changed: int = 0
    same: int = 0
    unpacked: int = 0


def checked(said: Said) -> Said:
    """The same with its value in order; raises Refused if the value is none of the answers there are."""
    value: Any = said.value
    if said.kind == Kind.STATE:
        _one_of(value, ReviewState.State.values)
    elif said.kind == Kind.RATING:
        _one_of(value, ReviewState.Rating.values)
    elif said.kind == Kind.LABEL:
        if said.label is None:
            raise Refused("A label is missing.")
        value = _answers(said.label, value)
    elif said.kind == Kind.NOTE:
        value = str(value or "").replace("\x00", "").strip()
        if not value:
            raise Refused("Write a note first.")
        if len(value) > 20_000:
            raise Refused("A note may have 20,000 characters.")
    elif said.kind != Kind.CORRECTION:
        raise Refused("This cannot be said about a completion.")
    return Said(said.kind, value, said.label)


def _one_of(value: object, known: Sequence[str]) -> None:
    if value is not None and value not in known:
        raise Refused(f"It can be {', '.join(known)}.")


def _answers(label: Label, value: Any) -> list[str] | None:
    """The answers to a label, in the order that they are offered in; None for no answer."""
    some = [value] if isinstance(value, str | int) else value or []
    texts = [str(each).replace("\x00", "").strip() for each in some]
    given = [each for each in dict.fromkeys(texts) if each]
    if not given:
        return None
    if label.kind == Label.Kind.TEXT:
        if len(given) > 1 or len(given[0]) > 1000:
            raise Refused(f"“{label.name}” takes one text of at most 1,000 characters.")
        return given
    if label.kind == Label.Kind.SCORE:
        low, high = label.options
        if len(given) > 1 or not given[0].lstrip("-").isascii() or not given[0].lstrip("-").isdigit():
            raise Refused(f"“{label.name}” takes one whole number.")
        if not low <= int(given[0]) <= high:
            raise Refused(f"“{label.name}” goes from {low} to {high}.")
        return [str(int(given[0]))]
    if unknown := [each for each in given if each not in label.options]:
        raise Refused(f"“{unknown[0]}” is no answer to “{label.name}”.")
    if label.kind == Label.Kind.CHOICE and len(given) > 1:
        raise Refused(f"“{label.name}” takes one answer.")
    return [each for each in label.options if each in given]


def record(
    row: StoredCompletion, said: Iterable[Said], author: Any, *, seen: int | bool | None = False
) -> Written:
    """Write what one person says about one completion.

    With a correction comes `seen`, the event of the correction that its author saw, None for the original:
    raises Overtaken if that holds no longer. False does not ask.
    """
    some = [checked(each) for each in said]
    with transaction.atomic():
        if seen is not False:
            columns.next_change(row.connection_id, 0)  # nobody else writes from here on
            now = ReviewState.objects.filter(pk=row.pk).values_list("correction_id", flat=True).first()
            if now != seen:
                raise Overtaken(ReviewEvent.objects.select_related("author").filter(pk=now).first())
        written = write(row.connection_id, {row.pk: some}, author)
    columns.pack_if_due(row.connection_id, written.unpacked)
    return written


def write(
    connection_id: int,
    said: Mapping[int, Sequence[Said]],
    author: Any,
    *,
    operation: Any = None,
    undoes: Mapping[tuple[int, str], int] | None = None,
    dictionary: Dictionary | None = None,
) -> Written:
    """Write what is said (and was `checked`) of at most AT_ONCE completions of one connection, by their ids.

    What holds already is left as it is and makes no event. `undoes` names the event that each thing takes
    back, by completion and `Said.about`. Call it in a transaction, and `columns.pack_if_due` with `unpacked`
    after it; with a `dictionary`, call its `keep` after it too.
    """
    written = Written()
    if not said:
        return written
    change, written.unpacked = columns.next_change(connection_id, len(said))
    known = _known(said)
    words = _last_words(said, undoes.values()) if undoes else {}
    now = timezone.now()
    events: list[dict[str, Any]] = []
    states: dict[int, _Now] = {}
    for pk, things in said.items():
        state = _Now.of(pk, known.get(pk))
        for each in things:
            undone = (undoes or {}).get((pk, each.about))
            before = state.value_of(each)
            if each.kind == Kind.NOTE:
                if undone is None and each.value is None:
                    continue
            elif before == each.value:
                continue
            events.append(
                {
                    "completion": pk, "connection": connection_id, "kind": each.kind,
                    "label": each.label.pk if each.label is not None else None, "value": each.value,
                    "before": before, "author": getattr(author, "pk", None), "at": now, "undoes": undone,
                    "operation": getattr(operation, "pk", None),
                }
            )  # fmt: skip
            state.take(each, author, now, undone=undone is not None)
            if each.kind in OPINIONS:
                state.hear(each, author, words.get((pk, each.about), {}) if undone is not None else None)
            state.events.append(events[-1])
        if state.events:
            states[pk] = state
    written.changed, written.same = len(states), len(said) - len(states)
    if not states:
        return written
    for pk, event in zip(bulk.next_keys(ReviewEvent, len(events)), events, strict=True):
        event["id"] = pk
    bulk.insert(ReviewEvent, events)
    written.events = [event["id"] for event in events]
    label_names = _label_names(states.values())
    dictionary = dictionary or Dictionary(connection_id)
    terms = dictionary.apply(
        [Change(state.names(label_names), bytes(state.row["terms"] or b"")) for state in states.values()]
    )
    fresh, old = [], []
    for state, held in zip(states.values(), terms, strict=True):
        values = state.columns(held)
        if state.pk in known:
            old.append((state.pk, values))
        else:
            fresh.append({"completion": state.pk, "connection": connection_id, **values})
    bulk.insert(ReviewState, fresh)
    bulk.update(ReviewState, old)
    StoredCompletion.objects.filter(pk__in=list(states)).update(change=change)
    reviews.update({event["completion"] for event in events if event["kind"] in (Kind.NOTE, Kind.CORRECTION)})
    return written


def undo(event: ReviewEvent, author: Any) -> Written:
    """Take one event back, if what it said still holds; raises Refused if not."""
    with transaction.atomic():
        columns.next_change(event.connection_id, 0)
        said, undoes = undoing([event])
        if not said:
            raise Refused("This was changed again since, so it cannot be taken back by itself.")
        written = write(event.connection_id, said, author, undoes=undoes)
    columns.pack_if_due(event.connection_id, written.unpacked)
    return written


def undoing(
    events: Sequence[ReviewEvent],
) -> tuple[dict[int, list[Said]], dict[tuple[int, str], int]]:
    """What `write` has to be told to take these back: only what still holds, and is not taken back yet.

    Ask it inside the transaction that writes, after `columns.next_change`.
    """
    ids = [event.pk for event in events]
    gone = set(ReviewEvent.objects.filter(undoes__in=ids).values_list("undoes", flat=True))
    rows = _known({event.completion_id for event in events})
    labels = Label.objects.in_bulk({event.label_id for event in events if event.label_id})
    said: dict[int, list[Said]] = {}
    undoes: dict[tuple[int, str], int] = {}
    for event in sorted(events, key=lambda event: -event.pk):
        if event.pk in gone or event.undoes is not None or event.completion_id not in rows:
            continue
        label = labels.get(event.label_id)
        back = Said(event.kind, None if event.kind == Kind.NOTE else event.before, label)
        if event.kind == Kind.CORRECTION:
            holds = rows[event.completion_id]["correction_id"] == event.pk
        else:
            holds = (
                event.kind == Kind.NOTE
                or _Now.of(event.completion_id, rows[event.completion_id]).value_of(back) == event.value
            )
        if holds and (event.completion_id, back.about) not in undoes:
            said.setdefault(event.completion_id, []).append(back)
            undoes[event.completion_id, back.about] = event.pk
    return said, undoes


@dataclass(slots=True)
class _Now:
    """What holds of one completion while it is being written."""

    pk: int
    row: dict[str, Any]
    events: list[dict[str, Any]] = field(default_factory=list)
    corrected: Any = None

    @classmethod
    def of(cls, pk: int, row: Mapping[str, Any] | None) -> "_Now":
        made = dict(row) if row is not None else {
            "state": "", "rating": "", "labels": {}, "correction_id": None, "notes": 0, "disputed": False,
            "said": {}, "reviewers": [], "reviewed": None, "version": 0, "terms": None,
        }  # fmt: skip
        return cls(pk, made, corrected=made.get("correction__value"))

    def value_of(self, said: Said) -> Any:
        """What holds of the thing that this is about."""
        if said.kind == Kind.STATE:
            return self.row["state"] or None
        if said.kind == Kind.RATING:
            return self.row["rating"] or None
        if said.kind == Kind.LABEL:
            assert said.label is not None
            return self.row["labels"].get(str(said.label.pk))
        return self.corrected if said.kind == Kind.CORRECTION else None

    def take(self, said: Said, author: Any, at: datetime, *, undone: bool) -> None:
        row = self.row
        if said.kind == Kind.STATE:
            row["state"] = said.value or ""
        elif said.kind == Kind.RATING:
            row["rating"] = said.value or ""
        elif said.kind == Kind.LABEL:
            assert said.label is not None
            row["labels"] = {key: held for key, held in row["labels"].items() if key != str(said.label.pk)}
            if said.value is not None:
                row["labels"][str(said.label.pk)] = said.value
        elif said.kind == Kind.NOTE:
            row["notes"] += -1 if undone else 1
        else:
            self.corrected = said.value
        row["reviewed"] = int(at.timestamp())
        name = author.get_username() if author is not None else ""
        if name and not undone and name not in row["reviewers"]:
            row["reviewers"] = [*row["reviewers"], name]

    def hear(self, said: Said, author: Any, words: dict[str, Any] | None) -> None:
        """Keep each person's last word, to know where people disagree; `words` if they are known already."""
        if words is None:
            words = {**self.row["said"].get(said.about, {})}
            if author is not None:
                words.pop(str(author.pk), None)
                if said.value is not None:
                    words[str(author.pk)] = said.value
        self.row["said"] = {**self.row["said"], said.about: words}
        if not words:
            del self.row["said"][said.about]
        self.row["disputed"] = any(
            any(word != first for word in rest)
            for first, *rest in (list(each.values()) for each in self.row["said"].values())
        )

    def names(self, labels: Mapping[str, tuple[str, str]]) -> frozenset[Name]:
        """The terms that it holds now."""
        row = self.row
        names: list[Name] = []
        for kind, value in ((Term.Kind.REVIEW, row["state"]), (Term.Kind.RATING, row["rating"])):
            if value:
                names.append((kind.value, "", value))
        names += [(Term.Kind.REVIEWER.value, *term_of("", name)) for name in row["reviewers"]]
        for key, values in row["labels"].items():
            name, _ = labels[key]
            names += [(Term.Kind.LABEL.value, *term_of(name, value)) for value in values]
        return frozenset(names)

    def columns(self, terms: bytes) -> dict[str, Any]:
        """What is to be written; the last event of a correction is the one that holds."""
        row = self.row
        correction = row["correction_id"]
        for event in self.events:
            if event["kind"] == Kind.CORRECTION:
                correction = event["id"] if event["value"] is not None else None
        return {
            "state": row["state"], "rating": row["rating"], "labels": row["labels"],
            "correction": correction, "notes": row["notes"], "disputed": row["disputed"],
            "said": row["said"], "reviewers": row["reviewers"], "reviewed": row["reviewed"],
            "version": self.events[-1]["id"], "terms": terms,
        }  # fmt: skip


def _known(ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """What holds of those completions that somebody has said something about."""
    return {row["pk"]: row for row in ReviewState.objects.filter(pk__in=list(ids)).values(*_STATE)}


def _last_words(ids: Iterable[int], undone: Iterable[int]) -> dict[tuple[int, str], dict[str, Any]]:
    """What each person said last of some completions, by completion and what it is about, but for what has
    been taken back and for what is `undone` now.
    """
    rows: Any = ReviewEvent.objects.filter(completion__in=list(ids), kind__in=OPINIONS).order_by("pk")
    events = list(rows.values_list("pk", "completion_id", "kind", "label_id", "value", "author_id", "undoes"))
    gone = {*undone, *(undoes for *_, undoes in events)}
    words: dict[tuple[int, str], dict[str, Any]] = {}
    for pk, completion, kind, label, value, author, undoes in events:
        if pk in gone or undoes is not None or author is None:
            continue
        of = words.setdefault((completion, f"label:{label}" if label is not None else kind), {})
        of.pop(str(author), None)
        if value is not None:
            of[str(author)] = value
    return words


def _label_names(states: Iterable[_Now]) -> dict[str, tuple[str, str]]:
    keys = {key for state in states for key in state.row["labels"]}
    found = Label.objects.filter(pk__in=[int(key) for key in keys])
    return {str(label.pk): (label.name, label.kind) for label in found}
