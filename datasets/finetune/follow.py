"""Follow running jobs, one operation per connection for as long as it has any."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from datasets.finetune import deploy, events, metrics
from datasets.models import Checkpoint, FineTune
from portal import audit, operations, prices, spending
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
PAUSED = "paused"
KNOWN = frozenset(
    ("validating_files", "queued", "created", "pending", "running", "pausing", "resuming", "cancelling")
)
LIVE = (State.RUNNING, State.PAUSED)
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
        fine_tunes__state__in=LIVE,
        state__in=(Connection.State.CONNECTED, Connection.State.ATTENTION),
    ).distinct()
    return sum(begin(connection) is not None for connection in connections)


def _running(connection: Connection) -> Any:
    """Its jobs that go on, and those of which only the listing was read; the oldest look first."""
    unread = Q(elsewhere=True, polled__isnull=True)
    return (
        FineTune.objects.filter(Q(state__in=LIVE) | unread, connection=connection)
        .exclude(remote_id="")
        .order_by(F("polled").asc(nulls_first=True), "id")
    )


@operations.handler(KIND, queue="remote")
def run(work: operations.Working) -> operations.Done | operations.Wait | operations.Again:
    """One look at every running job of a connection."""
    connection = work.operation.connection
    assert connection is not None
    running = list(_running(connection).select_related("connection", "version__dataset"))
    if not running:
        return operations.Done()
    problem: UpstreamError | None = None
    with connect(connection) as upstream:
        listed = _listed(upstream, running)
        for number, tune in enumerate(running):
            if number and not work.time_left():
                return operations.Again()
            job = listed.get(tune.remote_id)
            if _may_rest(tune, job):
                continue
            try:
                look_at(tune, upstream, job)
            except UpstreamError as error:
                if error.kind in ("auth", "forbidden", "throttled", "credentials", "blocked"):
                    raise
                problem = error  # the next job may well answer
    if problem is not None:
        raise problem
    going = list(_running(connection))
    work.advance(done=work.operation.done + 1, note=f"{len(going)} going on" if going else "All have ended")
    return operations.Wait(_pause(going)) if going else operations.Done()


def _listed(upstream: Upstream, running: list[FineTune]) -> dict[str, JobInfo]:
    """One listing instead of a request for each job; what it does not show is asked for singly."""
    wanted = {tune.remote_id for tune in running}
    going = [tune.created for tune in running if tune.state in LIVE] or [tune.created for tune in running]
    since = int((min(going) - timedelta(minutes=15)).timestamp())
    found: dict[str, JobInfo] = {}
    for job in upstream.list_jobs(since):
        if job.id in wanted:
            found[job.id] = job
            if len(found) == len(wanted):
                break
    return found


def is_calm(tune: FineTune) -> bool:
    """Whether nothing is likely to happen soon: paused, not found, or in a state that nobody knows."""
    return (
        tune.state == State.PAUSED
        or tune.error.get("kind") == "lost"
        or bool(tune.status and tune.status not in KNOWN)
    )


def _may_rest(tune: FineTune, job: JobInfo | None) -> bool:
    """A calm job whose status has not changed is looked at whole every few minutes only."""
    if job is None or tune.polled is None or not is_calm(tune) or job.status[:40] != tune.status:
        return False
    return (timezone.now() - tune.polled).total_seconds() < LONGEST_PAUSE * 0.9


def _pause(running: list[FineTune]) -> float:
    """Often in a job's first minutes, every five when it has been going for hours, or nothing happens."""
    begun = [tune.created for tune in running if not is_calm(tune)]
    age = (timezone.now() - max(begun)).total_seconds() if begun else LONGEST_PAUSE * 40
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
    told = events.Told(tune)
    news = told.new_among(upstream.job_events(tune.remote_id, enough=told.all_of))
    checkpoints = _checkpoints(upstream, tune)
    ended = ENDS.get(job.status)
    curve = metrics.of_result_files(upstream, job.result_files) if ended == State.SUCCEEDED else []
    with transaction.atomic():
        events.keep(news)
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
    before = tune.state
    ended = ENDS.get(job.status)
    tune.state = ended or (State.PAUSED if job.status == PAUSED else State.RUNNING)
    if ended is not None:
        tune.finished = datetime.fromtimestamp(job.finished, UTC) if job.finished else timezone.now()
    tune.save(update_fields=[*fields, "state", "finished"])
    if ended is None or before in FineTune.ENDED:
        return
    if not tune.elsewhere:
        settle(tune)
    audit.record(
        None,
        "fine_tune.ended",
        tune,
        connection=tune.connection,
        status=job.status,
        cancel_requested=tune.cancel_requested,
    )
    if ended == State.SUCCEEDED and tune.is_ours:
        deploy.offer_at_once(tune)


def settle(tune: FineTune) -> None:
    """Write down what an ended job did cost: trained tokens by the price that it was launched with.

    A job that never trained costs nothing. Where the provider does not tell how far one got that was stopped,
    it counts with what it could have cost at most.
    """
    kind = FineTune._meta.label_lower
    if not tune.trained_tokens and (
        tune.state == State.FAILED or not tune.events.filter(kind="metrics").exists()
    ):
        spending.release(kind, tune.pk)
        return
    tokens = tune.trained_tokens
    if tokens is None:
        tokens = int(tune.estimate.get("trained_tokens") or 0)
    price = tune.estimate.get("price")
    spending.settle(kind, tune.pk, None if price is None else tokens * Decimal(price) / prices.PER)


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
        FineTune.objects.filter(pk=tune.pk, state__in=LIVE).update(**changes)
        if lost:
            if not tune.elsewhere:
                tune.state = State.FAILED
                settle(tune)
            audit.record(None, "fine_tune.ended", tune, connection=tune.connection, status="lost")


def hurry(tunes: Iterable[FineTune]) -> None:
    """Look at these jobs' connections now."""
    for connection in {tune.connection for tune in tunes}:
        operation = begin(connection)
        if operation is not None:
            operations.hurry(operation)
