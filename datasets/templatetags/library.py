"""What pages of evaluations say about the grader library: `{% load library %}`."""

from typing import Any

from django import template

from datasets.library import newest_by_id
from datasets.models import Evaluation, LibraryGrader
from portal.models import Connection
from portal.permissions import may

register = template.Library()


@register.inclusion_tag("datasets/library/on_evaluation.html", takes_context=True)
def library_of(context: template.Context, evaluation: Evaluation) -> dict[str, Any]:
    """Each grader with the version that it was taken from, whether a newer one is there, and the way in."""
    user = context["request"].user
    graders = list(evaluation.graders.select_related("taken_from__grader"))
    taken = {grader.taken_from.grader_id for grader in graders if grader.taken_from}
    newest = newest_by_id(taken) if taken else {}
    seen = set(LibraryGrader.objects.readable_by(user).filter(pk__in=taken).values_list("pk", flat=True))
    keeps = Connection.objects.actionable_by(user).exists()
    lines = []
    for grader in graders:
        version = grader.taken_from
        shown = version is not None and version.grader_id in seen
        changed = version is not None and version.params != grader.params
        newer = newest[version.grader_id].number if version is not None and shown else 0
        lines.append(
            {
                "grader": grader,
                "taken": version,
                "seen": shown,
                "changed": changed,
                "newer": newer if version is not None and newer > version.number else 0,
                "keeps": keeps and (version is None or changed),
            }
        )
    renews = not evaluation.runs.exists() and may(Evaluation.objects, user, "act", evaluation)
    return {
        "evaluation": evaluation,
        "lines": lines,
        "renews": renews,
        "csrf_token": context.get("csrf_token"),
    }
