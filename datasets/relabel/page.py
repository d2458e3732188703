"""What the page of a relabelling shows: counts, and a few answers beside their originals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, Q, QuerySet
from django.utils.safestring import SafeString

from completions import diff_html
from completions.correcting import Value
from completions.models import ReviewEvent, ReviewState
from datasets.models import Relabel, RelabelCall
from datasets.relabel.answers import CannotAsk
from datasets.relabel.judging import taught_by

PER_PAGE: Final = 20
State, Verdict = RelabelCall.State, RelabelCall.Verdict
SHOWS: Final = {
    "open": "To judge",
    "accepted": "Accepted",
    "dismissed": "Dismissed",
    "same": "The same",
    "failed": "Failed",
    "all": "All",
}
_WHICH: Final = {
    "open": Q(state=State.DONE, verdict="") & ~Q(answer__same=True),
    "accepted": Q(verdict=Verdict.ACCEPTED),
    "dismissed": Q(verdict=Verdict.DISMISSED),
    "same": Q(state=State.DONE, answer__same=True, verdict=""),
    "failed": Q(state=State.FAILED),
    "all": Q(state__in=(State.DONE, State.FAILED)),
}


Sides = tuple[SafeString, SafeString]  # the original and the teacher's, marked where they differ


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer as a person sees it."""

    call: RelabelCall
    text: Sides | None = None
    tool_calls: Sides | None = None
    same: bool = False
    problem: str = ""
    doubt: str = ""
    held: ReviewEvent | None = None

    @property
    def judged(self) -> bool:
        return bool(self.call.verdict)

    @property
    def acceptable(self) -> bool:
        return not self.judged and not self.problem and not self.same

    @property
    def replaces(self) -> bool:
        """Whether accepting it takes the place of somebody's correction."""
        return self.held is not None and not self.judged


def counts(relabel: Relabel) -> dict[str, int]:
    """How many answers there are of each kind that can be looked at."""
    return counts_of([relabel])[relabel.pk]


def counts_of(relabels: Sequence[Relabel]) -> dict[int, dict[str, int]]:
    """The same of several, in one query."""
    calls = RelabelCall.objects.filter(relabel__in=relabels).order_by().values("relabel")
    rows = calls.annotate(**{f"n_{show}": Count("pk", filter=which) for show, which in _WHICH.items()})
    found = {row["relabel"]: {show: row[f"n_{show}"] for show in SHOWS} for row in rows}
    return {each.pk: found.get(each.pk, dict.fromkeys(SHOWS, 0)) for each in relabels}


def calls_of(relabel: Relabel, show: str) -> "QuerySet[RelabelCall]":
    """The answers of one kind, in the order of the selection."""
    calls: QuerySet[RelabelCall] = relabel.calls.filter(_WHICH[show])
    return calls.select_related("completion__body", "completion__connection", "judged_by").defer(
        "completion__connection__secret"
    ).order_by("position")  # fmt: skip


def seen(calls: Sequence[RelabelCall]) -> list[Seen]:
    """These answers beside their originals, with the correction that holds of each."""
    states = ReviewState.objects.filter(
        pk__in=[call.completion_id for call in calls], correction__isnull=False
    )
    held = {state.pk: state.correction for state in states.select_related("correction__author")}
    return [_seen(call, held.get(call.completion_id)) for call in calls]


def _seen(call: RelabelCall, held: ReviewEvent | None) -> Seen:
    if call.state != State.DONE:
        return Seen(call, problem=str(call.error.get("text") or "It was not answered."), held=held)
    try:
        answer = taught_by(call)
    except CannotAsk as problem:
        return Seen(call, problem=str(problem), held=held)
    original = answer.original or {"text": "", "tool_calls": None}
    text = original["text"] if answer.value["text"] is None else answer.value["text"]
    return Seen(
        call,
        text=diff_html.sides(original["text"] or "", text or ""),
        tool_calls=_changed_calls(original, answer.value),
        same=answer.is_same,
        problem=answer.problem,
        doubt=answer.doubt,
        held=held,
    )


def _changed_calls(original: Value, value: Value) -> Sides | None:
    before, after = _written(original), _written(value)
    if value["tool_calls"] is None:
        after = before
    return diff_html.sides(before, after) if before or after else None


def _written(value: Value) -> str:
    calls: Any = value["tool_calls"] or []
    return "\n".join(f"{call['name']}({call['arguments']})" for call in calls)
