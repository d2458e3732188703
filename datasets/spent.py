"""Where the pages are of what money was spent on here; importing registers them."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.urls import reverse

from datasets.models import FineTune, Relabel, Run
from portal.spending_subjects import subject


@subject(FineTune._meta.label_lower, "a fine-tune")
def fine_tunes(user: Any, ids: Sequence[str]) -> Mapping[str, str]:
    found = FineTune.objects.readable_by(user).filter(pk__in=ids).values_list("pk", flat=True)
    return {str(pk): reverse("datasets:finetune", args=[pk]) for pk in found}


@subject(Run._meta.label_lower, "an evaluation run")
def runs(user: Any, ids: Sequence[str]) -> Mapping[str, str]:
    found = Run.objects.readable_by(user).filter(pk__in=ids).values_list("pk", "evaluation", "number")
    return {str(pk): reverse("datasets:run", args=[evaluation, number]) for pk, evaluation, number in found}


@subject(Relabel._meta.label_lower, "a relabelling")
def relabels(user: Any, ids: Sequence[str]) -> Mapping[str, str]:
    found = Relabel.objects.readable_by(user).filter(pk__in=ids).values_list("pk", flat=True)
    return {str(pk): reverse("datasets:relabel", args=[pk]) for pk in found}
