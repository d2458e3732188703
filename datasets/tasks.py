"""Doorbells: each finds the work in the database."""

from celery import shared_task

from datasets.evaluate import schedules
from datasets.finetune import elsewhere
from datasets.finetune import follow as following


@shared_task(name="datasets.tasks.follow")  # type: ignore[untyped-decorator]  # celery has no types
def follow() -> None:
    """See to it that every running fine-tuning job is followed, and that those from elsewhere are seen."""
    following.begin_everywhere()
    elsewhere.begin_everywhere()


@shared_task(name="datasets.tasks.begin_runs")  # type: ignore[untyped-decorator]  # celery has no types
def begin_runs() -> None:
    """Begin the runs whose time has come."""
    schedules.begin_due()
