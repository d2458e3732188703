"""An evaluation that is set up already: the rows that a student has not learnt from, and whom to compare."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction

from completions import selection
from datasets.evaluate import setup, sources
from datasets.evaluate.targets import FRESH_KEYS, Target
from datasets.models import DatasetVersion, Evaluation
from datasets.wizard import free_name

PARTS = ("test", "validation")
MOST_ROWS = 50_000


class NothingToMeasure(ValueError):
    """There are no rows to measure on; the text says why."""


@dataclass(frozen=True)
class Student:
    """A name that answers, and where."""

    connection: int
    model: str
    label: str = ""


def begin(version: DatasetVersion, models: Sequence[Student], user: Any, name: str) -> Evaluation:
    """The evaluation of these models on a version's rows, each against the answer that was stored.

    Asked twice before it has run, it is the same one. Raises NothingToMeasure.
    """
    targets = targets_of(models)
    key = f"{version.pk}:" + ",".join(f"{target.connection}/{target.model}" for target in targets)
    with transaction.atomic():
        DatasetVersion.objects.select_for_update(of=("self",)).get(pk=version.pk)
        mine = Evaluation.objects.filter(owner=user, runs__isnull=True, deleting=False).order_by("-id")[:50]
        draft: Evaluation
        for draft in mine.select_related("version__dataset", "version__frozen_selection"):
            if draft.setup.get("prefilled") == key:
                return draft
        taken = set(Evaluation.objects.filter(owner=user).values_list("name", flat=True))
        evaluation = _measured_on(version, user, free_name(name, taken), key)
        setup.set_reference(evaluation, "answer")
        evaluation.setup = {
            **evaluation.setup,
            "targets": [target.as_dict() for target in targets],
            "prefilled": key,
        }
        evaluation.save(update_fields=["setup"])
    return evaluation


def _measured_on(version: DatasetVersion, user: Any, name: str, key: str) -> Evaluation:
    """On the completions behind its rows; on the rows as they stand in its file where none are left."""
    try:
        frozen = selection.freeze(user, ids=rows_of(version))
    except (selection.Refused, NothingToMeasure) as problem:
        if version.state != DatasetVersion.State.READY:
            raise NothingToMeasure(str(problem)) from problem
        return sources.begin_version(version, sources.usual_part(version), name, user, key)
    return setup.begin(frozen, name, user)


def targets_of(models: Sequence[Student]) -> list[Target]:
    """At most as many as the form takes; the same one twice counts once."""
    once = {(model.connection, model.model): model for model in models if model.model}
    made = [
        Target(key, "fresh", model.label or model.model, model.connection, model.model)
        for key, model in zip(FRESH_KEYS, once.values(), strict=False)
    ]
    labels = [target.label for target in made]
    return [
        replace(target, label=f"{target.label} ({target.key})") if labels.count(target.label) > 1 else target
        for target in made
    ]


def rows_of(version: DatasetVersion) -> list[int]:
    """The completions behind the test part, else the validation part, else all rows."""
    found = version.examples.filter(line__isnull=False, completion__isnull=False)
    for name in PARTS:
        part = version.part(name)
        if part is not None and part.rows:
            found = found.filter(line__gte=part.first_line, line__lt=part.first_line + part.rows)
            break
    ids = list(dict.fromkeys(found.order_by("line").values_list("completion", flat=True)[:MOST_ROWS]))
    if not ids:
        raise NothingToMeasure(
            "None of its rows leads to a stored completion that is still here, so there is nothing to measure"
            " on. Select stored completions and press Evaluate instead."
        )
    return ids
