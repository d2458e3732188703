"""What of this app hangs on completions that somebody wants to delete; importing registers it."""

from collections.abc import Sequence

from django.db.models import QuerySet

from completions.dependents import Dependent, datasets_block, depends_on_completions
from completions.models import StoredCompletion
from completions.querysets import holding
from datasets.models import DatasetVersion, Evaluation, Example, RelabelCall


@depends_on_completions
def versions(ids: Sequence[int]) -> Dependent | None:
    """Dataset versions with a line made from one of them."""
    held = _examples(ids)
    count = held.order_by().values("version").distinct().count()
    if not count:
        return None
    rows = held.order_by().values("completion").distinct().count()
    name = "dataset version" if count == 1 else "dataset versions"
    return Dependent(
        count,
        name,
        rows,
        "Each keeps its file as it was built; its lines no longer link here.",
        datasets_block(),
    )


@depends_on_completions
def evaluations(ids: Sequence[int]) -> Dependent | None:
    """Evaluations that measure on such a version."""
    held = _examples(ids)
    versions = DatasetVersion.objects.filter(pk__in=held.values("version"))
    count = Evaluation.objects.filter(version__in=versions).count()
    if not count:
        return None
    rows = held.filter(version__evaluations__isnull=False).order_by().values("completion").distinct().count()
    name = "evaluation" if count == 1 else "evaluations"
    return Dependent(
        count,
        name,
        rows,
        "Results stay, and new runs go on: items come from the version's file.",
        datasets_block(),
    )


@depends_on_completions
def taught(ids: Sequence[int]) -> Dependent | None:
    """Answers that a teacher gave to one of them."""
    rows = StoredCompletion.objects.filter(holding(ids))
    held = RelabelCall.objects.filter(completion__in=rows.values("pk")).order_by()
    count = held.values("relabel").distinct().count()
    if not count:
        return None
    return Dependent(
        count,
        "relabelling" if count == 1 else "relabellings",
        held.values("completion").distinct().count(),
        "The teacher's answers to them go; corrections made from them go with the rows.",
        blocks=False,
    )


def _examples(ids: Sequence[int]) -> QuerySet[Example]:
    rows = StoredCompletion.objects.filter(holding(ids))
    found: QuerySet[Example] = Example.objects.filter(completion__in=rows.values("pk"), line__isnull=False)
    return found
