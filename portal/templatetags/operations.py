"""What templates that show an operation need."""

from typing import Any

from django import template

from portal import health
from portal.models import Operation
from portal.progress import Progress, next_try, progress_of

register = template.Library()


@register.filter
def progress(operation: Operation) -> Progress:
    """How far an operation is, in numbers and words."""
    return progress_of(operation)


@register.filter
def goes_on(operation: Operation) -> Any:
    """When a waiting operation goes on."""
    return next_try(operation)


@register.filter
def unattended(operation: Operation) -> bool:
    """Whether it is ready while no worker has shown for a while that it works."""
    return operation.state == Operation.State.READY and not health.is_fresh("worker")
