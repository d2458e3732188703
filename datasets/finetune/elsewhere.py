"""Jobs that somebody started elsewhere: seen, followed, never touched until a person adopts them.

A look lists a connection's jobs and keeps those that no launch of this portal can have made. What may have
come of a launch whose outcome nobody knows yet is left to that launch.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from datasets.finetune import deploy, follow, job, upload
from datasets.models import FineTune, UploadedFile
from datasets.remote import MARK
from portal import audit, operations
from portal.models import Connection, Operation, RemoteAction
from portal.upstream import JobInfo, UpstreamError, connect

KIND = "finetune.elsewhere"
BACK = timedelta(days=90)
MOST_JOBS = 500  # of one look
RARELY = timedelta(days=1)  # after a look that the provider refused
# What a connection without fine-tuning, or without the right to it, answers.
REFUSED = frozenset({"auth", "forbidden", "not_found", "bad_request", "closed", "credentials", "blocked"})
State = FineTune.State


def begin(connection: Connection, user: Any = None) -> Operation:
    """Look at the connection's jobs now; asked twice it is one operation."""
    return operations.begin(
        KIND,
        title=f"Look for fine-tuning jobs started elsewhere on {connection}",
        dedupe_key=f"connection:{connection.pk}",
        connection=connection,
        requested_by=user,
        subject=connection,
    )


def begin_where_due(connections: Iterable[Connection], user: Any = None) -> int:
    """Look where the last look is long enough ago, and nobody looks now; returns for how many connections."""
    return sum(begin(connection, user) is not None for connection in connections if is_due(connection))


def begin_everywhere() -> int:
    """The looks that nobody asks for: only where jobs were launched or looked for before."""
    used = Connection.objects.filter(state=Connection.State.CONNECTED).with_endpoint()
    known = FineTune.objects.exclude(remote_id="").values("connection")
    looked = Operation.objects.filter(kind=KIND).values("connection")
    return begin_where_due(used.filter(Q(pk__in=known) | Q(pk__in=looked)))


def is_due(connection: Connection) -> bool:
    last = Operation.objects.filter(kind=KIND, connection=connection).order_by("-id").first()
    if last is None:
        return True
    if last.is_live or last.finished is None:
        return False
    pause = timedelta(seconds=settings.ELSEWHERE_SECONDS)
    if last.state != Operation.State.DONE or last.result.get("refused"):
        pause = max(pause, RARELY)
    return bool(timezone.now() - last.finished >= pause)


@operations.handler(KIND, queue="remote")
def run(work: operations.Working) -> operations.Done:
    """One look."""
    connection = work.operation.connection
    assert connection is not None
    since = int((timezone.now() - BACK).timestamp())
    jobs: list[JobInfo] = []
    with connect(connection) as upstream:
        try:
            for each in upstream.list_jobs(since):
                jobs.append(each)
                if len(jobs) >= MOST_JOBS:
                    break
        except UpstreamError as error:
            if error.kind not in REFUSED:
                raise
            return operations.Done({"refused": error.kind})
        files = upload.listed(connection, upstream)
    with transaction.atomic():
        work.advance(note=f"{len(jobs)} jobs")
        upload.note_leftovers(
            UploadedFile.objects.filter(connection=connection).select_related("action"), files
        )
        found = [_keep(connection, each) for each in foreign(connection, jobs)]
        # Looks come often and are all alike: only the last one stays in the list of operations.
        Operation.objects.filter(kind=KIND, connection=connection, state=Operation.State.DONE).delete()
        if found:
            follow.begin(connection)
    return operations.Done({"jobs": len(jobs), "new": len(found)})


def foreign(connection: Connection, jobs: Sequence[JobInfo]) -> list[JobInfo]:
    """Those of the listed jobs that no launch here made or may have made, and that are not kept yet.

    To be called after the jobs were listed: whatever was asked for before is in our tables by now.
    """
    kept = set(FineTune.objects.filter(connection=connection).values_list("remote_id", flat=True))
    actions = RemoteAction.objects.filter(connection=connection, kind=job.JobErrand.kind)
    made = set(actions.exclude(remote_id="").values_list("remote_id", flat=True))
    # A second job with the mark of a launch is that launch's own, and cancelled by it; a launch that was
    # given up does nothing about a job that appears late, so that one is shown.
    ours = {str(pk) for pk in actions.filter(state__in=RemoteAction.HOLDING).values_list("pk", flat=True)}
    opened = list(job.open_actions(connection))
    return [
        each
        for each in jobs
        if each.id
        and each.id not in kept | made
        and each.metadata.get(MARK) not in ours
        and not any(job.is_marked(each, action) or job.could_be(each, action) for action in opened)
    ]


def _keep(connection: Connection, info: JobInfo) -> FineTune:
    told = info.raw.get("method")
    kind = str(told.get("type")) if isinstance(told, dict) else ""
    ended = follow.ENDS.get(info.status)
    paused = State.PAUSED if info.status == follow.PAUSED else State.RUNNING
    tune: FineTune = FineTune.objects.create(
        connection=connection,
        base_model=info.model[:120],
        method=kind if kind in FineTune.Method.values else FineTune.Method.SUPERVISED,
        hyperparameters={
            str(name)[:60]: value
            for name, value in info.hyperparameters.items()
            if isinstance(value, str | int | float)
        },
        seed=info.seed if info.seed is not None and abs(info.seed) < 2**63 else 0,
        suffix=info.suffix[:31],
        training_type=str(info.raw.get("trainingType") or "")[:40],
        state=ended or paused,
        remote_id=info.id[:120],
        status=info.status[:40],
        fine_tuned_model=info.fine_tuned_model[:300],
        trained_tokens=info.trained_tokens,
        result_files=list(info.result_files),
        error={"kind": "job", **info.error} if info.error else {},
        raw=info.raw,
        elsewhere=True,
        finished=_moment(info.finished) if ended else None,
    )
    if info.created is not None:
        tune.created = _moment(info.created)
        FineTune.objects.filter(pk=tune.pk).update(created=tune.created)
    audit.record(None, "fine_tune.seen_elsewhere", tune, connection=connection, job=tune.remote_id)
    return tune


def _moment(seconds: int | None) -> datetime:
    try:
        return datetime.fromtimestamp(seconds or 0, UTC)
    except (ValueError, OverflowError, OSError):
        return timezone.now()


def adopt(tune: FineTune, user: Any) -> bool:
    """Make a job from elsewhere ours to act on: cancel, pause, deploy. False if it is ours already."""
    with transaction.atomic():
        tune = (
            FineTune.objects.select_for_update(of=("self",))
            .select_related("connection", "version__dataset")
            .get(pk=tune.pk)
        )
        if tune.is_ours:
            return False
        tune.adopted_by = user
        tune.save(update_fields=["adopted_by"])
        audit.record(user, "fine_tune.adopted", tune, connection=tune.connection, job=tune.remote_id)
        if tune.state == State.SUCCEEDED:
            deploy.offer_at_once(tune)
        return True


def forget_twin(tune: FineTune) -> None:
    """A launch has found its job: if the same job was taken for somebody else's, that was wrong."""
    FineTune.objects.filter(
        connection=tune.connection, remote_id=tune.remote_id, elsewhere=True, adopted_by=None
    ).exclude(pk=tune.pk).delete()
