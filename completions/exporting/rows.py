"""Completions as an export needs them: some hundred at a time, with what people said where it is asked."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from completions import raw
from completions.correcting import corrected_item
from completions.models import Body, Label, ReviewEvent, ReviewState, StoredCompletion
from completions.querysets import holding

LIGHT = (
    "pk", "upstream_id", "created", "model", "metadata", "prompt_tokens", "completion_tokens", "total_tokens",
    "finish_reason", "request_id", "turns", "tool_calls", "has_image", "refused", "answer_length", "language",
    "temperature", "response_format", "flags", "connection_id", "connection__slug",
)  # fmt: skip
_TEXTS = ("system_text", "prompt_text", "answer_text")
_SAID = (
    "pk", "state", "rating", "labels", "reviewers", "reviewed", "correction__value",
    "correction__author__username", "correction__at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Needs:
    """What has to be read for a line."""

    raw: bool = True
    light: bool = True
    texts: bool = False
    reviews: bool = False
    corrected: bool = False


@dataclass(frozen=True)
class Entry:
    """One completion on its way into a file. `row` holds the columns of LIGHT, and texts where needed."""

    row: Mapping[str, Any]
    blob: bytes | None = None
    said: Mapping[str, Any] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[Mapping[str, Any]] = ()
    use_correction: bool = False

    @cached_property
    def read(self) -> tuple[Mapping[str, Any], list[dict[str, Any]] | None]:
        """The item, as corrected where that is asked for, and its messages. Raises raw.Unreadable."""
        assert self.blob is not None
        item, messages = raw.read(raw.unpack(self.blob))
        if self.use_correction and self.correction is not None:
            return corrected_item(item, self.correction), messages
        return item, messages

    @property
    def correction(self) -> Any:
        return None if self.said is None else self.said["correction__value"]

    @property
    def answers(self) -> dict[str, list[str]]:
        """Answers by the label's name."""
        if self.said is None:
            return {}
        return {self.labels[key]: held for key, held in self.said["labels"].items() if key in self.labels}

    @property
    def review(self) -> dict[str, Any]:
        """Everything that people said about it, as it is written beside a stored completion."""
        said = self.said
        if said is None:
            return {}
        made = {
            "state": said["state"] or "unreviewed",
            "rating": said["rating"],
            "labels": self.answers,
            "reviewers": said["reviewers"],
            "reviewed": said["reviewed"],
            "correction": said["correction__value"],
            "notes": list(self.notes),
        }
        return {name: value for name, value in made.items() if value not in (None, "", [], {})}


def entries(ids: Sequence[int], connections: Sequence[int], needs: Needs) -> Iterator[Entry]:
    """These completions in their order, of these connections; those that are gone are left out."""
    found = StoredCompletion.objects.filter(holding(list(ids)), connection__in=connections)
    by_pk: dict[int, dict[str, Any]]
    if needs.light:
        by_pk = {row["pk"]: row for row in found.values(*LIGHT)}
    else:  # most of an export's time would go into columns that stand in the raw answer too
        by_pk = {pk: {"pk": pk} for pk in found.values_list("pk", flat=True)}
    bodies: dict[int, tuple[Any, ...]] = {}
    if needs.raw or needs.texts:
        fields = (*(("raw",) if needs.raw else ()), *(_TEXTS if needs.texts else ()))
        for pk, *values in Body.objects.filter(holding(list(by_pk))).values_list("pk", *fields):
            bodies[pk] = tuple(values)
    said: dict[int, Any] = {}
    labels: dict[str, str] = {}
    notes: dict[int, list[dict[str, Any]]] = defaultdict(list)
    if needs.reviews or needs.corrected:
        said = {row["pk"]: row for row in ReviewState.objects.filter(holding(list(by_pk))).values(*_SAID)}
    if needs.reviews and said:
        named = Label.objects.filter(connection__in=connections).values_list("pk", "name")
        labels = {str(pk): name for pk, name in named}
        notes = _notes(list(said))
    for pk in ids:
        row = by_pk.get(pk)
        if row is None or ((needs.raw or needs.texts) and pk not in bodies):
            continue
        body = bodies.get(pk, ())
        if needs.texts:
            row |= dict(zip(_TEXTS, body[-3:], strict=True))
        yield Entry(
            row,
            bytes(body[0]) if needs.raw else None,
            said.get(pk),
            labels,
            notes.get(pk, ()),
            use_correction=needs.corrected,
        )


def _notes(ids: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    """Notes that nobody took back, the oldest first."""
    events = ReviewEvent.objects.filter(kind=ReviewEvent.Kind.NOTE, completion__in=ids).order_by("pk")
    rows = list(events.values("pk", "completion_id", "value", "author__username", "at", "undoes"))
    undone = {row["undoes"] for row in rows if row["undoes"]}
    made: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["pk"] not in undone and not row["undoes"]:
            at = int(row["at"].timestamp())
            made[row["completion_id"]].append(
                {"text": row["value"], "author": row["author__username"], "at": at}
            )
    return made
