"""An operation as people see it: how far, how fast, how long still, and in which words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.apps import apps
from django.utils import timezone

from portal.models import Operation

State = Operation.State
TONES = {
    State.READY: "none",
    State.RUNNING: "run",
    State.WAITING: "warn",
    State.DONE: "ok",
    State.FAILED: "bad",
    State.CANCELLED: "none",
}
_RESULTS = {
    "rows": "Rows",
    "items": "Items",
    "repeated_calls": "Calls made again",
    "job": "Job upstream",
    "name": "Deployment",
    "state": "State",
    "status": "Status upstream",
    "too_late": "Came too late",
    "asking": "Waits for a person",
    "refused": "Refused",
    "sha256": "SHA-256",
}


def name_results(words: Mapping[str, str]) -> None:
    """Say what an operation's results are called on its page; what nobody has named is not shown."""
    _RESULTS.update(words)


def results_of(operation: Operation) -> list[tuple[str, object]]:
    """What came of an operation, in words."""
    found = operation.result if isinstance(operation.result, dict) else {}
    return [
        (_RESULTS[name], "yes" if value is True else value)
        for name, value in found.items()
        if name in _RESULTS and value not in (None, "", False) and not isinstance(value, dict)
    ]


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that can be done about an operation, by posting to `url`; `question` is asked before."""

    title: str
    url: str
    icon: str
    question: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What came of an operation in a sentence, why some of it did not, and what can be done about it."""

    text: str
    whys: Sequence[tuple[str, int]] = ()
    deeds: Sequence[Deed] = ()


Teller = Callable[[Operation, Any], Told | None]
_tellers: dict[str, Teller] = {}


def tells(kind: str) -> Callable[[Teller], Teller]:
    """Register who tells what came of operations of this kind, to the person who looks at its page."""

    def register(teller: Teller) -> Teller:
        _tellers[kind] = teller
        return teller

    return register


def told_of(operation: Operation, user: Any) -> Told | None:
    """What came of it, in words; None if nobody tells, or there is nothing to tell yet."""
    teller = _tellers.get(operation.kind)
    return teller(operation, user) if teller is not None else None


@dataclass(frozen=True)
class Progress:
    """What a page shows of one operation; `rate` per second and `left` in seconds are None while unknown."""

    operation: Operation
    tone: str
    words: str
    rate: float | None
    left: float | None
    problem: str

    @property
    def took(self) -> float | None:
        """Seconds from its start to its end; None before."""
        started, finished = self.operation.started, self.operation.finished
        return (finished - started).total_seconds() if started and finished else None

    @property
    def live(self) -> bool:
        return self.operation.is_live

    @property
    def known(self) -> bool:
        """Whether there is a total to measure against."""
        return bool(self.operation.total)

    @property
    def shown(self) -> int:
        """What is done, never more than the total that a service announced too low."""
        return min(self.operation.done, self.operation.total or self.operation.done)


def since_now(done: int = 0) -> dict[str, float]:
    """What an operation with several parts keeps as `since` in its cursor when it begins with one of them."""
    return {"at": timezone.now().timestamp(), "done": done}


def _began(operation: Operation) -> tuple[datetime, int] | None:
    """When the present part began, and what was done by then."""
    since = operation.cursor.get("since") if isinstance(operation.cursor, dict) else None
    if isinstance(since, dict) and "at" in since:
        return datetime.fromtimestamp(since["at"], UTC), int(since.get("done", 0))
    return (operation.started, 0) if operation.started else None


def progress_of(operation: Operation) -> Progress:
    """Work out what to show of an operation now."""
    rate = left = None
    ended = operation.finished or operation.progressed
    began = _began(operation)
    if began and ended and operation.done > began[1]:
        seconds = (ended - began[0]).total_seconds()
        if seconds > 0.5:
            rate = (operation.done - began[1]) / seconds
    if rate and operation.total and operation.state == State.RUNNING and operation.total > operation.done:
        left = (operation.total - operation.done) / rate
    tone = "bad" if _is_red(operation) else TONES[State(operation.state)]
    return Progress(operation, tone, _words(operation), rate, left, _problem(operation))


def _is_red(operation: Operation) -> bool:
    """Whether it reached its end, and what came of it is not what was asked for."""
    result = operation.result if isinstance(operation.result, dict) else {}
    return operation.state == State.DONE and bool(result.get("red"))


def _words(operation: Operation) -> str:
    if _is_red(operation):
        return "Done, goal missed"
    if operation.is_live and operation.cancel_requested:
        return "Being cancelled"
    if operation.state == State.WAITING and operation.error_code == "throttled":
        return "Waiting, as the service asked for a pause"
    return operation.get_state_display()


def _problem(operation: Operation) -> str:
    """The error's words where they still matter."""
    matters = operation.state == State.FAILED or (operation.is_live and operation.error_code)
    return operation.error_text if matters else ""


def address_of_subject(operation: Operation) -> str:
    """Where the thing is that the operation works on; empty if it has no page or is gone."""
    if not operation.subject_type or not operation.subject_id:
        return ""
    try:
        model = apps.get_model(operation.subject_type)
        subject = model._default_manager.filter(pk=operation.subject_id).first()
    except (LookupError, ValueError):
        return ""
    address = getattr(subject, "get_absolute_url", None)
    return str(address()) if address is not None else ""


def next_try(operation: Operation) -> object:
    """When a waiting operation goes on; None if it is about to."""
    due = operation.next_run_at
    return due if operation.state == State.WAITING and due and due > timezone.now() else None
