"""The frame of every step of the Evaluate wizard."""

from typing import Any

from django.urls import reverse

from datasets import wizard
from datasets.evaluate import setup, sources
from datasets.models import Evaluation


def page_of(evaluation: Evaluation, current: str, **context: Any) -> dict[str, Any]:
    def url_of(key: str) -> str:
        return reverse("datasets:evaluate", args=[evaluation.pk, key])

    keys = [key for key, _ in setup.STEPS]
    place = keys.index(current)
    return {
        "evaluation": evaluation,
        "frozen": evaluation.version.frozen_selection,
        "told": sources.in_words(evaluation),
        "steps": wizard.steps(setup.STEPS, current, setup.done_steps(evaluation), url_of),
        "back": url_of(keys[place - 1]) if place else "",
        "leave": reverse("datasets:evaluations"),
        **context,
    }


def status_of(form: Any) -> int:
    return 422 if form.is_bound and not form.is_valid() else 200
