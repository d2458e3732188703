"""Doorbells: each finds the work in the database."""

from celery import shared_task

from completions import schedule as due


@shared_task(name="completions.tasks.schedule")  # type: ignore[untyped-decorator]  # celery has no types
def schedule() -> None:
    """Begin every sync that is due."""
    due.begin_due()
