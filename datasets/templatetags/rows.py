"""Pictures of a version's rows, for every page that shows one: `{% load rows %}`."""

from typing import Any

from django import template

from datasets import tokens_of
from datasets.models import DatasetVersion
from datasets.recipe import PERSONAL, Recipe, Unreadable

register = template.Library()


@register.inclusion_tag("datasets/histogram.html")
def token_histogram(version: DatasetVersion, split: str = "") -> dict[str, Any]:
    """How many tokens its rows have; nothing where none is counted."""
    limit = version.recipe.get("token_limit") or 0
    return {"histogram": tokens_of.histogram(version, split=split, limit=limit)}


@register.simple_tag
def personal_replaced(version: DatasetVersion) -> str:
    """What was replaced in its rows, in words; "" if nothing was.

    It is counted as rows are written, so rules that look at all rows may leave some of it out again.
    """
    counts = version.counts.get("personal") or {}
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    words = ", ".join(f"{times:,} {PERSONAL.get(kind, f'of “{kind}”')}" for kind, times in ordered)
    return f"{words}, counting rows that a later rule left out" if words and _chooses(version) else words


def _chooses(version: DatasetVersion) -> bool:
    try:
        return Recipe.read(version.recipe).chooses
    except Unreadable:
        return False
