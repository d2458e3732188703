"""What of this app forbids the deletion of a connection, and what goes with one; importing registers it."""

from collections.abc import Iterator

from datasets.models import DatasetVersion, Deployment, Evaluation, FineTune, LibraryGrader, Relabel, Run
from portal.deletion import Part, before_connection_delete, blocks_connection_delete
from portal.models import Connection

AT_ONCE = 100


@blocks_connection_delete
def what_still_needs_it(connection: Connection) -> Iterator[str]:
    """Rights on a dataset follow from the connections it was made from, so these must outlive it."""
    versions = DatasetVersion.objects.filter(connections=connection).count()
    if versions:
        yield f"{_count(versions, 'dataset version')} made from its completions. Delete them first."
    evaluations = Evaluation.objects.filter(connections=connection).count()
    if evaluations:
        yield f"{_count(evaluations, 'evaluation')} measured on its completions. Delete them first."
    runs = Run.objects.filter(connections=connection).exclude(evaluation__connections=connection).count()
    if runs:
        yield f"{_count(runs, 'run')} answered by its models. Delete their evaluations first."
    relabels = Relabel.objects.filter(connections=connection).count()
    if relabels:
        yield f"{_count(relabels, 'relabelling')} of its completions or by its models. Delete them first."
    tunes = FineTune.objects.filter(connection=connection).count()
    if tunes:
        yield f"{_count(tunes, 'fine-tune')} started on it; their history would be lost."
    deployments = Deployment.objects.filter(connection=connection).count()
    if deployments:
        yield f"{_count(deployments, 'deployment')} made on it; nobody could remove them from here any more."


def _take_graders(connection: Connection) -> int:
    """Some graders of its library with their versions; what evaluations took of them stays."""
    some = list(LibraryGrader.objects.filter(connection=connection).values_list("pk", flat=True)[:AT_ONCE])
    LibraryGrader.objects.filter(pk__in=some).delete()
    return len(some)


before_connection_delete(
    Part(
        "graders of its library",
        lambda connection: LibraryGrader.objects.filter(connection=connection).count(),
        _take_graders,
    )
)


def _count(number: int, noun: str) -> str:
    return f"One {noun} was" if number == 1 else f"{number:,} {noun}s were"
