"""What keeps a run from being of use before it begins: graders that cannot judge, or nobody to be asked."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from datasets.evaluate.graders import needs_reference
from datasets.evaluate.judges import connections_of
from datasets.evaluate.targets import Target
from datasets.models import Evaluation, Grader
from portal.models import Connection

ALONE = "A preference compares two targets, and this evaluation has one. Choose a second one first."
GONE = "A connection that is to be asked was deleted. Choose another one for its target or grader."
CLOSED = (
    "You may not ask every connection that the targets and graders name. Choose others, or ask whoever"
    " manages them for the right to act."
)


def of(evaluation: Evaluation, targets: Sequence[Target], user: Any) -> str:
    """In words; empty if nothing does. What was fine when a grader was saved may be so no longer."""
    graders = list(evaluation.graders.all())
    asked = connections_of(graders) | {each.connection for each in targets if each.connection is not None}
    return of_graders(graders, evaluation.reference, len(targets)) or of_connections(asked, user)


def of_graders(graders: Iterable[Grader], reference: str, targets: int) -> str:
    """Why nothing would be judged by these."""
    some = list(graders)
    needing = next((each for each in some if not reference and needs_reference(each.kind, each.params)), None)
    if needing is not None:
        return (
            f"“{needing.name}” needs a reference, which this evaluation does not have. Choose a reference, or"
            " change the grader."
        )
    return ALONE if targets < 2 and some and all(each.kind == Grader.Kind.PAIRWISE for each in some) else ""


def disconnected(asked: Collection[int]) -> str:
    """Which of these connections is not to be asked anything at present; empty if all of them may be."""
    closed = (Connection.State.DISCONNECTED, Connection.State.DELETING)
    found = Connection.objects.filter(pk__in=asked, state__in=closed).values_list("name", flat=True).first()
    return f"{found} is disconnected, so it is asked nothing. Connect it again first." if found else ""


def gone(asked: Collection[int]) -> str:
    """Whether one of these connections is there no more, in words."""
    return GONE if Connection.objects.filter(pk__in=asked).count() < len(asked) else ""


def of_connections(asked: Collection[int], user: Any) -> str:
    """Why somebody may not ask all of these."""
    if problem := disconnected(asked):
        return problem
    if problem := gone(asked):
        return problem
    return CLOSED if Connection.objects.actionable_by(user).filter(pk__in=asked).count() < len(asked) else ""
