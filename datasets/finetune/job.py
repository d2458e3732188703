"""The job of a launch: what is asked for, once, and how it is known again among the provider's jobs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from datasets.finetune import method, upload
from datasets.models import FineTune
from datasets.remote import MARK, Found
from portal.models import Connection, RemoteAction
from portal.upstream import JobInfo, Upstream


class JobErrand:
    """https://platform.openai.com/docs/api-reference/fine-tuning/create"""

    kind = "fine_tune"

    def post(self, upstream: Upstream, action: RemoteAction) -> Found:
        return _found(upstream.create_job(body_of(action)), action)

    def look(self, upstream: Upstream, action: RemoteAction, since: float) -> Sequence[Found]:
        jobs = list(upstream.list_jobs(int(since)))
        rivals = list(
            open_actions(action.connection).exclude(pk=action.pk)
        )  # read after the jobs: whoever made one of them is in there
        return [
            _found(job, action, rivals) for job in jobs if is_marked(job, action) or could_be(job, action)
        ]


def mark_of(action: RemoteAction) -> str:
    """The job's suffix: what the user chose, and the first digits of the action's id."""
    chosen = str(action.params.get("suffix", ""))
    return f"{chosen}-{action.pk.hex[:8]}" if chosen else action.pk.hex[:8]


def body_of(action: RemoteAction) -> dict[str, Any]:
    """The body of the create call; it carries the action's marks."""
    params = action.params
    body = {
        "model": params["model"],
        "training_file": params["training_file"],
        "seed": params["seed"],
        "suffix": mark_of(action),
        "method": method.as_sent(
            params.get("method", FineTune.Method.SUPERVISED),
            params["hyperparameters"],
            params.get("grader") or {},
        ),
        "metadata": {MARK: str(action.pk)},
    }
    if params.get("validation_file"):
        body["validation_file"] = params["validation_file"]
    if params.get("training_type"):
        body["trainingType"] = params["training_type"]
    return body


def is_marked(job: JobInfo, action: RemoteAction) -> bool:
    """Whether the job says itself that this action made it."""
    if job.metadata.get(MARK):
        return bool(job.metadata[MARK] == str(action.pk))
    mark = mark_of(action)
    return mark in (job.suffix, job.raw.get("user_provided_suffix")) or (
        bool(job.fine_tuned_model) and job.fine_tuned_model.endswith((f"-{mark}", f":{mark}"))
    )


def could_be(job: JobInfo, action: RemoteAction) -> bool:
    """Whether a job without marks can only be told by what it trains on: file, seed and numbers agree."""
    params = action.params
    if job.metadata.get(MARK) or job.suffix or job.training_file != params["training_file"]:
        return False
    if job.seed is not None and job.seed != params["seed"]:
        return False
    told, wanted = job.raw.get("method"), params.get("method", FineTune.Method.SUPERVISED)
    if isinstance(told, dict) and told.get("type", wanted) != wanted:
        return False
    if "validation_file" in job.raw and (job.raw["validation_file"] or "") != params.get(
        "validation_file", ""
    ):
        return False
    # A service may answer with the dated name of a model that was asked for by its short one.
    if job.model and not job.model.startswith(params["model"]) and not params["model"].startswith(job.model):
        return False
    return all(
        _agrees(job.hyperparameters.get(name), value) for name, value in params["hyperparameters"].items()
    )


def _agrees(told: Any, wanted: Any) -> bool:
    if told in (None, "auto") or wanted == "auto":
        return True
    try:
        return abs(float(told) - float(wanted)) < 1e-9
    except (TypeError, ValueError):
        return bool(told == wanted)


def open_actions(connection: Connection) -> Any:
    """Launches on a connection of which nobody knows yet whether they made a job."""
    return RemoteAction.objects.filter(connection=connection, kind=JobErrand.kind, state__in=upload.OPEN)


def _found(job: JobInfo, action: RemoteAction, rivals: Sequence[RemoteAction] = ()) -> Found:
    answer = {"status": job.status, "model": job.model}
    contested = any(could_be(job, rival) for rival in rivals)
    return Found(job.id, job.created, is_marked(job, action), contested, answer)


def open_action(tune: FineTune) -> RemoteAction | None:
    """The action of a launch that nobody knows the outcome of, if there is one."""
    uploads = (tune.file, tune.validation_file)
    for action in (tune.action, *(file.action for file in uploads if file is not None)):
        if action is not None and action.state in upload.OPEN:
            return action
    return None


def as_text(body: Mapping[str, Any]) -> str:
    """The body of the create call for people to read."""
    return json.dumps(body, indent=2, ensure_ascii=False)
