"""Delete an evaluation with its runs, and its items where nothing else was made from them."""

from typing import Any

from django.db import transaction

from datasets.build import build, files
from datasets.evaluate.run import LIVE
from datasets.models import Call, DatasetVersion, Evaluation, Result
from portal import audit


class InUse(Exception):
    """Work on the evaluation still goes on."""


def delete(evaluation: Evaluation, user: Any) -> None:
    """Remove everything of it from here; nothing upstream is touched. Raises InUse while a run goes on."""
    with transaction.atomic():
        evaluation = Evaluation.objects.select_for_update().get(pk=evaluation.pk)
        version = evaluation.version
        live = build.operation_of(version)
        going = evaluation.runs.filter(state__in=LIVE).exists()
        if going or (live is not None and live.is_live):
            raise InUse("A run of this evaluation goes on. Stop it first.")
        audit.record(user, "evaluation.deleted", evaluation, runs=evaluation.runs.count())
        # Without a look at each row, as a cascade would take for what has no rows of its own below it.
        Result.objects.filter(run__evaluation=evaluation).delete()
        Call.objects.filter(run__evaluation=evaluation).delete()
        evaluation.delete()
        _delete_items(version)


def _delete_items(version: DatasetVersion) -> None:
    if version.evaluations.exists() or version.fine_tunes.exists():
        return
    dataset, path = version.dataset, version.path
    version.delete()
    if not dataset.versions.exists():
        dataset.delete()
    if path:
        transaction.on_commit(lambda: files.artifacts().delete(path), robust=True)
