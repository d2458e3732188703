"""Which targets were trained on the very items that they are measured on, as far as that is known here."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from django.core.cache import cache
from django.db.models import F

from completions import selection
from datasets.evaluate.targets import Target
from datasets.models import Checkpoint, DatasetVersion, Deployment, Evaluation, Example, FineTune

KEPT_SECONDS: Final = 86_400
LOOKED_AT: Final = 2_000  # items; of more, as many by chance
ROWS: Final = 200  # of the training part, to see whether there are any whose completions are gone
Item = tuple[int | None, str]  # the completion, where it is there, and the key of its source


@dataclass(frozen=True)
class Learnt:
    """A target that has seen `known` in the training part of a dataset's version, of `looked` that were
    looked at among `items`.
    """

    label: str
    version: DatasetVersion
    known: int
    looked: int
    items: int


def learnt_from(evaluation: Evaluation, targets: Iterable[Target]) -> list[Learnt]:
    """The targets that learnt from some of the items; before these are written, from the rows chosen."""
    found = []
    for target in targets:
        tune = _tune_of(target)
        if tune is None or tune.version is None:
            continue
        known, looked = _known(evaluation.version, tune.version)
        if known:
            found.append(Learnt(target.label, tune.version, known, looked, _items(evaluation)))
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


def _known(measured: DatasetVersion, trained: DatasetVersion) -> tuple[int, int]:
    """How many items were taught, and of how many: what it takes does not grow with the items."""
    if measured.state != DatasetVersion.State.READY:
        items = _chosen(measured)
        return _taught(items, trained), len(items)
    # Neither changes any more once it is ready.
    key = f"evaluate-taught-{measured.pk}-{trained.pk}"
    known: tuple[int, int] | None = cache.get(key)
    if known is None:
        written = Example.objects.filter(version=measured, line__in=_some(measured.rows, measured.pk))
        items = list(written.values_list("completion", "source_key"))
        known = _taught(items, trained), len(items)
        cache.set(key, known, KEPT_SECONDS)
    return known


def _chosen(measured: DatasetVersion) -> list[Item]:
    """Some of the rows chosen, before they are written."""
    if measured.frozen_selection is None:
        return []
    ids = selection.unpacked(measured.frozen_selection.ids)
    return [(int(ids[place - 1]), "") for place in _some(len(ids), measured.pk)]


def _some(count: int, seed: int) -> Sequence[int]:
    """Places from 1 to `count`: all of few; of many the same ones each time, without a pattern."""
    every = range(1, count + 1)
    return every if count <= LOOKED_AT else sorted(Random(seed).sample(every, LOOKED_AT))


def _taught(items: Collection[Item], trained: DatasetVersion) -> int:
    """How many of these items stand in the training part of a version."""
    part = trained.part("train")
    first, rows = (part.first_line, part.rows) if part is not None else (1, trained.rows)
    lines = {"line__gte": first, "line__lt": first + rows}
    ids = {completion for completion, _ in items if completion is not None}
    # The sum keeps databases from going through the whole version in place of a few completions.
    here = Example.objects.annotate(of=F("version_id") + 0).filter(of=trained.pk, completion__in=ids, **lines)
    seen = set(here.values_list("completion", flat=True))
    missing = {key for completion, key in items if key and completion not in seen}
    keys: set[str] = set()
    if missing and _has_lost(trained, first, rows):
        # Rows of files, and those whose completions were deleted: no index leads to them.
        taught = Example.objects.filter(version=trained, source_key__in=missing, **lines)
        keys = set(taught.values_list("source_key", flat=True))
    return sum(completion in seen or key in keys for completion, key in items)


def _has_lost(trained: DatasetVersion, first: int, rows: int) -> bool:
    """Whether some rows of a part, spread over it, lead to no completion."""
    lines = range(first, first + rows, max(1, rows // ROWS))
    some = Example.objects.filter(version=trained, line__in=lines)
    return None in set(some.values_list("completion", flat=True))
