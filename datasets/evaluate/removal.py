"""Delete an evaluation with its runs, and its items where nothing else was made from them."""

from typing import Any

from django.db import transaction

from datasets import received
from datasets.build import files
from datasets.evaluate import paying, provider_cancel, sources
from datasets.evaluate.run import LIVE
from datasets.models import Call, DatasetVersion, Evaluation, Result
from portal import audit, spending
from portal.models import Operation, Spending


class InUse(Exception):
    """Work on the evaluation still goes on."""


def delete(evaluation: Evaluation, user: Any) -> None:
    """Remove everything of it from here; nothing upstream is touched. Raises InUse while a run goes on."""
    with transaction.atomic():
        evaluation = Evaluation.objects.select_for_update().get(pk=evaluation.pk)
        version = evaluation.version
        live = received.operation_of(version)
        going = evaluation.runs.filter(state__in=LIVE).exists()
        if going or (live is not None and live.is_live):
            raise InUse("A run of this evaluation goes on, or its items are being read. Cancel that first.")
        ids = {str(pk) for pk in evaluation.runs.values_list("pk", flat=True)}
        if Operation.objects.live().filter(kind=provider_cancel.KIND, subject_id__in=ids).exists():
            raise InUse("A run of this evaluation is being cancelled at the provider. Wait for its end.")
        kept = Spending.objects.filter(subject_type=paying.SUBJECT, state=Spending.State.RESERVED)
        for subject in kept.values_list("subject_id", flat=True):
            if subject.partition("/")[0] in ids:  # nobody will come back to say what it did cost
                spending.settle(paying.SUBJECT, subject, None)
        audit.record(user, "evaluation.deleted", evaluation, runs=evaluation.runs.count())
        # Without a look at each row, as a cascade would take for what has no rows of its own below it.
        Result.objects.filter(run__evaluation=evaluation).delete()
        Call.objects.filter(run__evaluation=evaluation).delete()
        made_for = sources.is_made_for(evaluation)
        evaluation.delete()
        if made_for:
            _delete_items(version)


def _delete_items(version: DatasetVersion) -> None:
    if version.evaluations.exists() or version.fine_tunes.exists() or received.is_read_from(version):
        return
    dataset, path = version.dataset, version.path
    sources.forget(version)
    version.delete()
    if not dataset.versions.exists():
        dataset.delete()
    if path:
        transaction.on_commit(lambda: files.artifacts().delete(path), robust=True)
