"""What is made at the provider for a run, each of it once: a file, an evaluation, its run."""

from collections.abc import Mapping, Sequence
from typing import Any

from datasets.evaluate import provider_lines, provider_terms
from datasets.evaluate.targets import Target
from datasets.evaluate.thresholds import graders_of
from datasets.models import Run
from datasets.remote import MARK, Found
from portal.models import RemoteAction
from portal.upstream import Upstream

PURPOSE = "evals"
CANCELED = frozenset({"canceled", "cancelled", "canceling", "cancelling"})
ENDED = CANCELED | {"completed", "failed"}
GONE = frozenset({410})  # the API is no longer there: certainly nothing was done


class FileErrand:
    """https://platform.openai.com/docs/api-reference/files/create"""

    kind = "eval_file"
    refusals = GONE

    def __init__(self, run: Run, target: Target) -> None:
        self.run, self.target = run, target

    def post(self, upstream: Upstream, action: RemoteAction) -> Found:
        with provider_lines.file_of(self.run, self.target) as content:
            info = upstream.upload_file(action.params["name"], content, PURPOSE)
        return Found(info.id, info.created, marked=True)

    def look(self, upstream: Upstream, action: RemoteAction, since: float) -> Sequence[Found]:
        # Its name holds a random number, so it is as good as a mark.
        return [
            Found(info.id, info.created, marked=True)
            for info in upstream.list_files(PURPOSE)
            if info.name == action.params["name"] and info.bytes in (action.params["bytes"], None, 0)
        ]


class EvalErrand:
    """https://platform.openai.com/docs/api-reference/evals/create"""

    kind = "eval"
    refusals = GONE

    def __init__(self, run: Run, columns: Mapping[str, str]) -> None:
        self.run, self.columns = run, columns

    def post(self, upstream: Upstream, action: RemoteAction) -> Found:
        graders = graders_of(self.run)
        body = provider_terms.eval_body(name_of(self.run, action), mark_of(action), graders, self.columns)
        made = upstream.create_eval(body)
        return Found(made.id, made.created, marked=True)

    def look(self, upstream: Upstream, action: RemoteAction, since: float) -> Sequence[Found]:
        return [
            Found(each.id, each.created, marked=True)
            for each in upstream.list_evals(int(since))
            if is_marked(each.metadata, each.name, action)
        ]


class RunErrand:
    """https://platform.openai.com/docs/api-reference/evals/createRun"""

    kind = "eval_run"
    refusals = GONE

    def __init__(self, run: Run, target: Target, eval_id: str, file_id: str) -> None:
        self.run, self.target, self.eval_id, self.file_id = run, target, eval_id, file_id

    def post(self, upstream: Upstream, action: RemoteAction) -> Found:
        source: dict[str, Any] = {"type": "file_id", "id": self.file_id}
        if not self.file_id:
            content = list(provider_lines.rows(self.run, self.target))
            source = {"type": "file_content", "content": content}
        body = provider_terms.run_body(name_of(self.run, action), mark_of(action), self.target, source)
        made = upstream.create_eval_run(self.eval_id, body)
        return Found(made.id, made.created, marked=True, answer={"status": made.status})

    def look(self, upstream: Upstream, action: RemoteAction, since: float) -> Sequence[Found]:
        return [
            Found(each.id, each.created, marked=True, answer={"status": each.status})
            for each in upstream.list_eval_runs(self.eval_id, int(since))
            if is_marked(each.metadata, each.name, action)
        ]


class CancelErrand:
    """https://platform.openai.com/docs/api-reference/evals/cancelRun"""

    kind = "eval_cancel"
    refusals = GONE

    def post(self, upstream: Upstream, action: RemoteAction) -> Found:
        run = upstream.cancel_eval_run(action.params["eval"], action.params["run"])
        return Found(action.params["run"], marked=True, answer={"status": run.status})

    def look(self, upstream: Upstream, action: RemoteAction, since: float) -> Sequence[Found]:
        # The run itself tells; there is nothing to be made twice.
        run = upstream.get_eval_run(action.params["eval"], action.params["run"])
        if run.status in ENDED:
            return [Found(action.params["run"], marked=True, answer={"status": run.status})]
        return []


def mark_of(action: RemoteAction) -> dict[str, str]:
    return {MARK: str(action.pk)}


def name_of(run: Run, action: RemoteAction) -> str:
    """The name at the provider; it ends with the first digits of the action's id."""
    return f"{run.evaluation.name[:80]} · run {run.number} · {action.pk.hex[:12]}"


def is_marked(metadata: Mapping[str, Any], name: str, action: RemoteAction) -> bool:
    """Whether something upstream says itself that this action made it."""
    if metadata.get(MARK):
        return bool(metadata[MARK] == str(action.pk))
    return name.endswith(f"· {action.pk.hex[:12]}")
