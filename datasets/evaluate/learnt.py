"""Which targets were trained on the very items that they are measured on, as far as that is known here."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.core.cache import cache

from completions import selection
from datasets.evaluate.targets import Target
from datasets.models import Checkpoint, DatasetVersion, Deployment, Evaluation, Example, FineTune

KEPT_SECONDS = 86_400


@dataclass(frozen=True)
class Learnt:
    """A target that has seen `known` of `items` in the training part of a dataset's version."""

    label: str
    version: DatasetVersion
    known: int
    items: int


def learnt_from(evaluation: Evaluation, targets: Iterable[Target]) -> list[Learnt]:
    """The targets that learnt from some of the items; before these are written, from the rows chosen."""
    found = []
    for target in targets:
        tune = _tune_of(target)
        if tune is None or tune.version is None:
            continue
        items = _items(evaluation)
        known = _known(evaluation.version, tune.version) if items else 0
        if known:
            found.append(Learnt(target.label, tune.version, known, items))
    return found


def _tune_of(target: Target) -> FineTune | None:
    """The job behind the name that a target asks, where it is one of ours."""
    if not target.is_fresh or target.connection is None or not target.model:
        return None
    here = Deployment.objects.filter(connection=target.connection, name=target.model)
    deployed: Deployment | None = here.select_related("fine_tune__version__dataset").order_by("-id").first()
    if deployed is not None:
        return deployed.fine_tune
    tunes = FineTune.objects.filter(connection=target.connection, fine_tuned_model=target.model)
    trained: FineTune | None = tunes.select_related("version__dataset").order_by("-id").first()
    if trained is not None:
        return trained
    steps = Checkpoint.objects.filter(fine_tune__connection=target.connection, model=target.model)
    step: Checkpoint | None = steps.select_related("fine_tune__version__dataset").order_by("-id").first()
    return step.fine_tune if step is not None else None


def _items(evaluation: Evaluation) -> int:
    version = evaluation.version
    if version.state == DatasetVersion.State.READY:
        return version.rows
    return version.frozen_selection.count if version.frozen_selection is not None else 0


def _known(measured: DatasetVersion, trained: DatasetVersion) -> int:
    taught = Example.objects.filter(version=trained, line__isnull=False)
    part = trained.part("train")
    if part is not None:
        taught = taught.filter(line__gte=part.first_line, line__lt=part.first_line + part.rows)
    if measured.state != DatasetVersion.State.READY:
        if measured.frozen_selection is None:
            return 0
        chosen = set(selection.ids_of(measured.frozen_selection))
        rows = taught.filter(completion__isnull=False).values_list("completion", flat=True)
        return len(chosen.intersection(rows.iterator(chunk_size=10_000)))
    # Neither changes any more once it is ready.
    key = f"evaluate-learnt-{measured.pk}-{trained.pk}"
    known: int | None = cache.get(key)
    if known is None:
        items = Example.objects.filter(version=measured, line__isnull=False)
        known = items.filter(source_key__in=taught.values("source_key")).count()
        cache.set(key, known, KEPT_SECONDS)
    return known
