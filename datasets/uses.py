"""In which datasets a completion stands, and what learnt from it; importing registers it."""

from collections.abc import Iterable
from typing import Any

from django.urls import reverse

from completions.models import StoredCompletion
from completions.uses import Use, uses_completions
from datasets.finetune import picture
from datasets.models import DatasetVersion, Example, FineTune

MOST = 5  # versions, and jobs of each


@uses_completions
def of_datasets(user: Any, row: StoredCompletion) -> Iterable[Use]:
    """Versions with a line made from it, the newest first, each with its jobs."""
    readable = DatasetVersion.objects.readable_by(user)
    held = Example.objects.filter(completion=row, line__isnull=False, version__in=readable.values("pk"))
    examples = list(held.select_related("version__dataset").order_by("-version", "line")[: MOST + 1])
    for example in examples[:MOST]:
        yield from _of(user, row, example)
    if len(examples) > MOST:
        href = reverse("datasets:lineage", args=["completion", row.pk])
        yield Use("and more", href, f"{held.count() - MOST:,} further rows")


def _of(user: Any, row: StoredCompletion, example: Example) -> Iterable[Use]:
    version = example.version
    address = reverse("datasets:version", args=[version.dataset_id, version.number])
    part = next(
        (
            each.name
            for each in version.parts
            if each.first_line <= (example.line or 0) < each.first_line + each.rows
        ),
        "",
    )
    note = f"line {example.line:,}" + (f", {part}" if part else "") + (", edited" if example.edited else "")
    yield Use(f"{version.dataset.name} v{version.number}", f"{address}?line={example.line}", note)
    tunes = FineTune.objects.readable_by(user).filter(version=version).exclude(state=FineTune.State.DRAFT)
    for tune in tunes.select_related("connection", "version__dataset").order_by("-id")[:MOST]:
        title = tune.fine_tuned_model or tune.base_model
        href = reverse("datasets:finetune", args=[tune.pk])
        yield Use(title, href, f"learnt from it: {picture.in_words(tune)}", "graduation-cap")
