"""What is known of each item beside its verdicts, and the slices of a run that it falls into.

Metadata and labels are those that the stored completion has now; of an item that comes from a file, those
of its line there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from django.db.models import Avg
from django.db.models.functions import Length

from completions.models import ReviewState, StoredCompletion
from datasets.evaluate.items import Items
from datasets.evaluate.targets import Target
from datasets.models import Call, Example, Run

LENGTH = "length"
META, LABEL = "meta:", "label:"
NAMES = {
    "model": "Model of the stored completion",
    "language": "Language",
    LENGTH: "Characters of the answer",
}
BANDS = ((100, "up to 100"), (300, "101 to 300"), (1_000, "301 to 1,000"), (3_000, "1,001 to 3,000"))
LONGEST_BAND = "more than 3,000"
LONGEST_VALUE = 120  # characters; what is longer is no kind of thing
MOST_KEYS = 40  # of one item

Slice = tuple[str, str]  # dimension, value


@dataclass(frozen=True, slots=True)
class Facts:
    """The slices of an item, and those of each target's answer to it."""

    slices: tuple[Slice, ...] = ()
    answers: Mapping[str, Slice] = field(default_factory=dict)

    def falls_into(self, dimension: str, value: str, target: str = "") -> bool:
        """Whether the item, or an answer to it, is in a slice."""
        wanted = (dimension, value)
        if dimension != LENGTH:
            return wanted in self.slices
        return any(of == wanted for key, of in self.answers.items() if not target or key == target)


def label_of(dimension: str) -> str:
    """What people call a dimension."""
    if dimension.startswith(META):
        return dimension.removeprefix(META)
    if dimension.startswith(LABEL):
        return f"Label {dimension.removeprefix(LABEL)}"
    return NAMES.get(dimension, dimension)


def band(length: float) -> str:
    """Which band of lengths so many characters are in."""
    return next((name for most, name in BANDS if length <= most), LONGEST_BAND)


class FactsOf:
    """The facts of a run's items; a context, as it reads items from the version's file."""

    def __init__(self, run: Run, targets: Sequence[Target]) -> None:
        self._run, self._targets = run, targets
        self._items = Items(run.evaluation)

    def __enter__(self) -> Self:
        self._items.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._items.__exit__(kind, error, trace)

    def of(self, examples: Sequence[Example]) -> dict[int, Facts]:
        """By example, with the same few queries for all of them."""
        keys = {example.completion_id for example in examples if example.completion_id is not None}
        fields = ("model", "language", "metadata", "answer_length")
        rows = StoredCompletion.objects.filter(pk__in=keys).values_list("pk", *fields)
        stored = {pk: row for pk, *row in rows}
        labels = dict(ReviewState.objects.filter(pk__in=keys).values_list("pk", "labels"))
        lengths = self._lengths(examples)
        made = {}
        for example in examples:
            known = stored.get(example.completion_id)
            answers = dict(lengths.get(example.pk, {}))
            if known is not None:
                model, language, metadata, length = known
                said = labels.get(example.completion_id) or {}
            else:
                item = self._items.of(example)
                model = language = ""
                metadata, said = item.get("metadata"), item.get("labels")
                output = item.get("output")
                length = len(output) if isinstance(output, str) else None
            for target in self._targets:
                if not target.is_fresh and length is not None:
                    answers[target.key] = (LENGTH, band(length))
            made[example.pk] = Facts(tuple(_slices(model, language, metadata, said)), answers)
        return made

    def _lengths(self, examples: Sequence[Example]) -> dict[int, dict[str, Slice]]:
        """Of fresh answers, on average over those to one item."""
        found: dict[int, dict[str, Slice]] = {}
        if any(target.is_fresh for target in self._targets):
            calls = Call.objects.filter(
                run=self._run,
                example__in=[example.pk for example in examples],
                grader="",
                state=Call.State.DONE,
            ).order_by()
            each = calls.values_list("example", "target").annotate(length=Avg(Length("output_text")))
            for example, target, length in each:
                found.setdefault(example, {})[target] = (LENGTH, band(length))
        return found


def _slices(model: str, language: str | None, metadata: Any, labels: Any) -> Iterator[Slice]:
    if model:
        yield "model", model
    if language:
        yield "language", language
    for prefix, held in ((META, metadata), (LABEL, labels)):
        for key, value in list(held.items())[:MOST_KEYS] if isinstance(held, dict) else ():
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, str | int | float) and len(str(one)) <= LONGEST_VALUE:
                    yield f"{prefix}{key}"[:LONGEST_VALUE], str(one)
