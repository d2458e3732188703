"""What `manage.py check`, and every start, says about this machine and Python graders."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

from datasets.evaluate import box_trust


@register
def python_graders_are_locked_away(**kwargs: Any) -> Sequence[CheckMessage]:
    """Where they are turned on, a grader is put into a box and tries to get out of it."""
    if not settings.PYTHON_GRADERS:
        return []
    problem = box_trust.problem()
    if not problem:
        return []
    return [
        Warning(
            f"PYTHON_GRADERS is on, but none will run on this machine. {problem}",
            hint="See “Python graders” in docs/operating.md, or set PYTHON_GRADERS=0.",
            id="datasets.W001",
        )
    ]
