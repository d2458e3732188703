"""A job as its page shows it: its state in words, its curves, what can be done now."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasets.finetune import launch, method, metrics, progress
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
    "cancelling": "Being cancelled",
}
_TONE = {
    State.DRAFT: "none",
    State.ASKING: "warn",
    State.PAUSED: "warn",
    State.SUCCEEDED: "ok",
    State.FAILED: "bad",
    State.CANCELLED: "none",
}


def in_words(tune: FineTune) -> str:
    """The state of a job as a person says it."""
    if tune.state == State.RUNNING:
        if tune.cancel_requested and tune.status not in ("cancelled", "paused"):
            return "Being cancelled"
        known = _RUNNING.get(tune.status)
        if known is None:
            return f"The provider says “{tune.status}”" if tune.status else "Started"
        far = progress.of(tune) if tune.status == "running" else None
        return f"{known}: {far.words}" if far is not None else known
    return str(State(tune.state).label)


def tone(tune: FineTune) -> str:
    """The class of its mark: ok, warn, bad, run or none."""
    return _TONE.get(State(tune.state), "run")


def stamp(tune: FineTune, deployments: Sequence[Deployment]) -> str:
    """Changes whenever the page of the job would look different."""
    seen = [tune.state, tune.status, tune.polled, tune.cancel_requested, tune.remote_id, tune.error]
    seen += [tune.fine_tuned_model, tune.adopted_by_id]
    seen += [(deployment.pk, deployment.state) for deployment in deployments]
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


def explanation(tune: FineTune) -> str:
    """What happens now and next, where that is not plain."""
    return {
        State.UPLOADING: "The training file goes to the provider.",
        State.PROCESSING: "The file is with the provider, who has to import it before a job can use it.",
        State.LAUNCHING: "The job is created. It is asked for once; if the answer is lost, it is looked for.",
    }.get(State(tune.state), "")


def curve(tune: FineTune, checkpoints: Sequence[Checkpoint]) -> list[dict[str, float]]:
    """Everything known about the job's steps: from the result file, else its events, else its checkpoints."""
    told: list[dict[str, float]] = tune.curve
    return (
        told or metrics.of_events(tune.events.filter(kind="metrics")) or metrics.of_checkpoints(checkpoints)
    )


def charts(tune: FineTune, checkpoints: Sequence[Checkpoint]) -> list[Chart]:
    """Loss, and accuracy or reward where they are told, of everything known about the job's steps."""
    return drawn(curve(tune, checkpoints), [checkpoint.step for checkpoint in checkpoints])


_CHARTS = (
    ("loss", "Loss by step", ("train_loss", "valid_loss", "full_valid_loss")),
    (
        "accuracy",
        "Token accuracy by step",
        ("train_mean_token_accuracy", "valid_mean_token_accuracy", "full_valid_mean_token_accuracy"),
    ),
    ("reward", "Reward by step", ("train_reward_mean", "valid_reward_mean")),
)
_LABELS = ("Training", "Validation", "Full validation")


def drawn(rows: Sequence[Mapping[str, float]], saved: Iterable[int]) -> list[Chart]:
    """The charts of these rows, with a mark at each step that was saved as a checkpoint."""
    marked = {float(step) for step in saved}
    made = []
    for name, title, columns in _CHARTS:
        lines = [
            Line(label, [row.get(column) for row in rows])
            for label, column in zip(_LABELS, columns, strict=False)
            if any(column in row for row in rows)
        ]
        if not lines:
            continue
        marks = [row.get(columns[0]) if row["step"] in marked else None for row in rows]
        if any(mark is not None for mark in marks):
            lines.append(Line("Checkpoint", marks, marks=True, joined=False))
        made.append(Chart(name, title, "Step", [row["step"] for row in rows], lines))
    return made


def unchanged(chart: Chart) -> str:
    """The same for the same picture: what is on the page already is then kept and not drawn again."""
    return hashlib.sha256(chart.text.encode()).hexdigest()[:12]


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
    told = _told_numbers(tune.raw, tune.method)
    return [
        (number.label, tune.hyperparameters.get(number.name, method.AUTO), told.get(number.name))
        for number in method.NUMBERS.get(tune.method, ())
    ]


def _told_numbers(job: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """A job's numbers stand at the top, or with its method."""
    top = job.get("hyperparameters")
    if isinstance(top, dict) and top:
        return top
    options = job.get("method")
    options = options.get(kind) if isinstance(options, dict) else None
    found = options.get("hyperparameters") if isinstance(options, dict) else None
    return found if isinstance(found, dict) else {}
