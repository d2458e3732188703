"""Gather the lineage of one thing: where it came from, and what came of it, as far as a person may read."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs

from django.urls import reverse

from completions import saved
from completions.addresses import pane_address
from completions.filters import Filter
from completions.models import FrozenSelection, SavedView, StoredCompletion
from datasets.finetune import picture
from datasets.lineage import MOST, Graph, Node
from datasets.models import Checkpoint, DatasetVersion, Deployment, FineTune, Run
from portal.models import Connection

LOOKED_AT = 200  # runs and views that are compared one by one
TONES = {"ready": "ok", "failed": "bad", "asking": "warn", "deleted": "none"}


def of_version(user: Any, version: DatasetVersion) -> Graph:
    found = _Gatherer(user, _version_node(version))
    found.above(version)
    found.below(version)
    return found.graph


def of_job(user: Any, tune: FineTune) -> Graph:
    found = _Gatherer(user, _job_node(tune))
    found.before_job(tune)
    found.after_job(tune)
    return found.graph


def of_deployment(user: Any, deployment: Deployment) -> Graph:
    found = _Gatherer(user, _deployment_node(deployment))
    found.before_deployment(deployment)
    found.after_deployment(deployment)
    return found.graph


def of_run(user: Any, run: Run) -> Graph:
    found = _Gatherer(user, _run_node(run))
    found.before_run(run)
    return found.graph


def of_completion(user: Any, row: StoredCompletion) -> Graph:
    title = row.prompt_preview or row.upstream_id
    node = Node("rows", f"c{row.pk}", title, "stored completion", row.get_absolute_url())
    found = _Gatherer(user, node)
    found.after_completion(row)
    return found.graph


class _Gatherer:
    """Walks both ways from one thing; everything it puts in comes from what `user` may read."""

    def __init__(self, user: Any, node: Node) -> None:
        self.user = user
        self.graph = Graph()
        self.graph.current = self.graph.add(node)
        self._connections: set[int] | None = None
        self._seen: set[str] = set()

    def _first_time(self, what: str) -> bool:
        """Whether this step was not taken yet: things are reached on several ways."""
        if what in self._seen:
            return False
        self._seen.add(what)
        return True

    @property
    def connections(self) -> set[int]:
        if self._connections is None:
            readable = Connection.objects.readable_by(self.user)
            self._connections = set(readable.values_list("pk", flat=True))
        return self._connections

    def _some(self, kind: str, rows: Any) -> list[Any]:
        """As many as are shown; how many more there are is counted."""
        found = list(rows[: MOST + 1])
        if len(found) > MOST:
            self.graph.leave_out(kind, rows.count() - MOST)
        return found[:MOST]

    # Dataset versions

    def above(self, version: DatasetVersion) -> None:
        """The selection and its view, and the version that it was made from."""
        here = self.graph.add(_version_node(version))
        if not self._first_time(f"above {here}"):
            return
        if version.frozen_selection is not None:
            self._selection(version.frozen_selection, here)
        elif version.source and "part_of" not in version.source:
            name = str(version.source.get("file_name") or version.source.get("file") or "A file")
            self.graph.add(
                Node("rows", f"source{version.pk}", name, version.get_origin_display()), before=here
            )
        readable = DatasetVersion.objects.readable_by(self.user).select_related("dataset")
        parent = readable.filter(pk=version.parent_id).first()
        if parent is not None:
            self.graph.add(_version_node(parent), before=here)

    def below(self, version: DatasetVersion) -> None:
        """What was made from it: further versions, jobs, runs on its rows."""
        here = self.graph.add(_version_node(version))
        if not self._first_time(f"below {here}"):
            return
        readable = DatasetVersion.objects.readable_by(self.user).select_related("dataset")
        for child in self._some("version", readable.filter(parent=version).order_by("-id")):
            self.graph.add(_version_node(child), after=here)
        tunes = _tunes(self.user).filter(version=version).exclude(state=FineTune.State.DRAFT).order_by("-id")
        for tune in self._some("job", tunes):
            self._files(tune, here)
            self.graph.add(_job_node(tune))
            self.after_job(tune)
        runs = _runs(self.user).filter(evaluation__version=version).order_by("-id")
        for run in self._some("run", runs):
            self.graph.add(_run_node(run), after=here)

    def _selection(self, frozen: FrozenSelection, here: str) -> None:
        view = self._view(frozen)
        if view is not None:
            node = Node(
                "rows",
                f"view{view.pk}",
                view.name,
                f"saved view, {frozen.count:,} taken",
                saved.address(view),
            )
        else:
            wanted = Filter.parse(frozen.q).describe() if frozen.q else ""
            title = wanted or ("All completions" if frozen.everything else "Chosen one by one")
            href = pane_address(frozen.q, view=saved.EVERYTHING) if frozen.everything else ""
            node = Node("rows", f"selection{frozen.pk}", title, f"{frozen.count:,} taken", href)
        self.graph.add(node, before=here)

    def _view(self, frozen: FrozenSelection) -> SavedView | None:
        """A saved view that asks for the same, if there is one."""
        if not frozen.everything or not frozen.q:
            return None
        views = SavedView.objects.readable_by(self.user, self.connections).order_by("-changed")[:LOOKED_AT]
        return next((view for view in views if parse_qs(view.query).get("q", [""])[0] == frozen.q), None)

    def after_completion(self, row: StoredCompletion) -> None:
        versions = DatasetVersion.objects.readable_by(self.user).select_related("dataset")
        held = (
            versions.filter(examples__completion=row, examples__line__isnull=False).distinct().order_by("-id")
        )
        for version in self._some("version", held):
            self.graph.add(_version_node(version), after=self.graph.current)
            self.below(version)

    # Jobs

    def _files(self, tune: FineTune, version: str) -> str:
        """The training file between a version and its job; returns what leads to the job."""
        job = self.graph.add(_job_node(tune))
        name = tune.file.remote_id if tune.file is not None else tune.raw.get("training_file")
        if not isinstance(name, str) or not name:
            if version:
                self.graph.edges[version, job] = None
            return version
        node = Node("file", f"{tune.connection_id}/{name}", name, f"on {tune.connection.name}")
        return self.graph.add(node, after=version, before=job)

    def before_job(self, tune: FineTune) -> None:
        here = _job_node(tune).id
        if not self._first_time(f"before {here}"):
            return
        readable = DatasetVersion.objects.readable_by(self.user)
        version = (
            readable.select_related("dataset", "frozen_selection").filter(pk=tune.version_id).first()
            if tune.version_id is not None
            else None
        )
        self._files(tune, self.graph.add(_version_node(version)) if version is not None else "")
        if version is not None:
            self.above(version)

    def after_job(self, tune: FineTune) -> None:
        here = self.graph.add(_job_node(tune))
        if not self._first_time(f"after {here}"):
            return
        if tune.fine_tuned_model:
            self.graph.add(_model_node(tune), after=here)
        deployments = Deployment.objects.readable_by(self.user).filter(fine_tune=tune)
        for deployment in self._some("deployment", deployments.select_related("connection").order_by("-id")):
            self.graph.add(_deployment_node(deployment), after=self._model_of(deployment, tune))
            self.after_deployment(deployment)

    def _model_of(self, deployment: Deployment, tune: FineTune) -> str:
        """The finished model or the checkpoint that is deployed; returns its id."""
        job = self.graph.add(_job_node(tune))
        if deployment.model == tune.fine_tuned_model:
            return self.graph.add(_model_node(tune), after=job)
        checkpoint: Checkpoint | None = tune.checkpoints.filter(model=deployment.model).first()
        note = f"checkpoint at step {checkpoint.step:,}" if checkpoint is not None else "model"
        node = Node("model", f"{tune.connection_id}/{deployment.model}", deployment.model, note)
        return self.graph.add(node, after=job)

    # Deployments and runs

    def before_deployment(self, deployment: Deployment) -> None:
        here = self.graph.add(_deployment_node(deployment))
        if not self._first_time(f"before {here}"):
            return
        tune = _tunes(self.user).filter(pk=deployment.fine_tune_id).first()
        if tune is None:
            self.graph.add(Node("model", deployment.model, deployment.model, "model"), before=here)
            return
        self.graph.edges[self._model_of(deployment, tune), here] = None
        self.before_job(tune)

    def after_deployment(self, deployment: Deployment) -> None:
        here = self.graph.add(_deployment_node(deployment))
        if not self._first_time(f"after {here}"):
            return
        runs = _runs(self.user).filter(connections=deployment.connection_id).order_by("-id")[:LOOKED_AT]
        asked = [run for run in runs if _asks(run.targets, deployment)]
        self.graph.leave_out("run", len(asked) - MOST)
        for run in asked[:MOST]:
            self.graph.add(_run_node(run), after=here)

    def before_run(self, run: Run) -> None:
        here = _run_node(run).id
        readable = DatasetVersion.objects.readable_by(self.user).select_related("dataset", "frozen_selection")
        version = readable.filter(pk=run.evaluation.version_id).first()
        if version is not None:
            self.graph.add(_version_node(version), before=here)
            self.above(version)
        names = [target.get("model") for target in run.targets if isinstance(target, dict)]
        places = [target.get("connection") for target in run.targets if isinstance(target, dict)]
        found = Deployment.objects.readable_by(self.user).filter(
            name__in=[name for name in names if isinstance(name, str)],
            connection__in=[place for place in places if isinstance(place, int)],
        )
        for deployment in found.select_related("connection").order_by("-id")[:MOST]:
            if _asks(run.targets, deployment):
                self.graph.add(_deployment_node(deployment), before=here)
                self.before_deployment(deployment)


def _asks(targets: Iterable[Any], deployment: Deployment) -> bool:
    return any(
        isinstance(target, dict)
        and target.get("connection") == deployment.connection_id
        and target.get("model") == deployment.name
        for target in targets
    )


def _tunes(user: Any) -> Any:
    related = ("connection", "file", "version__dataset", "version__frozen_selection")
    return FineTune.objects.readable_by(user).select_related(*related)


def _runs(user: Any) -> Any:
    return Run.objects.readable_by(user).select_related("evaluation")


def _version_node(version: DatasetVersion) -> Node:
    href = reverse("datasets:version", args=[version.dataset_id, version.number])
    rows = f"{version.rows:,} rows" if version.rows else version.get_state_display()
    return Node("version", str(version.pk), f"{version.dataset.name} v{version.number}", rows, href)


def _job_node(tune: FineTune) -> Node:
    href = reverse("datasets:finetune", args=[tune.pk])
    words = str(FineTune.State(tune.state).label)
    return Node("job", str(tune.pk), tune.base_model, words, href, picture.tone(tune))


def _model_node(tune: FineTune) -> Node:
    name = tune.fine_tuned_model
    return Node("model", f"{tune.connection_id}/{name}", name, "finished model")


def _deployment_node(deployment: Deployment) -> Node:
    href = reverse("datasets:deployment", args=[deployment.pk])
    state = str(Deployment.State(deployment.state).label)
    return Node(
        "deployment", str(deployment.pk), deployment.name, state, href, TONES.get(deployment.state, "run")
    )


def _run_node(run: Run) -> Node:
    href = reverse("datasets:run", args=[run.evaluation_id, run.number])
    state = str(Run.State(run.state).label)
    tone = {"done": "ok", "failed": "bad", "cancelled": "none", "paused": "warn"}.get(run.state, "run")
    return Node("run", str(run.pk), f"{run.evaluation.name}, run {run.number}", state, href, tone)
