"""Doorbells: each finds the work in the database."""

from celery import shared_task

from completions import schedule as due
from completions import selection
from completions.exporting import run as exports
from completions.importing import run as imports


@shared_task(name="completions.tasks.schedule")  # type: ignore[untyped-decorator]  # celery has no types
def schedule() -> None:
    """Begin every sync that is due, and keep the mirrors' columns in order."""
    due.begin_due()
    due.keep_columns()


@shared_task(name="completions.tasks.tidy")  # type: ignore[untyped-decorator]  # celery has no types
def tidy() -> None:
    """Let go of selections that nobody confirmed, and of files that nobody needs any more."""
    selection.expire_unconfirmed()
    imports.tidy()
    exports.tidy()
