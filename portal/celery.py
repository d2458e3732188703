"""The Celery app: named queues, and a beat that only rings."""

import gc
import os
import warnings
from datetime import datetime
from time import monotonic
from typing import Any

from celery import Celery
from celery.beat import PersistentScheduler
from celery.signals import worker_before_create_process
from django.conf import settings
from django.utils import timezone
from kombu import Exchange, Queue
from kombu.utils.scheduling import round_robin_cycle

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
# In a container root is usual, and messages are JSON, which runs nothing.
warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")

app = Celery("portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.task_queues = [Queue(name, Exchange("portal"), routing_key=name) for name in settings.QUEUES]


def _every(task: str, seconds: float, lifetime: float | None = None) -> dict[str, Any]:
    """Ring `task` on this period; a ring that nobody heard in `lifetime` seconds is void."""
    return {"task": task, "schedule": seconds, "options": {"queue": "house", "expires": lifetime or seconds}}


app.conf.beat_schedule = {
    "tick": _every("portal.tasks.tick", settings.OPERATION_TICK_SECONDS),
    "heartbeat": _every("portal.tasks.heartbeat", settings.HEARTBEAT_SECONDS, 60),
    "schedule": _every("completions.tasks.schedule", settings.SCHEDULE_SECONDS),
    "tidy": _every("completions.tasks.tidy", 3600),
    "follow": _every("datasets.tasks.follow", settings.FOLLOW_SECONDS),
    "runs": _every("datasets.tasks.begin_runs", settings.SCHEDULE_SECONDS),
}


@worker_before_create_process.connect  # type: ignore[untyped-decorator]  # celery has no types
def keep_shared(**_: Any) -> None:
    """Keep the collector off what was loaded before the fork: its marks would copy every shared page."""
    gc.collect()
    gc.freeze()


class HouseFirst(round_robin_cycle):  # type: ignore[misc]  # kombu has no types
    """Take turns between the queues of work, but look at the house queue before each of them.

    Rings are tiny and must not wait behind a queue of 45-second steps: leases expire by them.
    """

    def consume(self, n: int) -> list[str]:
        names: list[str] = super().consume(n)
        return sorted(names, key=lambda name: name != settings.CELERY_TASK_DEFAULT_QUEUE)


class Scheduler(PersistentScheduler):  # type: ignore[misc]  # celery has no types
    """Celery's file-backed schedule, due at once after a start; tells the health page that beat is alive."""

    _told = 0.0

    def setup_schedule(self) -> None:
        super().setup_schedule()
        for entry in self.schedule.values():
            entry.last_run_at -= entry.schedule.run_every

    def tick(self, *args: Any, **kwargs: Any) -> float:
        pause: float = super().tick(*args, **kwargs)
        if monotonic() - self._told >= 5:
            self._tell(timezone.now())
            self._told = monotonic()
        return pause

    def _tell(self, now: datetime) -> None:
        from portal import health  # models are ready only once beat runs

        health.beat_alive(now)
