"""Delete an evaluation with its runs, and its items where nothing else was made from them.

Few rows go at once, many in an operation: from its beginning on the evaluation is nobody's any more, and its
rows go a batch at a time. A run that is about to lose its answers is stopped and has no report, so that one
that an operation could not delete does not show what is no longer behind it.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet

from datasets import received
from datasets.build import files
from datasets.evaluate import paying, provider_cancel, sources
from datasets.evaluate.run import LIVE
from datasets.models import Call, DatasetVersion, Evaluation, Example, Result, Run, Schedule
from portal import audit, operations
from portal.crashpoints import crashpoint
from portal.models import Operation

KIND: Final = "run.delete_evaluation"
AT_ONCE: Final = 5_000  # rows that are deleted while a page is waited for
BATCH: Final = 2_000
GOING: Final = "It is being deleted."


class InUse(Exception):
    """Work on the evaluation still goes on."""


def delete(evaluation: Evaluation, user: Any) -> Operation | None:
    """Remove everything of it from here; nothing upstream is touched. Raises InUse while a run goes on.

    Returns the operation that does it where these are many rows.
    """
    with transaction.atomic():
        evaluation = Evaluation.objects.select_for_update().get(pk=evaluation.pk)
        live = received.operation_of(evaluation.version)
        going = evaluation.runs.filter(state__in=LIVE).exists()
        if going or (live is not None and live.is_live):
            raise InUse("A run of this evaluation goes on, or its items are being read. Cancel that first.")
        if provider_cancel.goes_on(evaluation):
            raise InUse("A run of this evaluation is being cancelled at the provider. Wait for its end.")
        runs, rows = evaluation.runs.count(), _rows_of(evaluation)
        if rows > AT_ONCE:
            return _begin(evaluation, rows, user)
        audit.record(user, "evaluation.deleted", evaluation, runs=runs)
        for some in _some_of(evaluation):
            while some():
                pass
        version = _take_evaluation(evaluation)
        if version is not None:
            while _take(Example.objects.filter(version=version)):
                pass
            _take_version(version)
    return None


def _begin(evaluation: Evaluation, rows: int, user: Any) -> Operation:
    Evaluation.objects.filter(pk=evaluation.pk).update(deleting=True)
    Schedule.objects.filter(evaluation=evaluation).delete()
    asked = list(evaluation.connections.all()[:2])
    audit.record(user, "evaluation.deletion_started", evaluation, runs=evaluation.runs.count(), rows=rows)
    return operations.begin(
        KIND,
        title=f"Delete {evaluation.name}"[:200],
        dedupe_key=str(evaluation.pk),
        connection=asked[0] if len(asked) == 1 else None,
        requested_by=user,
        cursor={"evaluation": evaluation.pk, "rows": rows},
    )


def _stopped(operation: Operation) -> None:
    """What an operation could not delete is there again; it can be deleted once more."""
    Evaluation.objects.filter(pk=operation.cursor.get("evaluation")).update(deleting=False)


@operations.handler(KIND, queue="house", ended=_stopped)
def delete_step(work: operations.Working) -> operations.Done | operations.Again:
    """One step: a batch after the other while there is time."""
    cursor = dict(work.operation.cursor)
    evaluation = Evaluation.objects.filter(pk=cursor["evaluation"]).first()
    if evaluation is not None:
        if not _is_ours(evaluation):
            raise operations.Failed("in_use", "A run of it goes on. Cancel that, then delete it again.")
        for some in _some_of(evaluation):
            if not _all_gone(work, some):
                return operations.Again()
        with transaction.atomic():
            audit.record(work.operation.requested_by, "evaluation.deleted", evaluation, rows=cursor["rows"])
            version = _take_evaluation(evaluation)
            work.advance(cursor=cursor | {"version": version.pk if version is not None else None})
        crashpoint("evaluation.delete.items")
    version = DatasetVersion.objects.filter(pk=work.operation.cursor.get("version")).first()
    if version is not None:
        items = Example.objects.filter(version=version)
        if not _all_gone(work, lambda: _take(items)):
            return operations.Again()
        for path in (version.path, version.source.get("path", "")):
            if path:  # before its row, so that it is not forgotten where a worker dies
                files.artifacts().delete(path)
        crashpoint("evaluation.delete.file")
        with transaction.atomic():
            _take_version(version)
            work.advance(done=max(work.operation.done, cursor["rows"]), step="")
    return operations.Done({"rows": work.operation.done})


def _is_ours(evaluation: Evaluation) -> bool:
    """Whether it may be gone on with: another try hides it again, unless somebody began to use it."""
    with transaction.atomic():
        locked = Evaluation.objects.select_for_update().get(pk=evaluation.pk)
        if locked.runs.filter(state__in=LIVE).exists():
            return False
        Evaluation.objects.filter(pk=locked.pk).update(deleting=True)
    return True


def _all_gone(work: operations.Working, some: Callable[[], int]) -> bool:
    """Delete batch after batch; False when the step's time is up first."""
    while work.time_left(margin=2):
        if work.cancelled():
            raise operations.Cancelled
        with transaction.atomic():
            gone = some()
            done = work.operation.done + gone
            work.advance(step="deleting", done=done, total=max(done, work.operation.cursor["rows"]), note="")
        crashpoint("evaluation.delete.batch")
        if not gone:
            return True
    return False


def _some_of(evaluation: Evaluation) -> Iterator[Callable[[], int]]:
    """What each of its runs has, as functions that delete some and say how many those were."""
    for run in evaluation.runs.order_by("-number"):
        Run.objects.filter(pk=run.pk).update(state=Run.State.CANCELLED, summary={}, misses=[])
        for model in (Result, Call):
            rows = model.objects.filter(run=run)
            yield lambda rows=rows: _take(rows)  # type: ignore[misc]  # a lambda's defaults have no types


def _take(rows: "QuerySet[Any]") -> int:
    """Delete some of them, without a look at each as a cascade would take: nothing hangs on them any more."""
    some = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])
    if some:
        found = rows.model._base_manager.filter(pk__in=some)
        found._raw_delete(found.db)
    return len(some)


def _rows_of(evaluation: Evaluation) -> int:
    verdicts = Result.objects.filter(run__evaluation=evaluation).count()
    calls = Call.objects.filter(run__evaluation=evaluation).count()
    items = evaluation.version.examples.count() if sources.is_made_for(evaluation) else 0
    return int(verdicts + calls + items)


def _take_evaluation(evaluation: Evaluation) -> DatasetVersion | None:
    """Delete its own row and what is left of its runs; the version of its items if that goes too."""
    made_for = sources.is_made_for(evaluation)
    paying.give_up(evaluation)
    evaluation.delete()
    version: DatasetVersion = DatasetVersion.objects.select_for_update(of=("self",)).get(
        pk=evaluation.version_id
    )
    if not made_for or version.evaluations.exists() or version.fine_tunes.exists():
        return None
    if received.is_read_from(version):
        return None
    version.state, version.refusal = version.State.REFUSED, GOING  # so that nobody begins anything with it
    version.save(update_fields=["state", "refusal"])
    version.examples.filter(partner__isnull=False).update(partner=None)
    return version


def _take_version(version: DatasetVersion) -> None:
    dataset, path = version.dataset, version.path
    sources.forget(version)
    version.delete()
    if not dataset.versions.exists():
        dataset.delete()
    if path:
        transaction.on_commit(lambda: files.artifacts().delete(path), robust=True)
