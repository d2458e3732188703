"""A job as its page shows it: its state in words, its curves, what can be done now."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datasets.finetune import launch, metrics
from datasets.models import Checkpoint, Deployment, FineTune
from portal.charts import Chart, Line
from portal.models import RemoteAction

State = FineTune.State
_RUNNING = {
    "validating_files": "The provider checks the file",
    "queued": "Waiting for its turn",
    "pending": "Waiting for its turn",
    "created": "Waiting for its turn",
    "running": "Training",
    "pausing": "Pausing",
    "paused": "Paused",
    "resuming": "Going on",
    "cancelling": "Stopping",
}
_TONE = {
    State.DRAFT: "none",
    State.ASKING: "warn",
    State.SUCCEEDED: "ok",
    State.FAILED: "bad",
    State.CANCELLED: "none",
}


@dataclass(frozen=True)
class Stage:
    """One stop on the way from file to model."""

    title: str
    state: str  # done, current, todo, bad


def in_words(tune: FineTune) -> str:
    """The state of a job as a person says it."""
    if tune.state == State.RUNNING:
        if tune.cancel_requested and tune.status not in ("cancelled", "paused"):
            return "Stopping"
        return _RUNNING.get(tune.status, f"The provider says “{tune.status}”" if tune.status else "Started")
    return str(State(tune.state).label)


def tone(tune: FineTune) -> str:
    """The class of its mark: ok, warn, bad, run or none."""
    return _TONE.get(State(tune.state), "run")


def stamp(tune: FineTune, deployments: Sequence[Deployment]) -> str:
    """Changes whenever the page of the job would look different."""
    seen = [tune.state, tune.status, tune.polled, tune.cancel_requested, tune.remote_id, tune.error]
    seen += [(deployment.pk, deployment.state) for deployment in deployments]
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


def explanation(tune: FineTune) -> str:
    """What happens now and next, where that is not plain."""
    return {
        State.UPLOADING: "The training file goes to the provider.",
        State.PROCESSING: "The file is with the provider, who has to import it before a job can use it.",
        State.LAUNCHING: "The job is created. It is asked for once; if the answer is lost, it is looked for.",
    }.get(State(tune.state), "")


def stages(tune: FineTune) -> list[Stage]:
    """File, job, training, model."""
    order = [State.UPLOADING, State.PROCESSING, State.LAUNCHING, State.RUNNING]
    titles = ["Upload the file", "Import it", "Create the job", "Train"]
    place = _place(tune, order)
    made = []
    for number, title in enumerate(titles):
        if number < place:
            state = "done"
        elif number > place or tune.state in (State.CANCELLED, State.DRAFT):
            state = "todo"
        else:
            state = "bad" if tune.state == State.FAILED else "current"
        made.append(Stage(title, state))
    made.append(Stage("Model", "done" if tune.state == State.SUCCEEDED else "todo"))
    return made


def _place(tune: FineTune, order: Sequence[str]) -> int:
    if tune.state in order:
        return order.index(tune.state)
    if tune.state == State.SUCCEEDED:
        return len(order)
    if tune.remote_id:
        return 3
    if tune.action is not None:
        return 2
    return 1 if tune.file is not None and tune.file.remote_id else 0


def charts(tune: FineTune, checkpoints: Sequence[Checkpoint]) -> list[Chart]:
    """Loss, and accuracy where it is told, of everything known about the job's steps."""
    rows = tune.curve or metrics.of_events(tune.events.filter(kind="metrics"))
    rows = rows or metrics.of_checkpoints(checkpoints)
    saved = {float(checkpoint.step) for checkpoint in checkpoints}
    wanted = (
        ("loss", "Loss by step", ("train_loss", "valid_loss", "full_valid_loss")),
        (
            "accuracy",
            "Token accuracy by step",
            ("train_mean_token_accuracy", "valid_mean_token_accuracy", "full_valid_mean_token_accuracy"),
        ),
    )
    labels = ("Training", "Validation", "Full validation")
    made = []
    for name, title, columns in wanted:
        lines = [
            Line(label, [row.get(column) for row in rows])
            for label, column in zip(labels, columns, strict=True)
            if any(column in row for row in rows)
        ]
        if not lines:
            continue
        marks = [row.get(columns[0]) if row["step"] in saved else None for row in rows]
        if any(mark is not None for mark in marks):
            lines.append(Line("Checkpoint", marks, marks=True, joined=False))
        made.append(Chart(name, title, "Step", [row["step"] for row in rows], lines))
    return made


@dataclass(frozen=True)
class Question:
    """What a person is asked where the machine may not go on."""

    title: str
    text: str
    candidates: tuple[str, ...]
    may_launch_again: bool
    may_look: bool


def question(tune: FineTune) -> Question | None:
    """The decision that the job waits for; None if it waits for none."""
    if tune.state != State.ASKING:
        return None
    action = launch.open_action(tune)
    what = "job" if action is None or action.kind == launch.JobErrand.kind else "upload"
    candidates = tuple(action.candidates) if action is not None else ()
    if candidates:
        return Question(
            f"Which {what} is this one?",
            f"The answer to the request was lost, and {len(candidates)} {what}s upstream could come of it. "
            "Nothing was sent a second time. Say which one it is.",
            candidates,
            may_launch_again=False,
            may_look=True,
        )
    not_found = action is not None and action.state == RemoteAction.State.NOT_FOUND
    text = (
        f"The answer to the request was lost. The {what} was looked for {action.clean_listings} times "
        "and not found, so it was most likely never made. Nothing was sent a second time."
        if not_found and action is not None
        else f"The answer to the request was lost, and the search for the {what} was stopped."
    )
    return Question(
        f"Was the {what} made?", text, (), may_launch_again=not_found, may_look=action is not None
    )


def used_hyperparameters(tune: FineTune) -> list[tuple[str, Any, Any]]:
    """(name, asked for, really used): the provider says the latter once it has decided."""
    raw = tune.raw.get("hyperparameters")
    told = raw if isinstance(raw, dict) else {}
    return [
        (
            name.replace("_", " ").replace("n epochs", "epochs").capitalize(),
            tune.hyperparameters.get(name, "auto"),
            told.get(name),
        )
        for name in launch.NUMBERS
    ]
