"""The way of a job from its file to its model, each stop with its time as far as somebody told it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from datasets.models import FineTune, FineTuneEvent
from portal.models import RemoteAction

State = FineTune.State
_QUEUED = re.compile(r"files? validated|queued", re.I)
_STARTED = re.compile(r"job started|training started|started training|enqueued to run", re.I)
_WAITING = frozenset({"queued", "pending", "created"})
_VALIDATING = frozenset({"validating_files"})


@dataclass(frozen=True)
class Stage:
    """One stop. `at` is when it was done, or for the current one when it began."""

    title: str
    state: str  # done, current, todo, bad
    at: datetime | None = None
    about: bool = False  # `at` lies ahead, and the provider estimated it


def stages(tune: FineTune, events: Sequence[FineTuneEvent] = ()) -> list[Stage]:
    """Uploaded, checked, queued, trained, model."""
    times = _times(tune, events)
    titles = [] if tune.elsewhere else ["Upload", "Import"]
    titles += ["Create", "Validate", "Queue", "Train"]
    place = _place(tune, titles)
    made = []
    for number, title in enumerate(titles):
        if number < place:
            state = "done"
        elif number > place or tune.state in (State.CANCELLED, State.DRAFT):
            state = "todo"
        else:
            state = "bad" if tune.state == State.FAILED else "current"
        made.append(Stage(title, state, times.get(title) if state in ("done", "current", "bad") else None))
    if tune.state == State.SUCCEEDED:
        return [*made, Stage("Model", "done", tune.finished)]
    expected = _moment(tune.raw.get("estimated_finish")) if tune.state == State.RUNNING else None
    return [*made, Stage("Model", "todo", expected, about=expected is not None)]


def _place(tune: FineTune, titles: list[str]) -> int:
    if tune.state == State.SUCCEEDED:
        return len(titles)
    if tune.remote_id:
        reached = _reached(tune)
        return titles.index(reached)
    known = {State.UPLOADING: "Upload", State.PROCESSING: "Import", State.LAUNCHING: "Create"}
    title = known.get(State(tune.state))
    if title is None:
        title = "Create" if tune.action is not None else "Upload"
        if tune.action is None and tune.file is not None and tune.file.remote_id:
            title = "Import"
    return titles.index(title) if title in titles else 0


def _reached(tune: FineTune) -> str:
    """How far a job that exists has come, also one that ended in between."""
    if tune.status in _VALIDATING:
        return "Validate"
    if tune.status in _WAITING:
        return "Queue"
    trained = tune.trained_tokens or tune.events.filter(kind="metrics").exists()
    if tune.state == State.FAILED and not trained:
        return "Validate"
    return "Train"


def _times(tune: FineTune, events: Sequence[FineTuneEvent]) -> dict[str, datetime]:
    """When each stop was reached: ours from the actions, the provider's from the job and its events."""
    created = _moment(tune.raw.get("created_at"))
    started = _first(events, _STARTED)
    queued = _first(events, _QUEUED)
    found: dict[str, datetime | None] = {
        "Upload": _done(tune.file.action if tune.file is not None else None) or tune.created,
        "Import": _done(tune.action, begun=True),
        "Create": created or (_done(tune.action) if tune.remote_id else None),
        "Validate": queued or started,
        "Queue": started,
        "Train": tune.finished or started,
    }
    return {title: at for title, at in found.items() if at is not None}


def _done(action: RemoteAction | None, *, begun: bool = False) -> datetime | None:
    if action is None:
        return None
    if begun:
        return action.sent_at
    return action.updated if action.state == RemoteAction.State.CONFIRMED else None


def _first(events: Sequence[FineTuneEvent], pattern: re.Pattern[str]) -> datetime | None:
    moments = [event.created for event in events if event.created and pattern.search(event.message[:300])]
    return _moment(min(moments)) if moments else None


def _moment(value: Any) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 2**34:
        return None
    return datetime.fromtimestamp(value, UTC)
