"""What a run or a schedule is held to, for templates."""

from typing import Any

from django import template

from datasets.evaluate.goals import Goal

register = template.Library()


@register.filter
def goal(held: Any) -> str:
    """The goal of a run or a schedule as a sentence; empty where it has none."""
    return Goal.read(held.goal).in_words
