"""Is the site alive, and is it ready for people? Answered for load balancers, scripts and the supervisor."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from portal.celery import app
from portal.models import Heartbeat

FRESH = timedelta(seconds=60)
BROKER_PATIENCE_SECONDS = 3


def beat_alive(now: datetime) -> None:
    """Note that beat is sending; a database that is away for a moment must not end beat."""
    try:
        Heartbeat.objects.update_or_create(name="beat", defaults={"at": now})
    except DatabaseError:
        connections.close_all()


def worker_alive(now: datetime | None = None) -> None:
    """Note that a task ran to its end. Called by the heartbeat task alone."""
    Heartbeat.objects.update_or_create(name="worker", defaults={"at": now or timezone.now()})


def last_seen(name: str) -> datetime | None:
    """When `worker` or `beat` last showed that it works."""
    return Heartbeat.objects.filter(name=name).values_list("at", flat=True).first()


def age(seen: datetime) -> timedelta:
    """How long ago that was."""
    return timezone.now() - seen


def is_fresh(name: str) -> bool:
    """Whether that was within the last minute."""
    seen = last_seen(name)
    return seen is not None and age(seen) <= FRESH


def database_answers() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return bool(cursor.fetchone() == (1,))


@cache
def _migrated_once() -> bool:
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise LookupError("migrations are missing")  # an exception, so that only success is remembered
    return True


def migrated() -> bool:
    """Whether every migration that this code knows has been applied."""
    try:
        return _migrated_once()
    except LookupError:
        return False


def broker_answers() -> bool:
    with app.connection_for_write() as broker:
        broker.ensure_connection(max_retries=1, timeout=BROKER_PATIENCE_SECONDS, interval_start=0.1)
        return bool(broker.connected)


CHECKS: dict[str, Callable[[], bool]] = {
    "database": database_answers,
    "migrations": migrated,
    "broker": broker_answers,
    "worker": lambda: is_fresh("worker"),
    "beat": lambda: is_fresh("beat"),
}


def readiness() -> dict[str, bool]:
    """Each check by name, and whether it holds; a check that raises does not hold."""
    found: dict[str, bool] = {}
    for name, check in CHECKS.items():
        try:
            found[name] = check()
        except Exception:  # a probe answers "no" whatever went wrong; the part itself logs why
            found[name] = False
    return found


@login_not_required
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The web process answers; nothing else is asked."""
    return JsonResponse({"status": "alive"})


@login_not_required
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when every check holds, else 503; says which, and nothing more to strangers."""
    found = readiness()
    ready = all(found.values())
    return JsonResponse(
        {"status": "ready" if ready else "not ready", "checks": found},
        status=200 if ready else 503,
    )
