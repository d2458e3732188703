"""What templates that show an operation need."""

from typing import Any

from django import template

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
