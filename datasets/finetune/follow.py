"""Follow running jobs, one operation per connection for as long as it has any."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from datasets.finetune import deploy, metrics
from datasets.models import Checkpoint, FineTune, FineTuneEvent
from portal import audit, operations
from portal.models import Connection, Operation
from portal.upstream import JobInfo, Upstream, UpstreamError, connect

KIND = "finetune.follow"
State = FineTune.State
ENDS = {
    "succeeded": State.SUCCEEDED,
    "failed": State.FAILED,
    "cancelled": State.CANCELLED,
    "canceled": State.CANCELLED,
}
LONGEST_PAUSE = 300.0
LOST_AFTER = timedelta(minutes=15)


def begin(connection: Connection) -> Operation | None:
    """The operation that follows the connection's jobs; None where there are none to follow."""
    if not _running(connection).exists():
        return None
    return operations.begin(
        KIND,
        title=f"Follow fine-tuning jobs on {connection}",
        dedupe_key=f"connection:{connection.pk}",
        connection=connection,
        subject=connection,
    )


def begin_everywhere() -> int:
    """Begin where jobs run and nothing follows them; returns for how many connections."""
    connections = Connection.objects.filter(
        fine_tunes__state=State.RUNNING,
        state__in=(Connection.State.CONNECTED, Connection.State.ATTENTION),
    ).distinct()
    return sum(begin(connection) is not None for connection in connections)


def _running(connection: Connection) -> Any:
    return FineTune.objects.filter(connection=connection, state=State.RUNNING).exclude(remote_id="")


@operations.handler(KIND, queue="remote")
def run(work: operations.Working) -> operations.Done | operations.Wait:
    """One look at every running job of a connection."""
    connection = work.operation.connection
    assert connection is not None
    running = list(_running(connection).select_related("connection", "version__dataset").order_by("id"))
    if not running:
        return operations.Done()
    problem: UpstreamError | None = None
    with connect(connection) as upstream:
        listed = _listed(upstream, running)
        for tune in running:
            try:
                look_at(tune, upstream, listed.get(tune.remote_id))
            except UpstreamError as error:
                if error.kind in ("auth", "forbidden", "throttled", "credentials", "blocked"):
                    raise
                problem = error  # the next job may well answer
    if problem is not None:
        raise problem
    going = _running(connection).count()
    work.advance(done=work.operation.done + 1, note=f"{going} running" if going else "All have ended")
    return operations.Wait(_pause(running)) if going else operations.Done()


def _listed(upstream: Upstream, running: list[FineTune]) -> dict[str, JobInfo]:
    """One listing instead of a request for each job; what it does not show is asked for singly."""
    since = int((min(tune.created for tune in running) - timedelta(minutes=15)).timestamp())
    wanted = {tune.remote_id for tune in running}
    found: dict[str, JobInfo] = {}
    for job in upstream.list_jobs(since):
        if job.id in wanted:
            found[job.id] = job
            if len(found) == len(wanted):
                break
    return found


def _pause(running: list[FineTune]) -> float:
    """Often in a job's first minutes, every five when it has been going for hours."""
    age = (timezone.now() - max(tune.created for tune in running)).total_seconds()
    pause: float = min(max(settings.FOLLOW_SECONDS / 3, age / 40), LONGEST_PAUSE)
    return pause * random.uniform(0.9, 1.1)


def look_at(tune: FineTune, upstream: Upstream, job: JobInfo | None) -> None:
    """Bring the row of one job up to date: status, events, checkpoints, and the result once it has ended."""
    if job is None:
        try:
            job = upstream.get_job(tune.remote_id)
        except UpstreamError as error:
            if error.kind != "not_found":
                raise
            _not_there(tune)
            return
    events = upstream.job_events(tune.remote_id)
    checkpoints = _checkpoints(upstream, tune)
    ended = ENDS.get(job.status)
    curve = metrics.of_result_files(upstream, job.result_files) if ended == State.SUCCEEDED else []
    with transaction.atomic():
        FineTuneEvent.objects.bulk_create(
            [
                FineTuneEvent(
                    fine_tune=tune,
                    upstream_id=(event.id or f"{event.created}:{event.message}")[:120],
                    created=event.created or 0,
                    level=event.level[:12],
                    message=event.message,
                    kind=event.kind[:20],
                    data=event.data,
                )
                for event in events
            ],
            ignore_conflicts=True,
        )
        Checkpoint.objects.bulk_create(checkpoints, ignore_conflicts=True)
        if checkpoints:  # the provider keeps the last few; what it no longer lists cannot be deployed
            kept = [checkpoint.upstream_id for checkpoint in checkpoints]
            tune.checkpoints.exclude(upstream_id__in=kept).delete()
        _update(tune, job, curve)


def _checkpoints(upstream: Upstream, tune: FineTune) -> list[Checkpoint]:
    try:
        found = upstream.job_checkpoints(tune.remote_id)
    except UpstreamError as error:
        if error.kind in ("not_found", "bad_request"):
            return []  # not every service has them
        raise
    return [
        Checkpoint(
            fine_tune=tune,
            upstream_id=each.id[:120],
            step=each.step or 0,
            model=each.model[:300],
            metrics=each.metrics,
            created=each.created or 0,
        )
        for each in found
        if each.id
    ]


def _update(tune: FineTune, job: JobInfo, curve: list[dict[str, float]]) -> None:
    tune.status = job.status[:40]
    tune.fine_tuned_model = job.fine_tuned_model[:300] or tune.fine_tuned_model
    tune.trained_tokens = job.trained_tokens if job.trained_tokens is not None else tune.trained_tokens
    tune.result_files = list(job.result_files) or tune.result_files
    tune.curve = curve or tune.curve
    tune.raw = job.raw
    tune.polled = timezone.now()
    tune.error = {"kind": "job", **job.error} if job.error else {}
    fields = [
        "status",
        "fine_tuned_model",
        "trained_tokens",
        "result_files",
        "curve",
        "raw",
        "polled",
        "error",
    ]
    ended = ENDS.get(job.status)
    if ended is not None:
        tune.state = ended
        tune.finished = datetime.fromtimestamp(job.finished, UTC) if job.finished else timezone.now()
        fields += ["state", "finished"]
    tune.save(update_fields=fields)
    if ended is not None:
        audit.record(
            None,
            "fine_tune.ended",
            tune,
            connection=tune.connection,
            status=job.status,
            cancel_requested=tune.cancel_requested,
        )
        if ended == State.SUCCEEDED:
            deploy.offer_at_once(tune)


def _not_there(tune: FineTune) -> None:
    """A job that upstream does not know: shown, asked for again, and given up after a while."""
    now = timezone.now()
    since = tune.error.get("since") if tune.error.get("kind") == "lost" else None
    error = {
        "kind": "lost",
        "message": "The job is not there any more: it was deleted, or this connection may not see it.",
        "since": since or now.timestamp(),
    }
    lost = now.timestamp() - float(error["since"]) > LOST_AFTER.total_seconds()
    with transaction.atomic():
        changes: dict[str, Any] = {"error": error, "polled": now, "status": "not found"}
        if lost:
            changes |= {"state": State.FAILED, "finished": now}
        FineTune.objects.filter(pk=tune.pk, state=State.RUNNING).update(**changes)
        if lost:
            audit.record(None, "fine_tune.ended", tune, connection=tune.connection, status="lost")


def hurry(tunes: Iterable[FineTune]) -> None:
    """Look at these jobs' connections now."""
    for connection in {tune.connection for tune in tunes}:
        operation = begin(connection)
        if operation is not None:
            operations.hurry(operation)
