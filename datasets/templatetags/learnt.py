"""What pages of evaluations say of targets that have seen the items: `{% load learnt %}`."""

from collections.abc import Iterable
from typing import Any

from django import template

from datasets.evaluate import learnt, targets
from datasets.evaluate.comparison import Column
from datasets.models import DatasetVersion, Evaluation, Run

register = template.Library()
_TEMPLATE = "datasets/evaluate/learnt.html"


@register.inclusion_tag(_TEMPLATE, takes_context=True)
def learnt_from(
    context: template.Context, evaluation: Evaluation, chosen: Iterable[targets.Target]
) -> dict[str, Any]:
    """Which of the targets chosen have learnt from what they are to be measured on."""
    return _told(context, learnt.learnt_from(evaluation, chosen))


@register.inclusion_tag(_TEMPLATE, takes_context=True)
def learnt_in(context: template.Context, run: Run) -> dict[str, Any]:
    """Which targets of a run have learnt from what they were measured on."""
    return _told(context, learnt.learnt_from(run.evaluation, targets.read(run.targets)))


@register.simple_tag
def learnt_of(run: Run) -> list[learnt.Learnt]:
    """The same as a list, for a page that has neither icons nor links."""
    return learnt.learnt_from(run.evaluation, targets.read(run.targets))


@register.inclusion_tag(_TEMPLATE, takes_context=True)
def learnt_among(context: template.Context, columns: Iterable[Column]) -> dict[str, Any]:
    """Which columns of a comparison have learnt from what they were measured on."""
    return _told(context, learnt_of_columns(columns))


@register.simple_tag
def learnt_of_columns(columns: Iterable[Column]) -> list[learnt.Learnt]:
    """The same as a list."""
    pairs = {
        (column.run.evaluation_id, column.target.label): (column.run.evaluation, column.target)
        for column in columns
        if column.run is not None and column.target is not None
    }
    return [
        each for evaluation, target in pairs.values() for each in learnt.learnt_from(evaluation, [target])
    ]


def _told(context: template.Context, found: list[learnt.Learnt]) -> dict[str, Any]:
    request = context.get("request")
    seen: set[int] = set()
    if found and request is not None:
        ids = {each.version.pk for each in found}
        readable = DatasetVersion.objects.readable_by(request.user)
        seen = set(readable.filter(pk__in=ids).values_list("pk", flat=True))
    return {"found": [(each, each.version.pk in seen) for each in found]}
