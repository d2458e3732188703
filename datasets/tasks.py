"""Doorbells: each finds the work in the database."""

from celery import shared_task

from datasets.finetune import follow as following


@shared_task(name="datasets.tasks.follow")  # type: ignore[untyped-decorator]  # celery has no types
def follow() -> None:
    """See to it that every running fine-tuning job is followed."""
    following.begin_everywhere()
