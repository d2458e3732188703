"""What every step of the Distill wizard shows around its own part."""

from typing import Any

from django.urls import reverse

from datasets import distill, wizard
from datasets.models import DatasetVersion


def page(version: DatasetVersion, current: str, **context: Any) -> dict[str, Any]:
    """The context of a step: the steps with their addresses, where Back leads, and what the step adds."""

    def url_of(key: str) -> str:
        return reverse("datasets:distill", args=[version.pk, key])

    keys = [key for key, _ in distill.STEPS]
    place = keys.index(current)
    return {
        "version": version,
        "steps": wizard.steps(distill.STEPS, current, distill.done_steps(version), url_of),
        "back": url_of(keys[place - 1]) if place else reverse("datasets:list"),
        "selected": version.counts.get("selected", 0),
        "here": url_of(current),
        **context,
    }


def status(form: Any) -> int:
    """422 for a form to mend."""
    return 422 if form.is_bound and not form.is_valid() else 200
