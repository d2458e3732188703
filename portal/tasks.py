"""Doorbells: each finds the work in the database."""

from celery import shared_task

from portal import health, steps
from portal import tick as rounds


@shared_task(name="portal.tasks.work")  # type: ignore[untyped-decorator]  # celery has no types
def work(operation_id: int) -> None:
    """Look at one operation and do its next step, if it is free and due."""
    steps.work_on(operation_id)


@shared_task(name="portal.tasks.tick")  # type: ignore[untyped-decorator]  # celery has no types
def tick() -> None:
    """Ring for whatever is due and free what a dead worker held."""
    rounds.tick()


@shared_task(name="portal.tasks.heartbeat")  # type: ignore[untyped-decorator]  # celery has no types
def heartbeat() -> None:
    """Show that a worker finishes tasks."""
    health.worker_alive()
